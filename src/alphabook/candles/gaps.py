"""Holes in a table of candles: found and listed, never filled.

Taught in :doc:`/notebooks/data/when_is_a_bar_known`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .interval import EPOCH_MONDAY_MS, Interval
from .table import TIME_DTYPE, as_candles, interval_of


def find_gaps(candles: pd.DataFrame, interval: str | int | Interval | None = None) -> pd.DataFrame:
    """List the runs of bars that should stand between a symbol's first and last bar, and do not.

    Nothing is assumed before the first bar (the symbol may not have been listed) or after the last.

    Returns:
        one row per gap, oldest first within each symbol: ``symbol``, ``first_missing`` and
        ``last_missing`` (open times of the first and the last absent bar), ``missing`` (how many).

    Raises:
        IntervalError: the interval is neither given, carried by the table, nor inferable from it.
    """
    columns = {"symbol": "str", "first_missing": TIME_DTYPE, "last_missing": TIME_DTYPE, "missing": "int64"}
    table = as_candles(candles)
    if table.empty:
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in columns.items()})
    bar = interval_of(table, interval)
    number = bar_number(table["open_time"], bar)
    step = np.diff(number)
    same_symbol = table["symbol"].to_numpy()[1:] == table["symbol"].to_numpy()[:-1]
    before = np.flatnonzero(same_symbol & (step > 1))
    gaps = {
        "symbol": table["symbol"].to_numpy()[before],
        "first_missing": bar_open(number[before] + 1, bar),
        "last_missing": bar_open(number[before + 1] - 1, bar),
        "missing": step[before] - 1,
    }
    return pd.DataFrame(gaps).astype(columns)


def bar_number(open_time: pd.Series, interval: Interval) -> np.ndarray:
    """Number each instant's bar on the interval's endless grid, so that neighbours differ by one.

    Months are counted from year 0 and weeks from the first Monday of 1970; a time inside a bar takes
    the number of that bar.
    """
    if interval.milliseconds is None:
        return (open_time.dt.year * 12 + open_time.dt.month - 1).to_numpy(dtype="int64")
    return (milliseconds(open_time) - _anchor(interval)) // interval.milliseconds


def bar_open(number: np.ndarray, interval: Interval) -> pd.Series:
    """Open time of each numbered bar: the inverse of :func:`bar_number`."""
    if interval.milliseconds is None:
        months = (np.asarray(number, dtype="int64") - 1970 * 12).astype("datetime64[M]")
        return pd.Series(months.astype("datetime64[ms]")).dt.tz_localize("UTC")
    stamps = np.asarray(number, dtype="int64") * interval.milliseconds + _anchor(interval)
    return pd.Series(stamps.astype("datetime64[ms]")).dt.tz_localize("UTC")


def milliseconds(times: pd.Series) -> np.ndarray:
    """UTC times as integer milliseconds since 1970, whatever their resolution."""
    return times.astype(TIME_DTYPE).astype("int64").to_numpy()


def _anchor(interval: Interval) -> int:
    return EPOCH_MONDAY_MS if interval is Interval.W1 else 0
