"""Keep the chapters' files small and comparable.

    python tools/normalise_notebooks.py            drop outputs that nothing compares
    python tools/normalise_notebooks.py --run      execute as committed, then keep the compared outputs
    python tools/normalise_notebooks.py --check    exit 1 and name the files that are not normalised

Only cells tagged ``nbval-check-output`` keep outputs, and of these only text: stdout, results, glued values.
Images, timings, counters and kernel versions go, so that running a chapter again changes no byte unless a
number changed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from toc import ROOT

COMPARED = "nbval-check-output"
KEPT_TAGS = ("tags", "mystnb", "slideshow")
KEPT_KINDS = ("text/plain", "text/html", "text/markdown", "text/latex")
CELL_TIMEOUT = 120


def normalise(notebook: NotebookNode) -> NotebookNode:
    """The notebook with only what is written by hand and what nbval compares."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    count = 0
    for cell in notebook.cells:
        kept = {key: value for key, value in cell.metadata.items() if key in KEPT_TAGS and value}
        cell.metadata = nbformat.from_dict(kept)
        cell.source = "\n".join(line.rstrip() for line in cell.source.splitlines())
        cell.pop("attachments", None)
        if cell.cell_type != "code":
            continue
        count += 1
        cell.outputs = compared_outputs(cell) if COMPARED in kept.get("tags", []) else []
        # nbval compares nothing where the counter is null, and rejects null beside outputs
        cell.execution_count = count if cell.outputs else None
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    return notebook


def compared_outputs(cell: NotebookNode) -> list[NotebookNode]:
    """Printed text as one stream (its chunks are a race), and the text of results and of claims."""
    kept: list[NotebookNode] = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            if kept and kept[-1].output_type == "stream":
                kept[-1].text += output.text
            else:
                kept.append(output)
        elif output.output_type in ("execute_result", "display_data"):
            output.data = nbformat.from_dict({kind: text for kind, text in output.data.items() if _is_text(kind)})
            output.metadata = nbformat.from_dict({})
            if output.data:
                kept.append(output)
    return kept


def _is_text(kind: str) -> bool:
    """nbval compares every representation it finds, so all the textual ones stay (the glued value is one)."""
    return kind.startswith("application/papermill.record/") or kind in KEPT_KINDS


def run(notebook: NotebookNode, folder: Path) -> None:
    """Execute in place, as committed, in the chapter's own folder."""
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=CELL_TIMEOUT, resources={"metadata": {"path": str(folder)}}).execute()


def text(notebook: NotebookNode) -> str:
    return nbformat.writes(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", action="store_true", help="execute first")
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("paths", nargs="*", type=Path)
    options = parser.parse_args()
    changed = []
    for path in options.paths or sorted((ROOT / "notebooks").glob("**/*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        before = path.read_text(encoding="utf-8")
        notebook = nbformat.reads(before, 4)
        if options.run:
            run(notebook, path.resolve().parent)
        after = text(normalise(notebook))
        if after != before:
            changed.append(path)
            if not options.check:
                path.write_text(after, encoding="utf-8")
    for path in changed:
        print(f"{'not normalised' if options.check else 'normalised'}: {path}")
    return int(options.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
