"""What the site's own extension writes: facts bars, ledgers, the chapter graph, twins of figures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from alphabook_site.assets import twin_images  # noqa: E402
from alphabook_site.facts import facts_bar, launch_links  # noqa: E402
from alphabook_site.graph import Node, draw, levels, read_graph  # noqa: E402
from alphabook_site.ledger import claims_table, status_table, trials_table  # noqa: E402
from alphabook_site.status import band, market, memory, number, seconds  # noqa: E402
from sphinx.errors import ExtensionError  # noqa: E402

RECORD = {
    "docname": "notebooks/data/bars",
    "title": "When is a bar <known>?",
    "seconds": 12.4,
    "peak_mb": 210.0,
    "executed": "2026-01-02T03:04:05+00:00",
    "parameters": {"SOURCE": "store"},
    "sources": [{"market": "real"}, {"market": "simulated"}],
    "claims": [
        {"kind": "claim", "key": "bars.gaps", "value": 12, "low": 1, "high": 40, "unit": "gaps", "text": "few & far"},
        {"kind": "claim", "key": "bars.equal", "value": True, "low": None, "high": None},
        {"kind": "recorded", "key": "bars.rows", "value": 8760.0, "low": None, "high": None},
    ],
}


def test_no_launch_button_before_the_repository_has_an_address() -> None:
    assert launch_links("notebooks/a.ipynb", {"repository_url": ""}) == []
    bar = facts_bar("notebooks/data/bars", RECORD, {}, "../../")
    assert "Colab" not in bar
    assert 'href="../../_sources/notebooks/data/bars.ipynb" download="bars.ipynb"' in bar
    for fact in ("12 s", "210 MB", "real and simulated candles"):
        assert fact in bar


def test_launch_buttons_follow_the_one_setting() -> None:
    links = dict(launch_links("notebooks/a.ipynb", {"repository_url": "https://github.com/o/r.git"}))
    assert set(links) == {"Source", "Colab", "Binder"}
    assert links["Colab"].endswith("/github/o/r/blob/main/notebooks/a.ipynb")
    assert set(dict(launch_links("a.ipynb", {"repository_url": "https://git.example.org/r"}))) == {"Source"}


def test_the_ledger_counts_claims_apart_from_recorded_numbers_and_escapes_text() -> None:
    html = claims_table({"chapters": [RECORD]}, lambda name: name + ".html")
    assert "<strong>2 claims</strong>" in html
    assert "2 claims, 1 recorded number" in html
    assert 'href="notebooks/data/bars.html#claim-bars-gaps"' in html
    assert "few &amp; far" in html
    assert "<known>" not in html
    assert "1 … 40" in html
    assert "No claim was recorded" in claims_table({"chapters": []}, str)


def test_the_status_page_adds_up_and_names_the_machine() -> None:
    status = {"chapters": [RECORD, RECORD], "machine": {"processor": "P", "cores": 2, "system": "S"}, "python": "3.11"}
    html = status_table(status, str)
    assert "25 s of execution" in html
    assert "P, 2 cores" in html


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"low": 1, "high": 1}, "= 1"),
        ({"low": None, "high": 2.5}, "≤ 2.5"),
        ({"low": 1000, "high": None}, "≥ 1,000"),
        ({"low": -0.05, "high": 0.05}, "-0.05 … 0.05"),
        ({"value": True}, "must be true"),
        ({"value": 3}, "recorded"),
    ],
)
def test_a_band_in_words(row: dict, expected: str) -> None:
    assert band(row) == expected


def test_numbers_read_well() -> None:
    assert [number(x) for x in (True, 1234567, 0.123456, 12345.6, 3.0)] == ["yes", "1,234,567", "0.1235", "12,346", "3"]
    assert (seconds(99.4), seconds(150), memory(0), memory(2048)) == ("99 s", "2.5 min", "not measured", "2.0 GB")
    assert market({"parameters": {"SOURCE": "sample"}}) == "simulated candles"


GRAPH = [
    Node("a", "Bars", "p", ()),
    Node("b", "Venues & more", "p", ("a",)),
    Node("c", "Truth", "p", ("a", "b")),
]


def test_the_graph_puts_a_chapter_behind_what_it_needs() -> None:
    assert levels(GRAPH) == {"a": 0, "b": 1, "c": 2}
    html = draw(GRAPH, lambda name: f"{name}.html")
    assert html.count('class="ab-edge"') == 3
    assert html.count('href="b.html"') == 2, "once in the drawing, once in the list"
    assert "needs Bars, Venues &amp; more" in html


def test_a_circle_in_the_needs_is_refused() -> None:
    with pytest.raises(ExtensionError, match="a circle"):
        levels([Node("a", "A", "p", ("b",)), Node("b", "B", "p", ("a",))])


def test_the_needs_of_this_book_name_chapters_that_exist() -> None:
    graph = read_graph(ROOT, lambda name: name)
    assert len(levels(graph)) == len(graph) > 0


def test_a_figure_gets_one_image_per_theme() -> None:
    html = twin_images('<img alt="It rises." src="../_images/ab12.svg" />', "../_images/ab12.svg")
    assert html.count("<img") == html.count('alt="It rises."') == 2
    assert 'ab-light" alt' in html
    assert "../_images/ab12.dark.svg" in html


def test_the_trials_page_counts_every_study_and_names_each_look() -> None:
    look = {"study": "trials.mined", "reason": "the <last> word", "holdout": "ab"}
    chapters = [
        {"docname": "a", "title": "Alpha", "studies": [{"study": "a.x", "trials": 1200, "markets": 1}], "looks": []},
        {"docname": "b", "title": "Beta", "studies": [{"study": "b", "trials": 1, "markets": 1}], "looks": [look]},
        {"docname": "c", "title": "Gamma"},
    ]
    html = trials_table({"chapters": chapters}, lambda name: f"{name}.html")
    for part in (
        "<strong>1,201 trials</strong> in 2 studies",
        "<code>a.x</code>",
        "the &lt;last&gt; word",
        'href="b.html"',
    ):
        assert part in html
    assert "No holdout was opened" in trials_table({"chapters": chapters[:1]}, str)
    assert "ab-empty" in trials_table({"chapters": []}, str)
