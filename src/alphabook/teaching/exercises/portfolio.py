"""Checks of the exercises of :doc:`/notebooks/backtests/portfolio`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backtest import project_capped_simplex
from ..checks import Wrong, exercise

Floats = NDArray[np.float64]

CAPS = (
    (np.array([0.80, 0.10, 0.05, 0.05]), 0.3),
    (np.array([0.70, 0.30, 0.00]), 0.5),
    (np.array([0.20, 0.30, 0.10]), 0.5),
    (np.array([0.50, 0.20, 0.05, 0.05]), 0.4),
    (np.array([0.90, 0.10]), 0.4),
)


# --- caps ------------------------------------------------------------------------------------------
@exercise("portfolio.project", kind="implement", difficulty=3, minutes=25)
def check_project(answer: Callable[[Floats, float], Any]) -> None:
    """Shift, then clip"""
    for wish, cap in CAPS:
        given = wish.copy()
        right, got = project_capped_simplex(wish, cap), _vector(answer(given, cap), len(wish), "the projection")
        if not np.array_equal(given, wish):
            raise Wrong(f"you changed the wish itself, {wish.tolist()} became {given.tolist()}: work on a copy")
        if np.allclose(got, right, atol=1e-6):
            continue
        case = f"for {wish.tolist()} and a cap of {cap}"
        if got.max() > cap + 1e-6:
            raise Wrong(
                f"{case} your largest weight is {got.max():.3f}, above the cap: dividing by the sum undoes the clipping"
            )
        if got.min() < -1e-6:
            raise Wrong(f"{case} your smallest weight is {got.min():.3f}: a shift may not push a weight below zero")
        if wish.sum() < 1 - 1e-6 and math.isclose(got.sum(), 1.0, abs_tol=1e-6):
            raise Wrong(f"{case} the wish adds up to {wish.sum():.2g}, yours to 1: the rest is meant to stay cash")
        if got.sum() < right.sum() - 1e-6:
            raise Wrong(
                f"{case} your weights add up to {got.sum():.3f}, too small: they should reach {right.sum():.3f}. "
                "What the cap cuts off goes to the others"
            )
        if np.allclose(got, _scaled(wish, cap), atol=1e-6):
            raise Wrong(
                f"{case} your weights below the cap are scaled; the nearest point shifts them all by one number: "
                f"{right.round(4).tolist()}"
            )
        raise Wrong(f"{case} the nearest weights are {right.round(4).tolist()}, yours are {got.round(4).tolist()}")


# --- one step --------------------------------------------------------------------------------------
@exercise("portfolio.step", kind="bug", difficulty=3, minutes=20)
def check_step(answer: Callable[..., Any]) -> None:
    """Three faults in one step"""
    still, flat = np.array([0.5, 0.3]), np.zeros(2)
    equity, weights, turnover = _stepped(answer(100.0, still, flat, still, 0.01, 0.6), 2)
    if turnover < 1e-9 and equity < 100 - 1e-9:
        raise Wrong(
            f"nothing moved and nothing was traded, and {100 - equity:.2f} of 100 was paid: the cost is charged on the "
            "size of the weights, it belongs on their change"
        )
    if weights.sum() > 0.8 + 1e-6:
        raise Wrong(
            f"a wish of 80 % in assets became {weights.sum():.0%}: the division by the sum spends the cash and lifts "
            "capped weights above the cap"
        )
    equity, weights, turnover = _stepped(answer(100.0, still, flat, np.array([0.7, 0.1]), 0.0, 0.6), 2)
    if not np.allclose(weights, [0.6, 0.2]):
        if weights.max() > 0.6 + 1e-9:
            raise Wrong(f"with a cap of 0.6 a weight is {weights.max():.3f}: project, do not clip and divide")
        raise Wrong(
            f"the wish [0.7, 0.1] with a cap of 0.6 is nearest to [0.6, 0.2], you trade to {weights.round(3).tolist()}"
        )
    returns, wish, cost = np.array([0.2, -0.1]), np.array([0.5, 0.3]), 0.01
    equity, weights, turnover = _stepped(answer(100.0, wish, returns, wish, cost, 0.6), 2)
    growth = 1 + wish @ returns
    moved = float(np.abs(wish - wish * (1 + returns) / growth).sum())
    if turnover < 1e-9:
        raise Wrong(
            "the assets returned 20 % and -10 % and you trade nothing: the wish is compared with yesterday's weights; "
            "let them drift first"
        )
    undivided = float(np.abs(wish - wish * (1 + returns)).sum())
    if math.isclose(turnover, undivided, rel_tol=1e-6):
        raise Wrong("the drifted weights are not divided by the growth of the whole account")
    if math.isclose(turnover, moved / 2, rel_tol=1e-6):
        raise Wrong("the turnover is halved: this book counts purchases and sales both")
    if not math.isclose(turnover, moved, rel_tol=1e-6):
        raise Wrong(f"after returns of 20 % and -10 % the turnover is {moved:.4f}, yours is {turnover:.4f}")
    right = 100 * growth * (1 - cost * moved)
    if math.isclose(equity, 100 * growth, rel_tol=1e-9):
        raise Wrong("the trades are free: take the cost of the turnover off the equity")
    if math.isclose(equity, 100 * growth * (1 - cost * wish.sum()), rel_tol=1e-9):
        raise Wrong("the cost is charged on the weights themselves: it belongs on the turnover")
    if not math.isclose(equity, right, rel_tol=1e-9):
        raise Wrong(f"the account should be worth {right:.4f} after returns and costs, yours is {equity:.4f}")


# --- frequency -------------------------------------------------------------------------------------
@exercise("portfolio.rarer", kind="measure", difficulty=2, minutes=15)
def check_rarer(answer: float | Callable[[], float]) -> None:
    """Sixteen times rarer"""
    try:
        factor = float(answer() if callable(answer) else answer)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise Wrong(f"the answer is one number, got {type(answer).__name__}") from None
    if not math.isfinite(factor) or factor <= 0:
        raise Wrong(f"a factor between two turnovers is a positive number, yours is {factor:g}")
    if 3.5 <= factor <= 4.5:
        return
    if 0.2 <= factor <= 0.3:
        raise Wrong("you divide the rare by the frequent: the question asks for the inverse")
    if 14 <= factor <= 18:
        raise Wrong("this is how many fewer rebalances there are; each of them has more to trade")
    if 2 < factor < 3.5:
        raise Wrong(
            f"{factor:.2f} is too small: did you count the first purchase? It is one whole account value in both"
        )
    raise Wrong(f"the factor is not {factor:.2f}: moves grow with the root of the time between two rebalances")


# --- a band ----------------------------------------------------------------------------------------
@exercise("portfolio.band", kind="stretch", difficulty=4, minutes=40)
def check_band(answer: Callable[..., Any]) -> None:
    """A band around the wish"""
    rng = np.random.default_rng(5)
    prices = 50 * np.exp(0.03 * rng.standard_normal((200, 3)).cumsum(axis=0))
    wish, cost = np.array([0.5, 0.3, 0.1]), 0.002
    for band in (0.05, 0.0, 1.0):
        right, trades = _banded(prices, wish, band, cost)
        got = answer(prices, wish, band, cost)
        if not isinstance(got, tuple) or len(got) != 2:
            raise Wrong("return two things: the equity of every bar, and the number of bars with trades")
        equity, count = _vector(got[0], len(prices), "the equity"), int(got[1])
        if np.allclose(equity, right, rtol=1e-9) and count == trades:
            continue
        _judge_band(equity, count, prices, wish, band, cost, right, trades)


def _judge_band(
    equity: Floats, count: int, prices: Floats, wish: Floats, band: float, cost: float, right: Floats, trades: int
) -> None:
    case = f"with a band of {band:g}"
    if np.allclose(equity, right, rtol=1e-9):
        raise Wrong(f"{case} the equity is right, and {trades} bars have trades, the first included; you count {count}")
    others = {
        "edge": "you stop at the edge of the band: the task is to trade all the way back to the wish",
        "relative": "your distance is relative to the wish: a band is in points of the account, the same for all",
        "free": "the trades are free: the cost leaves the cash with every trade, the first purchase included",
        "late": "a bar's distance is judged by the prices of the bar before: you trade one bar too late",
        "capital": "the capital does not start at 1",
    }
    for name, diagnosis in others.items():
        if np.allclose(equity, _banded(prices, wish, band, cost, **{name: True})[0], rtol=1e-9):
            raise Wrong(f"{case}: {diagnosis}")
    if np.allclose(equity, _banded(prices, wish, 0.0, cost)[0], rtol=1e-9):
        raise Wrong(f"{case}: you trade at every bar, whatever the distance")
    row = int(np.argmax(~np.isclose(equity, right, rtol=1e-9)))
    raise Wrong(f"{case} the equity of bar {row} should be {right[row]:.6f}, yours is {equity[row]:.6f}")


def _banded(
    prices: Floats,
    wish: Floats,
    band: float,
    cost: float,
    *,
    edge: bool = False,
    relative: bool = False,
    free: bool = False,
    late: bool = False,
    capital: bool = False,
) -> tuple[Floats, int]:
    """The rule itself, or one of its misreadings."""
    cash, held, equity, trades = 100.0 if capital else 1.0, np.zeros(prices.shape[1]), np.empty(len(prices)), 0
    for t, price in enumerate(prices):
        worth = cash + held @ price
        seen = prices[t - 1] if late and t else price
        weights = held * seen / (cash + held @ seen)
        distance = np.abs(weights - wish) / (wish if relative else 1.0)
        if t == 0 or distance.max() > band:
            target = np.clip(weights, wish - band, wish + band) if edge and t else wish
            value = target * worth - held * price
            cash -= value.sum() + (0.0 if free else cost) * np.abs(value).sum()
            held, trades = target * worth / price, trades + 1
        equity[t] = cash + held @ price
    return equity, trades


# --- helpers ---------------------------------------------------------------------------------------
def _scaled(wish: Floats, cap: float) -> Floats:
    """Weights scaled by one factor and cut at the cap, with the sum of the wish."""
    low, high = 0.0, 1e6
    for _ in range(200):
        factor = (low + high) / 2
        low, high = (factor, high) if np.minimum(factor * wish, cap).sum() < wish.sum() else (low, factor)
    return np.minimum(high * wish, cap)


def _stepped(got: Any, assets: int) -> tuple[float, Floats, float]:
    if not isinstance(got, tuple) or len(got) != 3:
        raise Wrong("return three things: equity, weights, turnover")
    return float(got[0]), _vector(got[1], assets, "the weights"), float(got[2])


def _vector(value: Any, length: int, what: str) -> Floats:
    try:
        vector = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise Wrong(f"{what}: expected {length} numbers, got {type(value).__name__}") from None
    if vector.shape != (length,):
        raise Wrong(f"{what}: expected shape ({length},), got {vector.shape}")
    if not np.isfinite(vector).all():
        raise Wrong(f"{what} holds a number that is not finite: {vector[~np.isfinite(vector)][0]}")
    return vector
