"""The page of benchmarks shows what the files hold: every contestant, every target, every file that is missing."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from alphabook_site.benchmarks import MET, MISSED, Target, details, number, read_benchmarks, summary, words  # noqa: E402

JOBS = {
    "benchmark": "store",
    "machine": {"cpu": "Some <CPU>", "cores": 2, "python": "3.11.7"},
    "measured": "2026-01-02",
    "at_most": 2.0,
    "bars": 250_000,
    "seconds": {
        "write": {"store": 0.5179, "sqlite3": 0.25},
        "read_column": {"store": 1.1, "sqlite3": 1.2, "pandas": 0.1},
    },
    "store_over": {"write": {"sqlite3": 2.0716}, "read_column": {"sqlite3": 0.9167, "pandas": 11.0}},
}
PARTS = {
    "machine": "Some CPU, 2 cores, 1 torch thread",
    "torch": "2.13.0",
    "measured": "2026-01-03",
    "forward": {
        "setting": {"heads": 8, "length": 4096},
        "matrix_gflops": 98.5,
        "rows": [
            {"name": "ours", "ms": 22.96, "floor_ms": 10.9, "times_floor": 2.106, "times_ours": 1.0, "spread": 0.01},
            {
                "name": "rival & co",
                "ms": 131.5,
                "floor_ms": 10.9,
                "times_floor": 12.064,
                "times_ours": 5.73,
                "largest_difference": 1.3e-06,
            },
        ],
        "missing": {"compiled": "ImportError: no compiler"},
        "targets": [
            {"name": "forward / floor", "measured": 2.106, "at_most": 2.2, "met": True},
            {"name": "rival & co / ours", "measured": 5.73, "at_least": 6, "met": True},
        ],
    },
    "scale": {
        "lengths": [4096, 65536],
        "forward_seconds": [0.023, 1.372],
        "forward_peak_bytes": [4_000_000, 64_000_000],
        "slopes": {"forward time": 1.003},
        "targets": [{"name": "log-log slope", "measured": 1.003, "at_most": 1.1}],
    },
    "memory": {"inputs_and_output_bytes": 16_777_216, "added_bytes": {"ours": 7_000_000, "rival & co": None}},
}
SCRIPT = '"""Ours beside its peers, in one process.\n\nMore.\n"""\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "results").mkdir()
    for script in ("store_bench.py", "attention.py", "planned.py", "_common.py"):
        (tmp_path / script).write_text(SCRIPT.replace("Ours", script))
    (tmp_path / "results" / "store.json").write_text(json.dumps(JOBS))
    (tmp_path / "results" / "attention.json").write_text(json.dumps(PARTS))
    (tmp_path / "results" / "orphan.json").write_text(
        json.dumps({"half": 1, "targets": [{"name": "x", "measured": 1}]})
    )
    return tmp_path


def text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def by_name(folder):
    return {one.name: one for one in read_benchmarks(folder)}


def test_every_script_and_every_result_is_there_once(folder):
    found = by_name(folder)
    assert list(found) == ["attention", "orphan", "planned", "store"]
    assert found["store"].title == "store_bench.py beside its peers, in one process"
    assert found["store"].command == "python benchmarks/store_bench.py"
    assert (found["orphan"].title, found["orphan"].command) == ("Orphan", "not recorded")


def test_a_result_that_is_missing_empty_or_broken_says_so(folder):
    (folder / "results" / "empty.json").write_text("{}")
    (folder / "results" / "broken.json").write_text('{"machine": ')
    (folder / "results" / "list.json").write_text("[1, 2]")
    found = by_name(folder)
    assert "there is no file results/planned.json" in details(found["planned"])
    assert "python benchmarks/planned.py" in details(found["planned"])
    assert "empty.json holds no result" in details(found["empty"])
    assert "list.json holds no result" in details(found["list"])
    assert "broken.json cannot be read" in details(found["broken"])
    page = text(summary(list(found.values())))
    for sentence in ("no file results/planned.json", "empty.json holds", "broken.json cannot", "not measured yet"):
        assert sentence in page
    assert "There is no benchmark" in summary(read_benchmarks(folder / "results"))


def test_jobs_become_rows_of_ours_peer_ratio_target_and_verdict(folder):
    page = text(details(by_name(folder)["store"]))
    assert "Write 517.9 ms sqlite3 250.0 ms 2.07 × ≤ 2 ✗ missed" in page
    assert "Read column 1.10 s sqlite3 1.20 s 0.92 × ≤ 2 ✓ met" in page
    assert "Read column 1.10 s pandas 100.0 ms 11 × ≤ 2 ✗ missed" in page
    assert "Machine Some <CPU>, 2 cores, python 3.11.7".replace("<", "&lt;").replace(">", "&gt;") in page
    assert "Measured 2026-01-02" in page
    assert "Bars 250,000" in page


def test_parts_show_contestants_series_and_what_is_missing(folder):
    html = details(by_name(folder)["attention"])
    page = text(html)
    assert "rival &amp; co 132 5.73 10.90 12.06 not measured 1.3e-06" in page
    assert "Spread Largest difference ours" in page, "a column that nobody has foreseen is shown as well"
    assert "Not measured here: compiled (ImportError: no compiler)." in page
    assert "Heads 8 Length 4,096" in page
    assert "4,096 23.0 ms 4.0 MB" in page
    assert "65,536 1.37 s 64.0 MB" in page
    assert "forward time 1.00" in page
    assert "Inputs and output 16.8 MB" in page
    assert "ours 7.0 MB rival &amp; co not measured" in page
    assert "Torch 2.13.0" in page
    assert html.count("<h3>") == 3


def test_the_verdict_is_judged_from_the_numbers_and_told_in_words(folder):
    page = summary(read_benchmarks(folder))
    rows = dict(re.findall(r'<tr><th scope="row">([^<]*)</th>(.*?)</tr>', page))
    assert MET in rows["forward / floor"]
    assert MISSED in rows["rival &amp; co / ours"], "the file says met, its numbers do not"
    assert "≥ 6" in rows["rival &amp; co / ours"]
    assert "recorded" in rows["x"], "a number without a bound is neither met nor missed"
    assert "<strong>3 of 6 targets met</strong>" in page


@pytest.mark.parametrize(
    ("bounds", "met"),
    [
        ({"at_most": 2.0}, True),
        ({"at_most": 1.9}, False),
        ({"at_least": 2.0}, True),
        ({"at_least": 2.1}, False),
        ({}, True),
    ],
)
def test_a_bound_includes_its_end(bounds, met):
    assert Target(work="w", measured=2.0, **bounds).met is met


def test_numbers_and_words_read_well():
    assert [number(x) for x in (4096, 2.0, 2.106, 131.5, 0.00123, 12345.6)] == [
        "4,096", "2", "2.11", "132", "0.00123", "12,346",
    ]  # fmt: skip
    assert [words(x) for x in ("head_dim", "forward_seconds", "added_bytes")] == ["Head dim", "Forward", "Added"]


def test_the_tables_can_be_read_without_colour_and_scrolled_by_keyboard(folder):
    for html in [summary(read_benchmarks(folder)), *map(details, read_benchmarks(folder))]:
        assert html.count("<table") == html.count('<div class="ab-scroll" tabindex="0" role="region"')
        assert html.count("<table") == html.count("</table>")
        for verdict in re.findall(r'<strong style="color:var\(--ab-(?:green|orange)\)">([^<]*)<', html):
            assert verdict in (MET, MISSED)
        assert "#" not in "".join(re.findall(r'style="([^"]*)"', html)), "colours come from the theme"


def test_sphinx_gives_each_benchmark_a_section_of_its_own(folder, tmp_path):
    from sphinx.application import Sphinx

    source = tmp_path / "source"
    source.mkdir()
    (source / "index.rst").write_text("Benchmarks\n==========\n\n.. benchmark-results::\n")
    settings = {"extensions": ["alphabook_site.benchmarks"], "alphabook_benchmarks": "..", "html_theme": "basic"}
    app = Sphinx(source, None, tmp_path / "out", tmp_path / "trees", "html", settings, status=None, warningiserror=True)
    app.build()
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    for name in ("attention", "orphan", "planned", "store"):
        assert f'<section id="benchmark-{name}"' in page
        assert f'href="#benchmark-{name}"' in page
    assert page.count("Some &lt;CPU&gt;") == 1


def test_the_page_of_this_book_is_made_of_this_books_files():
    found = by_name(ROOT / "benchmarks")
    assert "store" in found
    page = (ROOT / "book" / "benchmarks.md").read_text(encoding="utf-8")
    assert "```{benchmark-results}" in page
    assert not re.search(r"\d", page), "a number typed by hand"
    for one in found.values():
        assert one.title != words(one.name), f"{one.name}: its script says in its first line what it measures"
        if one.data:
            assert re.fullmatch(r"\d{4}-\d\d-\d\d", str(one.data.get("measured"))), f"{one.name}: no date"
            assert one.machine != "not recorded"
