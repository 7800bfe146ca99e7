"""What to make of a backtest that looks good: folds that do not leak, and the price of having tried many things."""

from .overfitting import Overfitting, probability_of_backtest_overfitting
from .sharpe import (
    deflated_sharpe_ratio,
    effective_trials,
    expected_maximum_sharpe,
    probabilistic_sharpe_ratio,
)
from .splits import combinatorial_splits, num_paths, purged_splits, walk_forward

__all__ = [
    "Overfitting",
    "combinatorial_splits",
    "deflated_sharpe_ratio",
    "effective_trials",
    "expected_maximum_sharpe",
    "num_paths",
    "probabilistic_sharpe_ratio",
    "probability_of_backtest_overfitting",
    "purged_splits",
    "walk_forward",
]
