"""Backtests that try to fail: one asset with stops, portfolios by weights, metrics with one definition each.

>>> import pandas as pd
>>> from alphabook.backtest import backtest_signals
>>> from alphabook.candles import load_candles
>>> candles = load_candles("BTCUSDT", "1h", source="sample")
>>> signals = pd.Series(0, index=candles.index)
>>> backtest_signals(candles, signals).metrics["num_trades"]
0.0
"""

from .config import BacktestConfig, PortfolioConfig, config_digest
from .engine import backtest_signals, entry_fractions, funding_per_bar
from .portfolio import PortfolioResult, backtest_portfolio, buy_and_hold, equal_weight
from .projection import project_capped_simplex
from .result import BacktestResult
from .sweep import SweepResult, sweep

__all__ = [
    "BacktestConfig",
    "BacktestResult",
    "PortfolioConfig",
    "PortfolioResult",
    "SweepResult",
    "backtest_portfolio",
    "backtest_signals",
    "buy_and_hold",
    "config_digest",
    "entry_fractions",
    "equal_weight",
    "funding_per_bar",
    "project_capped_simplex",
    "sweep",
]
