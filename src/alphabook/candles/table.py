"""The one data contract: what a table of candles is.

Columns, in this order::

    open_time   datetime64[ms, UTC]   a bar's name; it is *known* only at its close time
    symbol      str
    open high low close               float64, quote currency per unit of base
    volume      float64, base units
    turnover    float64, quote units; NaN where the venue does not tell

Rows are sorted by ``symbol`` then ``open_time`` and carry a plain ``RangeIndex``. The interval (and,
where known, the venue) travels in ``DataFrame.attrs``; every function that needs it also takes it as
an argument. Taught in :doc:`/notebooks/data/when_is_a_bar_known`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import pandas as pd

from ..errors import CandleError, TimeRangeError
from .interval import Interval

PRICE_COLUMNS = ("open", "high", "low", "close")
COLUMNS = ("open_time", "symbol", *PRICE_COLUMNS, "volume", "turnover")
REQUIRED = COLUMNS[:-1]
TIME_DTYPE: Final = "datetime64[ms, UTC]"


def as_candles(
    frame: pd.DataFrame,
    *,
    interval: str | int | Interval | None = None,
    symbol: str | None = None,
    venue: str | None = None,
    sort: bool = True,
) -> pd.DataFrame:
    """Bring a table into the candle contract; never drops, fills or repairs a row.

    Accepts ``ts`` or a DatetimeIndex for ``open_time``, a missing ``turnover``, and ``symbol`` as an
    argument when the column is absent.

    Raises:
        CandleError: a required column is missing, times are naive, or a price is not a number.
    """
    out = frame.copy()
    if "open_time" not in out.columns:
        if "ts" in out.columns:
            out = out.rename(columns={"ts": "open_time"})
        elif isinstance(out.index, pd.DatetimeIndex):
            out.insert(0, "open_time", out.index)
    out = out.reset_index(drop=True)
    if symbol is not None and "symbol" not in out.columns:
        out["symbol"] = symbol
    missing = [c for c in REQUIRED if c not in out.columns]
    if missing:
        raise CandleError(
            f"not a table of candles: column {', '.join(missing)} missing; found {', '.join(map(str, frame.columns))}. "
            f"A candle has {', '.join(REQUIRED)} (and turnover where known)"
        )
    if "turnover" not in out.columns:
        out["turnover"] = np.nan
    out["open_time"] = _utc_ms(out["open_time"])
    for column in COLUMNS[2:]:
        if out[column].dtype == "float64":
            continue
        try:
            out[column] = pd.to_numeric(out[column]).astype("float64")
        except (ValueError, TypeError) as error:
            raise CandleError(f"column {column!r} holds something that is not a number: {error}") from None
    if out["symbol"].dtype != "str":
        out["symbol"] = out["symbol"].astype("str")
    extra = [c for c in out.columns if c not in COLUMNS]
    out = out[[*COLUMNS, *extra]]
    if sort:
        out = out.sort_values(["symbol", "open_time"], kind="stable")
    out = out.reset_index(drop=True)
    out.attrs = dict(frame.attrs)
    if interval is not None:
        out.attrs["interval"] = Interval.parse(interval).value
    if venue is not None:
        out.attrs["venue"] = venue
    return out


def empty_candles(interval: str | Interval | None = None, venue: str | None = None) -> pd.DataFrame:
    """A table of no candles with the right columns and types."""
    data = {c: pd.Series(dtype="float64") for c in COLUMNS}
    data["open_time"] = pd.Series(dtype=TIME_DTYPE)
    data["symbol"] = pd.Series(dtype="str")
    return as_candles(pd.DataFrame(data), interval=interval, venue=venue)


def interval_of(candles: pd.DataFrame, interval: str | int | Interval | None = None) -> Interval:
    """The interval given, else the one the table carries, else the most frequent step.

    Raises:
        IntervalError: nothing is given or carried, and it cannot be inferred.
    """
    if interval is not None:
        return Interval.parse(interval)
    if "interval" in candles.attrs:
        return Interval.parse(candles.attrs["interval"])
    one = candles
    if "symbol" in candles.columns and len(candles):
        one = candles[candles["symbol"] == candles["symbol"].iloc[0]]
    return Interval.infer(one["open_time"])


def parse_time(when: object, *, name: str = "time") -> pd.Timestamp:
    """A UTC timestamp from an aware timestamp, ISO text (no offset = UTC), or integer milliseconds.

    Raises:
        TimeRangeError: the text cannot be read as a time.
    """
    try:
        if isinstance(when, (int, np.integer)) and not isinstance(when, bool):
            return pd.Timestamp(int(when), unit="ms", tz="UTC")
        stamp = pd.Timestamp(when)  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise TimeRangeError(
            f"{name} {when!r} is not a time ({error}); write it like 2024-01-31 or 2024-01-31T12:00Z"
        ) from None
    if stamp is pd.NaT:
        raise TimeRangeError(f"{name} {when!r} is not a time; write it like 2024-01-31 or 2024-01-31T12:00Z")
    return stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")


def parse_range(start: object, end: object) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Start (inclusive) and end (exclusive) as UTC timestamps.

    Raises:
        TimeRangeError: ``start`` is not before ``end``.
    """
    first, last = parse_time(start, name="start"), parse_time(end, name="end")
    if first >= last:
        raise TimeRangeError(f"start {first:%Y-%m-%d %H:%M} is not before end {last:%Y-%m-%d %H:%M}; swap them")
    return first, last


def split_symbols(symbols: str | Iterable[str]) -> list[str]:
    """``"BTCUSDT,ETHUSDT"`` or any iterable of names as a list without repeats, order kept."""
    names = symbols.split(",") if isinstance(symbols, str) else list(symbols)
    return list(dict.fromkeys(n.strip() for n in names if n.strip()))


def _utc_ms(times: pd.Series) -> pd.Series:
    if times.dtype == TIME_DTYPE:
        return times
    if pd.api.types.is_integer_dtype(times):
        times = pd.to_datetime(times, unit="ms", utc=True)
    elif not isinstance(times.dtype, pd.DatetimeTZDtype):
        if pd.api.types.is_datetime64_dtype(times) and len(times):
            raise CandleError("open_time has no time zone; candles are UTC: use .dt.tz_localize('UTC')")
        times = pd.to_datetime(times, utc=True)
    return times.dt.tz_convert("UTC").astype(TIME_DTYPE)
