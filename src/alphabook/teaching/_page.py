"""What the page being computed knows about itself, and how its outputs reach the reader.

``setup("when-is-a-bar-known")`` opens a page; claims and source banners write their rows for it into
``$ALPHABOOK_CLAIMS_DIR/<chapter>.jsonl``. Nothing here imports IPython before IPython is running.
"""

from __future__ import annotations

import html
import json
import os
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CLAIMS_DIR = "ALPHABOOK_CLAIMS_DIR"
KEY = re.compile(r"[a-z][a-z0-9]*(\.[a-z0-9]+(-[a-z0-9]+)*)+")
SLUG = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")


@dataclass
class Page:
    """The chapter now running, and the data that its latest banner named."""

    chapter: str | None = None
    source: str | None = None


PAGE = Page()


def open_page(chapter: str) -> None:
    """Start a chapter's page: forget the last one's source, and its rows of an earlier run."""
    if not SLUG.fullmatch(chapter):
        raise ValueError(f"a chapter's slug is lower-case words joined by - (when-is-a-bar-known), got {chapter!r}")
    PAGE.chapter = chapter
    PAGE.source = None
    file = rows_file()
    if file is not None:
        file.unlink(missing_ok=True)


def rows_file() -> Path | None:
    """Where this page's rows go; ``None`` while no build collects them."""
    folder = os.environ.get(CLAIMS_DIR)
    return Path(folder) / f"{PAGE.chapter or 'unnamed'}.jsonl" if folder else None


def write_row(row: dict[str, Any]) -> None:
    """Append one row to the page's file in a single write, so that a killed run leaves whole lines."""
    file = rows_file()
    if file is None:
        return
    row = {"chapter": PAGE.chapter or "unnamed", **row, "computed_at": now()}
    line = json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def now() -> str:
    """This second in UTC, or ``SOURCE_DATE_EPOCH`` when a reproducible build sets it."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    stamp = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return stamp.strftime("%Y-%m-%dT%H:%M:%SZ")


def in_notebook() -> bool:
    """Whether IPython is running this code."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def emit(bundle: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
    """Send one output of several mime types to the notebook; does nothing elsewhere."""
    if in_notebook():
        from IPython.display import display

        display(bundle, raw=True, metadata=metadata or {})


def say(text: str, markup: str, *, css: str, anchor: str = "") -> None:
    """Show a small block: ``markup`` where HTML is understood, ``text`` elsewhere, print outside IPython."""
    if in_notebook():
        place = f' id="{anchor}"' if anchor else ""
        emit({"text/plain": text, "text/html": f'<div class="{css}"{place}>{markup}</div>'})
    else:
        print(text)


def escape(value: object) -> str:
    """Text made safe for HTML, with `code` between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(str(value), quote=False))
