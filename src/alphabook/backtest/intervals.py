"""How far a metric could have come out by luck: the stationary block bootstrap.

Taught in :doc:`/notebooks/backtests/trials`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import BacktestError
from .metrics import compounded

Floats = NDArray[np.float64]


def bootstrap_intervals(
    returns: Floats,
    periods_per_year: float,
    metrics: Sequence[str] = ("annualized_return", "volatility", "sharpe_ratio", "sortino_ratio", "max_drawdown"),
    *,
    level: float = 0.95,
    draws: int = 1_000,
    block: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Percentile intervals of metrics under resampling of whole blocks of bars.

    Blocks of random length keep the clusters of volatility together; single bars would make intervals too narrow.

    Args:
        returns: net simple returns per bar.
        metrics: names from :func:`alphabook.backtest.metrics.summary` that depend on the returns alone.
        block: mean length of a block in bars; ``None`` estimates it from the squared returns, whose memory is longer.

    Returns:
        A row per metric: ``value``, ``low``, ``high``; block length and draws in ``attrs``.

    Raises:
        BacktestError: an unknown metric, a level outside (0, 1), or fewer than 20 bars.

    Politis and Romano (1994); block length of Politis and White (2004), both by ``arch``.
    """
    unknown = [name for name in metrics if name not in _METRICS]
    if unknown:
        raise BacktestError(f"no interval for {unknown[0]!r}: it is known for {', '.join(_METRICS)}")
    if not 0 < level < 1:
        raise BacktestError(f"level is a probability in (0, 1), got {level}; 95 % is 0.95")
    r = np.asarray(returns, dtype=float)
    if len(r) < 20:
        raise BacktestError(f"{len(r)} bars: an interval by resampling needs at least 20")
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    if block is None:
        length = 1.0
        if r.std() > 0:
            lengths = [optimal_block_length(x)["stationary"].iloc[0] for x in (r, r**2)]
            length = max(1.0, *(float(x) for x in lengths if math.isfinite(x)))
        block = round(length)
    block = max(1, round(min(block, len(r) / 4)))

    def all_of(x: Floats) -> Floats:
        return np.array([_METRICS[name](x, periods_per_year) for name in metrics])

    drawn = StationaryBootstrap(block, r, seed=seed).apply(all_of, draws)
    tail = (1 - level) / 2
    frame = pd.DataFrame(
        {
            "value": all_of(r),
            "low": np.nanquantile(drawn, tail, axis=0),
            "high": np.nanquantile(drawn, 1 - tail, axis=0),
        },
        index=pd.Index(metrics, name="metric"),
    )
    frame.attrs.update(block=block, draws=draws, level=level)
    return frame


def _total(r: Floats, _: float) -> float:
    return float(np.prod(1 + r) - 1)


def _annual(r: Floats, per_year: float) -> float:
    return compounded(float(np.prod(1 + r)), per_year / len(r))


def _volatility(r: Floats, per_year: float) -> float:
    return float(r.std(ddof=1)) * math.sqrt(per_year)


def _sharpe(r: Floats, per_year: float) -> float:
    spread = float(r.std(ddof=1))
    return float(r.mean()) / spread * math.sqrt(per_year) if spread > 1e-14 else math.nan


def _sortino(r: Floats, per_year: float) -> float:
    downside = math.sqrt(float(np.mean(np.minimum(r, 0.0) ** 2)))
    return float(r.mean()) / downside * math.sqrt(per_year) if downside > 0 else math.nan


def _drawdown(r: Floats, _: float) -> float:
    curve = np.cumprod(1 + r)
    return float((1 - curve / np.maximum(np.maximum.accumulate(curve), 1.0)).max())


_METRICS = {
    "total_return": _total,
    "annualized_return": _annual,
    "volatility": _volatility,
    "sharpe_ratio": _sharpe,
    "sortino_ratio": _sortino,
    "max_drawdown": _drawdown,
}
