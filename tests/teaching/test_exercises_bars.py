"""Each check of the chapter accepts right answers written differently and diagnoses planted wrong ones."""

import numpy as np
import pandas as pd
from support import assert_exercise

from alphabook.candles import asof_join, close_time, find_gaps, resample


# --- bars.asof -----------------------------------------------------------------------------------
def by_package(fine, coarse):
    return asof_join(fine, coarse)["close_1h"]


def by_loop(fine, coarse):
    out = []
    for now in fine["open_time"] + pd.Timedelta("15min"):
        known = coarse[coarse["open_time"] + pd.Timedelta("1h") <= now]
        out.append(known["close"].iloc[-1] if len(known) else np.nan)
    return out


def by_searchsorted(fine, coarse):
    place = np.searchsorted(close_time(coarse), close_time(fine), side="right") - 1
    return np.where(place >= 0, coarse["close"].to_numpy()[place], np.nan)


def by_name(fine, coarse):
    return pd.merge_asof(fine, coarse, on="open_time", suffixes=("", "_1h"))["close_1h"]


def strictly_before(fine, coarse):
    place = np.searchsorted(close_time(coarse), close_time(fine), side="left") - 1
    return np.where(place >= 0, coarse["close"].to_numpy()[place], np.nan)


def exactly_the_hour_before(fine, coarse):
    wanted = close_time(fine).dt.floor("1h") - pd.Timedelta("1h")
    return wanted.map(coarse.set_index("open_time")["close"])


def always_the_first(fine, coarse):
    known = by_loop(fine, coarse)
    return [np.nan if np.isnan(v) else coarse["close"].iloc[0] for v in known]


def always_the_second_newest(fine, coarse):
    place = np.searchsorted(close_time(coarse), close_time(fine), side="right") - 2
    return np.where(place >= 0, coarse["close"].to_numpy()[place], np.nan)


def test_asof():
    assert_exercise(
        "bars.asof",
        right=[by_package, by_loop, by_searchsorted],
        wrong={
            "sees the 10:00 bar, which closes at 11:00: merge on close times": by_name,
            "although a newer one closes at that same instant: use <=, not <": strictly_before,
            "an older hour is still known: look back, do not match exactly": exactly_the_hour_before,
            "but a later one was closed by then: take the latest": always_the_first,
            "28 values, got 3": lambda fine, coarse: [1.0, 2.0, 3.0],
            "which is the close of no hour": lambda fine, coarse: fine["close"],
            "got float": lambda fine, coarse: 3.0,
        },
    )


def test_asof_second_newest_is_rejected():
    from alphabook.teaching.checks import evaluate

    assert evaluate("bars.asof", always_the_second_newest).status == "wrong"


# --- bars.hours ----------------------------------------------------------------------------------
def hours_by_package(quarters):
    return resample(quarters, "1h")


def grouped(quarters, *, names="floor", size=4, high="max", volume="sum"):
    hour = getattr(quarters["open_time"].dt, names)("1h")
    out = quarters.groupby(hour).agg(
        open=("open", "first"), high=("high", high), low=("low", "min"), close=("close", "last"),
        volume=("volume", volume), bars=("close", "size"),
    )  # fmt: skip
    return out[out["bars"] >= size].reset_index()


def only_the_last_left_out(quarters):
    return grouped(quarters, size=1).iloc[:-1]


def shifted(quarters):
    return grouped(quarters.assign(open_time=quarters["open_time"] + pd.Timedelta("1h")))


def test_hours():
    assert_exercise(
        "bars.hours",
        right=[hours_by_package, grouped],
        wrong={
            "a bar is named by its open time": shifted,
            "it is still being built": lambda q: grouped(q, size=1),
            "one is missing: leave it out": only_the_last_left_out,
            "high is wrong: an hour's high is the highest high": lambda q: grouped(q, high="last"),
            "volume is wrong: an hour's volume is the sum": lambda q: grouped(q, volume="mean"),
            "have all four quarters": lambda q: grouped(q).iloc[:-1],
            "return a table with the columns": lambda q: grouped(q).drop(columns="volume"),
        },
    )


