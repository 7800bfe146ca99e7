"""The pages of the built site, by their addresses."""

from __future__ import annotations

import os
from pathlib import Path

SITE = Path(os.environ.get("ALPHABOOK_SITE", Path(__file__).resolve().parents[2] / "_build" / "html"))


def pages() -> list[str]:
    """Every page of the site by its address below the root; the theme's own snippets are no pages."""
    if not (SITE / "index.html").exists():
        return []
    found = sorted(path.relative_to(SITE).as_posix() for path in SITE.glob("**/*.html"))
    return [name for name in found if not name.startswith("_static/")]


def own_pages() -> list[str]:
    """Without the front door, which only leads on, and with one listing of source code for all."""
    listings = [name for name in pages() if name.startswith("_modules/")]
    return [name for name in pages() if name not in listings[1:] and name != "index.html"]
