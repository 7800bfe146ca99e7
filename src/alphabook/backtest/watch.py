"""Who wants to know of every backtest that runs: the trial ledger does, so that no trial is forgotten.

Taught in :doc:`/notebooks/backtests/trials`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .config import BacktestConfig, PortfolioConfig


@dataclass(frozen=True, eq=False)
class Run:
    """One backtest, as a ledger needs it.

    Attributes:
        config: the rules it ran under.
        decisions: the signals (bars) or the target weights (bars, assets) that were traded.
        data: candles, or prices of many assets.
        sharpe: Sharpe ratio per bar, net of costs; 0 when nothing moved.
        bars: how many bars.
    """

    config: BacktestConfig | PortfolioConfig
    decisions: np.ndarray
    data: pd.DataFrame
    sharpe: float
    bars: int


Watcher = Callable[[Sequence[Run]], None]
_watchers: list[Watcher] = []


def watch(watcher: Watcher) -> Callable[[], None]:
    """Call ``watcher`` with the runs of every backtest and sweep of this process, once they are done.

    Returns:
        A function that ends the watch; calling it again does nothing.
    """
    _watchers.append(watcher)

    def end() -> None:
        if watcher in _watchers:
            _watchers.remove(watcher)

    return end


def tell(
    data: pd.DataFrame,
    configs: Sequence[BacktestConfig | PortfolioConfig],
    decisions: Sequence[np.ndarray],
    annual_sharpes: Sequence[float],
    periods_per_year: Sequence[float],
) -> None:
    """Tell the watchers of runs on the same data; ``decisions`` holds one array, or one per run. Free without any."""
    if not _watchers:
        return
    runs = []
    for number, (config, annual, per_year) in enumerate(zip(configs, annual_sharpes, periods_per_year, strict=True)):
        sharpe = float(annual) / math.sqrt(per_year)
        decided = decisions[number if len(decisions) > 1 else 0]
        runs.append(Run(config, decided, data, sharpe if math.isfinite(sharpe) else 0.0, len(data)))
    for watcher in tuple(_watchers):
        watcher(runs)
