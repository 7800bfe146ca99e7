"""The site's own Sphinx extension: facts bars, ledgers, chapter graph, offline assets.

Directives: ``{claims-ledger}``, ``{chapter-status}``, ``{chapter-graph}``, ``{exercise-index}``,
``{benchmark-results}``.
Settings: ``alphabook_status`` (path of the build's ``status.json`` below the source folder),
``alphabook_benchmarks`` (path of the benchmarks, likewise).
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from . import api, assets, benchmarks, exercises, facts, graph, ledger, references


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("alphabook_status", "../status.json", "html")
    for part in (api, ledger, benchmarks, graph, exercises, references, facts, assets):
        part.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
