"""What is not in the candles and must be invented: the order book, 24 hour statistics, funding.

All of it follows from the candles and the clock alone, the same in every run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from ...candles.interval import DAY_MS
from .series import Series
from .wire import share

FUNDING_MS = 8 * 3_600_000
FUNDING_CAP = 0.00375


class Day(NamedTuple):
    """The last 24 hours: first open, extremes, last trade, sums, and the price an hour before."""

    open: float
    high: float
    low: float
    last: float
    volume: float
    turnover: float
    open_ms: int
    hour_ago: float
    last_ms: int


class Book(NamedTuple):
    """Price and size, best first."""

    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


def day_stats(series: Series, now_ms: int) -> Day | None:
    """Statistics of the 24 hours before ``now_ms``; of the last bar if the market ended earlier."""
    bars = series.window(now_ms - DAY_MS, None, now_ms)
    if not bars:
        low, high = series.span(None, None, now_ms)
        bars = series.take(max(low, high - 1), high, now_ms)
    if not bars:
        return None
    before = [b for b in bars if b.open_ms <= now_ms - 3_600_000]
    return Day(
        bars[0].open, max(b.high for b in bars), min(b.low for b in bars), bars[-1].close,
        round(sum(b.volume for b in bars), 8), round(sum(b.turnover for b in bars), 8), bars[0].open_ms,
        (before or bars)[-1].open, bars[-1].open_ms,
    )  # fmt: skip


def order_book(series: Series, now_ms: int, *, depth: int) -> Book:
    """A book one tick wide around the last trade; sizes shrink and swell but depend on level and time only."""
    day = day_stats(series, now_ms)
    if day is None:
        return Book([], [])
    tick = 10.0**-series.price_decimals
    places = max(series.volume_decimals, 1)
    size = max(day.volume / 5000, 10.0**-places)
    bids, asks = [], []
    for level in range(depth):
        bid = round(day.last - level * tick, series.price_decimals)
        ask = round(day.last + (level + 1) * tick, series.price_decimals)
        if bid > 0:
            bids.append((bid, _size(size, "bid", level, now_ms, places)))
        asks.append((ask, _size(size, "ask", level, now_ms, places)))
    return Book(bids, asks)


def funding_rates(
    recorded: pd.Series | None, series: Series, start_ms: int | None, end_ms: int | None, now_ms: int
) -> list[tuple[int, float]]:
    """Funding times and rates in ``[start, end]``, ascending, up to now.

    Recorded rates are used when the market has them. Otherwise a rate is invented every eight hours from
    the bars: 0.0001 plus a hundredth of the return over the eight hours before, within ±0.00375.
    """
    last = now_ms if end_ms is None else min(end_ms, now_ms)
    if recorded is not None:
        times = pd.DatetimeIndex(recorded.index).as_unit("ms").asi8
        rates = recorded.to_numpy()
    else:
        times = _funding_times(series)
        before, at = _price_before(series, times - FUNDING_MS), _price_before(series, times)
        rates = np.round(np.clip(0.0001 + 0.01 * (at / before - 1), -FUNDING_CAP, FUNDING_CAP), 8)
    keep = (times <= last) & (times >= (start_ms if start_ms is not None else 0))
    return [(int(t), float(r)) for t, r in zip(times[keep], rates[keep], strict=True)]


def price_at(series: Series, when_ms: int) -> float:
    """Close of the last bar that had ended by an instant (its open before the first bar)."""
    return float(_price_before(series, np.array([when_ms]))[0])


def _funding_times(series: Series) -> np.ndarray:
    first = int(series.open_ms[0] // FUNDING_MS + 1) * FUNDING_MS
    return np.arange(first, int(series.close_ms[-1]) + 1, FUNDING_MS)


def _price_before(series: Series, times: np.ndarray) -> np.ndarray:
    i = np.searchsorted(series.close_ms, times, side="right") - 1
    return np.where(i < 0, series.values[0, 0], series.values[np.maximum(i, 0), 3])


def _size(scale: float, side: str, level: int, now_ms: int, places: int) -> float:
    return max(round(scale * (0.25 + 1.5 * share(side, level, now_ms // 1000)), places), 10.0**-places)
