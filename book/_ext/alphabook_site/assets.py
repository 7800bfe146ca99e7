"""Keeps the built site offline, its console clean, and its figures readable in the dark.

* copies ``plotly.min.js`` out of the installed package;
* writes a dark twin of every Matplotlib figure and shows the one that fits the theme;
* drops scripts that extensions list twice, whose second ``const`` raises an error in the browser;
* makes wide tables reachable by keyboard and scrollable in a box of their own;
* writes the page for addresses that do not exist.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

FIGURE = re.compile(r'<img\b[^>]*\bsrc="([^"]*_images/([^"/]+)\.svg)"[^>]*?/?>')
DARK_FIGURE = ".dark.svg"


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", _twins, priority=800)
    app.connect("html-page-context", _boxes, priority=810)
    app.connect("html-page-context", _scripts, priority=900)
    app.connect("build-finished", _copy_plotly)
    app.connect("build-finished", _write_twins)


def _twins(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document) -> None:
    if "body" in context:
        context["body"] = FIGURE.sub(lambda found: twin_images(found[0], found[1]), context["body"])


def twin_images(tag: str, source: str) -> str:
    """One image per theme; ``book.css`` shows exactly one of the two, also to screen readers."""
    light = _with_class(tag, "ab-light")
    dark = _with_class(tag.replace(source, source.removesuffix(".svg") + DARK_FIGURE), "ab-dark")
    return light + dark


def _with_class(tag: str, name: str) -> str:
    if 'class="' in tag:
        return tag.replace('class="', f'class="ab-figure {name} ', 1)
    return tag.replace("<img", f'<img class="ab-figure {name}"', 1)


def _write_twins(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    from alphabook.teaching.palette import themed_svg

    for image in Path(app.outdir, "_images").glob("*.svg"):
        if not image.name.endswith(DARK_FIGURE):
            dark = themed_svg(image.read_text(encoding="utf-8"), "dark")
            image.with_name(image.stem + DARK_FIGURE).write_text(dark, encoding="utf-8")


def _boxes(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """A wide table scrolls inside its own box; a box that scrolls can be reached by keyboard."""
    if "body" in context:
        body = context["body"].replace(
            '<div class="pst-scrollable-table-container">',
            '<div class="pst-scrollable-table-container" tabindex="0" role="region" aria-label="Table">',
        )
        # docutils gives the entries of a list a role that a list may not hold
        context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')


def _scripts(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document) -> None:
    seen, kept = set(), []
    for script in context.get("script_files", []):
        key = (getattr(script, "filename", script) or "", getattr(script, "attributes", {}).get("body"))
        if key not in seen and "thebe" not in str(key):
            seen.add(key)
            kept.append(script)
    context["script_files"] = kept


def _copy_plotly(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    import plotly

    target = Path(app.outdir, "_static", "vendor", "plotly")
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy2(Path(plotly.__file__).parent / "package_data" / "plotly.min.js", target)
