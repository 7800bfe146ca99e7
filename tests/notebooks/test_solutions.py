"""Every folded solution, put where the reader would type it, passes its own check."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from chapter import Chapter, read_chapter
from nbformat import NotebookNode
from running import every_chapter, run

pytestmark = pytest.mark.notebook


@every_chapter
def test_every_solution_passes_its_check(path: Path, tmp_path: Path) -> None:
    chapter = read_chapter(path)
    checked = [exercise for exercise in chapter.exercises if exercise.kind != "predict" and exercise.solution]
    assert checked, "no exercise with a solution"
    solved = tmp_path / "solved.ipynb"
    nbformat.write(with_solutions(chapter), solved)
    outputs = list(verdicts(run(solved, tmp_path, cwd=path.parent)))
    for exercise in checked:
        for check_id in exercise.check_ids:
            said = [text for text in outputs if f" {check_id}" in text]
            assert said, f"{exercise.label}: nothing was said about {check_id}"
            assert said[-1].startswith("✓"), f"{exercise.label}: the book's own solution is told {said[-1]!r}"


@every_chapter
def test_an_unfinished_exercise_is_no_error(path: Path) -> None:
    """As committed every check says "not done"; none of them holds an answer already."""
    chapter = read_chapter(path)
    ids = {check_id for exercise in chapter.exercises for check_id in exercise.check_ids}
    assert len(ids) >= 4
    assert "raise NotImplementedError" in "\n".join(source for _, source, _ in chapter.code())


def with_solutions(chapter: Chapter) -> NotebookNode:
    """The chapter with each folded solution put into a cell before the check it has to pass."""
    notebook = nbformat.from_dict(chapter.notebook)
    inserts: dict[int, list[str]] = {}
    for exercise in chapter.exercises:
        code = exercise.solution.code() if exercise.solution else ""
        cells = [
            index for index, node in chapter.calls("check") if node.args and _value(node.args[0]) in exercise.check_ids
        ]
        if code.strip() and cells:
            inserts.setdefault(min(cells), []).append(code)
    cells = []
    for index, cell in enumerate(notebook.cells):
        cells += [nbformat.v4.new_code_cell(code) for code in inserts.get(index, [])]
        cells.append(cell)
    notebook.cells = cells
    return notebook


def _value(node: object) -> object:
    return getattr(node, "value", None)


def verdicts(notebook: NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            text = output.get("data", {}).get("text/plain", "")
            if text[:1] in "✓✗○?·":
                yield text
