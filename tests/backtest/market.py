"""Candles for tests: on a price grid, with opening gaps, wild enough that stops, targets and both are hit."""

from __future__ import annotations

import numpy as np
import pandas as pd


def wild_candles(bars: int, seed: int, *, volatility: float = 0.02) -> pd.DataFrame:
    """Valid hourly candles whose opens differ from the close before, on a grid of 0.01."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, volatility, bars)))
    before = np.concatenate(([100.0], close[:-1]))
    opened = before * np.exp(rng.normal(0, volatility / 2, bars))
    reach = np.abs(rng.normal(0, volatility, (2, bars)))
    high = np.maximum(opened, close) * np.exp(reach[0])
    low = np.minimum(opened, close) * np.exp(-reach[1])
    frame = pd.DataFrame({"open": opened, "high": high, "low": low, "close": close}).round(2).clip(lower=0.01)
    frame["high"] = frame.max(axis=1)
    frame["low"] = frame[["open", "low", "close"]].min(axis=1)
    frame.index = pd.date_range("2024-01-01", periods=bars, freq="h", tz="UTC")
    return frame


def random_signals(index: pd.Index, seed: int, share: float = 0.5) -> pd.Series:
    """-1, 0, 1 at random; ``share`` of them are opinions."""
    rng = np.random.default_rng(seed + 1)
    return pd.Series(rng.choice([-1, 0, 1], len(index), p=[share / 2, 1 - share, share / 2]), index=index)
