"""Checks of the exercises of :doc:`/notebooks/backtests/costs`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from ...backtest import BacktestConfig, backtest_signals
from ...simulated import simulate_market
from ..checks import Wrong, exercise, one_number


@exercise("costs.funding", kind="implement", difficulty=3, minutes=20)
def check_funding(answer: Callable[[pd.DataFrame, np.ndarray, pd.Series], float]) -> None:
    """Funding at its instants"""
    opens = pd.date_range("2024-03-01 05:00", periods=6, freq="h", tz="UTC")
    closes = opens + pd.Timedelta("1h")
    close = np.array([100.0, 110.0, 120.0, 130.0, 140.0, 150.0])
    candles = pd.DataFrame({"open_time": opens, "close_time": closes, "close": close})
    units = np.array([0.0, 2.0, 2.0, -3.0, -3.0, 0.0])
    rates = pd.Series([0.001, 0.002], index=pd.to_datetime(["2024-03-01 08:00", "2024-03-01 10:00"], utc=True))
    right = 2.0 * 120 * 0.001 - 3.0 * 140 * 0.002
    got = one_number(answer(candles, units, rates), "the funding paid")
    if math.isclose(got, right, rel_tol=1e-9):
        late = rates.copy()
        late.index = late.index + pd.Timedelta("5ms")
        again = one_number(answer(candles, units, late), "the funding paid")
        if not math.isclose(again, right, rel_tol=1e-9):
            raise Wrong(
                f"stamped 5 ms after the hour, as exchanges do, the payments come to {again:.4g} instead of "
                f"{right:.4g}: floor the times to the second before joining"
            )
        return
    mistakes = {
        -right: "the sign is flipped: with a positive rate the long side pays",
        2.0 * 120 * 0.001
        + 3.0 * 140 * 0.002: "the short side pays too: with a positive rate a short *receives*; keep the sign of the "
        "position",
        -3.0
        * 130
        * 0.001: "the payment of 08:00 is charged to the bar that opens then: it belongs to what was held in "
        "the bar that closes at 08:00",
        2.0 * 0.001 - 3.0 * 0.002: "the rate is a fraction of the position's *value*: units times price",
    }
    for value, diagnosis in mistakes.items():
        if math.isclose(got, value, rel_tol=1e-9):
            raise Wrong(diagnosis)
    filled = float((units * close * rates.reindex(closes, method="ffill").fillna(0.0).to_numpy()).sum())
    if math.isclose(got, filled, rel_tol=1e-9):
        raise Wrong("the rate is charged in every bar: it is due at its instant only, so do not fill it forward")
    raise Wrong(f"two payments, 2 x 120 x 0.001 and -3 x 140 x 0.002, make {right:.4g}; yours is {got:.4g}")


@exercise("costs.ledger", kind="bug", difficulty=2, minutes=15)
def check_ledger(answer: Callable[..., float]) -> None:
    """A ledger that flatters"""
    trip: dict[str, Any] = {"entry": 100.0, "exit": 104.0, "units": 10.0, "commission": 0.001, "slippage": 0.0005}
    for side in (1, -1):
        for rate in (0.003, 0.0):
            case: dict[str, Any] = {**trip, "side": side, "rate": rate}
            right = _trip(**case)
            got = one_number(answer(**case), "the net profit")
            if math.isclose(got, right, rel_tol=1e-9, abs_tol=1e-9):
                continue
            for faults in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)):
                if math.isclose(got, _trip(**case, faults=faults), rel_tol=1e-9, abs_tol=1e-9):
                    raise Wrong(_ledger_diagnosis(faults))
            who = "long" if side > 0 else "short"
            raise Wrong(f"the {who} trip at a rate of {rate} leaves {right:.4f}, yours {got:.4f}")


def _trip(
    entry: float,
    exit: float,
    units: float,
    side: int,
    commission: float,
    slippage: float,
    rate: float,
    faults: tuple[int, int, int] = (0, 0, 0),
) -> float:
    entry_only, kind, flipped = faults
    worse = -side if kind else side
    paid, got = entry * (1 + worse * slippage), exit * (1 - worse * slippage)
    fee = units * commission * (paid if entry_only else paid + got)
    funding = units * side * exit * rate
    return units * side * (got - paid) - fee - (-funding if flipped else funding)


def _ledger_diagnosis(faults: tuple[int, int, int]) -> str:
    words = (
        "the way out pays no commission: it is charged on both fills",
        "the slippage helps: a buyer pays more than the quote and a seller gets less, on the way in and out",
        "the funding has the wrong sign: at a positive rate the long side pays and the short side receives",
    )
    return "; ".join(text for text, there in zip(words, faults, strict=True) if there)


@exercise("costs.bisect", kind="measure", difficulty=3, minutes=20)
def check_bisect(answer: Callable[[pd.DataFrame, pd.Series], float]) -> None:
    """Where the account stands still"""
    candles, signals = _trend()
    free = backtest_signals(candles, signals, _all_in(0.0))
    trips = free.metrics["num_trades"]
    right = math.tanh(math.log(free.metrics["final_equity"] / free.config.initial_capital) / (2 * trips))
    got = one_number(answer(candles, signals), "the break-even commission")
    if abs(got / right - 1) < 2e-3:
        return
    if abs(got / (1e4 * right) - 1) < 2e-3:
        raise Wrong(f"{got:.2f} are basis points: return the fraction, as BacktestConfig takes it")
    if abs(got / (2 * right) - 1) < 2e-3:
        raise Wrong("this is the cost of a whole round trip: commission is charged per unit of traded value, each way")
    if abs(got / free.metrics["break_even_cost"] - 1) < 2e-3:
        raise Wrong(
            "this is gross profit over traded value at no cost: with costs the account is smaller and trades less. "
            "Run the backtest at each commission and bisect"
        )
    slipped = math.tanh(math.atanh(right) - math.atanh(0.0005))
    if abs(got / slipped - 1) < 2e-3:
        raise Wrong("5 basis points of slippage are still in the configuration: set slippage=0.0")
    if got <= 0:
        raise Wrong(f"{got:g}: this rule earns something before costs, so its break-even commission is above 0")
    left = backtest_signals(candles, signals, _all_in(min(got, 0.5))).metrics["total_return"]
    raise Wrong(f"at a commission of {got:.6f} the all-in account still changes by {left:+.2%}; look for the zero")


@exercise("costs.band", kind="implement", difficulty=2, minutes=15)
def check_band(answer: Callable[[np.ndarray, float], Any]) -> None:
    """A band in which nothing is traded"""
    x = np.array([0.2, 0.8, 0.3, -0.2, -0.49, -0.6, 0.1, 0.5, 0.51, np.nan, 0.0, -0.9])
    right = np.array([0, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0])
    got = np.asarray(answer(x, 0.5), dtype=float).ravel()
    if got.shape != right.shape:
        raise Wrong(f"{len(x)} signals give {len(right)} positions; yours has {len(got)}")
    if np.array_equal(got, right):
        wide = np.asarray(answer(-x, 2.0), dtype=float).ravel()
        if wide.any():
            raise Wrong("inside the band from the first bar on there is no position yet: start flat")
        return
    if not np.isfinite(got).all():
        raise Wrong("a signal that is NaN says nothing: keep the position, 0 or 1")
    filled = np.nan_to_num(x)
    if np.array_equal(got, filled > 0.5):
        raise Wrong("inside the band you go flat: the point of the band is to keep what is held")
    if np.array_equal(got, filled > 0):
        raise Wrong("this is the sign of the signal: it has no band at all")
    if np.array_equal(got[1:], right[:-1]) and got[0] == 0:
        raise Wrong("your positions come one bar late: the delay is the engine's business, not the rule's")
    if (got < 0).any():
        raise Wrong("below the band the rule is flat, 0, not short")
    if got[7] == 1 and got[6] == 0:
        raise Wrong("at bar 7 the signal is exactly at the edge, 0.5: act only when it lies *outside* the band")
    if got[9] == 0 and got[8] == 1:
        raise Wrong("at bar 9 the signal is NaN and you sell: no opinion means keep what is held")
    if got[2] == 0 or got[3] == 0 or got[4] == 0:
        raise Wrong("you leave before the signal has fallen below -width: the way out is the other edge of the band")
    first = int(np.flatnonzero(got != right)[0])
    raise Wrong(f"at bar {first} the signal is {x[first]:g} and the position should be {right[first]}")


@exercise("costs.best-band", kind="stretch", difficulty=4, minutes=40)
def check_best_band(answer: Callable[[float, float, float], float]) -> None:
    """How wide should the band be?"""
    for rho, edge, cost in ((0.9, 5e-4, 5e-4), (0.98, 2e-4, 10e-4), (0.95, 5e-4, 1e-4)):
        width = one_number(answer(rho, edge, cost), "the width")
        case = f"for rho={rho}, edge={1e4 * edge:g} bp, cost={1e4 * cost:g} bp"
        if width < 0:
            raise Wrong(f"{case} the width is {width:g}: a band has a width of at least 0")
        widths = np.linspace(0, 3, 61)
        nets = np.array([_net_of_band(rho, edge, cost, w) for w in widths])
        best, mine = float(nets.max()), _net_of_band(rho, edge, cost, width)
        if mine >= best - 0.05 * abs(best):
            continue
        if width == 0:
            raise Wrong(f"{case} no band at all earns {1e4 * mine:.2f} bp a bar, the best one {1e4 * best:.2f}")
        if math.isclose(width, cost / edge, rel_tol=0.02) and width > widths[nets.argmax()]:
            raise Wrong(
                f"{case} you compare the cost with the edge of a single bar; the signal lasts 1 / (1 - rho) bars"
            )
        side = "too narrow" if width < widths[int(nets.argmax())] else "too wide"
        raise Wrong(f"{case} the band {width:.2f} is {side}: {1e4 * mine:.2f} bp a bar, {1e4 * best:.2f} are there")


@cache
def _standard_signal(rho: float) -> np.ndarray:
    shocks = np.random.default_rng(23).standard_normal(60_000)
    x, out = 0.0, []
    for shock in (math.sqrt(1 - rho**2) * shocks).tolist():
        x = rho * x + shock
        out.append(x)
    return np.array(out)


def _net_of_band(rho: float, edge: float, cost: float, width: float) -> float:
    """Mean net gain per bar of holding +1 above the band and -1 below it."""
    x = _standard_signal(rho)
    said = np.where(np.abs(x) > width, np.sign(x), 0.0)
    last = np.maximum.accumulate(np.where(said != 0, np.arange(len(x)), 0))
    held = said[last]
    return float((edge * held * x).mean() - cost * np.abs(np.diff(held)).mean())


@cache
def _trend() -> tuple[pd.DataFrame, pd.Series]:
    candles = simulate_market("momentum", symbols="BTCUSDT", bars=4_000, lookback=48, strength=0.15, seed=3).candles
    change = np.log(candles["close"]).diff(48).fillna(0.0)
    return candles, np.sign(change).astype(int)


def _all_in(commission: float) -> BacktestConfig:
    return BacktestConfig(position_size=1.0, stop_loss=None, take_profit=None, slippage=0.0, commission=commission)
