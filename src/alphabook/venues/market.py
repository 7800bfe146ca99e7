"""What a venue says besides candles: tickers, order books, instruments.

Taught in :doc:`/notebooks/data/five_venues`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Ticker:
    """The latest prices of one symbol; ``None`` where the venue does not tell."""

    symbol: str
    last_price: float
    time: pd.Timestamp | None = None
    bid_price: float | None = None
    bid_size: float | None = None
    ask_price: float | None = None
    ask_size: float | None = None
    index_price: float | None = None
    mark_price: float | None = None
    previous_price_24h: float | None = None
    change_24h: float | None = None  # a fraction: 0.01 is one per cent
    high_24h: float | None = None
    low_24h: float | None = None
    volume_24h: float | None = None  # base units
    turnover_24h: float | None = None  # quote units
    open_interest: float | None = None
    funding_rate: float | None = None


@dataclass(frozen=True)
class Level:
    """One price of an order book and the quantity waiting there (base units)."""

    price: float
    quantity: float


@dataclass(frozen=True, kw_only=True)
class OrderBook:
    """Bids from the highest price down, asks from the lowest up."""

    symbol: str
    time: pd.Timestamp | None
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "bids", tuple(sorted(self.bids, key=lambda x: -x.price)))
        object.__setattr__(self, "asks", tuple(sorted(self.asks, key=lambda x: x.price)))

    @property
    def mid(self) -> float:
        """Mean of the best bid and the best ask; NaN when a side is empty."""
        return (self.bids[0].price + self.asks[0].price) / 2 if self.bids and self.asks else math.nan

    @property
    def spread(self) -> float:
        """Best ask minus best bid, in quote units; NaN when a side is empty."""
        return self.asks[0].price - self.bids[0].price if self.bids and self.asks else math.nan

    @property
    def spread_pct(self) -> float:
        """Spread in per cent of the mid price."""
        return 100 * self.spread / self.mid

    def imbalance(self, depth: int = 10) -> float:
        """``(bids - asks) / (bids + asks)`` of the quantities of the best ``depth`` levels, in [-1, 1]."""
        if depth < 1:
            raise ValueError(f"depth must be >= 1 (levels on each side), got {depth}")
        bid = sum(level.quantity for level in self.bids[:depth])
        ask = sum(level.quantity for level in self.asks[:depth])
        return (bid - ask) / (bid + ask) if bid + ask > 0 else math.nan


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """What can be traded, and in which steps."""

    symbol: str
    kind: str
    status: str
    base: str
    quote: str
    tick_size: float | None = None
    quantity_step: float | None = None
    min_quantity: float | None = None
    min_notional: float | None = None
    launch_time: pd.Timestamp | None = None  # announced; the first candle may be earlier or later
    funding_interval: pd.Timedelta | None = None
