"""The checks of "The bug museum" accept right answers and name what is wrong with the others."""

import numpy as np
import pandas as pd
from support import assert_exercise

from alphabook.teaching.museum import COST


def cut_and_compare(fn, data, cut, *, nan_equal=True, last=False, whole=False, flag=False, drop=False):
    full, part = fn(data), fn(data if whole else data.iloc[:cut])
    if drop:
        both = pd.concat([full.iloc[:cut], part.iloc[:cut]], axis=1).dropna()
        rows = both.index[~np.isclose(both.iloc[:, 0], both.iloc[:, 1])].to_numpy()
    else:
        rows = np.flatnonzero(~np.isclose(full.iloc[:cut], part.iloc[:cut], equal_nan=nan_equal))
    if flag:
        return bool(len(rows)) or None
    return None if len(rows) == 0 else int(rows[-1 if last else 0])


def loop(fn, data, cut):
    full, part = fn(data).tolist(), fn(data[:cut]).tolist()
    for row in range(cut):
        a, b = full[row], part[row]
        if a != a and b != b:
            continue
        if a != b and not abs(a - b) <= 1e-9 * abs(a):
            return row
    return None


def test_truncate():
    assert_exercise(
        "museum.truncate",
        right=[cut_and_compare, loop],
        wrong={
            "NaN in both runs is no difference": lambda f, d, c: cut_and_compare(f, d, c, nan_equal=False),
            "You return the last one": lambda f, d, c: cut_and_compare(f, d, c, last=True),
            "the next return goes free": lambda f, d, c: cut_and_compare(f, d, c, drop=True),
            "run fn on data[:cut]": lambda f, d, c: 29 if np.isnan(f(d).iloc[-1]) else None,
            "say where": lambda f, d, c: cut_and_compare(f, d, c, flag=True),
            "compare only those": lambda f, d, c: f(d[:c]).iloc[c],
        },
    )


def walk(fills, capital, fee, last, *, sides=(1, 1), open_end=True, sign=1):
    cash, units = capital, 0.0
    for _, size, price in fills:
        cash -= sign * size * price + fee * (sides[0] * max(size, 0) + sides[1] * max(-size, 0)) * price
        units += size
    return cash + units * last * open_end


def test_cash():
    def table(fills, capital, fee, last):
        frame = pd.DataFrame(fills, columns=["row", "units", "price"])
        value = frame["units"] * frame["price"]
        return capital - value.sum() - fee * value.abs().sum() + frame["units"].sum() * last

    assert_exercise(
        "museum.cash",
        right=[walk, table],
        wrong={
            "no fee is charged": lambda *a: walk(*a, sides=(0, 0)),
            "sales earn their fee back": lambda *a: walk(*a, sides=(1, -1)),
            "only purchases pay": lambda *a: walk(*a, sides=(1, 0)),
            "add the open units": lambda *a: walk(*a, open_end=False),
            "buying adds cash": lambda *a: walk(*a, sign=-1),
            "yours at 7.00": lambda *a: 7,
        },
    )


def rule(bars, *, center=False, sides="both", years=8760, lazy=False):
    smooth = bars["close"].rolling(25, center=center).mean()
    held = np.sign(smooth.diff()).shift(1).fillna(0) * (0 if lazy else 1)
    change = held.diff().fillna(held)
    cost = {"both": change.abs(), "buys": change.clip(lower=0), "none": 0 * change}[sides]
    net = held * bars["close"].pct_change().fillna(0) - COST * cost
    return held, net, net.mean() / net.std() * np.sqrt(years) if not lazy else 0.0


def arrays(bars):
    close = bars["close"].to_numpy()
    held = np.zeros(len(close))
    for t in range(26, len(close)):
        held[t] = np.sign(close[t - 1] - close[t - 26])
    move = np.concatenate([[0.0], close[1:] / close[:-1] - 1])
    net = held * move - COST * np.abs(np.diff(held, prepend=0.0))
    return held, net, net.mean() / net.std(ddof=1) * np.sqrt(24 * 365)


def test_three():
    assert_exercise(
        "museum.three",
        right=[rule, arrays],
        wrong={
            "the position still looks ahead": lambda b: rule(b, center=True),
            "only purchases pay": lambda b: rule(b, sides="buys"),
            "every unit that changes hands": lambda b: rule(b, sides="none"),
            "252 is the number of trading days": lambda b: rule(b, years=252),
            "leave out the weekends": lambda b: rule(b, years=252 * 24),
            "holds almost nothing": lambda b: rule(b, lazy=True),
            "you report 3.00": lambda b: (*rule(b)[:2], 3.0),
        },
    )


def test_markets():
    spread = np.sqrt(8760 / 3000)
    assert_exercise(
        "museum.markets",
        right=[172, lambda: ((3 + 0.84) * spread / 0.5) ** 2, np.float64(175.0)],
        wrong={
            "half of all tests stay silent": (3 * spread / 0.5) ** 2,
            "square what you have": 13.1,
            "about a third": (3.84 / 0.5) ** 2,
            "a test on none": 0,
            "a probability of": 40,
            "one number, got str": "many",
        },
    )
