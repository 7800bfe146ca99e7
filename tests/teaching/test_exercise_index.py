"""The index of exercises is read from the cards in the chapters."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("sphinx")
ROOT = Path(__file__).parents[2]

CELL = """
Some text first.

```{exercise} Join without *seeing* the future
:label: ex-bars-asof

*Implement* · difficulty 3 of 5 · 15 minutes

Write a function.
```

````{exercise} Find the bug
:label: ex-bars-bug
*Find the bug* · difficulty 1 of 5 · 1 minute
````

```{solution} ex-bars-asof
:class: dropdown
```
"""


@pytest.fixture(scope="module")
def index():
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    try:
        yield importlib.import_module("alphabook_site.exercises")
    finally:
        sys.path.pop(0)


def test_a_card_is_read_with_or_without_an_empty_line_before_it(index):
    first, second = index.cards_in(CELL, "notebooks/data/bars")
    assert (first.label, first.kind, first.difficulty, first.minutes) == ("ex-bars-asof", "Implement", 3, 15)
    assert first.title == "Join without *seeing* the future"
    assert (second.label, second.kind, second.difficulty, second.minutes) == ("ex-bars-bug", "Find the bug", 1, 1)


@pytest.mark.parametrize(
    "broken",
    [
        CELL.replace(":label: ex-bars-asof\n\n", "\n"),
        CELL.replace("difficulty 3 of 5", "difficulty 6 of 5"),
        CELL.replace("*Implement* · ", ""),
    ],
    ids=["no label", "difficulty", "no kind"],
)
def test_an_exercise_without_a_whole_card_is_a_warning_and_so_an_error_of_the_build(index, broken, monkeypatch):
    warned = []
    monkeypatch.setattr(index.LOGGER, "warning", lambda *words: warned.append(words))
    assert [card.label for card in index.cards_in(broken, "a")] == ["ex-bars-bug"]
    assert len(warned) == 1


def test_chapters_are_read_in_the_order_of_the_contents(index, tmp_path):
    (tmp_path / "_toc.yml").write_text("parts: [{chapters: [{file: b}, {file: a}, {file: page}]}]")
    for name in "ab":
        cell = nbformat.v4.new_markdown_cell(CELL.replace("bars", name))
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / f"{name}.ipynb")
    assert [card.label for card in index.read_cards(tmp_path)] == ["ex-b-asof", "ex-b-bug", "ex-a-asof", "ex-a-bug"]


def test_the_table_links_adds_up_and_tells_difficulty_in_words(index):
    html = index.index_table(
        index.cards_in(CELL, "a/bars"), {"a/bars": "Bars & clocks"}, lambda name: f"../{name}.html"
    )
    assert '<a href="../a/bars.html#ex-bars-asof">Join without <em>seeing</em> the future</a>' in html
    assert "2 exercises, 16 min" in html
    assert "Bars &amp; clocks" in html
    assert 'role="img" aria-label="3 of 5">●●●○○' in html
    assert index.index_table([], {}, str) == '<p class="ab-empty">No chapter has exercises yet.</p>'
