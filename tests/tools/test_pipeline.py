"""From chapter to staged copy: what makes a chapter run again, what a failure says, what the site receives."""

from __future__ import annotations

import json
import os
from pathlib import Path

import execute
import nbformat
import pytest
from execute import _one, _rows, explain
from factory import code, markdown, write
from fingerprint import chapter_key, imported_sources
from nbformat import NotebookNode
from normalise_notebooks import normalise, text
from stage import prepare, with_values

PARAMETERS = {"SOURCE": "sample", "QUICK": False}


# --- reuse ---------------------------------------------------------------------------------------
@pytest.fixture
def repository(tmp_path: Path, no_market: None) -> Path:
    """A little repository: a chapter that imports ``candles``, which imports ``errors``; ``venues`` stands apart."""
    package = tmp_path / "src" / "alphabook"
    for name, source in {
        "__init__.py": "",
        "errors.py": "class E(Exception): ...",
        "candles/__init__.py": "def load():\n    from ..errors import E\n",
        "candles/deep.py": "x = 1",
        "venues/__init__.py": "y = 1",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(source)
    for name in ("data/sample.parquet", "requirements/lock.txt", "tools/execute.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    write(nbformat.v4.new_notebook(cells=[code("from alphabook.candles import load")]), tmp_path, "chapter.ipynb")
    return tmp_path


def key(root: Path, **parameters: object) -> str:
    return chapter_key(root / "chapter.ipynb", {**PARAMETERS, **parameters}, root=root)


@pytest.mark.parametrize(
    "changed",
    [
        "src/alphabook/candles/__init__.py",
        "src/alphabook/candles/deep.py",
        "src/alphabook/errors.py",
        "data/sample.parquet",
        "requirements/lock.txt",
        "tools/execute.py",
    ],
)
def test_a_chapter_runs_again_when_what_it_rests_on_changes(repository: Path, changed: str) -> None:
    before = key(repository)
    with (repository / changed).open("a") as file:
        file.write("\n# more")
    assert key(repository) != before


def test_a_chapter_runs_again_when_its_cells_or_parameters_change(repository: Path) -> None:
    before = key(repository)
    assert key(repository, QUICK=True) != before
    notebook = nbformat.v4.new_notebook(cells=[code("from alphabook.candles import load"), markdown("new")])
    write(notebook, repository, "chapter.ipynb")
    assert key(repository) != before


def test_a_chapter_runs_again_on_another_market(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key(repository)
    folder = tmp_path / "market"
    folder.mkdir()
    (folder / "candles.parquet").write_bytes(b"1")
    monkeypatch.setenv("ALPHABOOK_MARKET_DIR", str(folder))
    there = key(repository)
    (folder / "candles.parquet").write_bytes(b"22")
    assert len({before, there, key(repository)}) == 3


def test_a_chapter_is_reused_when_something_else_changes(repository: Path) -> None:
    before = key(repository)
    (repository / "src/alphabook/venues/__init__.py").write_text("y = 2")
    (repository / "data/market.sqlite").write_text("fetched")
    notebook = nbformat.read(repository / "chapter.ipynb", 4)
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text="1")]
    nbformat.write(notebook, repository / "chapter.ipynb")
    assert key(repository) == before


def test_imports_are_followed_into_functions_and_packages(repository: Path) -> None:
    found = imported_sources("import numpy\n%matplotlib inline\nfrom alphabook.candles import load", root=repository)
    names = {path.relative_to(repository / "src/alphabook").as_posix() for path in found}
    assert names == {"__init__.py", "candles/__init__.py", "candles/deep.py", "errors.py"}


# --- failures ------------------------------------------------------------------------------------
def run_one(notebook: NotebookNode, folder: Path) -> dict:
    path = write(notebook, folder, "chapter.ipynb")
    result = folder / "result.json"
    job = {"path": str(path), "out": str(folder / "out.ipynb"), "parameters": PARAMETERS, "result": str(result)}
    _one(job)
    return {"docname": "notebooks/chapter", **json.loads(result.read_text())}


@pytest.mark.slow
def test_a_failing_cell_is_named_with_chapter_cell_and_error(tmp_path: Path) -> None:
    cells = [markdown("# Title"), code("QUICK = True", "parameters"), code("gaps = 3\nassert gaps == 4, 'lost one'")]
    record = run_one(nbformat.v4.new_notebook(cells=cells), tmp_path)
    said = explain(record)
    assert "notebooks/chapter.ipynb, cell 2: AssertionError: lost one" in said.splitlines()[0]
    assert "| assert gaps == 4" in said
    assert record["seconds"] > 0
    assert record["peak_mb"] > 20 or os.name == "nt"


@pytest.mark.slow
def test_a_cell_that_writes_to_stderr_fails_the_chapter(tmp_path: Path) -> None:
    record = run_one(nbformat.v4.new_notebook(cells=[code("import warnings\nwarnings.warn('stale')")]), tmp_path)
    assert "StderrOutput" in explain(record)
    assert "stale" in explain(record)


@pytest.mark.slow
def test_a_cell_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "CELL_TIMEOUT", 2)
    cells = [code("x = 1"), code("import time\ntime.sleep(600)")]
    said = explain(run_one(nbformat.v4.new_notebook(cells=cells), tmp_path))
    assert said.splitlines()[0].startswith("notebooks/chapter.ipynb, cell 1: CellTimeoutError")
    assert "| time.sleep(600)" in said


