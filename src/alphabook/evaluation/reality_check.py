"""Does the best of many beat the benchmark, when "the best" is what luck alone would have picked?

White's reality check and Hansen's test of superior predictive ability resample all strategies together, in blocks of
bars, so that their correlation and their memory stay as they are. Taught in :doc:`/notebooks/backtests/trials`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import EvaluationError

Floats = NDArray[np.float64]
SHORTEST = 20  # bars
_CHUNK = 2_000_000  # numbers of resampling counts held at a time: 16 MB


@dataclass(frozen=True, kw_only=True)
class RealityCheck:
    """What :func:`reality_check` found. A small p-value says: the best is better than luck makes the best of so many.

    Attributes:
        consistent: Hansen's p-value, the one to quote; strategies far below the benchmark do not count against the
            best.
        lower, upper: its bounds, as if no strategy below the benchmark, or every one, were in truth as good as it.
        white: p-value of White's reality check: means, not divided by their standard errors.
        best: the strategy with the largest mean return over the benchmark; ``excess`` is that mean, per bar.
        strongest: the strategy with the largest mean over standard error; ``statistic`` is that ratio.
        num_strategies, num_bars: what was tested.
        block_size: mean length of a resampled block, in bars.
        reps, seed: resamples drawn, and how to draw them again.
    """

    consistent: float
    lower: float
    upper: float
    white: float
    best: Hashable
    excess: float
    strongest: Hashable
    statistic: float
    num_strategies: int
    num_bars: int
    block_size: int
    reps: int
    seed: int

    def __float__(self) -> float:
        return self.consistent


def reality_check(
    returns: pd.DataFrame,
    benchmark: pd.Series | float = 0.0,
    *,
    block_size: int | None = None,
    reps: int = 1_000,
    seed: int = 0,
) -> RealityCheck:
    """Test the best of many strategies against a benchmark; the null is that none of them is better.

    Put in *every* strategy that was tried, as :class:`TrialLedger` counts them: with the losers left out the test
    answers another question. A p-value is ``(1 + exceedances) / (1 + reps)``, so it is never zero.

    Args:
        returns: net simple returns per bar (bars, strategies), a column per strategy.
        benchmark: the return per bar to beat: a Series on the same index, or one number.
        block_size: mean length of a block in bars; ``None`` takes the median over the strategies of the length that
            Politis and White (2004) estimate.

    Raises:
        EvaluationError: not a table, too few bars, a number that is not finite, another index, a strategy that differs
            from the benchmark by a constant.

    White (2000); Hansen (2005), whose statistic is studentised. The stationary bootstrap is ``arch``'s. Its own ``SPA``
    (8.0) compares plain means whatever ``studentize`` says: its ``upper`` is ``white`` here, and its three p-values are
    ours when it is given differences that are divided by their standard errors already (a test holds that).
    """
    gap = _differences(returns, benchmark)
    bars, strategies = gap.shape
    if isinstance(reps, bool) or not isinstance(reps, int) or reps < 1:
        raise EvaluationError(f"reps counts the resamples, at least 1 and better 1,000, got {reps!r}")
    block = _block_size(gap) if block_size is None else block_size
    if isinstance(block, bool) or not isinstance(block, int) or not 1 <= block < bars:
        raise EvaluationError(f"block_size is a whole number of bars from 1 to {bars - 1}, got {block!r}")
    mean = gap.mean(axis=0)
    error = np.sqrt(long_run_variance(gap, block) / bars)  # 0 only for a strategy that is the benchmark
    scale = np.where(error > 0, error, 1.0)
    strength = mean / scale
    drawn = _resampled_means(gap - mean, block, reps, seed)  # about zero: what Hansen re-centres to is added below

    hopeless = strength < -math.sqrt(2 * math.log(math.log(bars)))
    allowances = {
        "lower": np.minimum(strength, 0.0),
        "consistent": np.where(hopeless, strength, 0.0),
        "upper": np.zeros(strategies),
    }
    values = {
        name: _p_value((drawn / scale + below).max(axis=1), float(strength.max())) for name, below in allowances.items()
    }
    top, strong = int(mean.argmax()), int(strength.argmax())
    return RealityCheck(
        **values,
        white=_p_value(drawn.max(axis=1), float(mean[top])),
        best=returns.columns[top],
        excess=float(mean[top]),
        strongest=returns.columns[strong],
        statistic=float(strength[strong]),
        num_strategies=strategies,
        num_bars=bars,
        block_size=block,
        reps=reps,
        seed=seed,
    )


def long_run_variance(table: Floats, block_size: int) -> Floats:
    """Variance of root-n times the mean of each column under the stationary bootstrap, without drawing it.

    Autocovariances weighted by how often the bootstrap keeps two bars together, by one Fourier transform.

    Politis and Romano (1994), lemma 1.
    """
    n = len(table)
    centred = table - table.mean(axis=0)
    spectrum = np.fft.rfft(centred, 2 * n, axis=0)
    covariances = np.fft.irfft(np.abs(spectrum) ** 2, 2 * n, axis=0)[:n] / n
    lag, stay = np.arange(1, n), 1 - 1 / block_size
    weights = (1 - lag / n) * stay**lag + lag / n * stay ** (n - lag)
    variances = covariances[0] + 2 * weights @ covariances[1:]
    return np.where(covariances[0] > 0, np.maximum(variances, 1e-12 * covariances[0]), 0.0)


def _resampled_means(centred: Floats, block: int, reps: int, seed: int) -> Floats:
    """Means of the columns in each resample (reps, strategies): how often each bar is drawn, times the table."""
    from arch.bootstrap import StationaryBootstrap

    bars, strategies = centred.shape
    out = np.empty((reps, strategies))
    draws = StationaryBootstrap(block, np.arange(bars), seed=seed).bootstrap(reps)
    step = max(1, _CHUNK // bars)
    for start in range(0, reps, step):
        stop = min(start + step, reps)
        counts = np.array([np.bincount(next(draws)[0][0], minlength=bars) for _ in range(start, stop)], dtype=float)
        out[start:stop] = counts @ centred / bars
    return out


def _p_value(drawn: Floats, seen: float) -> float:
    return float((1 + np.count_nonzero(drawn > seen)) / (1 + len(drawn)))


def _block_size(gap: Floats) -> int:
    from arch.bootstrap import optimal_block_length

    moving = gap[:, gap.std(axis=0) > 0]
    if moving.shape[1] == 0:
        return 1
    lengths = optimal_block_length(moving)["stationary"].to_numpy(dtype=float)
    lengths = lengths[np.isfinite(lengths)]
    longest = max(1, len(gap) // 4)
    return min(max(1, math.ceil(float(np.median(lengths)))), longest) if len(lengths) else 1


def _differences(returns: pd.DataFrame, benchmark: pd.Series | float) -> Floats:
    """Returns over the benchmark (bars, strategies), or an error that names row and strategy."""
    if not isinstance(returns, pd.DataFrame) or returns.shape[1] == 0:
        raise EvaluationError(
            f"returns are a DataFrame with a column per strategy and a row per bar, got {type(returns).__name__}"
            + (" without columns" if isinstance(returns, pd.DataFrame) else "")
        )
    if not returns.columns.is_unique:
        raise EvaluationError(f"strategies share a name: {returns.columns[returns.columns.duplicated()][0]!r}")
    if len(returns) < SHORTEST:
        raise EvaluationError(f"{len(returns)} bars: resampling blocks of bars needs at least {SHORTEST}")
    table = returns.to_numpy(dtype=float)
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise EvaluationError(
            f"return of {returns.columns[column]!r} in row {row} ({returns.index[row]}) is {table[row, column]}: "
            "all strategies are compared on the same bars; a strategy that does nothing earns 0"
        )
    if isinstance(benchmark, pd.Series):
        if not benchmark.index.equals(returns.index):
            raise EvaluationError(
                f"the benchmark has {len(benchmark)} rows on another index than the {len(returns)} rows of returns"
            )
        other = benchmark.to_numpy(dtype=float)
    elif isinstance(benchmark, int | float) and not isinstance(benchmark, bool):
        other = np.full(len(table), float(benchmark))
    else:
        raise EvaluationError(f"the benchmark is a Series of returns or one number, got {type(benchmark).__name__}")
    if not np.isfinite(other).all():
        row = int(np.flatnonzero(~np.isfinite(other))[0])
        raise EvaluationError(f"return of the benchmark in row {row} ({returns.index[row]}) is {other[row]}")
    gap = table - other[:, None]
    flat = (np.ptp(gap, axis=0) <= 1e-14) & (np.abs(gap).max(axis=0) > 1e-14)
    if flat.any():
        column = int(np.flatnonzero(flat)[0])
        raise EvaluationError(
            f"{returns.columns[column]!r} differs from the benchmark by {gap[0, column]:g} in every bar: there is no "
            "luck in a constant, and nothing to test"
        )
    return np.where(np.ptp(gap, axis=0) > 1e-14, gap, 0.0)
