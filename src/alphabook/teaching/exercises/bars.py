"""Checks of the exercises of :doc:`/notebooks/data/when_is_a_bar_known`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from ...candles import as_candles, asof_join, close_time, find_gaps, resample
from ..checks import Wrong, exercise


@exercise("bars.asof", kind="implement", difficulty=3, minutes=15)
def check_asof(answer: Callable[[pd.DataFrame, pd.DataFrame], Iterable[float]]) -> None:
    """Join two clocks without seeing the future"""
    fine, coarse = _two_clocks()
    seen = _numbers(answer(fine.copy(), coarse.copy()), len(fine), "one close per 15m row")
    joined = asof_join(fine, coarse)
    expected, newest = joined["close_1h"].to_numpy(), joined["close_time_1h"]
    closes, hours = close_time(fine), close_time(coarse)
    stale = ""
    for row in np.flatnonzero(~np.isnan(seen) & (seen != expected)):
        used = coarse.index[np.isclose(coarse["close"], seen[row])]
        when = f"row {row} (opens {fine['open_time'][row]:%H:%M}, closes {closes[row]:%H:%M})"
        if not len(used):
            raise Wrong(f"{when} shows {seen[row]:g}, which is the close of no hour; return closes of the hourly bars")
        name, end = coarse["open_time"][used[0]], hours[used[0]]
        if end > closes[row]:
            raise Wrong(
                f"{when} sees the {name:%H:%M} bar, which closes at {end:%H:%M}: merge on close times, not open"
            )
        if newest[row] < closes[row]:
            raise Wrong(f"{when} sees the {name:%H:%M} bar, but a later one was closed by then: take the latest")
        stale = stale or f"{when} still sees the {name:%H:%M} bar, although a newer one closes at that same instant"
    if stale:
        raise Wrong(f"{stale}: use <=, not <")
    blind = np.flatnonzero(np.isnan(seen) & ~np.isnan(expected))
    if len(blind):
        row = blind[0]
        after_hole = row > 0 and bool((~np.isnan(seen[:row])).any())
        raise Wrong(
            f"row {row} (closes {closes[row]:%H:%M}) sees nothing"
            + (
                ", because the newest hour is missing; an older hour is still known: look back, do not match exactly"
                if after_hole
                else ", although an hour closes at that same instant: use <=, not <"
            )
        )


@exercise("bars.hours", kind="bug", difficulty=2, minutes=10)
def check_hours(answer: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Hours that are wrong in four ways"""
    quarters = _quarters(22, drop=9)
    got = answer(quarters.copy())
    wanted = {"open_time", "open", "high", "low", "close", "volume"}
    if not isinstance(got, pd.DataFrame) or not wanted <= {*got.columns}:
        raise Wrong("return a table with the columns open_time, open, high, low, close, volume")
    got = got.reset_index(drop=True)
    whole = resample(quarters, "1h")
    kept = resample(quarters, "1h", partial="keep")
    times = pd.DatetimeIndex(got["open_time"])
    first = times[0]
    if first != kept["open_time"][0]:
        raise Wrong(
            f"the first hour is called {first:%H:%M}, but its first quarter opens at {kept['open_time'][0]:%H:%M}: "
            "a bar is named by its open time"
        )
    last = kept["open_time"].iloc[-1]
    if last in times:
        raise Wrong(f"the hour {last:%H:%M} holds {int(kept['bars'].iloc[-1])} quarters: it is still being built")
    holed = kept.loc[(kept["bars"] < 4) & (kept["open_time"] != last), "open_time"].iloc[0]
    if holed in times:
        raise Wrong(f"the hour {holed:%H:%M} is built from three quarters, one is missing: leave it out")
    if list(times) != list(whole["open_time"]):
        raise Wrong(f"there are {len(times)} hours, and {len(whole)} of them have all four quarters")
    for column, rule in {
        "open": "the open of its first quarter", "high": "the highest high, not the last one or their mean",
        "low": "the lowest low", "close": "the close of its last quarter", "volume": "the sum of its quarters' volumes",
    }.items():  # fmt: skip
        if not np.allclose(got[column], whole[column]):
            raise Wrong(f"{column} is wrong: an hour's {column} is {rule}")


@exercise("bars.gaps", kind="implement", difficulty=2, minutes=10)
def check_gaps(answer: Callable[[pd.Series, pd.Timedelta], Iterable[tuple[Any, int]]]) -> None:
    """List the holes in a row of bars"""
    hours = _quarters(40, interval="1h")
    hours = hours[~np.isin(np.arange(40), [5, 17, 18, 19, 30])].reset_index(drop=True)
    step = pd.Timedelta("1h")
    got = [(pd.Timestamp(first), int(count)) for first, count in answer(hours["open_time"].copy(), step)]
    gaps = find_gaps(hours, "1h")
    expected = list(zip(gaps["first_missing"], gaps["missing"].astype(int), strict=True))
    if got == expected:
        return
    present = set(hours["open_time"])
    if not got:
        raise Wrong(f"you found no gap; {hours['open_time'][4]:%H:%M} is followed by {hours['open_time'][5]:%H:%M}")
    if any(first in present for first, _ in got):
        first = next(first for first, _ in got if first in present)
        raise Wrong(f"the bar {first:%H:%M} is there; name the first bar that is missing")
    if len(got) > len(expected):
        raise Wrong(f"you list {len(got)} gaps, there are {len(expected)}: bars missing side by side are one gap")
    if [first for first, _ in got] == [first for first, _ in expected]:
        raise Wrong(
            f"the gap at {got[0][0]:%H:%M} misses {expected[0][1]} bar, you say {got[0][1]}: "
            "two present bars n steps apart have n - 1 missing between them"
        )
    raise Wrong(f"you list {len(got)} gaps, beginning at {got[0][0]:%H:%M}; there are {len(expected)}")


