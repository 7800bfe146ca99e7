"""Checks of the exercises of :doc:`/notebooks/data/known_truth`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...simulated import Asset, conditional_variance, simulate_market
from ..checks import Wrong, exercise, one_number


@exercise("truth.score", kind="implement", difficulty=2, minutes=10)
def check_score(answer: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """A score that clustering cannot fool"""
    x, y = np.array([1.0, -2.0, 3.0]), np.array([0.01, 0.02, -0.01])
    p = x * y
    right = p.sum() / math.sqrt((p**2).sum())
    got = one_number(answer(x, y), "the score")
    if math.isclose(got, right, rel_tol=1e-9):
        return
    t = p.mean() / p.std(ddof=1) * math.sqrt(3)
    mistakes = {
        abs(right): "the sign is lost: a negative score says that the signal points the wrong way",
        t: "this is the t-statistic of the products: do not take their mean off before squaring",
        p.mean()
        / p.std()
        * math.sqrt(3): "this is the t-statistic of the products (with n): do not take their mean off",
        p.sum() / np.sqrt((x**2).sum() * (y**2).sum()): "the denominator multiplies two sums: sum the squares of the "
        "products x * y, or calm and stormy hours are mixed up again",
        p.mean() / math.sqrt((p**2).sum()): "the numerator is a mean, the denominator a sum: use the sum in both",
    }
    for value, diagnosis in mistakes.items():
        if math.isclose(got, value, rel_tol=1e-9):
            raise Wrong(diagnosis)
    raise Wrong(f"for x = {x.tolist()} and y = {y.tolist()} the score is {right:.4f}, yours is {got:.4f}")


@exercise("truth.memory", kind="implement", difficulty=3, minutes=15)
def check_memory(answer: Callable[[np.ndarray, float, float], Any]) -> None:
    """One memory is a GARCH(1, 1)"""
    z = np.array([0.5, -2.0, 1.0, 0.0, 1.5, -0.3])
    weight, rate = 0.8, 0.25
    right = conditional_variance(z[:, None], weights=[weight], rates=[rate])[:, 0]
    got = np.asarray(answer(z, weight, rate), dtype=float).ravel()
    if got.shape != right.shape:
        raise Wrong(f"{len(z)} shocks give {len(z)} variances, one known before each shock; yours has {len(got)}")
    if np.allclose(got, right, rtol=1e-9):
        return
    if np.allclose(got**2, right):
        raise Wrong("these are standard deviations: return the variance itself")
    if np.allclose(got[:-1], right[1:]) or (got[0] > 0.9 * weight and not math.isclose(got[0], 1.0, rel_tol=1e-9)):
        raise Wrong(
            f"the first variance is {got[0]:.4f}: before any shock the memory stands at one, so it is 1. "
            "Write the variance down first, then let the memory see the shock"
        )
    memory, without = 1.0, []
    for shock in z:
        without.append(1 - weight + weight * memory)
        memory += rate * (shock**2 - memory)
    if np.allclose(got, without):
        raise Wrong("the memory is fed with z**2: what it sees is the squared move, h * z**2")
    if got[0] < 0.9 * weight:
        raise Wrong(f"the first variance is {got[0]:.4f}: the memory starts at one, not at zero")
    first = int(np.argmax(~np.isclose(got, right)))
    raise Wrong(f"variance {first} should be {right[first]:.4f}, yours is {got[first]:.4f}")


@exercise("truth.flips", kind="bug", difficulty=3, minutes=15)
def check_flips(answer: Callable[..., float]) -> None:
    """A p-value that cannot be zero"""
    rng = np.random.default_rng(1)
    x = rng.choice([-1.0, 1.0], 400)
    y = 0.01 * rng.standard_normal(400)
    rising, falling = (_p(answer, x, y + side * 0.005 * x, 2) for side in (1, -1))
    if falling > 0.5 and rising < 0.05:
        raise Wrong(
            f"a strong effect of negative sign gets p = {falling:.2f}: compare sizes, |flipped| >= |seen|, for the "
            "alternative has two sides"
        )
    if rising == 0 or falling == 0:
        raise Wrong("p is 0 after 199 rounds: what was seen is one of the equally likely arrangements; count it too")
    if max(rising, falling) > 0.02:
        raise Wrong(
            f"ten standard errors get p = {max(rising, falling):.3f}: flip each product on its own, not all at once"
        )
    zero = _p(answer, np.zeros(50), y[:50], 3)
    if zero < 0.999:
        raise Wrong(
            f"a signal that is always zero gets p = {zero:.3f}, it should be 1: ties count as 'at least as extreme'"
        )
    assets = [Asset(symbol=f"M{i:03d}", loading=0.0) for i in range(120)]
    close = simulate_market(symbols=assets, bars=801, seed=17).candles.pivot(
        index="open_time", columns="symbol", values="close"
    )
    returns = close.pct_change().to_numpy()[1:]
    share = float(np.mean([_p(answer, r[:-1], r[1:], i) <= 0.05 for i, r in enumerate(returns.T)]))
    if share > 0.12:
        raise Wrong(
            f"your test accuses {share:.0%} of 120 null markets at the 5 % level: shuffling tears calm and stormy "
            "hours apart; keep x and y in place and flip signs only"
        )


@exercise("truth.hours", kind="measure", difficulty=3, minutes=15)
def check_hours(answer: float | Callable[[], float]) -> None:
    """How long must one look?"""
    hours = one_number(answer() if callable(answer) else answer, "the number of hours")
    needed = ((1.96 + 0.8416) / 0.03) ** 2
    if abs(hours / needed - 1) <= 0.03:
        return
    if abs(hours / (1.96 / 0.03) ** 2 - 1) < 0.02:
        raise Wrong(
            "after that many hours the expected score equals the threshold, so half of the markets stay below it: "
            "that is a power of 50 %, the question asks for 80 %"
        )
    if abs(hours / math.sqrt(needed) - 1) < 0.03:
        raise Wrong("the score grows with the square root of the hours: square what you have")
    if hours <= 0:
        raise Wrong(f"{hours:g} hours: no test needs less than none")
    power = _phi(0.03 * math.sqrt(hours) - 1.96)
    raise Wrong(f"after {hours:,.0f} hours the power is {power:.0%}, the question asks for 80 %")


@exercise("truth.leader", kind="stretch", difficulty=4, minutes=30)
def check_leader(answer: Callable[..., Any]) -> None:
    """Who leads, and by how much?"""
    for seed, leader, follower, lag in ((11, "BTCUSDT", "SOLUSDT", 2), (12, "ETHUSDT", "BTCUSDT", 4)):
        candles = _market("lead_lag", seed, leader=leader, followers=[follower], lag=lag, strength=0.15)
        _judge(answer(candles), (leader, follower, lag))
    for seed in (13, 14, 15):
        found = answer(_market("null", seed))
        if found is not None:
            raise Wrong(
                f"in a null market (seed {seed}) you found {found!r}: return None unless the best score is beyond what "
                "the best of many worthless ones reaches"
            )


def _judge(found: Any, truth: tuple[str, str, int]) -> None:
    leader, follower, lag = truth
    if found is None:
        raise Wrong(f"{leader} leads {follower} by {lag} bars, and you found nothing: is the threshold too high?")
    if not isinstance(found, tuple) or len(found) != 3:
        raise Wrong(f"return (leader, follower, lag) or None, not {found!r}")
    if found[0] == follower and found[1] == leader:
        raise Wrong(f"you say that {follower} leads: the leader's return comes first, so it is the one that is shifted")
    if int(found[2]) == 0:
        raise Wrong("a lag of 0 is the same-bar correlation of two coins, not a lead: start at lag 1")
    if tuple(found[:2]) == (leader, follower):
        if int(found[2]) != lag:
            raise Wrong(f"the pair is right, and the lead is {lag} bars, not {found[2]}: count the shift again")
        return
    raise Wrong(f"{leader} leads {follower} by {lag} bars; you found {found!r}")


def _market(kind: str, seed: int, **planted: Any) -> Any:
    return simulate_market(kind, symbols="BTCUSDT,ETHUSDT,SOLUSDT", bars=4_000, seed=seed, **planted).candles


def _p(answer: Callable[..., float], x: np.ndarray, y: np.ndarray, seed: int) -> float:
    p = one_number(answer(x, y, np.random.default_rng(seed)), "p")
    if not 0 <= p <= 1:
        raise Wrong(f"p is a share between 0 and 1, yours is {p:g}")
    return p


def _phi(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))
