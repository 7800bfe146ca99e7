"""Volatility that clusters: GARCH with several memories and Student-t shocks.

Taught in :doc:`/notebooks/data/known_truth`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class Clustering:
    """How the variance of a bar remembers the squares of earlier bars.

    The variance is one number plus a weighted sum of exponential averages of past squared shocks, one
    per memory. One memory is the GARCH(1, 1) of Bollerslev (1986); two memories reproduce an
    autocorrelation that falls fast within a day and then slowly over weeks. Weights below a total of
    one keep the average variance at one.

    Args:
        weights: share of the variance that each memory carries.
        half_lives: hours after which a memory has lost half of a shock.
        degrees: degrees of freedom of the Student-t shocks, above 2 (``inf`` for Gaussian shocks).
        leverage: extra weight of falls over rises in what is remembered, in [-1, 1].
        ceiling: largest variance that memories may build up to, relative to the average (50 is seven times
            the usual volatility); without it, rare strings of large shocks feed on themselves.
    """

    weights: tuple[float, ...] = (0.40, 0.55)
    half_lives: tuple[float, ...] = (1.0, 30.0)
    degrees: float = 4.0
    leverage: float = 0.1
    ceiling: float = 50.0

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.half_lives):
            raise ValueError(f"one half-life per weight, got {len(self.weights)} and {len(self.half_lives)}")
        if min(self.weights, default=0) < 0 or sum(self.weights) >= 1:
            raise ValueError(
                f"weights must be >= 0 and sum to less than 1, got {self.weights}: the variance would grow"
            )
        if min(self.half_lives, default=1) <= 0:
            raise ValueError(f"half_lives are hours > 0, got {self.half_lives}")
        if not self.degrees > 2:
            raise ValueError(f"degrees must exceed 2 (below, a t-shock has no variance), got {self.degrees}")
        if not -1 <= self.leverage <= 1:
            raise ValueError(f"leverage must lie in [-1, 1], got {self.leverage}")
        if not self.ceiling > 1:
            raise ValueError(f"ceiling is a multiple of the average variance above 1, got {self.ceiling}")

    def rates(self, hours: float) -> NDArray[np.float64]:
        """Share of each memory that one bar of ``hours`` replaces, shape ``(memories,)``."""
        return 1.0 - 0.5 ** (hours / np.asarray(self.half_lives, dtype=float))


NO_CLUSTERING = Clustering(weights=(), half_lives=(), degrees=np.inf, leverage=0.0)


def conditional_variance(
    shocks: ArrayLike, *, weights: ArrayLike, rates: ArrayLike, leverage: float = 0.0, ceiling: float = np.inf
) -> NDArray[np.float64]:
    """Variance of each bar given the shocks before it, for shocks of variance one.

    ``h[t] = min(ceiling, 1 - sum(w) + sum_k w[k] * m[k, t])`` with
    ``m[k, t+1] = m[k, t] + a[k] * (h[t] * news[t] - m[k, t])`` and ``news = z**2 * (1 - leverage * sign(z))``;
    every memory starts at one.

    Args:
        shocks: standardised shocks ``z``, shape ``(bars, series)``.
        weights: share per memory, shape ``(memories,)``, total below one.
        rates: ``a``, replaced share per bar and memory, shape ``(memories,)``.

    Returns:
        Variances ``h``, shape ``(bars, series)``; row ``t`` depends on rows before ``t`` only.
    """
    z = np.asarray(shocks, dtype=float)
    news = z * z * (1.0 - leverage * np.sign(z))
    w, a = (np.asarray(x, dtype=float).tolist() for x in (weights, rates))
    return np.column_stack([_recursion(column, w, a, ceiling) for column in news.T])


@functools.lru_cache(maxsize=32)
def long_run_variance(clustering: Clustering, hours: float, *, bars: int = 200_000) -> float:
    """Average variance of a bar, by one long simulation with a seed of its own; one without a ceiling.

    The ceiling cuts the rarest storms, and the variance that they would have carried: about a fifth of
    all. Dividing by this number gives the asset the volatility that was asked for.
    """
    if not clustering.weights:
        return 1.0
    rng = np.random.default_rng(20_240_101)
    shock = rng.standard_normal(bars) * np.sqrt(mixing(rng, bars, clustering.degrees))
    return float(_variance(shock, clustering, hours).mean())


def clustered(shock: NDArray[np.float64], clustering: Clustering, hours: float) -> NDArray[np.float64]:
    """Variance of each bar given its past, one on average over a long run, shape ``(bars,)``."""
    if not clustering.weights:
        return np.ones(len(shock))
    return _variance(shock, clustering, hours) / long_run_variance(clustering, hours)


def mixing(rng: np.random.Generator, bars: int, degrees: float) -> NDArray[np.float64]:
    """Variances of mean one whose Gaussian mixture is a Student-t: ``(nu - 2) / chi2(nu)``, shape ``(bars,)``."""
    if np.isinf(degrees):
        return np.ones(bars)
    return (degrees - 2.0) / (2.0 * rng.standard_gamma(degrees / 2.0, bars))


def _variance(shock: NDArray, clustering: Clustering, hours: float) -> NDArray:
    return conditional_variance(
        shock[:, None],
        weights=clustering.weights,
        rates=clustering.rates(hours),
        leverage=clustering.leverage,
        ceiling=clustering.ceiling,
    )[:, 0]


def _recursion(news: NDArray, weights: list[float], rates: list[float], ceiling: float) -> NDArray:
    if len(weights) == 2:  # the default, unrolled: three times as fast
        (w1, w2), (a1, a2) = weights, rates
        base, m1, m2 = 1.0 - w1 - w2, 1.0, 1.0
        out = []
        for n in news.tolist():
            h = base + w1 * m1 + w2 * m2
            if h > ceiling:
                h = ceiling
            out.append(h)
            square = h * n
            m1 += a1 * (square - m1)
            m2 += a2 * (square - m2)
        return np.array(out)
    base, memories, out = 1.0 - sum(weights), [1.0] * len(weights), []
    for n in news.tolist():
        h = min(ceiling, base + sum(w * m for w, m in zip(weights, memories, strict=True)))
        out.append(h)
        memories = [m + a * (h * n - m) for a, m in zip(rates, memories, strict=True)]
    return np.array(out)