@exercise("bars.stamp", kind="measure", difficulty=3, minutes=15)
def check_stamp(answer: Callable[[pd.Series, pd.Series], int]) -> None:
    """Which end of the day does a vendor stamp?"""
    days = pd.date_range("2024-01-01", periods=250, tz="UTC")
    rng = np.random.default_rng(5)
    price = pd.Series(100 * np.exp(np.cumsum(rng.normal(0.002, 0.03, 250))), index=days)
    for lag, words in ((-1, "start-of-day stamps"), (0, "the same stamps"), (2, "stamps two days early")):
        theirs = (price.shift(-lag) * np.exp(rng.normal(0, 0.003, 250))).dropna()
        found = answer(price.copy(), theirs.copy())
        if found is None or isinstance(found, pd.Series | np.ndarray):
            raise Wrong("return one whole number, the lag")
        if found == lag:
            continue
        if found == -lag:
            raise Wrong(f"for {words} the lag is {lag:+d}, not {int(found):+d}: theirs.shift(k), not ours.shift(k)")
        if found == 0:
            raise Wrong(f"no lag found for {words}; compare returns at every lag from -3 to 3, negative ones too")
        raise Wrong(f"for {words} the lag is {lag:+d}, not {found}: take the lag of the highest correlation")


@exercise("bars.delay", kind="stretch", difficulty=4, minutes=20)
def check_delay(answer: Callable[[pd.DataFrame, pd.DataFrame, pd.Timedelta], Iterable[float]]) -> None:
    """A bar that arrives late"""
    fine, coarse = _two_clocks()
    instant = asof_join(fine, coarse)["close_1h"].to_numpy()
    for minutes in (0, 20, 90):
        delay = pd.Timedelta(minutes=minutes)
        seen = _numbers(answer(fine.copy(), coarse.copy(), delay), len(fine), "one close per 15m row")
        expected = _late(fine, coarse, delay)
        if np.array_equal(seen, expected, equal_nan=True):
            continue
        row = int(np.flatnonzero(~((seen == expected) | (np.isnan(seen) & np.isnan(expected))))[0])
        when = f"with a delay of {minutes} minutes row {row} (closes {close_time(fine)[row]:%H:%M})"
        if minutes and np.array_equal(seen, instant, equal_nan=True):
            raise Wrong(f"{when} uses an hour that has not arrived: the answer does not depend on the delay")
        if minutes and np.array_equal(seen, _late(fine, coarse, -delay), equal_nan=True):
            raise Wrong(f"{when} sees further ahead than without a delay: the hour is known later, the row is not")
        shown = "nothing" if np.isnan(seen[row]) else f"{seen[row]:g}"
        wanted = "nothing" if np.isnan(expected[row]) else f"{expected[row]:g}"
        raise Wrong(f"{when} shows {shown}, but {wanted} is the latest close that had arrived by then")


def _late(fine: pd.DataFrame, coarse: pd.DataFrame, delay: pd.Timedelta) -> np.ndarray:
    arrived = (close_time(coarse) + delay).to_numpy()
    rows = [np.flatnonzero(arrived <= now) for now in close_time(fine).to_numpy()]
    closes = coarse["close"].to_numpy()
    return np.array([closes[r[-1]] if len(r) else np.nan for r in rows])


def _two_clocks() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Twenty-eight quarters from 10:00, and their hours without the one of 13:00."""
    fine = _quarters(28)
    coarse = resample(fine, "1h")
    return fine, as_candles(coarse[coarse["open_time"].dt.hour != 13], interval="1h")


def _quarters(bars: int, *, drop: int | None = None, interval: str = "15m") -> pd.DataFrame:
    rng = np.random.default_rng(11)
    closes = np.round(100 + np.cumsum(rng.normal(0, 1, bars)), 4)
    opens = np.concatenate([[100.0], closes[:-1]])
    step = pd.Timedelta("1h" if interval == "1h" else "15min")
    frame = pd.DataFrame(
        {
            "open_time": pd.Timestamp("2024-01-01 10:00", tz="UTC") + step * np.arange(bars),
            "symbol": "BTCUSDT",
            "open": opens,
            "high": np.maximum(opens, closes) + rng.random(bars),
            "low": np.minimum(opens, closes) - rng.random(bars),
            "close": closes,
            "volume": np.round(rng.uniform(1, 9, bars), 2),
        }
    )
    return as_candles(frame if drop is None else frame.drop(index=drop), interval=interval)


def _numbers(values: object, length: int, what: str) -> np.ndarray:
    try:
        out = np.asarray(list(values), dtype="float64")  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise Wrong(f"return {what}, NaN where none is known; got {type(values).__name__}") from None
    if len(out) != length:
        raise Wrong(f"return {what}: {length} values, got {len(out)}")
    return out
