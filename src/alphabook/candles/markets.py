"""Names of markets, and which one is meant when several list a symbol."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from .interval import Interval


class Market(NamedTuple):
    """A venue and one kind of its markets: ``Market("bybit", "linear")``."""

    venue: str
    kind: str

    @property
    def key(self) -> str:
        """Short name, the one the store files candles under: the venue alone for its usual kind."""
        return self.venue if _USUAL_KIND.get(self.venue, self.kind) == self.kind else f"{self.venue}-{self.kind}"

    @property
    def words(self) -> str:
        """Name for a reader: ``"Bybit USDT perpetuals"``."""
        if self.venue == "unknown":
            return "files of unknown origin"
        return _WORDS.get(self, self.venue if self.kind == "unknown" else f"{self.venue} {self.kind}")

    @classmethod
    def parse(cls, key: str) -> Market:
        """Market of a short name: ``"bybit"`` is Bybit linear, ``"binance-spot"`` Binance spot."""
        venue, _, kind = key.partition("-")
        return cls(venue, kind or _USUAL_KIND.get(venue, "unknown"))


_WORDS: dict[tuple[str, str], str] = {
    ("bybit", "linear"): "Bybit USDT perpetuals",
    ("bybit", "spot"): "Bybit spot",
    ("bybit", "inverse"): "Bybit inverse perpetuals",
    ("binance", "um"): "Binance USD-M perpetuals",
    ("binance", "cm"): "Binance COIN-M perpetuals",
    ("binance", "spot"): "Binance spot",
    ("coinbase", "spot"): "Coinbase spot",
    ("yahoo", "chart"): "Yahoo chart",
    ("simulated", "unknown"): "simulated market",
}
_USUAL_KIND = {"bybit": "linear", "binance": "um", "coinbase": "spot", "yahoo": "chart"}
_ORDER = ["bybit", "binance", "coinbase", "yahoo"]
UNKNOWN = Market("unknown", "unknown")


def preference(market: Market) -> tuple:
    """Sort key: usual kinds of the known venues, their other kinds, then the rest by name."""
    known = market.venue in _ORDER
    usual = known and _USUAL_KIND[market.venue] == market.kind
    return (not usual, not known, _ORDER.index(market.venue) if known else 0, market.venue, market.kind)


def market_of_file(name: str) -> Market:
    """Venue and kind from the beginning of a file's name; ``unknown`` where it names no known market."""
    words = name.lower().replace("-", "_").split("_")
    for venue, kind in _WORDS:
        if words[:2] == [venue, kind]:
            return Market(venue, kind)
    if words[0] in _USUAL_KIND:
        return Market(words[0], _USUAL_KIND[words[0]])
    return UNKNOWN


def choose_market(names: list[str], held: pd.DataFrame) -> dict[str, Market]:
    """For each symbol the preferred market that holds it, one for all where one holds all.

    ``held`` has the columns ``symbol`` and ``market``; a symbol that is nowhere is left out.
    """
    by_market: dict[Market, set[str]] = {}
    for symbol, market in zip(held["symbol"], held["market"], strict=True):
        by_market.setdefault(market, set()).add(symbol)
    order = sorted(by_market, key=preference)
    for market in order:
        if by_market[market].issuperset(names):
            return dict.fromkeys(names, market)
    return {name: next(m for m in order if name in by_market[m]) for name in names if name in set(held["symbol"])}


def describe_source(markets: dict[Market, list[str]], candles: pd.DataFrame, interval: Interval) -> str:
    """Source in words: ``"Bybit USDT perpetuals, 1h, 2021-10-15 to 2024-12-31"``."""
    if len(markets) == 1:
        where = next(iter(markets)).words
    else:
        where = " and ".join(f"{market.words} ({', '.join(names)})" for market, names in markets.items())
    if candles.empty:
        return f"{where}, {interval}"
    first, last = candles["open_time"].min(), candles["open_time"].max()
    return f"{where}, {interval}, {first:%Y-%m-%d} to {last:%Y-%m-%d}"