# --- bars.gaps -----------------------------------------------------------------------------------
def gaps_by_differences(open_times, step):
    jump = open_times.diff()
    holes = open_times[jump > step].index
    return [(open_times[i - 1] + step, int(jump[i] / step) - 1) for i in holes]


def gaps_by_walking(open_times, step):
    there, now, found, run = set(open_times), open_times.iloc[0], [], 0
    while now <= open_times.iloc[-1]:
        if now not in there:
            run += 1
        elif run:
            found.append((now - run * step, run))
            run = 0
        now += step
    return found


def gaps_by_package(open_times, step):
    prices = dict.fromkeys(["open", "high", "low", "close", "volume"], 1.0)
    gaps = find_gaps(pd.DataFrame({"open_time": open_times, "symbol": "A", **prices}), "1h")
    return gaps[["first_missing", "missing"]].itertuples(index=False, name=None)


def test_gaps():
    assert_exercise(
        "bars.gaps",
        right=[
            gaps_by_differences,
            gaps_by_walking,
            gaps_by_package,
        ],
        wrong={
            "n - 1 missing between them": lambda t, s: [(f, n + 1) for f, n in gaps_by_differences(t, s)],
            "is there; name the first bar": lambda t, s: [(f - s, n) for f, n in gaps_by_differences(t, s)],
            "bars missing side by side are one gap": lambda t, s: [
                (f + i * s, 1) for f, n in gaps_by_differences(t, s) for i in range(n)
            ],
            "you found no gap": lambda t, s: [],
            "you list 1 gaps, beginning at": lambda t, s: [max(gaps_by_differences(t, s), key=lambda g: g[1])],
        },
    )


# --- bars.stamp ----------------------------------------------------------------------------------
def lag_by_correlation(ours, theirs, lags=range(-3, 4), flip=1):
    returns = ours.pct_change()
    return flip * max(lags, key=lambda k: returns.corr(theirs.pct_change().shift(k)))


def lag_by_log_differences(ours, theirs):
    a, b = np.log(ours).diff(), np.log(theirs).diff()
    distance = {k: float((a - b.shift(k)).abs().mean()) for k in range(-5, 6)}
    return min(distance, key=distance.get)


def test_stamp():
    assert_exercise(
        "bars.stamp",
        right=[lag_by_correlation, lag_by_log_differences],
        wrong={
            "theirs.shift(k), not ours.shift(k)": lambda a, b: lag_by_correlation(a, b, flip=-1),
            "negative ones too": lambda a, b: 0,
            "take the lag of the highest correlation": lambda a, b: 3,
            "return one whole number": lambda a, b: a.pct_change(),
        },
    )


# --- bars.delay ----------------------------------------------------------------------------------
def delayed_merge(fine, coarse, delay, *, sign=1, unit="1ns"):
    left = pd.DataFrame({"now": close_time(fine)})
    arrived = (close_time(coarse) + sign * delay.floor(unit)).astype(left["now"].dtype)
    right = pd.DataFrame({"at": arrived, "close": coarse["close"]})
    return pd.merge_asof(left, right, left_on="now", right_on="at")["close"]


def delayed_loop(fine, coarse, delay):
    out = []
    for now in fine["open_time"] + pd.Timedelta("15min"):
        known = coarse[coarse["open_time"] + pd.Timedelta("1h") + delay <= now]
        out.append(known["close"].iloc[-1] if len(known) else float("nan"))
    return out


def test_delay():
    assert_exercise(
        "bars.delay",
        right=[delayed_merge, delayed_loop],
        wrong={
            "the answer does not depend on the delay": lambda f, c, d: by_package(f, c),
            "sees further ahead than without a delay": lambda f, c, d: delayed_merge(f, c, d, sign=-1),
            "is the latest close that had arrived by then": lambda f, c, d: delayed_merge(f, c, d, unit="15min"),
        },
    )
