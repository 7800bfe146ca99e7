"""The staged copy of the book that Sphinx reads: pages as they are, chapters with their outputs.

Executed chapters are prepared for the reader on the way: the parameters cell shows the values that were used, and
every output of ``show`` becomes a cell of its own whose metadata tells myst-nb its number, caption and alternative
text.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from toc import ROOT, pages

from alphabook.teaching.palette import themed_svg

STAGE = ROOT / "_build" / "book"
FILES = ("_config.yml", "_toc.yml", "LICENSE")  # the licence page includes the last


def stage_book(executed: Path, parameters: dict[str, Any]) -> Path:
    """Copy pages, static files and executed chapters to ``_build/book``; returns that folder."""
    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.copytree(ROOT / "book", STAGE / "book", ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy2(ROOT / name, STAGE / name)
    for page in pages():
        if page.is_chapter:
            target = STAGE / f"{page.docname}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            notebook = nbformat.read(executed / f"{page.docname}.ipynb", 4)
            nbformat.write(prepare(notebook, parameters), target)
    return STAGE


def prepare(notebook: NotebookNode, parameters: dict[str, Any]) -> NotebookNode:
    """An executed chapter as the site shows it."""
    cells: list[NotebookNode] = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            continue
        if "parameters" in tags:
            cell.source = with_values(cell.source, parameters)
        cells.extend(split_figures(cell) if cell.cell_type == "code" else [cell])
    notebook.cells = cells
    notebook.metadata.pop("papermill", None)
    return notebook


def with_values(source: str, parameters: dict[str, Any]) -> str:
    """The parameters cell with the values of this run; comments stay."""
    for name, value in parameters.items():
        shown = f'"{value}"' if isinstance(value, str) else repr(value)
        source = re.sub(
            rf"(?m)^({name}(?:\s*:[^=]+)?\s*=\s*)(\"[^\"]*\"|'[^']*'|[^#\n]*?)(\s*(?:#.*)?)$",
            lambda found, shown=shown: found[1] + shown + found[3],
            source,
        )
    return source


def split_figures(cell: NotebookNode) -> list[NotebookNode]:
    """One cell per figure, so that a caption never wraps a table or a claim printed by the same cell."""
    groups: list[tuple[dict[str, Any] | None, list[NotebookNode]]] = []
    for output in cell.outputs:
        about = output.get("metadata", {}).get("alphabook", {})
        if "role" in about:  # the notebook's own caption line and style; the site has its own
            continue
        if "name" in about:
            groups.append((about, [_site_figure(output)]))
        elif groups and groups[-1][0] is None:
            groups[-1][1].append(output)
        else:
            groups.append((None, [output]))
    cells = []
    for position, (about, outputs) in enumerate(groups or [(None, [])]):
        part = cell if position == 0 else _continued(cell, position)
        part.outputs = outputs
        if about is not None:
            part.metadata["mystnb"] = {
                "figure": {"caption": about["caption"], "name": about["name"]},
                "image": {"alt": about["alt"]},
            }
        cells.append(part)
    return cells


def _continued(cell: NotebookNode, position: int) -> NotebookNode:
    # myst-nb skips cells without source; this one is tagged so that its source is not shown
    part = nbformat.v4.new_code_cell("# continued", id=f"{cell.id}-{position}"[:64])
    part.metadata["tags"] = ["remove-input", *[tag for tag in cell.metadata.get("tags", []) if "output" in tag]]
    part.execution_count = cell.execution_count
    return part


def _site_figure(output: NotebookNode) -> NotebookNode:
    """Keep the one representation the site draws: transparent SVG, or the ``div`` of an interactive figure."""
    data = output["data"]
    if "application/vnd.plotly.v1+json" in data:
        output["data"] = {"text/html": data["text/html"]}
    elif "image/svg+xml" in data:
        output["data"] = {"image/svg+xml": themed_svg(data["image/svg+xml"], "light")}
    return output
