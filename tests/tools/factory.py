"""A small chapter that keeps every rule, and ways to spoil it."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat import NotebookNode

SLUG = "good-chapter"
KINDS = ("Predict", "Implement", "Find the bug", "Measure")


def markdown(source: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(source)


def code(source: str, *tags: str) -> NotebookNode:
    cell = nbformat.v4.new_code_cell(source)
    if tags:
        cell.metadata["tags"] = list(tags)
    return cell


def good_chapter() -> NotebookNode:
    """Within every budget: the linter must find nothing."""
    cells = [
        markdown(
            f"(ch-{SLUG})=\n# When is it good?\n\n> How do we know?\n\n**What you will be able to do** derive.\n\n"
            "**Before you start** nothing.\n\n**What would prove us wrong** a bad chapter."
        ),
        code('SOURCE = "sample"  # "sample" or "store"\nQUICK = True\nSEED = 7', "parameters"),
        code(
            f'from alphabook.teaching import setup\n\nsetup("{SLUG}")\nrng = np.random.default_rng(SEED)', "hide-input"
        ),
        markdown("## The smallest case\n\n" + "word " * 1900),
    ]
    for number in range(4):
        cells += [
            code(f'value = 1\nclaim("good.value-{number}", value, low=0, high=2)', "nbval-check-output"),
            markdown(f"{{numref}}`fig-good-{number}` shows it: {{glue:text}}`good.value-{number}:.0f`."),
            code(
                f'show(fig, name="fig-good-{number}", '
                'caption=f"All of {value} in 15m bars.", alt=f"Ends at {value}.")'
            ),
            markdown("Read it so."),
        ]
    cells.append(markdown("## Key results\n\nThe value is {glue:text}`good.value-1:.0f` on `1h` bars."))
    cells.append(markdown("## Exercises"))
    for number, kind in enumerate(KINDS):
        cells += [
            markdown(
                f"```{{exercise}} Number {number}\n:label: ex-good-{number}\n\n"
                f"*{kind}* · difficulty 2 of 5 · 10 minutes\n\nDo it.\n```"
            ),
            code("def answer(x):\n    raise NotImplementedError"),
            code(f'check("good.{number}", answer);'),
            markdown(
                f":::{{dropdown}} Hint\nLook.\n:::\n\n````{{solution}} ex-good-{number}\n:class: dropdown\n\n"
                "```python\ndef answer(x):\n    return x\n```\n````"
            ),
        ]
    cells += [markdown("## Further reading\n\nNothing."), code("1 + 1"), code("2 + 2")]
    return nbformat.v4.new_notebook(cells=cells)


def write(notebook: NotebookNode, folder: Path, name: str = "good_chapter.ipynb") -> Path:
    path = folder / name
    nbformat.write(notebook, path)
    return path


def find(notebook: NotebookNode, text: str) -> NotebookNode:
    """The first cell that holds a text."""
    return next(cell for cell in notebook.cells if text in cell.source)
