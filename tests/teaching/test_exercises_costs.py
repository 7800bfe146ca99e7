"""The checks of "What trading costs" accept right answers and name what is wrong with the others."""

import math

import numpy as np
import pandas as pd
from support import assert_exercise

from alphabook.backtest import BacktestConfig, backtest_signals, funding_per_bar


def charged(candles, units, rates, *, floor=True, sign=1.0, on="close_time", size=abs, keep=True, price=True):
    due = rates.copy()
    if floor:
        due.index = due.index.floor("s")
    per_bar = due.reindex(pd.DatetimeIndex(candles[on])).fillna(0.0).to_numpy()
    held = np.asarray(units) if keep else size(np.asarray(units))
    return sign * float((held * (candles["close"].to_numpy() if price else 1.0) * per_bar).sum())


def charged_in_a_loop(candles, units, rates):
    total = 0.0
    for time, rate in rates.items():
        for bar, held in zip(candles.itertuples(), units, strict=True):
            if bar.open_time < time.floor("s") <= bar.close_time:
                total += held * bar.close * rate
    return total


def charged_by_the_package(candles, units, rates):
    per_bar = funding_per_bar(rates.set_axis(rates.index.floor("s")), candles[["open_time", "close"]])
    return (units * candles["close"] * per_bar).sum()


def filled_forward(candles, units, rates):
    per_bar = rates.reindex(pd.DatetimeIndex(candles["close_time"]), method="ffill").fillna(0.0).to_numpy()
    return float((units * candles["close"].to_numpy() * per_bar).sum())


def test_funding():
    assert_exercise(
        "costs.funding",
        right=[charged, charged_in_a_loop, charged_by_the_package],
        wrong={
            "the sign is flipped": lambda *a: charged(*a, sign=-1.0),
            "the short side pays too": lambda *a: charged(*a, keep=False),
            "the bar that opens then": lambda *a: charged(*a, on="open_time"),
            "units times price": lambda *a: charged(*a, price=False),
            "do not fill it forward": filled_forward,
            "floor the times": lambda *a: charged(*a, floor=False),
            "two payments": lambda *a: 1.0,
            "one number, got list": lambda *a: [1.0],
        },
    )


def trip(entry, exit, units, side, commission, slippage, rate, *, both=True, worse=1, pays=1):
    bought, sold = entry * (1 + worse * side * slippage), exit * (1 - worse * side * slippage)
    fee = commission * units * (bought + (sold if both else 0.0))
    return units * side * (sold - bought) - fee - pays * units * side * exit * rate


def trip_by_kind(entry, exit, units, side, commission, slippage, rate):
    gross = units * side * (exit - entry)
    slipped = units * slippage * (entry + exit)
    fees = commission * units * (entry + exit + side * slippage * (entry - exit))
    return gross - slipped - fees - units * side * exit * rate


def test_ledger():
    assert_exercise(
        "costs.ledger",
        right=[trip, trip_by_kind],
        wrong={
            "charged on both fills": lambda **a: trip(**a, both=False),
            "the slippage helps": lambda **a: trip(**a, worse=-1),
            "the funding has the wrong sign": lambda **a: trip(**a, pays=-1),
            "both fills; the slippage helps": lambda **a: trip(**a, both=False, worse=-1),
            "in and out; the funding": lambda **a: trip(**a, worse=-1, pays=-1),
            "the long trip at a rate of 0.003 leaves": lambda **a: 1.0,
            "not a number to go on with": lambda **a: float("nan"),
        },
    )


def bisected(candles, signals, *, slippage=0.0, steps=40):
    low, high = 0.0, 0.5
    for _ in range(steps):
        middle = (low + high) / 2
        config = BacktestConfig(
            position_size=1.0, stop_loss=None, take_profit=None, slippage=slippage, commission=middle
        )
        if backtest_signals(candles, signals, config).metrics["total_return"] > 0:
            low = middle
        else:
            high = middle
    return low


