"""Checks of the exercises in :doc:`/notebooks/data/five_venues`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from ..checks import Wrong, exercise

HOUR = pd.Timedelta(hours=1)
START = pd.Timestamp("2024-01-01", tz="UTC")


@exercise("venues.windows", kind="implement", difficulty=2, minutes=10)
def check_windows(answer: Any) -> None:
    """Cut a span of bars into the fewest windows."""
    for bars, limit in ((10, 5), (11, 5), (1, 5), (0, 5), (8760, 1000), (8760, 300), (300, 300)):
        plan = [tuple(int(x) for x in window) for window in answer(bars, limit)]
        case = f"windows({bars}, {limit})"
        if bars == 0:
            if plan:
                raise Wrong(f"{case} is {plan}: no bars need no window")
            continue
        if any(stop - first > limit for first, stop in plan):
            size = max(stop - first for first, stop in plan)
            raise Wrong(f"{case} has a window of {size} bars, more than the venue returns: `stop` is not part of it")
        covered = np.zeros(bars + limit, dtype=bool)
        for first, stop in plan:
            covered[first:stop] = True
        if not covered[:bars].all():
            missing = int(np.argmin(covered[:bars]))
            raise Wrong(f"{case} never asks for bar {missing}: the last window may be shorter than the others")
        if covered[bars:].any():
            raise Wrong(f"{case} asks for bars after the last: end the last window at {bars}")
        if len(plan) != math.ceil(bars / limit):
            raise Wrong(f"{case} takes {len(plan)} calls, {math.ceil(bars / limit)} are enough: let windows be full")


@exercise("venues.wait", kind="bug", difficulty=2, minutes=10)
def check_wait(answer: Any) -> None:
    """How long to sleep until the limit resets."""
    now = 1_700_000_000_000
    if answer({"X-Bapi-Limit-Reset-Timestamp": str(now + 4500)}, now) != 4.5:
        got = answer({"X-Bapi-Limit-Reset-Timestamp": str(now + 4500)}, now)
        raise Wrong(f"a reset 4,500 ms from now is 4.5 s away, not {got}: header and clock count milliseconds")
    past = answer({"X-Bapi-Limit-Reset-Timestamp": str(now - 250)}, now)
    if past < 0:
        raise Wrong(f"a reset 250 ms ago gives {past} s, and time.sleep raises ValueError on it: wait at least 0")
    if past > 1:
        raise Wrong(f"a reset 250 ms ago gives {past} s: the limit is free again, there is nothing to wait for")
    try:
        none = answer({}, now)
    except KeyError:
        raise Wrong("market endpoints may leave the header out, and then your function raises: wait 2 s") from None
    if none != 2.0:
        raise Wrong(f"without the header it waits {none} s; take 2 s, as the venue's own client does")


@exercise("venues.sentinel", kind="bug", difficulty=2, minutes=10)
def check_sentinel(answer: Any) -> None:
    """A sentence where a list of numbers was expected."""
    good = {"btc": {"PRICE": [{"date": "2024-01-01", "val": 42000.0}, {"date": "2024-01-02", "val": None}]}}
    told = {"btc": {"FEES": "Metric not available for asset."}, "eth": {"PRICE": [{"date": "2024-01-01", "val": 1.5}]}}
    rows, missing = _two(answer(good))
    if len(rows) != 2:
        raise Wrong(f"a plain reply of two rows comes back as {len(rows)}: a null is a row too, its value is NaN")
    if not math.isnan(rows[1][3]) or rows[0][3] != 42000.0:
        raise Wrong(f"the values came back as {[r[3] for r in rows]}: null is NaN, not 0, and not the day before")
    rows, missing = _two(answer(told))
    if len(rows) > 1:
        raise Wrong(f"{len(rows)} rows from one: the sentence was read letter by letter; test isinstance(series, list)")
    if not rows:
        raise Wrong("the sentence about btc took eth with it: leave out the series, not the reply")
    if [tuple(m) for m in missing] != [("btc", "FEES", "Metric not available for asset.")]:
        raise Wrong(f"what is missing is not said: expected (btc, FEES, the sentence), got {list(missing)}")


@exercise("venues.weight", kind="measure", difficulty=3, minutes=15)
def check_weight(answer: Any) -> None:
    """The cheapest way to a year of hours on Binance."""
    from ...venues.binance import kline_weight

    limit = int(answer() if callable(answer) else answer)
    if not 1 <= limit <= 1500:
        raise Wrong(f"a limit of {limit} is outside what Binance accepts, 1 to 1500")
    costs = {n: math.ceil(8760 / n) * kline_weight(n) for n in range(1, 1501)}
    if costs[limit] > min(costs.values()):
        calls = math.ceil(8760 / limit)
        price = f"{calls} calls of weight {kline_weight(limit)} cost {costs[limit]}"
        raise Wrong(
            f"with a limit of {limit}, {price}; another limit costs less: try all 1,500, not only the round ones"
        )


@exercise("venues.survivor", kind="stretch", difficulty=5, minutes=45)
def check_survivor(answer: Any) -> None:
    """A downloader for Coinbase that survives."""
    truth = _market(700)
    start, end = START - 400 * HOUR, START + 699 * HOUR
    for fault, hint in (
        ([], ""),
        ([{"kind": "duplicate"}], "rows come twice: keep one per open time"),
        ([{"kind": "unordered"}], "rows come in any order: sort by open time"),
        ([{"kind": "too_many", "retry_after": 0}], "429 means later, not never: ask the same window again"),
        ([{"kind": "server_error"}], "a 503 passes: ask the same window again"),
        ([{"kind": "malformed"}], "a row without all six numbers spoils the reply: ask again"),
    ):
        _survives(answer, truth, start, end, fault, hint)


def _survives(
    answer: Any, truth: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp, fault: list[dict], hint: str
) -> None:
    from ...simulated.standin import StandIn

    name = fault[0]["kind"] if fault else "no fault at all"
    with StandIn("coinbase", market=truth, faults=fault, limits=False) as exchange:
        try:
            got = answer(exchange.url, start, end)
        except NotImplementedError:
            raise
        except Exception as error:
            if any(c.status == 400 for c in exchange.calls):
                raise Wrong("the venue refused a window: at most 300 candles, both ends counted") from None
            if fault:
                raise Wrong(f"under {name} it stopped with {type(error).__name__}: {hint}") from None
            raise
        calls, refused = len(exchange.calls), any(c.status == 400 for c in exchange.calls)
    got = pd.DataFrame(got)
    if refused:
        raise Wrong("the venue refused a window: at most 300 candles, both ends counted")
    if "open_time" not in got or len(got) == 0:
        raise Wrong("nothing came back: the first windows lie before the listing and are empty; go on to the next")
    closed = truth.iloc[:-1]
    times = pd.DatetimeIndex(got["open_time"])
    if (times == truth["open_time"].iloc[-1]).any():
        raise Wrong("the last bar is still open: compare its close time with the Date header, and leave it out")
    if times.has_duplicates:
        raise Wrong(f"under {name} {int(times.duplicated().sum())} bars are there twice: {hint or 'windows overlap'}")
    if not times.is_monotonic_increasing:
        raise Wrong(f"under {name} the bars are not in order of time: {hint or 'the venue sends the newest first'}")
    lost = len(closed) - int(closed["open_time"].isin(times).sum())
    if lost:
        raise Wrong(f"under {name} {lost} of {len(closed)} bars are lost: {hint or 'step over empty windows'}")
    merged = closed.merge(got, on="open_time", suffixes=("", "_got"))
    for column in ("open", "high", "low", "close", "volume"):
        if not np.allclose(merged[column], merged[f"{column}_got"]):
            raise Wrong(f"the column {column} is wrong: a row is time, LOW, HIGH, OPEN, CLOSE, volume")
    if calls > 40:
        raise Wrong(f"{calls} calls for four windows: ask for 300 candles at a time")


def _two(result: Any) -> tuple[list, list]:
    if not (isinstance(result, tuple) and len(result) == 2):
        raise Wrong(f"return two lists, the rows and what is missing; got {type(result).__name__}")
    return list(result[0]), list(result[1])


def _market(bars: int) -> pd.DataFrame:
    from ...candles import as_candles

    rng = np.random.default_rng(3)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.01, bars))), 2)
    open_ = np.r_[100.0, close[:-1]]
    values = {"open": open_, "high": np.maximum(open_, close) + 0.5, "low": np.minimum(open_, close) - 0.5}
    times = pd.date_range(START, periods=bars, freq="h")
    volume = np.round(rng.uniform(1, 9, bars), 3)
    frame = pd.DataFrame({"open_time": times, "symbol": "BTC-USD", **values, "close": close, "volume": volume})
    return as_candles(frame, interval="1h")
