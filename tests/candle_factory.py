"""Small tables of candles for tests: random walks with bars that obey every rule, and hypothesis strategies."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from alphabook.candles import Interval, as_candles

MARKET = os.environ.get("ALPHABOOK_MARKET_DIR", "")
needs_market = pytest.mark.skipif(
    not (MARKET and (Path(MARKET) / "binance_spot_1h_btc_eth_2018_2021_with_gaps.parquet").exists()),
    reason="needs recorded candles: set ALPHABOOK_MARKET_DIR to a folder that holds them",
)


def make_candles(
    bars: int = 24,
    *,
    interval: str = "1h",
    start: str = "2024-01-01",
    symbol: str = "BTCUSDT",
    seed: int = 0,
    keep: np.ndarray | None = None,
    venue: str | None = "bybit",
) -> pd.DataFrame:
    """A random walk of valid candles on the interval's grid; ``keep`` (boolean) punches holes."""
    rng = np.random.default_rng(seed)
    bar = Interval.parse(interval)
    first = pd.Timestamp(start, tz="UTC")
    span = pd.Timedelta(days=32) * (bars + 1) if bar.milliseconds is None else bar.timedelta * (bars + 1)
    times = bar.date_range(first, first + span)[:bars]
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, bars)))
    opens = np.concatenate([[100.0], closes[:-1]])
    highs = np.maximum(opens, closes) * (1 + rng.random(bars) * 0.005)
    lows = np.minimum(opens, closes) * (1 - rng.random(bars) * 0.005)
    volumes = np.round(rng.uniform(1, 100, bars), 3)
    frame = pd.DataFrame(
        {
            "open_time": times,
            "symbol": symbol,
            "open": opens,
            "high": highs,
            "low": lows,
            "close": closes,
            "volume": volumes,
            "turnover": volumes * (opens + closes) / 2,
        }
    )
    return as_candles(frame if keep is None else frame[keep], interval=interval, venue=venue)


def two_symbols(bars: int = 24, **options: object) -> pd.DataFrame:
    """Candles of two symbols in one table."""
    parts = [make_candles(bars, symbol=s, seed=i, **options) for i, s in enumerate(["BTCUSDT", "ETHUSDT"])]  # type: ignore[arg-type]
    return as_candles(pd.concat(parts), interval=parts[0].attrs["interval"], venue=parts[0].attrs["venue"])


@st.composite
def holed_candles(draw: st.DrawFn, *, interval: str = "15m", most: int = 60) -> pd.DataFrame:
    """Candles of one or two symbols, each starting and missing bars where it pleases."""
    parts = []
    for index, symbol in enumerate(["BTCUSDT", "ETHUSDT"][: draw(st.integers(1, 2))]):
        bars = draw(st.integers(2, most))
        keep = np.array(draw(st.lists(st.booleans(), min_size=bars, max_size=bars)))
        keep[draw(st.integers(0, bars - 1))] = True
        start = pd.Timestamp("2024-01-01") + draw(st.integers(0, 7)) * Interval.parse(interval).timedelta
        parts.append(make_candles(bars, interval=interval, start=str(start), symbol=symbol, seed=index, keep=keep))
    return as_candles(pd.concat(parts), interval=interval, venue="bybit")
