"""How a span of bars is cut into calls, and how the rows of one reply become bars.

Taught in :doc:`/notebooks/data/five_venues`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..candles import Interval
from ..candles.table import TIME_DTYPE, as_candles, empty_candles
from ..errors import MalformedReplyError

OVERLAP = 3  # bars that neighbouring windows share, when that costs no extra call


class Bar(NamedTuple):
    """One candle as a venue sent it; ``open_ms`` is its name."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover: float = math.nan


@dataclass(frozen=True)
class Grid:
    """Open and close times in ms of all bars with ``start <= open_time < end``; int64 arrays of one length."""

    opens: np.ndarray
    closes: np.ndarray

    @classmethod
    def between(cls, interval: Interval, start: pd.Timestamp, end: pd.Timestamp) -> Grid:
        index = interval.date_range(start, end)
        closes = pd.DatetimeIndex(interval.close_times(index)).as_unit("ms")
        return cls(index.as_unit("ms").asi8, closes.asi8)

    def __len__(self) -> int:
        return len(self.opens)


def plan_windows(bars: int, limit: int, *, overlap: int = OVERLAP) -> list[tuple[int, int]]:
    """Cut ``bars`` bars into the fewest windows ``[first, stop)`` of at most ``limit`` bars.

    Neighbours share up to ``overlap`` bars as long as the number of windows stays ``ceil(bars / limit)``:
    8,760 bars of a year at 1,000 a call leave room for 240 bars, so nine windows overlap for nothing.
    """
    if bars <= 0:
        return []
    count = math.ceil(bars / limit)
    shared = min(overlap, limit - 1, (count * limit - bars) // (count - 1)) if count > 1 else 0
    step = limit - shared
    return [(first, min(first + limit, bars)) for first in (i * step for i in range(count))]


def read_rows(
    rows: Iterable[Sequence[object]],
    *,
    order: Sequence[int | None],
    scale: int,
    venue: str,
    request: str,
    on_grid: Callable[[int], bool] | None = None,
) -> dict[int, Bar]:
    """Rows of a reply as ``{open_ms: bar}``, strictly: one bad row makes the whole reply malformed.

    Args:
        rows: lists of numbers or numeric strings.
        order: position of time, open, high, low, close, volume, turnover in a row (``None``: not told).
        scale: milliseconds per unit of the venue's time stamps.

    Raises:
        MalformedReplyError: a row is short, not numeric, impossible as a candle, off the grid, or the reply
            holds two different bars of one open time. The message names the row.
    """
    rows = list(rows)
    usual = _read_columns(rows, order, scale)
    if usual is not None and (on_grid is None or all(map(on_grid, usual))):
        return usual
    bars: dict[int, Bar] = {}  # something is unusual: go row by row and say where
    where: dict[int, int] = {}
    for number, row in enumerate(rows):
        try:
            bar = _bar(row, order, scale)
        except (ValueError, TypeError, IndexError, KeyError, OverflowError) as problem:
            raise _malformed(venue, request, number, row, str(problem)) from None
        if on_grid is not None and not on_grid(bar.open_ms):
            raise _malformed(venue, request, number, row, "its open time is not on the interval's grid")
        known = bars.get(bar.open_ms)
        if known is not None and not _same(known, bar):
            raise _malformed(
                venue, request, number, row, f"it contradicts row {where[bar.open_ms]}, which has the same open time"
            )
        bars[bar.open_ms], where[bar.open_ms] = bar, number
    return bars


def to_candles(
    bars: Iterable[Bar], symbol: str, interval: Interval, venue: str, source: str, extra: dict[str, list] | None = None
) -> pd.DataFrame:
    """Bars, in any order, as a candle table (see :mod:`alphabook.candles.table`)."""
    rows = list(bars)
    if not rows:
        table = empty_candles(interval, venue)
    else:
        frame = pd.DataFrame(rows, columns=list(Bar._fields)).rename(columns={"open_ms": "open_time"})
        frame["open_time"] = pd.to_datetime(frame["open_time"], unit="ms", utc=True).astype(TIME_DTYPE)
        frame.insert(1, "symbol", symbol)
        for name, values in (extra or {}).items():
            frame[name] = values
        table = as_candles(frame, interval=interval, venue=venue)
    table.attrs["source"] = source
    return table


def runs(missing: Sequence[int], opens: np.ndarray) -> list[tuple[int, int, int]]:
    """Consecutive missing bars as ``(first_ms, last_ms, count)``, consecutive meaning neighbours on the grid."""
    if not len(missing):
        return []
    where = np.searchsorted(opens, np.asarray(missing, dtype=np.int64))
    breaks = np.flatnonzero(np.diff(where) != 1) + 1
    return [(int(opens[p[0]]), int(opens[p[-1]]), len(p)) for p in np.split(where, breaks)]


def _read_columns(rows: list, order: Sequence[int | None], scale: int) -> dict[int, Bar] | None:
    """The whole reply at once, as long as every row is beyond doubt; ``None`` as soon as one is not."""
    width = max(p for p in order if p is not None)
    if not all(type(row) is list and len(row) > width for row in rows):
        return None
    columns = []
    for place in order:
        told = [math.nan] * len(rows) if place is None else [row[place] for row in rows]
        if not set(map(type, told)) <= {str, int, float}:
            return None
        try:
            columns.append(np.array(list(map(float, told))))
        except ValueError:
            return None
    stamps, prices, (volume, _) = columns[0] * scale, np.array(columns[1:5]), columns[5:]
    numbers = np.array([c for c, place in zip(columns, order, strict=True) if place is not None])
    sound = np.isfinite(numbers).all() and (prices > 0).all() and (prices[1] >= prices[2]).all() and (volume >= 0).all()
    if not sound or not ((stamps == np.floor(stamps)) & (stamps > 0) & (stamps < 1e14)).all():
        return None
    times = stamps.astype(np.int64).tolist()
    bars = dict(zip(times, map(Bar, times, *(c.tolist() for c in columns[1:])), strict=True))
    return bars if len(bars) == len(rows) else None


def _bar(row: Sequence[object], order: Sequence[int | None], scale: int) -> Bar:
    if not isinstance(row, (list, tuple)):
        raise ValueError("it is not a list")
    values = [math.nan if p is None else _finite(row[p], name) for p, name in zip(order, Bar._fields, strict=True)]
    stamp = values[0] * scale
    if stamp != int(stamp) or not 0 < stamp < 1e14:
        raise ValueError(f"open time {row[order[0] or 0]!r} is not a time stamp")
    bar = Bar(int(stamp), *values[1:])
    if min(bar.open, bar.high, bar.low, bar.close) <= 0:
        raise ValueError("a price is not positive")
    if bar.high < bar.low:
        raise ValueError(f"high {bar.high:g} is below low {bar.low:g}")
    if bar.volume < 0:
        raise ValueError(f"volume {bar.volume:g} is negative")
    return bar


def _finite(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{name.removesuffix('_ms')} {value!r} is not a number")
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{name.removesuffix('_ms')} {value!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name.removesuffix('_ms')} {value!r} is not finite")
    return number


def _same(one: Bar, other: Bar) -> bool:
    return all(a == b or (a != a and b != b) for a, b in zip(one, other, strict=True))


def _malformed(venue: str, request: str, number: int, row: object, why: str) -> MalformedReplyError:
    return MalformedReplyError(
        f"{venue}: row {number} of the reply to {request} is malformed: {why}; the row is {str(row)[:160]}. It stayed "
        "so when asked again: report it to the venue, or fetch around it",
        venue=venue,
        status=200,
    )
