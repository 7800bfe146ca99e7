"""What the build measured, as the pages show it."""

from __future__ import annotations

import functools
import json
from html import escape
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx


def read_status(app: Sphinx) -> dict[str, Any]:
    """The build's ``status.json``; empty when the book is rendered without executing it."""
    return _read(str(Path(app.srcdir, app.config.alphabook_status).resolve()))


@functools.cache
def _read(path: str) -> dict[str, Any]:
    file = Path(path)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"chapters": []}


def seconds(value: float) -> str:
    return f"{value:.0f} s" if value < 100 else f"{value / 60:.1f} min"


def memory(value: float) -> str:
    if not value:
        return "not measured"
    return f"{value:.0f} MB" if value < 1000 else f"{value / 1024:.1f} GB"


def market(record: dict[str, Any]) -> str:
    """On what kind of candles a chapter was computed."""
    kinds = {row.get("market") for row in record.get("sources", [])}
    if not kinds:
        kinds = {"real" if record.get("parameters", {}).get("SOURCE") == "store" else "simulated"}
    if {"real", "simulated"} <= kinds:
        return "real and simulated candles"
    return "real candles" if "real" in kinds else "simulated candles"


def number(value: object) -> str:
    """A claim's value for the ledger: three to four significant digits, thousands separated."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value == int(value) and abs(value) < 1e15:
            return f"{int(value):,}"
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return escape(str(value))


def band(row: dict[str, Any]) -> str:
    low, high = row.get("low"), row.get("high")
    if low is None and high is None:
        return "must be true" if isinstance(row.get("value"), bool) else "recorded"
    if low == high:
        return f"= {number(low)}"
    if low is None:
        return f"≤ {number(high)}"
    if high is None:
        return f"≥ {number(low)}"
    return f"{number(low)} … {number(high)}"


def anchor(key: str) -> str:
    """The id of a claim's line on its chapter's page."""
    return "claim-" + key.replace(".", "-")
