"""One window of bars: what came, what is settled, what is missing for good.

Taught in :doc:`/notebooks/data/five_venues`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ..candles import Interval
from ..candles.interval import DAY_MS
from .http import log
from .paging import Bar, Grid, runs, to_candles

LATE = 2  # newest bars that may only be late when they are missing


@dataclass(frozen=True)
class Page:
    """One reply: its bars by open time in ms, the venue's clock, and columns only this venue has."""

    bars: dict[int, Bar]
    server_ms: int | None = None
    extra: dict[str, dict[int, float]] | None = None


@dataclass(frozen=True, kw_only=True)
class Window:
    """Closed bars of one window and what they cover.

    ``covered_until`` is the close of the last bar that is settled: a later fetch starts there.
    ``gaps`` lists true gaps inside the window as ``(first_missing, last_missing, bars)``.
    """

    symbol: str
    start: pd.Timestamp
    covered_until: pd.Timestamp
    candles: pd.DataFrame
    gaps: tuple[tuple[pd.Timestamp, pd.Timestamp, int], ...]


def settle(
    symbol: str,
    interval: Interval,
    part: Grid,
    page: Page,
    missing: list[int],
    now: int,
    *,
    venue: str,
    source: str,
    continuous: bool,
) -> Window:
    """The window's closed bars at server time ``now`` (ms), its true gaps, and how far it is covered."""
    first, newest, step = int(part.opens[0]), _newest(part, now), int(part.closes[-1] - part.opens[-1])
    if continuous:
        closed = {o for o, c in zip(part.opens.tolist(), part.closes.tolist(), strict=True) if c <= now}
        keep = [bar for t, bar in sorted(page.bars.items()) if t in closed]
    else:  # a session's bars need not lie on the grid: stock hours open at half past
        keep = [bar for t, bar in sorted(page.bars.items()) if t + step <= now]
    extra = {k: [v.get(bar.open_ms, float("nan")) for bar in keep] for k, v in (page.extra or {}).items()}
    slack = 0 if continuous or step >= DAY_MS else step
    until = max((c for c in part.closes.tolist() if c <= now - slack), default=first)
    holes = runs(missing, part.opens) if page.bars and continuous else []
    if holes and holes[-1][2] <= LATE and holes[-1][1] == newest:
        until = holes[-1][0]  # perhaps only late: not covered, so the next fetch asks again
        holes = holes[:-1]
    for start, _, count in holes:
        log.warning("%s %s %s: %d missing from %s on, not filled", venue, symbol, interval, count, _utc(start))
    return Window(
        symbol=symbol,
        start=_utc(first),
        covered_until=_utc(until),
        candles=to_candles(keep, symbol, interval, venue, source, extra),
        gaps=tuple((_utc(a), _utc(b), n) for a, b, n in holes),
    )


def absent(bars: Mapping[int, Bar], part: Grid, now: int) -> list[int]:
    """Open times of bars that have closed by ``now`` and are not in ``bars``."""
    return [o for o, c in zip(part.opens.tolist(), part.closes.tolist(), strict=True) if c <= now and o not in bars]


def settled(bars: Mapping[int, Bar], part: Grid, now: int) -> list[str]:
    """The closed bars of a reply in a form in which two replies can be compared."""
    return [str(bars.get(o)) for o, c in zip(part.opens.tolist(), part.closes.tolist(), strict=True) if c <= now]


def part_of(part: Grid, first: int, last: int) -> Grid:
    """The bars of a grid with ``first <= open <= last``."""
    inside = (part.opens >= first) & (part.opens <= last)
    return Grid(part.opens[inside], part.closes[inside])


def _newest(part: Grid, now: int) -> int | None:
    """Open time of the bar that closed last before ``now``, if this window holds it."""
    closed = [(o, c) for o, c in zip(part.opens.tolist(), part.closes.tolist(), strict=True) if c <= now]
    if not closed or now - closed[-1][1] >= closed[-1][1] - closed[-1][0]:
        return None
    return closed[-1][0]


def _utc(ms: int) -> pd.Timestamp:
    return pd.Timestamp(ms, unit="ms", tz="UTC")
