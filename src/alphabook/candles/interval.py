"""The length of a bar, and the clock that goes with it.

Taught in :doc:`/notebooks/data/when_is_a_bar_known`.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Self

import pandas as pd

from ..errors import IntervalError

MINUTE_MS = 60_000
DAY_MS = 86_400_000
EPOCH_MONDAY_MS = 4 * DAY_MS  # 1970-01-05, the first Monday: weekly bars open on Mondays

_UNITS = {
    "s": "s", "sec": "s", "second": "s",
    "": "m", "m": "m", "min": "m", "minute": "m", "t": "m",
    "h": "h", "hr": "h", "hour": "h",
    "d": "d", "day": "d",
    "w": "w", "wk": "w", "week": "w",
    "mo": "M", "mon": "M", "month": "M", "M": "M",
}  # fmt: skip


class Interval(Enum):
    """A bar length; the value is the canonical text (``"1h"``), months are ``"1M"``.

    Bybit serves thirteen of them, Binance futures fourteen; :meth:`parse` reads both spellings and
    those of the five original systems (``"60"``, ``"1h"``, ``"D"``, ``"1mo"``, ``"ONE_HOUR"``).
    """

    M1 = "1m"
    M3 = "3m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H2 = "2h"
    H4 = "4h"
    H6 = "6h"
    H8 = "8h"
    H12 = "12h"
    D1 = "1d"
    D3 = "3d"
    W1 = "1w"
    MO1 = "1M"

    @classmethod
    def parse(cls, text: str | int | Interval) -> Interval:
        """Read any usual spelling: ``"15m"``, ``"15"``, ``60``, ``"1H"``, ``"D"``, ``"1mo"``, ``"ONE_DAY"``.

        As on both exchanges ``"1M"`` and ``"M"`` are a month, ``"1m"`` is a minute.

        Raises:
            IntervalError: the text is not an interval, or not one that a venue serves (``"7m"``).
        """
        if isinstance(text, Interval):
            return text
        raw = str(text).strip()
        if raw in _NAMED:
            return cls(_NAMED[raw])
        match = re.fullmatch(r"(\d*)\s*([A-Za-z]*)", raw)
        if match and raw:
            count, unit = match.groups()
            key = unit if unit == "M" else unit.lower().removesuffix("s") or unit.lower()
            if key in _UNITS and (count or unit):
                canonical = _canonical(int(count or 1), _UNITS[key])
                if canonical in cls._value2member_map_:
                    return cls(canonical)
        known = ", ".join(i.value for i in cls)
        raise IntervalError(f"unknown interval {text!r}; use one of {known} (1M is a month)")

    @property
    def milliseconds(self) -> int | None:
        """Length in milliseconds; ``None`` for months, whose length varies."""
        return _MILLISECONDS[self.value]

    @property
    def timedelta(self) -> pd.Timedelta:
        """Length as a Timedelta.

        Raises:
            IntervalError: for months, whose length varies; use :meth:`close_times`.
        """
        if self.milliseconds is None:
            raise IntervalError("a month has no fixed length; use Interval.close_times(open_times)")
        return pd.Timedelta(self.milliseconds, unit="ms")

    @property
    def bars_per_year(self) -> float:
        """Bars in a year of a market that never closes (365 days; 12 for months)."""
        return 12.0 if self.milliseconds is None else 365 * DAY_MS / self.milliseconds

    def close_times(self, open_time: pd.Series | pd.DatetimeIndex) -> pd.Series | pd.DatetimeIndex:
        """First instant at which each bar is complete: the next bar's open, same shape as the input."""
        if self.milliseconds is None:
            return open_time + pd.offsets.MonthBegin(1)
        return open_time + self.timedelta

    def floor(self, when: pd.Series | pd.DatetimeIndex | pd.Timestamp) -> pd.Series | pd.DatetimeIndex | pd.Timestamp:
        """Open time of the bar that contains each instant (weeks open on Monday, days at 00:00 UTC)."""
        dt = when.dt if isinstance(when, pd.Series) else when
        if self.milliseconds is None:
            day = dt.floor("D")
            days = (day.dt if isinstance(day, pd.Series) else day).day - 1
            return day - pd.to_timedelta(days, unit="D")
        if self is Interval.W1:
            shift = pd.Timedelta(EPOCH_MONDAY_MS, unit="ms")
            moved = when - shift
            return (moved.dt if isinstance(moved, pd.Series) else moved).floor("7D") + shift
        return dt.floor(self.timedelta)

    def date_range(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DatetimeIndex:
        """Open times of all bars with ``start <= open_time < end``, on the grid."""
        first = pd.Timestamp(self.floor(start))  # type: ignore[arg-type]
        freq = pd.offsets.MonthBegin(1) if self.milliseconds is None else self.timedelta
        index = pd.date_range(first, end, freq=freq, inclusive="left")
        return index[index >= start].as_unit("ms")

    def __str__(self) -> str:
        return self.value

    @classmethod
    def infer(cls, open_time: pd.Series) -> Self:
        """Interval of a table by its most frequent step.

        Raises:
            IntervalError: fewer than two bars, or a step that is no known interval.
        """
        step = open_time.drop_duplicates().sort_values().diff().dropna()
        if step.empty:
            raise IntervalError("an interval cannot be inferred from fewer than two bars; pass interval=")
        usual = step.mode().iloc[0]
        if pd.Timedelta(days=28) <= usual <= pd.Timedelta(days=31):
            return cls("1M")
        for item in cls:
            if item.milliseconds is not None and item.timedelta == usual:
                return item
        raise IntervalError(f"the usual step between bars is {usual}, which is no known interval; pass interval=")


def _canonical(count: int, unit: str) -> str:
    if unit == "s":
        count, unit = (count // 60, "m") if count % 60 == 0 else (count, "s")
    if unit == "m" and count and count % 1440 == 0:
        count, unit = count // 1440, "d"
    if unit == "m" and count and count % 60 == 0:
        count, unit = count // 60, "h"
    if unit == "h" and count and count % 24 == 0:
        count, unit = count // 24, "d"
    if unit == "d" and count == 7:
        count, unit = 1, "w"
    return f"{count}{unit}"


_MILLISECONDS: dict[str, int | None] = {
    "1m": MINUTE_MS, "3m": 3 * MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS, "1h": 60 * MINUTE_MS, "2h": 120 * MINUTE_MS, "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS, "8h": 480 * MINUTE_MS, "12h": 720 * MINUTE_MS, "1d": DAY_MS,
    "3d": 3 * DAY_MS, "1w": 7 * DAY_MS, "1M": None,
}  # fmt: skip

_NAMED = {
    "m": "1M",  # Bybit's "M" after the first system lower-cased it; one minute is "1m" or "1"
    "ONE_MINUTE": "1m", "FIVE_MINUTE": "5m", "FIFTEEN_MINUTE": "15m", "THIRTY_MINUTE": "30m",
    "ONE_HOUR": "1h", "TWO_HOUR": "2h", "FOUR_HOUR": "4h", "SIX_HOUR": "6h", "ONE_DAY": "1d",
}  # fmt: skip

BYBIT_INTERVALS = tuple(Interval(v) for v in "1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d 1w 1M".split())  # noqa: SIM905
BINANCE_INTERVALS = tuple(Interval(v) for v in "1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w".split())  # noqa: SIM905
