"""What one bar, or a bar and its predecessor, says beyond its four prices.

Every function takes a table of candles and returns one value per row under the table's own index.
They are the methods of the first system's ``Kline``, for whole columns at once. Taught in
:doc:`/notebooks/data/when_is_a_bar_known`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..errors import CandleError
from .gaps import bar_number
from .interval import Interval
from .table import TIME_DTYPE, interval_of


def close_time(candles: pd.DataFrame, interval: str | int | Interval | None = None) -> pd.Series:
    """First instant at which each bar is complete, and so the first at which it is known."""
    times = interval_of(candles, interval).close_times(candles["open_time"])
    return pd.Series(times, index=candles.index, name="close_time").astype(TIME_DTYPE)


def typical_price(candles: pd.DataFrame) -> pd.Series:
    """Mean of high, low and close."""
    return _named((candles["high"] + candles["low"] + candles["close"]) / 3, "typical_price")


def weighted_close(candles: pd.DataFrame) -> pd.Series:
    """Mean of high, low and close in which the close counts twice."""
    return _named((candles["high"] + candles["low"] + 2 * candles["close"]) / 4, "weighted_close")


def body(candles: pd.DataFrame) -> pd.Series:
    """Distance between open and close, never negative."""
    return _named((candles["close"] - candles["open"]).abs(), "body")


def upper_shadow(candles: pd.DataFrame) -> pd.Series:
    """From the body up to the high."""
    return _named(candles["high"] - candles[["open", "close"]].max(axis=1), "upper_shadow")


def lower_shadow(candles: pd.DataFrame) -> pd.Series:
    """From the low up to the body."""
    return _named(candles[["open", "close"]].min(axis=1) - candles["low"], "lower_shadow")


def is_bullish(candles: pd.DataFrame) -> pd.Series:
    """Whether the bar closed above its open. A bar that closed where it opened is neither."""
    return _named(candles["close"] > candles["open"], "is_bullish")


def is_bearish(candles: pd.DataFrame) -> pd.Series:
    """Whether the bar closed below its open."""
    return _named(candles["close"] < candles["open"], "is_bearish")


def range_pct(candles: pd.DataFrame) -> pd.Series:
    """High minus low in percent of the open."""
    return _named(100 * (candles["high"] - candles["low"]) / candles["open"], "range_pct")


def true_range(candles: pd.DataFrame) -> pd.Series:
    """The bar's range, stretched to the previous close of the same symbol; a first bar has its own range only.

    Wilder (1978), New Concepts in Technical Trading Systems.

    Raises:
        CandleError: rows are out of order, so that "the previous close" would be another bar's.
    """
    before = previous_close(candles)
    spans = [
        candles["high"] - candles["low"],
        (candles["high"] - before).abs(),
        (candles["low"] - before).abs(),
    ]
    return _named(pd.concat(spans, axis=1).max(axis=1), "true_range")


def simple_return(candles: pd.DataFrame, interval: str | int | Interval | None = None) -> pd.Series:
    """Close over previous close, minus one. Simple returns compound over time and add across assets.

    The first bar of a symbol has none, nor has the first bar after a gap: its return would belong to
    a longer span than its neighbours'.

    Raises:
        CandleError: rows are out of order.
        IntervalError: the interval is neither given, carried by the table, nor inferable from it.
    """
    return _named(candles["close"] / _neighbour_close(candles, interval) - 1, "simple_return")


def log_return(candles: pd.DataFrame, interval: str | int | Interval | None = None) -> pd.Series:
    """Logarithm of close over previous close. Log returns add over time.

    Missing where :func:`simple_return` is, and raises where it does.
    """
    ratio = candles["close"] / _neighbour_close(candles, interval)
    return _named(pd.Series(np.log(ratio), index=candles.index), "log_return")


def previous_close(candles: pd.DataFrame) -> pd.Series:
    """Close of the row before, within each symbol; missing on a symbol's first row.

    Raises:
        CandleError: rows are out of order.
    """
    _require_order(candles)
    return candles.groupby("symbol", sort=False)["close"].shift().rename("previous_close")


def _neighbour_close(candles: pd.DataFrame, interval: str | int | Interval | None) -> pd.Series:
    before = previous_close(candles)
    if len(candles) < 2:
        return before
    number = pd.Series(bar_number(candles["open_time"], interval_of(candles, interval)), index=candles.index)
    step = number.groupby(candles["symbol"], sort=False).diff()
    return before.where(step == 1)


def _require_order(candles: pd.DataFrame) -> None:
    step = candles.groupby("symbol", sort=False)["open_time"].diff()
    wrong = np.flatnonzero((step <= pd.Timedelta(0)).to_numpy())
    if len(wrong):
        row = candles.iloc[wrong[0]]
        raise CandleError(
            f"{row['symbol']} row {wrong[0]} ({row['open_time']:%Y-%m-%d %H:%M}) does not come after the row before; "
            "pass the table through as_candles(), and drop duplicates first"
        )


def _named(values: pd.Series, name: str) -> pd.Series:
    return values.rename(name)
