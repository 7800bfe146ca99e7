"""Two clocks: longer bars from shorter ones, and the join of both that cannot see the future.

Taught in :doc:`/notebooks/data/when_is_a_bar_known`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..errors import CandleError, IntervalError
from .derived import close_time
from .gaps import bar_number, bar_open
from .interval import DAY_MS, Interval
from .table import COLUMNS, TIME_DTYPE, as_candles, interval_of


def resample(
    candles: pd.DataFrame,
    to: str | int | Interval,
    *,
    interval: str | int | Interval | None = None,
    partial: str = "drop",
) -> pd.DataFrame:
    """Build longer bars: first open, highest high, lowest low, last close, sums of volume and turnover.

    A long bar is complete when every one of its short bars is there. With ``partial="drop"`` the
    others are left out: the one still being built, and those with a hole. With ``partial="keep"``
    they stay, and a column ``bars`` counts what each was made of.

    Turnover is missing in a long bar when it is missing in any of its short ones.

    Raises:
        IntervalError: ``to`` is shorter than the table's interval, or its bars do not hold a whole
            number of the table's (a week does not end with the month).
        CandleError: a bar occurs twice, so that its volume would count twice.
    """
    if partial not in ("drop", "keep"):
        raise ValueError(f"partial must be 'drop' or 'keep', got {partial!r}")
    table = as_candles(candles)
    short, long = interval_of(table, interval), Interval.parse(to)
    _require_nesting(short, long)
    _require_unique(table, "candles")

    bucket = bar_number(table["open_time"], long)
    grouped = table.groupby([table["symbol"], pd.Series(bucket, name="bucket")], sort=True)
    out = grouped.agg(
        open=("open", "first"), high=("high", "max"), low=("low", "min"), close=("close", "last"),
        volume=("volume", "sum"), turnover=("turnover", "sum"), known=("turnover", "count"), bars=("close", "size"),
    ).reset_index()  # fmt: skip
    out["turnover"] = out["turnover"].where(out["known"] == out["bars"])
    out["open_time"] = bar_open(out["bucket"].to_numpy(), long)
    if partial == "drop":
        out = out[out["bars"].to_numpy() == _bars_within(out["open_time"], short, long)]
    columns = [*COLUMNS, "bars"] if partial == "keep" else list(COLUMNS)
    out = as_candles(out[columns], interval=long)
    out.attrs = {**table.attrs, "interval": long.value}
    return out


def asof_join(
    fine: pd.DataFrame,
    coarse: pd.DataFrame,
    *,
    suffix: str | None = None,
    max_age: pd.Timedelta | str | None = None,
) -> pd.DataFrame:
    """Give each short bar the latest long bar that is *closed* when the short bar closes.

    Both bars are known at their close times, so the join is on close times: a 15m bar that closes at
    10:15 may see the 1h bar 09:00–10:00 and not the one 10:00–11:00; the 15m bar that closes at
    11:00 sees the hour that closes at the same instant. Symbols are joined to themselves.

    Args:
        fine: candles of the shorter interval; its rows, their order and index are kept.
        coarse: candles of the same or a longer interval; further columns are carried along.
        suffix: appended to the names of the long bar's columns; ``"_1h"`` for hourly bars by default.
        max_age: after an outage the latest closed bar may be old; one that closed longer ago than
            this is not used. No limit by default.

    Returns:
        ``fine`` with ``open_time``, ``close_time``, ``open`` … ``turnover`` of the long bar under
        suffixed names. Rows before a symbol's first closed long bar hold missing values.

    Raises:
        IntervalError: ``coarse`` has the shorter interval: the arguments are swapped.
        CandleError: ``coarse`` holds a bar twice.
    """
    short, long = interval_of(fine), interval_of(coarse)
    if _shortest(long) < _shortest(short):
        raise IntervalError(f"asof_join(fine, coarse): fine has {short} bars and coarse {long}; swap the arguments")
    left_table, right = as_candles(fine, sort=False), as_candles(coarse)
    _require_unique(right, "coarse")
    suffix = f"_{long}" if suffix is None else suffix
    right = right.assign(close_time=close_time(right, long))
    right = right.rename(columns={c: f"{c}{suffix}" for c in right.columns if c != "symbol"})
    when = f"close_time{suffix}"

    left = pd.DataFrame({"symbol": left_table["symbol"], "_known": close_time(left_table, short)})
    left = left.sort_values("_known", kind="stable")
    joined = pd.merge_asof(
        left, right.sort_values(when, kind="stable"), left_on="_known", right_on=when, by="symbol",
        direction="backward", tolerance=None if max_age is None else pd.Timedelta(max_age),
    )  # fmt: skip
    joined.index = left.index
    joined = joined.sort_index().drop(columns=["symbol", "_known"])
    front = [f"open_time{suffix}", when]
    joined = joined[[*front, *(c for c in joined.columns if c not in front)]]
    joined.index = fine.index
    out = pd.concat([fine, joined], axis=1)
    out.attrs = dict(fine.attrs)
    return out


def _shortest(interval: Interval) -> int:
    return 28 * DAY_MS if interval.milliseconds is None else interval.milliseconds


def _require_nesting(short: Interval, long: Interval) -> None:
    if _shortest(long) < _shortest(short):
        raise IntervalError(
            f"{short} bars cannot be split into {long} bars: what happened inside a bar is gone; fetch {long} bars"
        )
    nested = (
        short is long
        or (long.milliseconds is None and short.milliseconds is not None and DAY_MS % short.milliseconds == 0)
        or (
            long.milliseconds is not None
            and short.milliseconds is not None
            and long.milliseconds % short.milliseconds == 0
            and not (long is Interval.W1 and short.milliseconds > DAY_MS)
        )
    )
    if not nested:
        raise IntervalError(f"{long} bars do not hold a whole number of {short} bars; start from a shorter interval")


def _bars_within(open_time: pd.Series, short: Interval, long: Interval) -> np.ndarray:
    """How many short bars make each long one whole."""
    if short is long:
        return np.ones(len(open_time), dtype="int64")
    closes = pd.Series(long.close_times(open_time)).astype(TIME_DTYPE)
    return bar_number(closes, short) - bar_number(open_time, short)


def _require_unique(table: pd.DataFrame, name: str) -> None:
    twice = table.duplicated(["symbol", "open_time"])
    if twice.any():
        row = table[twice].iloc[0]
        raise CandleError(
            f"{name}: {row['symbol']} {row['open_time']:%Y-%m-%d %H:%M} occurs more than once ({int(twice.sum())} rows "
            "too many); decide which is right, then drop_duplicates(['symbol', 'open_time'])"
        )
