"""Pages of prose have no computation of their own, so their facts are held against the code here."""

from __future__ import annotations

import importlib.util
import re
import sys
from math import erf, sqrt
from pathlib import Path

import nbformat
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
PAGES = sorted(BOOK.glob("*.md"))
TEXT = {page.stem: page.read_text(encoding="utf-8") for page in PAGES}


@pytest.fixture(scope="module")
def dev():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        yield importlib.import_module("dev")
    finally:
        sys.path.pop(0)


# --- how to read a result honestly: the arithmetic -------------------------------------------------------


def best_of(trials: int) -> float:
    """Expected largest of so many independent standard normal numbers, by numerical integration."""
    x = np.linspace(-9, 9, 60_001)
    normal = 0.5 * (1 + np.array([erf(v / sqrt(2)) for v in x]))
    chance = np.gradient(normal**trials, x)
    return float(np.sum(x * chance) * (x[1] - x[0]))


def test_the_table_of_the_best_of_many_worthless_rules_is_right():
    table = re.search(r":name: tab-best-of\n\n(.*?):::", TEXT["honest_results"], re.DOTALL)[1]
    numbers = [float(cell.replace(",", "")) for cell in re.findall(r"^  - ([\d.,]+)$", table, re.MULTILINE)]
    trials, expected = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
    assert len(trials) == 4
    for number, sharpe in zip(trials, expected, strict=True):
        assert abs(best_of(int(number))) == pytest.approx(sharpe, abs=0.005)


def test_the_cost_of_trading_once_a_day_is_right():
    text = " ".join(TEXT["honest_results"].split())
    commission, slippage, gross, per_day = 5, 2, 10, 2
    for sentence in (
        f"It trades two account values a day, {365 * per_day} in a year",
        f"At a commission of {commission} bp and slippage of {slippage} bp",
        f"add up to {365 * per_day * (commission + slippage) / 100:.1f} % of the account",
        f"earns {gross} bp gross on each round trip pays {per_day * (commission + slippage)} bp for it",
        f"loses {per_day * (commission + slippage) - gross} bp a day",
        f"{gross} bp over {per_day} account values, or {gross / per_day:.0f} bp per unit traded",
        f"and {commission + slippage} bp are charged",
    ):
        assert sentence in text


def test_the_other_numbers_of_that_page_are_right():
    text = " ".join(TEXT["honest_results"].split())
    assert f"One year of hourly bars is {365 * 24:,} rows" in text
    assert f"about {365 // 7} decisions" in text
    assert f"$(2 / 0.5)^2 = {(2 / 0.5) ** 2:.0f}$ years" in text
    assert "A Sharpe ratio of 2.5 over a year is what a hundred" in text
    assert best_of(100) == pytest.approx(2.5, abs=0.05)


# --- what pages tell the reader to type --------------------------------------------------------------------


def typed() -> list[str]:
    """Every command line on a page: inline code and the lines of code blocks."""
    lines: list[str] = []
    for text in TEXT.values():
        blocks = re.findall(r"^(`{3,})\{code-block\} (?:bash|powershell)\n(.*?)^\1", text, re.DOTALL | re.MULTILINE)
        lines += [line for _, block in blocks for line in block.splitlines()]
        lines += re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    return [line.partition("#")[0].strip() for line in lines]


def test_every_make_target_named_on_a_page_exists(dev):
    tasks = {found[1] for line in typed() if (found := re.search(r"(?:^|\s)(?:make|\S*dev\.py) (\w+)", line))}
    assert {"book", "lab", "test", "quick", "student", "serve", "setup"} <= tasks
    assert tasks - {"something"} <= set(dev.TASKS)


def test_every_command_of_alphabook_named_on_a_page_exists():
    typer = pytest.importorskip("typer")
    cli = pytest.importorskip("alphabook.cli")
    app = next(value for value in vars(cli).values() if isinstance(value, typer.Typer))
    known = typer.main.get_command(app).commands
    words = [line.split("alphabook ", 1)[1].split() for line in typed() if re.match(r"(\.venv/bin/)?alphabook ", line)]
    assert len(words) >= 3
    for first, *rest in words:
        assert first in known, f"a page names `alphabook {first}`"
        if hasattr(known[first], "commands"):
            assert rest[0] in known[first].commands, f"a page names `alphabook {first} {rest[0]}`"


def test_every_module_that_a_page_runs_exists():
    modules = {found[1] for line in typed() if (found := re.search(r"python -m ([\w.]+)", line))}
    assert "alphabook.teaching.verify" in modules
    for module in modules:
        assert importlib.util.find_spec(module) is not None, module


