"""How good must the best of many look before it means anything? Probabilistic and deflated Sharpe ratios.

All Sharpe ratios in this module are *per bar*, not annualised: divide an annual one by the root of the bars per year.
Taught in :doc:`/notebooks/backtests/trials`.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from ..errors import EvaluationError

EULER = 0.5772156649015329
_NORMAL = NormalDist()


def expected_maximum_sharpe(num_trials: float, trial_variance: float) -> float:
    """The Sharpe ratio per bar that the best of ``num_trials`` worthless strategies is expected to show.

    Args:
        num_trials: independent trials; a fraction is allowed, as estimates of the effective number give one.
        trial_variance: variance of the trials' Sharpe ratios per bar.

    Bailey and López de Prado (2014), equation 1.
    """
    if not num_trials >= 1:
        raise EvaluationError(f"num_trials counts every strategy that was tried, at least 1, got {num_trials}")
    if not trial_variance >= 0:
        raise EvaluationError(
            f"trial_variance is the variance of the trials' Sharpe ratios per bar, got {trial_variance}"
        )
    if num_trials == 1:
        return 0.0
    high = (1 - EULER) * _NORMAL.inv_cdf(1 - 1 / num_trials)
    return math.sqrt(trial_variance) * (high + EULER * _NORMAL.inv_cdf(1 - 1 / (num_trials * math.e)))


def probabilistic_sharpe_ratio(
    sharpe: float, num_bars: int, *, benchmark: float = 0.0, skewness: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Probability that the true Sharpe ratio per bar exceeds ``benchmark``, given the one that was seen.

    Args:
        sharpe: Sharpe ratio per bar over ``num_bars`` bars.
        skewness, kurtosis: of the returns; the kurtosis of a normal distribution is 3.

    Raises:
        EvaluationError: fewer than two bars, or moments that no distribution has.

    Bailey and López de Prado (2012).
    """
    if num_bars < 2:
        raise EvaluationError(f"num_bars must be at least 2, got {num_bars}")
    if kurtosis < 1 + skewness**2 - 1e-9:
        raise EvaluationError(
            f"kurtosis {kurtosis:g} with skewness {skewness:g} belongs to no distribution: it is at least "
            f"1 + skewness² = {1 + skewness**2:g}. Is it the excess kurtosis? Add 3"
        )
    variance = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt(num_bars - 1) / math.sqrt(variance))


def deflated_sharpe_ratio(
    returns: ArrayLike | None = None,
    *,
    num_trials: float,
    trial_sharpes: ArrayLike | None = None,
    trial_variance: float | None = None,
    sharpe: float | None = None,
    num_bars: int | None = None,
    skewness: float | None = None,
    kurtosis: float | None = None,
) -> float:
    """Probability that a strategy is better than the best of ``num_trials`` worthless ones would look.

    Either give the net ``returns`` per bar of the strategy that was chosen, or its ``sharpe`` (per bar), ``num_bars``,
    ``skewness`` and ``kurtosis``.

    Args:
        num_trials: *all* strategies that were tried before this one was chosen; see :class:`TrialLedger`.
        trial_sharpes: Sharpe ratios per bar of the trials; their variance is what matters.
        trial_variance: that variance, where the ratios themselves are not at hand.

    Returns:
        A probability; below 0.95 the strategy is no news.

    Raises:
        EvaluationError: too little to compute it from, or returns without variance.

    Bailey and López de Prado (2014). Their worked example (100 trials of variance 1/2 a year; an annual Sharpe ratio of
    2.5 over 1,250 days, skewness -3, kurtosis 10) gives 0.9004.
    """
    if returns is not None:
        r = np.asarray(returns, dtype=float)
        if r.ndim != 1 or len(r) < 3 or not np.isfinite(r).all():
            raise EvaluationError(
                f"returns are at least 3 finite numbers, one per bar, got an array of shape {r.shape}"
            )
        centred = r - r.mean()
        spread = float(r.std(ddof=1))
        if spread <= 1e-14:
            raise EvaluationError("the returns are constant: they have no Sharpe ratio to deflate")
        moment = float(np.mean(centred**2))
        sharpe, num_bars = float(r.mean()) / spread, len(r)
        skewness = float(np.mean(centred**3)) / moment**1.5
        kurtosis = float(np.mean(centred**4)) / moment**2
    if sharpe is None or num_bars is None:
        raise EvaluationError("give the returns of the chosen strategy, or its sharpe (per bar) and num_bars")
    if trial_sharpes is not None:
        ratios = np.asarray(trial_sharpes, dtype=float)
        if ratios.ndim != 1 or len(ratios) < 2 or not np.isfinite(ratios).all():
            raise EvaluationError(f"trial_sharpes are at least 2 finite numbers, got an array of shape {ratios.shape}")
        if len(ratios) > num_trials:
            raise EvaluationError(f"{len(ratios)} trial_sharpes, but num_trials={num_trials:g}: every one was a trial")
        trial_variance = float(ratios.var(ddof=1))
    if trial_variance is None:
        raise EvaluationError("give trial_sharpes, the Sharpe ratios per bar of the trials, or their trial_variance")
    return probabilistic_sharpe_ratio(
        sharpe,
        num_bars,
        benchmark=expected_maximum_sharpe(num_trials, trial_variance),
        skewness=0.0 if skewness is None else skewness,
        kurtosis=3.0 if kurtosis is None else kurtosis,
    )


def effective_trials(returns: ArrayLike) -> float:
    """How many independent strategies a table of correlated ones (bars, strategies) amounts to.

    The participation ratio of the correlation matrix's eigenvalues: N for uncorrelated columns, 1 for copies of one.
    """
    table = np.asarray(returns, dtype=float)
    if table.ndim != 2 or table.shape[0] < 3 or not np.isfinite(table).all():
        raise EvaluationError(f"returns are a finite table (bars, strategies), got an array of shape {table.shape}")
    correlation = np.corrcoef(table, rowvar=False).reshape(table.shape[1], table.shape[1])
    return float(np.trace(correlation) ** 2 / (correlation**2).sum())
