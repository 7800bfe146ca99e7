"""The bar under a chapter's title: run time, memory, data, and where to take the notebook.

The launch buttons need the repository's public address. One setting holds it (``repository: url:`` in
``_config.yml``); while it is empty no button is shown that would lead nowhere.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

from .status import market, memory, read_status, seconds


def setup(app: Sphinx) -> None:
    app.connect("config-inited", _repository_buttons)
    app.connect("html-page-context", _insert)
    app.connect("build-finished", _original_sources)


def _repository_buttons(app: Sphinx, config: Config) -> None:
    options = config.html_theme_options
    known = bool(options.get("repository_url"))
    options["use_repository_button"] = known
    options["use_issues_button"] = known
    options["launch_buttons"] = {}  # the facts bar has them


def _insert(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document) -> None:
    if not pagename.startswith("notebooks/") or "body" not in context:
        return
    record = next((r for r in read_status(app)["chapters"] if r["docname"] == pagename), None)
    up = "../" * pagename.count("/")
    bar = facts_bar(pagename, record, app.config.html_theme_options, up)
    context["body"] = re.sub(r"</h1>", lambda found: found[0] + bar, context["body"], count=1)


def facts_bar(pagename: str, record: dict[str, Any] | None, theme: dict[str, Any], up: str) -> str:
    """The bar's HTML; without a record (rendered, not executed) only the links."""
    facts = []
    if record is not None:
        facts = [
            ("Run time", seconds(record["seconds"])),
            ("Peak memory", memory(record["peak_mb"])),
            ("Data", market(record)),
        ]
    listed = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    file = f"{pagename}.ipynb"
    links = [(f"{up}_sources/{file}", "Notebook", f' download="{escape(Path(file).name)}"')]
    links += [(url, name, "") for name, url in launch_links(file, theme)]
    buttons = "".join(f'<li><a href="{escape(url)}"{more}>{name}</a></li>' for url, name, more in links)
    return (
        '<div class="ab-facts" role="group" aria-label="About this chapter">'
        + (f"<dl>{listed}</dl>" if listed else "")
        + f"<ul>{buttons}</ul></div>"
    )


def launch_links(file: str, theme: dict[str, Any]) -> list[tuple[str, str]]:
    """Where to open the notebook, as soon as the repository has an address."""
    url = (theme.get("repository_url") or "").rstrip("/").removesuffix(".git")
    branch = theme.get("repository_branch") or "main"
    if not url:
        return []
    links = [("Source", f"{url}/blob/{branch}/{file}")]
    if found := re.fullmatch(r"https://github\.com/([^/]+/[^/]+)", url):
        repo = found[1]
        links.append(("Colab", f"https://colab.research.google.com/github/{repo}/blob/{branch}/{file}"))
        links.append(("Binder", f"https://mybinder.org/v2/gh/{repo}/{branch}?urlpath=lab/tree/{quote(file)}"))
    return links


def _original_sources(app: Sphinx, error: Exception | None) -> None:
    """Offer the notebook as it is kept, not the executed copy with its outputs."""
    root = Path(app.srcdir).parents[1]
    for copy in Path(app.outdir, "_sources").glob("notebooks/**/*.ipynb"):
        original = root / copy.relative_to(Path(app.outdir, "_sources"))
        if error is None and original.exists():
            copy.write_bytes(original.read_bytes())
