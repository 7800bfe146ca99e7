"""The site's own Sphinx extension: facts bars, ledgers, chapter graph, offline assets.

Directives: ``{claims-ledger}``, ``{chapter-status}``, ``{chapter-graph}``, ``{exercise-index}``.
Settings: ``alphabook_status`` (path of the build's ``status.json`` below the source folder).
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from . import api, assets, exercises, facts, graph, ledger, references


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("alphabook_status", "../status.json", "html")
    for part in (api, ledger, graph, exercises, references, facts, assets):
        part.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
