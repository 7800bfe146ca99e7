"""On what data was this page computed? The banner that says so, and how to get the real candles."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ._page import PAGE, escape, say, write_row

FETCH = "alphabook fetch --preset book"


def source_banner(candles: pd.DataFrame, wanted: str = "real") -> None:
    """Say where these candles come from, show it, and note it for the status page and for the claims that follow.

    The candles tell their origin in ``attrs["source"]`` and ``attrs["venue"]`` (see ``load_candles``).

    Args:
        wanted: ``"real"`` when the section is about the real market: on a simulated one the banner then
            tells how to get real candles. ``"simulated"`` when a known truth is the point. ``"any"`` otherwise.

    Raises:
        ValueError: ``wanted`` is none of the three.
    """
    if wanted not in ("real", "simulated", "any"):
        raise ValueError(f"wanted is 'real', 'simulated' or 'any', got {wanted!r}")
    kind = source_kind(candles)
    origin = str(candles.attrs.get("source") or "an unnamed table")
    PAGE.source = origin
    span = _span(candles)
    write_row({"kind": "source", "key": origin, "market": kind, "wanted": wanted, **span})
    lead, rest = _sentences(kind, wanted)
    facts = f"{origin}: {_describe(span)}."
    say(
        " ".join(p for p in (lead, facts, rest) if p),
        f"<p><strong>{escape(lead)}</strong> {escape(facts)}</p>" + (f"<p>{escape(rest)}</p>" if rest else ""),
        css=f"ab-source ab-source-{kind}",
    )


def source_kind(candles: pd.DataFrame) -> str:
    """``"real"``, ``"simulated"``, or ``"unknown"`` when the table lost its ``attrs`` on the way."""
    source = str(candles.attrs.get("source") or "").lower()
    venue = str(candles.attrs.get("venue") or "").lower()
    if venue == "simulated" or "simulated" in source:
        return "simulated"
    return "real" if source or venue else "unknown"


def _sentences(kind: str, wanted: str) -> tuple[str, str]:
    if kind == "unknown":
        return (
            "The origin of this table is not known.",
            "It carries no `attrs['source']`: load it with `load_candles`, and pass the attributes on after a merge.",
        )
    if kind == "real":
        return "Computed on real candles.", ""
    if wanted == "real":
        return (
            "Computed on the simulated market, not on real candles.",
            f"To see this page on real ones run `{FETCH}` once, or point `ALPHABOOK_MARKET_DIR` at a folder of "
            'Parquet candles, set `SOURCE = "store"` in the parameters cell, and run the page again.',
        )
    return "Computed on a simulated market, whose truth is known.", ""


def _span(candles: pd.DataFrame) -> dict[str, Any]:
    times = candles["open_time"] if "open_time" in candles else pd.Series(dtype="datetime64[ms, UTC]")
    symbols = sorted(candles["symbol"].unique()) if "symbol" in candles else []
    return {
        "interval": candles.attrs.get("interval"),
        "symbols": [str(s) for s in symbols],
        "bars": len(candles),
        "first": None if times.empty else f"{times.min():%Y-%m-%d}",
        "last": None if times.empty else f"{times.max():%Y-%m-%d}",
    }


def _describe(span: dict[str, Any]) -> str:
    if not span["bars"]:
        return "no candles"
    count = f"{span['bars']:,} candles" + (f" of {span['interval']}" if span["interval"] else "")
    names = span["symbols"]
    shown = ", ".join(names) if len(names) <= 6 else f"{len(names)} symbols from {names[0]} to {names[-1]}"
    return f"{count}, {shown}, {span['first']} to {span['last']}"