def by_formula(candles, signals):
    config = BacktestConfig(position_size=1.0, stop_loss=None, take_profit=None, slippage=0.0, commission=0.0)
    metrics = backtest_signals(candles, signals, config).metrics
    return math.tanh(math.log1p(metrics["total_return"]) / 2 / metrics["num_trades"])


def gross_over_traded(candles, signals):
    config = BacktestConfig(position_size=1.0, stop_loss=None, take_profit=None, slippage=0.0, commission=0.0)
    return backtest_signals(candles, signals, config).metrics["break_even_cost"]


def test_bisect():
    assert_exercise(
        "costs.bisect",
        right=[bisected, by_formula],
        wrong={
            "are basis points": lambda c, s: 1e4 * by_formula(c, s),
            "a whole round trip": lambda c, s: 2 * by_formula(c, s),
            "gross profit over traded value": gross_over_traded,
            "still in the configuration": lambda c, s: bisected(c, s, slippage=0.0005),
            "above 0": lambda c, s: 0.0,
            "look for the zero": lambda c, s: 0.001 + by_formula(c, s),
            "one number, got str": lambda c, s: "low",
        },
    )


def band(x, width, *, inside="keep", start=0):
    held, out = start, []
    for value in x:
        if value > width:
            held = 1
        elif value < -width or (inside == "flat" and not value > width):
            held = 0
        out.append(held)
    return out


def band_filled(x, width):
    said = pd.Series(np.where(x > width, 1.0, np.where(x < -width, 0.0, np.nan)))
    return said.ffill().fillna(0.0).to_numpy()


def test_band():
    assert_exercise(
        "costs.band",
        right=[band, band_filled],
        wrong={
            "inside the band you go flat": lambda x, w: band(x, w, inside="flat"),
            "the sign of the signal": lambda x, w: (np.nan_to_num(x) > 0).astype(int),
            "one bar late": lambda x, w: [0, *band(x, w)[:-1]],
            "not short": lambda x, w: [p or -1 for p in band(x, w)],
            "exactly at the edge": lambda x, w: band(x, w - 1e-9),
            "no opinion means keep": lambda x, w: band(np.nan_to_num(x, nan=-1.0), w),
            "the other edge of the band": lambda x, w: band(x - 0.3, w - 0.3),
            "says nothing": lambda x, w: np.where(np.isnan(x), np.nan, band(x, w)),
            "12 signals give 12": lambda x, w: band(x[1:], w),
            "at bar 0 the signal": lambda x, w: band(x, w, start=1),
        },
    )


def searched(rho, edge, cost, *, bars=40_000, seed=5):
    rng = np.random.default_rng(seed)
    x = [0.0]
    for shock in rng.standard_normal(bars) * (1 - rho**2) ** 0.5:
        x.append(rho * x[-1] + shock)
    x = np.array(x)
    best = (-np.inf, 0.0)
    for width in np.arange(0, 3, 0.1):
        held = pd.Series(np.where(x > width, 1.0, np.where(x < -width, -1.0, np.nan))).ffill().fillna(0).to_numpy()
        best = max(best, ((edge * held * x).mean() - cost * np.abs(np.diff(held)).mean(), width))
    return best[1]


def by_cube_root(rho, edge, cost):
    """Continuous time: the value of holding on is linear in x, and the best band solves a cubic for small costs."""
    return min((1.5 * cost / edge * (1 - rho**2)) ** (1 / 3), 2.0)


def test_best_band():
    assert_exercise(
        "costs.best-band",
        right=[searched, by_cube_root],
        wrong={
            "no band at all": lambda rho, edge, cost: 0.0,
            "of a single bar": lambda rho, edge, cost: cost / edge,
            "too wide": lambda rho, edge, cost: 3.0,
            "too narrow": lambda rho, edge, cost: 0.1,
            "at least 0": lambda rho, edge, cost: -1.0,
            "one number, got str": lambda rho, edge, cost: "wide",
        },
    )
