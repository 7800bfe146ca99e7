"""Every rule of the chapter linter fires on a chapter that breaks it, and on none that does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from chapter import blocks, literal_text, parse
from factory import code, find, good_chapter, markdown, write
from lint_chapters import lint
from nbformat import NotebookNode


def spoil(text: str, old: str, new: str) -> Callable[[NotebookNode], None]:
    def change(notebook: NotebookNode) -> None:
        cell = find(notebook, text)
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def insert(*cells: NotebookNode) -> Callable[[NotebookNode], None]:
    def change(notebook: NotebookNode) -> None:
        notebook.cells[4:4] = [cell for new in cells for cell in (new, markdown("Between."))]

    return change


def drop(text: str) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells.remove(find(notebook, text))


def untag(tag: str) -> Callable[[NotebookNode], None]:
    def change(notebook: NotebookNode) -> None:
        for cell in notebook.cells:
            if tag in cell.metadata.get("tags", []):
                cell.metadata["tags"] = []

    return change


PLANTED = {
    "too few words": (spoil("word word", "word " * 1900, "word"), "words: "),
    "too many words": (spoil("word word", "word " * 1900, "word " * 3200), "words: "),
    "words hidden in a solution do not count": (
        lambda notebook: (
            spoil("word word", "word " * 1900, "")(notebook),
            spoil("ex-good-0\n:class", "```python", "word " * 1900 + "\n```python")(notebook),
        ),
        "words: ",
    ),
    "too few code cells": (
        lambda notebook: [drop("def answer")(notebook) for _ in range(3)] or drop("1 + 1")(notebook),
        "cells: ",
    ),
    "too many code cells": (insert(*[code("x = 1") for _ in range(20)]), "cells: "),
    "a long cell": (insert(code("\n".join(f"x{i} = {i}" for i in range(31)))), "lines: 31 lines"),
    "long cells": (insert(*[code("\n".join(["x = 1"] * 9)) for _ in range(24)]), "lines: the median"),
    "three code cells in a row": (
        lambda notebook: notebook.cells.extend([code("3"), code("4")]),
        "rhythm: more than 2",
    ),
    "two titles": (insert(markdown("# Another")), "title: 2 level-one"),
    "no label": (spoil("(ch-good-chapter)=", "(ch-good-chapter)=", "(ch-other)="), "label: no (ch-good-chapter)="),
    "no question": (spoil("> How", "> How do we know?", ""), "template: no question"),
    "no wrong": (
        spoil("prove us", "**What would prove us wrong** a bad chapter.", ""),
        "What would prove us wrong** is missing",
    ),
    "no key results": (spoil("## Key results", "## Key results", "## Results"), "## Key results is missing"),
    "sections out of order": (
        lambda notebook: notebook.cells.insert(
            3, notebook.cells.pop(notebook.cells.index(find(notebook, "## Exercises")))
        ),
        "## Exercises stands before",
    ),
    "a skipped level": (insert(markdown("#### Deep")), "headings: a level-4"),
    "a heading numbered by hand": (insert(markdown("## 2 The mathematics")), "headings: a number typed"),
    "no parameters": (untag("parameters"), "parameters: 0 cells"),
    "a missing seed": (spoil("SEED = 7", "\nSEED = 7", ""), "SEED is not set"),
    "committed with the store": (spoil("SEED = 7", '"sample"  #', '"store"  #'), 'SOURCE is "sample"'),
    "another slug": (spoil("setup(", 'setup("good-chapter")', 'setup("bad")'), "setup: setup('bad')"),
    "nothing compared": (untag("nbval-check-output"), "compared: 0 cells"),
    "too few figures": (lambda notebook: [drop("show(fig")(notebook), drop("numref")(notebook)], "figures: 3"),
    "no alternative text": (spoil("show(fig", ', alt=f"Ends at {value}."', ""), "show(...) without alt="),
    "an unread figure": (spoil("{numref}`fig-good-2`", "{numref}`fig-good-2`", "It"), "no sentence refers to"),
    "a number in a caption": (spoil("show(fig", "All of {value}", "All of 500"), "typed number: caption holds '500'"),
    "a number in an alternative text": (
        spoil("show(fig", "Ends at {value}", "Ends at 3.5 %"),
        "typed number: alt holds '3.5 %'",
    ),
    "show before the end": (spoil("show(fig", "show(", "show(fig2)\nshow("), "figure: show(...) without name="),
    "something after show": (spoil("show(fig", 'Ends at {value}.")', 'Ends at {value}.")\nx = 1'), "not the last line"),
    "a bare matplotlib figure": (insert(code("plt.show()")), "plt.show(): use show"),
    "two figures of one name": (
        spoil('fig-good-1", caption', "fig-good-1", "fig-good-0"),
        "2 figures are called fig-good-0",
    ),
    "a glued key nobody claims": (
        spoil("{glue:text}`good.value-2", "good.value-2", "good.other"),
        "glue: good.other is no claim",
    ),
    "a key claimed twice": (insert(code('claim("good.value-1", 1, low=0)')), "good.value-1 is claimed 2 times"),
    "a number in key results": (
        spoil("## Key results", "The value is", "The value is 3.2 and"),
        "Key results hold '3.2'",
    ),
    "a percentage in key results": (spoil("## Key results", "The value is", "About 40% of"), "Key results hold '40%'"),
    "an unseeded generator": (
        insert(code("rng = np.random.default_rng()")),
        "seed: np.random.default_rng(...) is not given SEED",
    ),
    "a typed seed": (insert(code("rng = np.random.default_rng(42)")), "is not given SEED"),
    "a global seed": (insert(code("np.random.seed(SEED)")), "uses the global generator"),
    "the global generator": (insert(code("x = np.random.normal(size=3)")), "uses the global generator"),
    "a typed seed argument": (insert(code('m = simulate_market("null", seed=3)')), "seed=3: give SEED"),
    "an unseeded market": (insert(code('m = simulate_market("null")')), "simulate_market(...) without seed"),
    "a typed torch seed": (insert(code("g = torch.Generator().manual_seed(3)")), "is not given SEED"),
    "ignored warnings": (
        insert(code('import warnings\nwarnings.filterwarnings("ignore")')),
        "warnings: a chapter ignores",
    ),
    "a path trick": (insert(code('import sys\nsys.path.append("..")')), "sys.path: "),
    "an installation": (insert(code("%pip install numpy")), "install: a chapter installs nothing"),
    "a home folder": (insert(code('x = "/home/ada/candles"')), "local path: "),
    "a drive": (insert(markdown("Look at C:\\Users first.")), "local path: "),
    "a bare except": (insert(code("try:\n    x = 1\nexcept:\n    pass")), "except: "),
    "no Python": (insert(code("def (")), "syntax: "),
    "a forbidden word": (insert(markdown("This is clearly so.")), "wording: 'clearly'"),
    "too few exercises": (lambda notebook: drop("ex-good-0\n\n*")(notebook), "exercises: 3 exercises"),
    "no bug to find": (spoil("*Find the bug*", "Find the bug", "Measure"), "no find-the-bug"),
    "an exercise without a card": (
        spoil("*Measure*", "difficulty 2 of 5", "difficulty 9 of 5"),
        "needs the line *Implement*",
    ),
    "an unknown kind": (spoil("*Measure*", "*Measure*", "*Ponder*"), "kind 'ponder' is none of"),
    "an exercise without a check": (
        spoil('check("good.1"', 'check("good.1", answer);', "pass"),
        "ex-good-1: no cell calls check",
    ),
    "an exercise without a hint": (
        spoil("ex-good-1\n:class", ":::{dropdown} Hint", ":::{dropdown} More"),
        "ex-good-1: no :::{dropdown}",
    ),
    "an exercise without a solution": (
        spoil("ex-good-1\n:class", "{solution} ex-good-1", "{solution} ex-other"),
        "no {solution} ex-good-1",
    ),
    "a solution without code": (spoil("ex-good-1\n:class", "```python", "```text"), "holds no python fence"),
}


def test_a_good_chapter_passes(tmp_path: Path) -> None:
    assert lint(write(good_chapter(), tmp_path)) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str, tmp_path: Path) -> None:
    change, expected = PLANTED[name]
    notebook = good_chapter()
    change(notebook)
    found = lint(write(notebook, tmp_path))
    assert any(expected in line for line in found), f"{name}: expected {expected!r} among {found}"


@pytest.mark.parametrize(
    "caption",
    [
        'f"{share:.1f} of 15m bars"',
        '"Bars of `3.5` units, $x^2$ and [a link](page-2.html)"',
        '"H1 headings, v2 and Q4"',
        'f"{a:.2f} and " + f"{b:,.0f} bars"',
    ],
)
def test_names_and_computed_values_are_no_typed_numbers(caption: str, tmp_path: Path) -> None:
    notebook = good_chapter()
    cell = find(notebook, "show(fig")
    cell.source = cell.source.replace('f"All of {value} in 15m bars."', caption)
    assert not any("typed number" in line for line in lint(write(notebook, tmp_path)))


def test_blocks_nest_by_the_length_of_their_fences() -> None:
    source = "````{solution} ex-a\n:class: dropdown\n\n```python\nx = 1\n```\n````\n\n:::{dropdown} Hint\nLook\n:::"
    found = blocks(source, 0)
    assert [(block.name, block.argument) for block in found] == [("solution", "ex-a"), ("dropdown", "Hint")]
    assert found[0].code() == "x = 1"
    assert found[0].option("class") == "dropdown"


def test_only_fixed_parts_of_a_string_count_as_typed() -> None:
    tree = parse('f"a {x:.2f} b" + "c"')
    assert tree is not None
    assert literal_text(tree.body[0]) == "a \0 bc"
