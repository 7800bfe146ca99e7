"""Does the best in one half stay good in the other? Combinatorially symmetric cross-validation.

Taught in :doc:`/notebooks/backtests/trials`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import EvaluationError


@dataclass(frozen=True, kw_only=True, eq=False)
class Overfitting:
    """What :func:`probability_of_backtest_overfitting` found.

    Attributes:
        probability: share of the splits in which the best strategy of one half is below the median of the other.
        logits: log odds of the relative rank out of sample, one per split; negative is below the median.
        in_sample, out_of_sample: Sharpe ratios per bar of the chosen strategy, where it was chosen and elsewhere.
        loss: share of the splits in which the chosen strategy loses out of sample.
        slope: of the regression of ``out_of_sample`` on ``in_sample``: negative means that looking better was worse.
    """

    probability: float
    logits: NDArray[np.float64]
    in_sample: NDArray[np.float64]
    out_of_sample: NDArray[np.float64]
    loss: float
    slope: float

    def __float__(self) -> float:
        return self.probability


def probability_of_backtest_overfitting(returns: ArrayLike, *, num_blocks: int = 16) -> Overfitting:
    """How often picking the best backtest picks one that is below the median where it was not picked.

    The bars are cut into ``num_blocks`` blocks. Every half of the blocks chooses the strategy with the largest Sharpe
    ratio; its rank among all strategies is then looked up in the other half. Sums and sums of squares per block are all
    that is needed, so every split costs one small product.

    Args:
        returns: net returns (bars, strategies), every strategy that was tried, on the same bars.
        num_blocks: even; 16 gives 12,870 splits. Bars beyond a multiple of it are left off at the beginning.

    Raises:
        EvaluationError: fewer than two strategies, too few bars, numbers that are not finite, an odd ``num_blocks``.

    Bailey, Borwein, López de Prado and Zhu (2017). One probability of one table means little: of pure noise it has a
    mean above one half and a standard deviation near 0.2.
    """
    table = np.asarray(returns, dtype=float)
    if table.ndim != 2 or table.shape[1] < 2:
        raise EvaluationError(
            f"returns are a table (bars, strategies) of at least 2 strategies, got shape {table.shape}"
        )
    if num_blocks < 2 or num_blocks % 2:
        raise EvaluationError(f"num_blocks is even and at least 2, got {num_blocks}")
    length = len(table) // num_blocks
    if length < 2:
        raise EvaluationError(f"{len(table)} bars make blocks of {length}: {num_blocks} blocks need 2 bars each")
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise EvaluationError(f"return {row} of strategy {column} is {table[row, column]}")
    blocks = table[len(table) - length * num_blocks :].reshape(num_blocks, length, -1)
    sums, squares = blocks.sum(axis=1), (blocks**2).sum(axis=1)
    inside = _halves(num_blocks)
    bars = length * num_blocks // 2
    first = _sharpes(sums.T @ inside, squares.T @ inside, bars)  # (strategies, splits)
    second = first[:, ::-1]  # combinations in order: the complement of the k-th half is the k-th from the end
    chosen, splits = first.argmax(axis=0), np.arange(inside.shape[1])
    best, picked = first[chosen, splits], second[chosen, splits]
    below = np.count_nonzero(second < picked, axis=0) + 0.5 * (np.count_nonzero(second == picked, axis=0) - 1)
    rank = (below + 1) / (table.shape[1] + 1)
    logits = np.log(rank / (1 - rank))
    spread = best.var()
    return Overfitting(
        probability=float((logits <= 0).mean()),
        logits=logits,
        in_sample=best,
        out_of_sample=picked,
        loss=float((picked < 0).mean()),
        slope=float(np.cov(best, picked, ddof=0)[0, 1] / spread) if spread > 0 else float("nan"),
    )


@cache
def _halves(num_blocks: int) -> NDArray[np.float64]:
    """(blocks, splits) of ones and zeros: every half of the blocks, in lexicographic order."""
    chosen = np.array(list(itertools.combinations(range(num_blocks), num_blocks // 2)))
    inside = np.zeros((num_blocks, len(chosen)))
    inside[chosen.T, np.arange(len(chosen))] = 1.0
    inside.flags.writeable = False
    return inside


def _sharpes(sums: NDArray[np.float64], squares: NDArray[np.float64], bars: int) -> NDArray[np.float64]:
    mean = sums / bars
    variance = squares / bars - mean**2
    variance[variance <= 1e-18] = np.inf  # what never moves has a ratio of 0
    return mean / np.sqrt(variance, out=variance)