def test_the_last_row_of_a_claim_counts_and_sources_stand_apart(tmp_path: Path) -> None:
    rows = [
        {"kind": "claim", "key": "bars.gaps", "value": 1},
        {"kind": "source", "key": "bars.gaps", "market": "real"},
        {"kind": "claim", "key": "bars.gaps", "value": 2},
    ]
    (tmp_path / "bars.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [(row["kind"], row.get("value")) for row in _rows(tmp_path)] == [("claim", 2), ("source", None)]


# --- staging -------------------------------------------------------------------------------------
def figure(name: str, kind: str, body: str) -> NotebookNode:
    about = {"alphabook": {"name": name, "caption": "A caption.", "alt": "It rises."}}
    data = {kind: body, "text/plain": "Figure"}
    if kind == "text/html":
        data["application/vnd.plotly.v1+json"] = {"data": []}
    return nbformat.v4.new_output("display_data", data=data, metadata=about)


def table() -> NotebookNode:
    return nbformat.v4.new_output("execute_result", data={"text/plain": "table"}, execution_count=1)


def test_a_figure_becomes_a_numbered_cell_of_its_own() -> None:
    cell = code("claim(...)\nshow(...)")
    note = nbformat.v4.new_output("display_data", data={"text/html": "c"}, metadata={"alphabook": {"role": "caption"}})
    cell.outputs = [table(), figure("fig-a", "image/svg+xml", '<svg><path fill="#fefefe"/></svg>'), note, table()]
    parts = prepare(nbformat.v4.new_notebook(cells=[cell]), {}).cells
    assert [len(part.outputs) for part in parts] == [1, 1, 1]
    assert "mystnb" not in parts[0].metadata
    about = parts[1].metadata["mystnb"]
    assert about["figure"] == {"caption": "A caption.", "name": "fig-a"}
    assert about["image"] == {"alt": "It rises."}
    assert "remove-input" in parts[1].metadata["tags"]
    assert "#fefefe" not in parts[1].outputs[0]["data"]["image/svg+xml"]
    assert all(part.source for part in parts), "myst-nb skips cells without source, and their outputs"


def test_an_interactive_figure_keeps_what_the_site_draws() -> None:
    cell = code("show(...)")
    cell.outputs = [figure("fig-b", "text/html", "<div></div>")]
    (part,) = prepare(nbformat.v4.new_notebook(cells=[cell]), {}).cells
    assert list(part.outputs[0]["data"]) == ["text/html"]
    assert part.metadata["mystnb"]["figure"]["name"] == "fig-b"
    assert part.source == "show(...)"


def test_the_reader_sees_the_parameters_that_were_used() -> None:
    cells = [
        code('SOURCE = "sample"  # "sample" or "store"\nQUICK: bool = True\nSEED = 7', "parameters"),
        code("SOURCE = 'store'", "injected-parameters"),
    ]
    (part,) = prepare(nbformat.v4.new_notebook(cells=cells), {"SOURCE": "store", "QUICK": False}).cells
    assert part.source == 'SOURCE = "store"  # "sample" or "store"\nQUICK: bool = False\nSEED = 7'


def test_values_replace_only_the_assignment() -> None:
    assert (
        with_values('SOURCED = 1\nSOURCE = "a"\nx = SOURCE', {"SOURCE": "b"}) == 'SOURCED = 1\nSOURCE = "b"\nx = SOURCE'
    )


# --- normalising ---------------------------------------------------------------------------------
def test_only_compared_text_is_kept_and_a_second_pass_changes_nothing() -> None:
    kept, dropped = code("print(1)", "nbval-check-output"), code("print(2)")
    stream = [nbformat.v4.new_output("stream", name="stdout", text=part) for part in ("a", "b")]
    image = nbformat.v4.new_output("display_data", data={"image/png": "x", "text/plain": "Figure"})
    noise = nbformat.v4.new_output("stream", name="stderr", text="warning")
    kept.outputs, dropped.outputs = [*stream, noise, image], [table()]
    kept.metadata["execution"] = {"when": "now"}
    once = text(normalise(nbformat.v4.new_notebook(cells=[kept, dropped])))
    assert text(normalise(nbformat.reads(once, 4))) == once
    first, second = nbformat.reads(once, 4).cells
    assert [output.get("text") or dict(output["data"]) for output in first.outputs] == ["ab", {"text/plain": "Figure"}]
    assert first.execution_count == 1
    assert (second.outputs, second.execution_count) == ([], None)
    assert set(first.metadata) == {"tags"}
