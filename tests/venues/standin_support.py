"""A small hourly market with a true hole, the venues that serve it, and clients that do not really sleep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from alphabook.candles import as_candles
from alphabook.venues import BinanceFutures, Bybit, Coinbase, RateBudget, Venue

START = pd.Timestamp("2024-01-01", tz="UTC")
HOLE = slice(1700, 1703)  # three hours that do not exist at the venue
CLIENTS: dict[str, tuple[type[Venue], str]] = {
    "bybit": (Bybit, "BTCUSDT"),
    "binance": (BinanceFutures, "BTCUSDT"),
    "coinbase": (Coinbase, "BTC-USD"),
}


def hourly_market(
    bars: int, *, symbols: tuple[str, ...] = ("BTCUSDT",), hole: bool = True, seed: int = 0
) -> pd.DataFrame:
    """Candles from 2024-01-01 on; the last bar is the one a stand-in shows as still open."""
    parts = []
    for i, symbol in enumerate(symbols):
        rng = np.random.default_rng(i)
        close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.01, bars))), 2)
        open_ = np.r_[100.0, close[:-1]]
        high, low = np.maximum(open_, close) + 0.25, np.minimum(open_, close) - 0.25
        times = pd.date_range(START, periods=bars, freq="h")
        volume = np.round(rng.uniform(1, 9, bars), 3)
        frame = pd.DataFrame(
            {
                "open_time": times,
                "symbol": symbol,
                "open": open_,
                "high": high,
                "low": low,
                "close": close,
                "volume": volume,
            }
        )
        parts.append(frame.drop(frame.index[HOLE]) if hole else frame)
    return as_candles(pd.concat(parts), interval="1h")


def quick(kind: type[Venue], url: str, **options: Any) -> Any:
    """A client that waits for nothing: for tests in which the waiting itself is not the point."""
    options.setdefault("budget", RateBudget(sleep=_no_sleep))
    return kind(base_url=url, sleep=_no_sleep, timeout=options.pop("timeout", 5.0), max_wait=1000, **options)


def _no_sleep(_: float) -> None:
    pass
