"""Make the student release: the chapters without their solutions, ready to set up.

    python tools/student.py [FOLDER]      default _build/student, and FOLDER.zip beside it

Hints, help and checks stay; solutions go, and so do all outputs. What a student needs to run the chapters (package,
bundled data, requirements) comes along, so that ``make lab`` works in the folder.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import nbformat
from chapter import FENCE, closes
from nbformat import NotebookNode
from normalise_notebooks import normalise, text
from toc import ROOT, chapters

ALONG = ("LICENSE", "Makefile", "pyproject.toml", "environment.yml", "requirements", "src", "data", "tools/dev.py")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.sqlite*", "store", ".ipynb_checkpoints")
WELCOME = """# Attention to Alpha: student release

Set up once with `make setup` (Windows: `py tools\\dev.py setup`), then open the chapters with `make lab`.
Solutions are not included: each exercise has a check that tells what is wrong with an answer, and a hint.
"""


def main() -> int:
    target = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "_build" / "student"
    written = release(target)
    shutil.make_archive(str(target), "zip", target.parent, target.name)
    print(f"{len(written)} chapters without solutions: {target} and {target.name}.zip")
    return 0


def release(target: Path, root: Path = ROOT) -> list[Path]:
    """Write the release into an empty folder; returns the chapters written."""
    if target.exists():
        if not (target / ".student-release").exists() and any(target.iterdir()):
            sys.exit(f"{target} exists and is no student release: name an empty folder")
        shutil.rmtree(target)
    target.mkdir(parents=True)
    (target / ".student-release").write_text("")
    (target / "README.md").write_text(WELCOME, encoding="utf-8")
    for name in ALONG:
        source, copy = root / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=LEFT_OUT)
        elif source.exists():
            shutil.copy2(source, copy)
    written = []
    for page in chapters(root):
        path = target / page.path.relative_to(root)
        path.parent.mkdir(parents=True, exist_ok=True)
        notebook = withhold(nbformat.read(page.path, 4))
        path.write_text(text(notebook), encoding="utf-8")
        written.append(path)
    return written


def withhold(notebook: NotebookNode) -> NotebookNode:
    """The chapter without solutions; a cell that held nothing else goes altogether."""
    kept = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = without_solutions(cell.source)
            if not cell.source.strip():
                continue
        elif "solution" in cell.metadata.get("tags", []):
            continue
        else:
            cell.outputs = []
        kept.append(cell)
    notebook.cells = kept
    return normalise(notebook)


def without_solutions(source: str) -> str:
    kept, lines, position = [], source.splitlines(), 0
    while position < len(lines):
        opening = FENCE.match(lines[position])
        if opening and re.match(r"\{solution(-start)?\}", opening["info"].strip()):
            position += 1
            while position < len(lines) and not closes(lines[position], opening["mark"]):
                position += 1
        else:
            kept.append(lines[position])
        position += 1
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")


if __name__ == "__main__":
    sys.exit(main())