def test_the_preset_that_pages_name_exists():
    cli = (ROOT / "src" / "alphabook").rglob("*.py")
    assert "--preset book" in TEXT["setup"]
    assert any(re.search(r"""preset.*["']book["']|["']book["'].*preset|PRESETS""", f.read_text()) for f in cli)


@pytest.mark.parametrize(
    "said", re.findall(r'^:::\{dropdown\} "([^"…]+)"$', (BOOK / "setup.md").read_text(encoding="utf-8"), re.M)
)
def test_every_message_that_the_setup_page_explains_is_really_said(said):
    code = [*ROOT.glob("tools/*.py"), *(ROOT / "src").rglob("*.py")]
    template = re.compile(re.escape(said).replace("8000", ".+").replace("8019", ".+"))
    assert any(template.search(f.read_text(encoding="utf-8")) for f in code), said


# --- notation and references -------------------------------------------------------------------------------


def test_names_that_the_notation_page_gives_are_those_of_the_package():
    from alphabook import candles, simulated

    rows = re.findall(r"^\* - (.*)\n  - (.*)\n", TEXT["notation"], re.MULTILINE)
    now = [code for symbol, code in rows if "○" not in symbol]
    names = {name for code in now for name in re.findall(r"`([A-Za-z_.]+)(?:\(candles\))?`", code)}
    names -= {"start", "end"}
    chapters = [nbformat.read(path, 4) for path in (ROOT / "notebooks").rglob("*.ipynb")]
    code = [cell.source for chapter in chapters for cell in chapter.cells if cell.cell_type == "code"]
    spoken = [set(re.findall(r"[A-Za-z_]+", source)) for source in code]
    shapes = set(re.findall(r"`(\w+)`", TEXT["notation"].partition("## Shapes")[2]))
    for name in names - shapes:
        owner, _, attribute = name.partition(".")
        if attribute:
            assert hasattr(getattr(candles, owner), attribute), name
        else:
            known = name in candles.COLUMNS or hasattr(candles, name) or hasattr(simulated, name)
            assert known or any(name in code for code in spoken), f"{name}: neither in the package nor in a chapter"
    assert {"close_time", "simple_return", "log_return", "Interval.bars_per_year"} <= names


def test_every_cited_work_is_in_the_bibliography_and_its_entry_is_whole():
    entries = dict(
        re.findall(r"@\w+\{(\w+),(.*?)\n\}", (BOOK / "references.bib").read_text(encoding="utf-8"), re.DOTALL)
    )
    cited = {
        key
        for file in [*PAGES, *(ROOT / "notebooks").rglob("*.ipynb")]
        for group in re.findall(r"\{cite(?::[pt])?\}`([^`]+)`", file.read_text(encoding="utf-8"))
        for key in group.split(",")
    }
    assert cited
    assert {key.strip() for key in cited} <= set(entries)
    for key, entry in entries.items():
        fields = dict(re.findall(r"^\s+(\w+)\s*=\s*\{(.*)\},?$", entry, re.MULTILINE))
        assert {"author", "title", "year"} <= set(fields), key
        assert re.fullmatch(r"(19|20)\d\d", fields["year"]), key
        assert "doi" not in fields or re.fullmatch(r"10\.\d{4,5}/\S+", fields["doi"]), key
        assert key.endswith(fields["year"]) or key.startswith("rfc"), key


def test_every_page_is_in_the_table_of_contents():
    listed = set(re.findall(r"(?:file|root): book/(\w+)", (ROOT / "_toc.yml").read_text(encoding="utf-8")))
    assert listed == set(TEXT)


@pytest.mark.parametrize("page", TEXT)
def test_a_page_has_one_title_and_a_label_that_others_can_point_to(page):
    prose = re.sub(r"^(`{3,}|:{3,}).*?^\1`*:*$", "", TEXT[page], flags=re.DOTALL | re.MULTILINE)
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1
    if page != "index":
        assert re.match(r"\([a-z-]+\)=\n# ", TEXT[page])


def test_no_page_promises_as_present_what_is_planned():
    """Chapters that a page points to exist; the landing page lists the rest under 'What comes later'."""
    chapters = {file.stem.replace("_", "-") for file in (ROOT / "notebooks").rglob("*.ipynb")}
    if not chapters:
        pytest.skip("no chapter is written yet")
    pointed = {found for text in TEXT.values() for found in re.findall(r"\bch-([a-z-]+)", text)}
    assert pointed <= chapters


def test_exercises_are_named_as_their_chapters_name_them():
    chapters = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "notebooks").rglob("*.ipynb"))
    named = [pair for text in TEXT.values() for pair in re.findall(r"\{ref\}`([^`<]+) <(ex-[a-z-]+)>`", text)]
    assert named
    for title, label in named:
        assert re.search(rf"\{{exercise\}} {re.escape(title)}\\n\",\s*\":label: {label}\\n", chapters), (title, label)
