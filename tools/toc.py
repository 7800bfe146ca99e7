"""The chapters and pages of the book, read from ``_toc.yml`` (the only place that orders them)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One entry of the table of contents.

    Attributes:
        docname: path below the root without its ending (``notebooks/data/known_truth``).
        path: the file itself.
        part: caption of the part it belongs to, empty for the landing page.
    """

    docname: str
    path: Path
    part: str

    @property
    def is_chapter(self) -> bool:
        return self.path.suffix == ".ipynb"

    @property
    def slug(self) -> str:
        """``when-is-a-bar-known``: the name a chapter gives to ``setup``."""
        return self.path.stem.replace("_", "-")


def pages(root: Path = ROOT) -> list[Page]:
    """Every page in reading order; a missing file is an error that names it."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    found = [_page(toc["root"], "", root)]
    for part in toc.get("parts", []):
        for entry in _entries(part):
            found.append(_page(entry, part.get("caption", ""), root))
    return found


def chapters(root: Path = ROOT) -> list[Page]:
    """The notebooks among :func:`pages`."""
    return [page for page in pages(root) if page.is_chapter]


def _entries(part: dict[str, Any]) -> Iterator[str]:
    for entry in part.get("chapters", []) + part.get("sections", []):
        if "file" in entry:
            yield entry["file"]
        yield from _entries(entry)


def _page(docname: str, part: str, root: Path) -> Page:
    for ending in (".ipynb", ".md"):
        path = root / (docname + ending)
        if path.exists():
            return Page(docname=docname, path=path, part=part)
    raise FileNotFoundError(f"_toc.yml lists {docname}, but neither {docname}.ipynb nor {docname}.md exists")
