"""What one simulated asset is: its scale, its share in the market factor, its ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..candles.table import split_symbols


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One asset of a simulated market.

    Args:
        symbol: name in the candle table.
        price: open of the first bar, quote units.
        volatility: annualised standard deviation of returns (0.6 is 60 % a year of 365 days).
        loading: correlation with the common factor; two assets correlate with the product of theirs.
        turnover: typical turnover of an hour, quote units.
        tick: step of a price; by default a power of ten, about a hundred-thousandth of ``price``.
        lot: step of a volume; by default a power of ten, about a ten-thousandth of an hour's volume.
    """

    symbol: str
    price: float = 100.0
    volatility: float = 0.7
    loading: float = 0.8
    turnover: float = 20e6
    tick: float | None = None
    lot: float | None = None

    def __post_init__(self) -> None:
        if not self.price > 0:
            raise ValueError(f"price of {self.symbol} must be positive, got {self.price}")
        if not 0 < self.volatility <= 3:
            raise ValueError(f"volatility of {self.symbol} is annual, in (0, 3], got {self.volatility}")
        if not -1 <= self.loading <= 1:
            raise ValueError(f"loading of {self.symbol} is a correlation in [-1, 1], got {self.loading}")
        if not self.turnover > 0:
            raise ValueError(f"turnover of {self.symbol} must be positive, got {self.turnover}")
        for name in ("tick", "lot"):
            step = getattr(self, name)
            if step is not None and not step > 0:
                raise ValueError(f"{name} of {self.symbol} must be positive, got {step}")

    @property
    def price_step(self) -> float:
        """Step that prices are rounded to."""
        return _power_of_ten(self.price * 1e-5) if self.tick is None else self.tick

    @property
    def volume_step(self) -> float:
        """Step that volumes are rounded to."""
        return _power_of_ten(self.turnover / self.price * 1e-4) if self.lot is None else self.lot


# Scale and correlation of five large coins 2021-10 .. 2024-12, rounded; a one-factor fit of their correlations.
PROFILES = (
    Asset(symbol="BTCUSDT", price=40_000, volatility=0.54, loading=0.91, turnover=190e6, tick=5.0, lot=1.0),
    Asset(symbol="ETHUSDT", price=2_500, volatility=0.68, loading=0.94, turnover=72e6, tick=0.2, lot=1.0),
    Asset(symbol="SOLUSDT", price=100, volatility=1.05, loading=0.77, turnover=33e6, tick=0.05, lot=10.0),
    Asset(symbol="XRPUSDT", price=0.6, volatility=0.84, loading=0.67, turnover=11e6, tick=0.0001, lot=1_000.0),
    Asset(symbol="BNBUSDT", price=300, volatility=0.64, loading=0.83, turnover=2.3e6, tick=0.1, lot=1.0),
)


def as_assets(symbols: int | str | Iterable[str | Asset]) -> list[Asset]:
    """Assets from a count, names (``"BTCUSDT,ETHUSDT"``), or assets.

    A known name takes its profile, an unknown one the profile of its position.

    Raises:
        ValueError: none at all, or a name twice.
    """
    if isinstance(symbols, int):
        items: list[str | Asset] = [_name(i) for i in range(symbols)]
    elif isinstance(symbols, str):
        items = list(split_symbols(symbols))
    else:
        items = list(symbols)
    known = {p.symbol: p for p in PROFILES}
    assets = [
        item if isinstance(item, Asset) else known.get(item, replace(PROFILES[i % len(PROFILES)], symbol=item))
        for i, item in enumerate(items)
    ]
    names = [a.symbol for a in assets]
    if not names:
        raise ValueError("a market needs at least one symbol, got none")
    if len(set(names)) < len(names):
        raise ValueError(f"symbols must differ, got {', '.join(names)}")
    return assets


def _name(index: int) -> str:
    return PROFILES[index].symbol if index < len(PROFILES) else f"SIM{index + 1:02d}USDT"


def _power_of_ten(size: float) -> float:
    return float(f"1e{round(math.log10(size))}")
