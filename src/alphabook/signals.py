"""From forecasts to decisions: the three rules of the original systems, made explicit.

A generator sees one row at a time, in order, and no later one. Its output goes into
:func:`alphabook.backtest.backtest_signals` or :func:`alphabook.backtest.backtest_portfolio`.
Taught in :doc:`/notebooks/backtests/engine`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .errors import BacktestError

SELL, HOLD, BUY = -1, 0, 1
CLASSES = ("sell", "hold", "buy")
"""Order of the class probabilities: 0 sell, 1 hold, 2 buy."""


@dataclass(frozen=True, kw_only=True)
class ProbabilitySignals:
    """Class probabilities to buy, sell or hold.

    Buy when the probability of a rise reaches ``buy_threshold`` and exceeds that of a fall; sell likewise; hold
    otherwise. With ``confirmation`` n a decision counts only when the last n raw decisions were the same.
    """

    buy_threshold: float = 0.6
    sell_threshold: float = 0.6
    confirmation: int = 1

    def __post_init__(self) -> None:
        for name in ("buy_threshold", "sell_threshold"):
            _fraction(name, getattr(self, name))
        if self.confirmation < 1:
            raise BacktestError(f"confirmation is a number of bars, at least 1, got {self.confirmation}")

    def generate(self, probabilities: pd.DataFrame) -> pd.Series:
        """Decisions -1, 0, 1 on the rows' index.

        Args:
            probabilities: columns ``sell``, ``hold``, ``buy``, rows that add up to one; a row of NaN holds.

        Raises:
            BacktestError: columns are missing, or a row is no distribution.
        """
        missing = [name for name in CLASSES if name not in probabilities.columns]
        if missing:
            raise BacktestError(f"probabilities lack {', '.join(missing)}; a row is sell, hold, buy")
        table = probabilities[list(CLASSES)].to_numpy(dtype=float)
        unknown = np.isnan(table).all(axis=1)
        sums = table.sum(axis=1)
        wrong = ~unknown & ~((table >= 0).all(axis=1) & (np.abs(sums - 1) < 1e-4))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise BacktestError(f"row {row} is no distribution: {table[row].tolist()}; softmax comes before the signal")
        sell, _, buy = table.T
        with np.errstate(invalid="ignore"):
            raw = np.where((buy >= self.buy_threshold) & (buy > sell), BUY, HOLD)
            raw = np.where((sell >= self.sell_threshold) & (sell > buy), SELL, raw)
        from .backtest.engine import confirmed

        return pd.Series(confirmed(raw.astype(np.int64), self.confirmation), index=probabilities.index, name="signal")


@dataclass(frozen=True, kw_only=True)
class ReturnSignals:
    """A predicted return and a confidence to a direction and a size.

    Hold when the confidence is below ``min_confidence`` or the prediction below ``min_return``. The size is
    ``base_size``, times the confidence, times the prediction in per cent (at most twice), as switched on.
    """

    min_return: float = 0.001
    min_confidence: float = 0.5
    base_size: float = 0.1
    scale_by_confidence: bool = True
    scale_by_return: bool = False

    def __post_init__(self) -> None:
        _fraction("min_confidence", self.min_confidence)
        if not self.min_return >= 0:
            raise BacktestError(f"min_return is a fraction of the price, at least 0, got {self.min_return}")
        if not 0 < self.base_size <= 1:
            raise BacktestError(f"base_size is a fraction of equity in (0, 1], got {self.base_size}")

    def generate(self, predicted: pd.Series, confidence: pd.Series | float = 1.0) -> pd.DataFrame:
        """Columns ``signal`` (-1, 0, 1) and ``size`` (fraction of equity, 0 where nothing is traded).

        Raises:
            BacktestError: a confidence outside [0, 1], or on another index.
        """
        if isinstance(confidence, pd.Series) and not confidence.index.equals(predicted.index):
            raise BacktestError("confidence and predictions are on different indexes")
        sure = np.broadcast_to(np.asarray(confidence, dtype=float), len(predicted))
        if not ((sure >= 0) & (sure <= 1) | np.isnan(sure)).all():
            row = int(np.flatnonzero(~((sure >= 0) & (sure <= 1)))[0])
            raise BacktestError(f"confidence of row {row} is {sure[row]}: it is a probability in [0, 1]")
        move = predicted.to_numpy(dtype=float)
        with np.errstate(invalid="ignore"):
            acts = (sure >= self.min_confidence) & (np.abs(move) >= self.min_return) & np.isfinite(move)
        size = np.full(len(move), self.base_size)
        if self.scale_by_confidence:
            size = size * np.nan_to_num(sure)
        if self.scale_by_return:
            size = size * np.minimum(np.abs(np.nan_to_num(move)) * 100, 2.0)
        signal = np.where(acts, np.sign(np.nan_to_num(move)), 0).astype(np.int64)
        return pd.DataFrame({"signal": signal, "size": np.where(acts, np.clip(size, 0, 1), 0.0)}, index=predicted.index)


@dataclass(frozen=True, kw_only=True)
class WeightSignals:
    """Predictions of many assets to target weights of a portfolio.

    An asset is bought when its prediction exceeds ``buy_threshold`` with at least ``min_confidence``; with
    ``allow_short`` it is sold short below ``-sell_threshold``. Weights are in proportion to prediction times
    confidence, scaled down to ``max_gross`` where they exceed it, and never beyond ``max_position``; the rest is cash.
    """

    min_confidence: float = 0.5
    buy_threshold: float = 0.0
    sell_threshold: float = 0.0
    max_position: float = 0.5
    max_gross: float = 1.0
    allow_short: bool = False

    def __post_init__(self) -> None:
        _fraction("min_confidence", self.min_confidence)
        for name in ("buy_threshold", "sell_threshold"):
            if not getattr(self, name) >= 0:
                raise BacktestError(f"{name} is a size, at least 0, got {getattr(self, name)}")
        for name in ("max_position", "max_gross"):
            if not getattr(self, name) > 0:
                raise BacktestError(f"{name} must be above 0, got {getattr(self, name)}")

    def generate(self, predicted: pd.DataFrame, confidence: pd.DataFrame | float = 1.0) -> pd.DataFrame:
        """Target weights, a row per row and a column per asset; an asset without a prediction has none.

        Raises:
            BacktestError: a confidence outside [0, 1], or of another shape.
        """
        from .backtest.projection import project_capped_simplex

        table = predicted.to_numpy(dtype=float)
        sure = np.asarray(confidence, dtype=float)
        if sure.ndim and sure.shape != table.shape:
            raise BacktestError(f"confidence has shape {sure.shape}, predictions {table.shape}")
        if not ((sure >= 0) & (sure <= 1) | np.isnan(sure)).all():
            raise BacktestError("confidence holds a value outside [0, 1]: it is a probability")
        sure = np.broadcast_to(sure, table.shape)
        with np.errstate(invalid="ignore"):
            rising = (table > self.buy_threshold) & (sure >= self.min_confidence)
            falling = (table < -self.sell_threshold) & (sure >= self.min_confidence) & self.allow_short
        score = np.where(rising | falling, np.nan_to_num(table) * np.nan_to_num(sure), 0.0)
        total = np.abs(score).sum(axis=1, keepdims=True)
        weights = np.divide(score * self.max_gross, total, out=np.zeros_like(score), where=total > 0)
        for row in np.flatnonzero((np.abs(weights) > self.max_position).any(axis=1)):
            held = weights[row] != 0  # what is over a cap goes to the other assets that were chosen, then to cash
            sizes = project_capped_simplex(np.abs(weights[row][held]), self.max_position)
            weights[row, held] = np.sign(weights[row][held]) * sizes
        return pd.DataFrame(weights, index=predicted.index, columns=predicted.columns)


def signal_stats(signals: pd.Series) -> dict[str, float]:
    """How often a series buys, sells and holds: counts and shares."""
    total = len(signals)
    counts = {"buys": int((signals > 0).sum()), "sells": int((signals < 0).sum()), "holds": int((signals == 0).sum())}
    shares = {f"{name[:-1]}_ratio": count / total if total else float("nan") for name, count in counts.items()}
    return {"total": total, **counts, **shares}


def _fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise BacktestError(f"{name} is a probability in [0, 1], got {value}")
