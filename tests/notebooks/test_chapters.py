"""Each chapter runs as committed: within a minute, without a network, twice alike, with every solution accepted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from chapter import Chapter, read_chapter
from nbformat import NotebookNode
from toc import ROOT

papermill = pytest.importorskip("papermill")

BUDGET = 60.0  # seconds for a chapter as committed
CHAPTERS = sorted(path for path in (ROOT / "notebooks").glob("**/*.ipynb") if "checkpoint" not in str(path))
NOWHERE = "http://127.0.0.1:9"  # a proxy that answers nobody

pytestmark = pytest.mark.notebook
every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, no_market: None) -> None:
    """No real candles and no way out, except to this machine (the stand-in)."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, NOWHERE)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    monkeypatch.delenv("ALPHABOOK_CLAIMS_DIR", raising=False)


def run(source: Path, folder: Path, *, cwd: Path, **parameters: object) -> NotebookNode:
    """Execute a notebook as it is, or with parameters, in its chapter's folder."""
    out = folder / f"run-{len(list(folder.iterdir()))}.ipynb"
    papermill.execute_notebook(
        str(source),
        str(out),
        parameters=parameters,
        cwd=str(cwd),
        kernel_name="python3",
        language="python",
        progress_bar=False,
        execution_timeout=300,
    )
    return nbformat.read(out, 4)


def marked(notebook: NotebookNode) -> dict[str, list[str]]:
    """What the compared cells printed, by cell."""
    return {
        cell.id: [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
        for cell in notebook.cells
        if "nbval-check-output" in cell.metadata.get("tags", [])
    }


@every_chapter
def test_runs_in_a_minute_and_twice_alike(path: Path, tmp_path: Path, record_property) -> None:
    started = time.perf_counter()
    first = run(path, tmp_path, cwd=path.parent)
    seconds = time.perf_counter() - started
    record_property("seconds", round(seconds, 1))
    print(f"{path.stem}: {seconds:.1f} s")
    second = run(path, tmp_path, cwd=path.parent)
    assert marked(first), "no compared cell"
    assert marked(first) == marked(second)
    assert marked(first) == marked(nbformat.read(path, 4)), "make format ARGS=--run stores the compared outputs"
    assert seconds < BUDGET, f"{path.stem} takes {seconds:.0f} s as committed, the budget is {BUDGET:.0f} s"


@every_chapter
def test_runs_with_another_seed(path: Path, tmp_path: Path) -> None:
    """The claims are about the method, not about one draw."""
    run(path, tmp_path, cwd=path.parent, SEED=11)


@every_chapter
def test_every_solution_passes_its_check(path: Path, tmp_path: Path) -> None:
    chapter = read_chapter(path)
    checked = [exercise for exercise in chapter.exercises if exercise.solution and exercise.solution.code().strip()]
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


def test_the_kernel_really_is_cut_off(tmp_path: Path) -> None:
    """The proxy above keeps a chapter from the network; look once that it does."""
    cell = nbformat.v4.new_code_cell("import requests\nrequests.get('http://example.org', timeout=5)")
    source = tmp_path / "net.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), source)
    with pytest.raises(papermill.PapermillExecutionError, match=r"ProxyError|ConnectionError|refused"):
        run(source, tmp_path, cwd=tmp_path)
    assert os.environ["HTTP_PROXY"] == NOWHERE
