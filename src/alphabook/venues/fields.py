"""Small readers shared by the venues: numbers that may be blank, times, funding rates.

Taught in :doc:`/notebooks/data/five_venues`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from ..candles.table import TIME_DTYPE

HOUR_MS = 3_600_000
Rates = dict[int, tuple[float, float]]  # time in ms -> rate, mark price


def number(value: Any) -> float | None:
    """A float, or ``None`` for what venues send instead of one: ``""``, ``null``, a word, NaN."""
    try:
        parsed = float(value)
    except (TypeError, ValueError):
        return None
    return parsed if math.isfinite(parsed) else None


def time_ms(value: Any) -> pd.Timestamp:
    """A UTC timestamp from milliseconds as number or text."""
    return pd.Timestamp(int(float(value)), unit="ms", tz="UTC")


def fill_between(page: Callable[[int, int], Rates], low: int, high: int, *, limit: int, step: int = HOUR_MS) -> Rates:
    """All records in ``[low, high]`` ms from pages of ``limit``, whichever end a full page was cut at.

    A page shorter than ``limit`` is complete. After a full one, both sides of what came are asked again, unless
    a side is shorter than ``step``, the shortest time between two records that the venue knows.
    """
    found: Rates = {}
    spans = [(low, high)]
    while spans:
        first, last = spans.pop()
        rows = {t: v for t, v in page(first, last).items() if first <= t <= last}
        found.update(rows)
        if len(rows) < limit:
            continue
        if min(rows) - first >= step:
            spans.append((first, min(rows) - 1))
        if last - max(rows) >= step:
            spans.append((max(rows) + 1, last))
    return found


def funding_table(rates: Mapping[int, tuple[float, float]], symbol: str, venue: str) -> pd.DataFrame:
    """Columns ``time, symbol, rate, mark_price``; times are rounded to the minute they were meant for."""
    ordered = sorted(rates.items())
    times = pd.DatetimeIndex(pd.to_datetime([t for t, _ in ordered], unit="ms", utc=True)).round("min")
    table = pd.DataFrame(
        {
            "time": pd.Series(times).astype(TIME_DTYPE),
            "symbol": pd.Series([symbol] * len(ordered), dtype="str"),
            "rate": pd.Series([v[0] for _, v in ordered], dtype="float64"),
            "mark_price": pd.Series([v[1] for _, v in ordered], dtype="float64"),
        }
    )
    table.attrs["venue"] = venue
    return table.drop_duplicates("time", keep="last").reset_index(drop=True)
