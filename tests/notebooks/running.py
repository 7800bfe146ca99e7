"""Executing a chapter as a reader would who has neither candles nor a network."""

from __future__ import annotations

from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat import NotebookNode
from toc import ROOT

CHAPTERS = sorted(path for path in (ROOT / "notebooks").glob("**/*.ipynb") if "checkpoint" not in str(path))
NOWHERE = "http://127.0.0.1:9"  # a proxy that answers nobody
every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


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
