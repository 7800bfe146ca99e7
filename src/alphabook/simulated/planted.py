"""Effects that are put into a market on purpose, each with the expected return that an oracle would know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .bars import squash


@dataclass(frozen=True, kw_only=True)
class Regime:
    """A state of the whole market.

    Args:
        name: label in the truth.
        volatility: multiple of the asset's own volatility (rescaled so that the long-run average is one).
        drift: annual expected return in multiples of the asset's volatility (an annual Sharpe ratio).
        hours: mean duration.
    """

    name: str
    volatility: float
    drift: float
    hours: float

    def __post_init__(self) -> None:
        if not self.volatility > 0 or not self.hours > 0:
            raise ValueError(
                f"regime {self.name!r} needs volatility > 0 and hours > 0, got {self.volatility}, {self.hours}"
            )


CALM_AND_STORM = (
    Regime(name="calm", volatility=0.6, drift=1.5, hours=600),
    Regime(name="storm", volatility=1.7, drift=-2.0, hours=200),
)


def regime_path(
    regimes: tuple[Regime, ...], bars: int, hours: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """State of every bar, its multiple of volatility, and its annual drift; each of shape ``(bars,)``.

    The chain leaves a state with probability ``bar / mean duration`` and then picks one of the others
    with equal chance. It starts in the first state.

    Raises:
        ValueError: fewer than two regimes, or one that lasts less than a bar on average.
    """
    if len(regimes) < 2:
        raise ValueError(f"a regime market needs at least two regimes, got {len(regimes)}")
    leave = np.array([hours / r.hours for r in regimes])
    if leave.max() > 1:
        raise ValueError(f"a regime must last at least one bar of {hours:g} hours, got {min(r.hours for r in regimes)}")
    others = len(regimes) - 1
    states, state = [], 0
    leave_list = leave.tolist()
    for u in rng.random(bars).tolist():
        states.append(state)
        if u < leave_list[state]:  # u / leave is uniform again: it picks the next state
            pick = min(int(u / leave_list[state] * others), others - 1)
            state = pick + (pick >= state)
    path = np.array(states)
    share = np.array([r.hours for r in regimes]) / sum(r.hours for r in regimes)  # equal choice of the next state
    multiple = np.array([r.volatility for r in regimes])
    multiple = multiple / np.sqrt((share * multiple**2).sum())
    return path, multiple[path], np.array([r.drift for r in regimes])[path]


def momentum_drift(
    noise: NDArray, scale: NDArray, *, strength: float, lookback: int, shape: str
) -> NDArray[np.float64]:
    """Expected simple return of each bar from the market's own last ``lookback`` returns, shape ``(bars, assets)``.

    ``shape="sign"``: ``strength * scale * sign(price now / price lookback bars ago - 1)``.
    ``shape="mean"``: ``strength * sum of the last returns / sqrt(lookback)``.
    Zero until ``lookback`` bars are known.

    Args:
        noise: the moves without the effect, shape ``(bars, assets, substeps)``.
        scale: standard deviation of a bar's return, shape ``(assets,)``.
    """
    bars, assets, substeps = noise.shape
    drift = np.zeros((bars, assets))
    price = np.ones((bars + 1, assets))
    returns = np.zeros((bars, assets))
    total = np.zeros(assets)
    for t in range(bars):
        if t >= lookback:
            if shape == "sign":
                drift[t] = strength * scale * np.sign(price[t] - price[t - lookback])
            else:
                drift[t] = strength * total / np.sqrt(lookback)
        moves = noise[t] + drift[t, :, None] / substeps
        growth = np.prod(1.0 + squash(moves), axis=1)
        price[t + 1] = price[t] * growth
        returns[t] = growth - 1.0
        total = total + returns[t] - (returns[t - lookback] if t >= lookback else 0.0)
    return drift


def lead_lag_drift(
    noise: NDArray, scale: NDArray, *, leader: int, followers: list[int], strength: float, lag: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Expected return of the followers from the leader's return ``lag`` bars ago, and the slopes.

    ``slope = strength * scale[follower] / scale[leader]``; the correlation of the follower's return with
    the leader's earlier one is then about ``strength``.

    Returns:
        Drift of shape ``(bars, assets)`` and slopes of shape ``(assets,)`` (zero for all others).
    """
    lead = np.prod(1.0 + squash(noise[:, leader, :]), axis=1) - 1.0
    slopes = np.zeros(noise.shape[1])
    slopes[followers] = strength * scale[followers] / scale[leader]
    drift = np.zeros(noise.shape[:2])
    drift[lag:] = lead[:-lag, None] * slopes[None, :]
    return drift, slopes


def oracle_scores(expected: NDArray, noise_variance: NDArray, bars_per_year: float, names: list[str]) -> pd.DataFrame:
    """What knowing the expected return is worth, per asset.

    ``r2``: share of the variance of returns that is predictable. ``sharpe``: annual Sharpe ratio, before
    costs, of holding one unit long or short by the sign of the expected return.
    """
    second = (expected**2).mean(axis=0)
    total = second + noise_variance.mean(axis=0)
    gain = np.abs(expected).mean(axis=0)
    sharpe = gain / np.sqrt(np.maximum(total - gain**2, 1e-300)) * np.sqrt(bars_per_year)
    return pd.DataFrame({"r2": second / total, "sharpe": sharpe}, index=pd.Index(names, name="symbol"))
