"""What to make of a backtest that looks good: folds that do not leak, and the price of having tried many things."""

from .audit import AuditReport, Leak, audit_lookahead
from .card import HonestCard, honest_card
from .ledger import HoldoutLedger, Trial, TrialLedger, data_digest
from .overfitting import Overfitting, probability_of_backtest_overfitting
from .reality_check import RealityCheck, reality_check
from .sharpe import (
    deflated_sharpe_ratio,
    effective_trials,
    expected_maximum_sharpe,
    probabilistic_sharpe_ratio,
)
from .splits import combinatorial_splits, num_paths, purged_splits, walk_forward

__all__ = [
    "AuditReport",
    "HoldoutLedger",
    "HonestCard",
    "Leak",
    "Overfitting",
    "RealityCheck",
    "Trial",
    "TrialLedger",
    "audit_lookahead",
    "combinatorial_splits",
    "data_digest",
    "deflated_sharpe_ratio",
    "effective_trials",
    "expected_maximum_sharpe",
    "honest_card",
    "num_paths",
    "probabilistic_sharpe_ratio",
    "probability_of_backtest_overfitting",
    "purged_splits",
    "reality_check",
    "walk_forward",
]
