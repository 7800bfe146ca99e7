"""The market behind the counter: which symbols exist, and which bars answer a request.

A market is a candles table, anything with a ``candles`` attribute that is one (a simulated market), or a
folder of Parquet files. In a folder every file with ``ts`` or ``open_time``, ``symbol``, open, high, low,
close and volume counts; a file with ``ts``, ``symbol`` and ``funding_rate`` supplies funding; others are
left alone. The venue and kind of a file are read from its name (``bybit_linear_…``, ``binance_um_…``,
``coinbase_spot_…``), the interval from the table's own attributes or its most frequent step.

**Names.** ``BTCUSDT``, ``BTC/USD``, ``BTC-USD`` and ``BTCUSD`` are one asset quoted in dollars; every
venue sells it under the venue's own name (Bybit linear and spot, Binance: ``BTCUSDT``; Bybit inverse:
``BTCUSD``; Coinbase and Yahoo: ``BTC-USD``; Artemis: ``btc``). A name without a known quote (``GS``) is
the same everywhere (``gs`` at Artemis).

**Choice of bars.** Files of the venue being played come first, among them those of the same kind (spot
or perpetual); of other venues' files the one that covers most time. Of equals the exact interval wins over
aggregating finer bars. An interval finer than anything in the market has no bars. Funding is taken from
whichever file has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ...candles.interval import DAY_MS, Interval
from ...candles.table import as_candles, interval_of
from ...errors import AlphabookError, IntervalError, MarketDirError
from .series import Series

DOLLARS = ("USDT", "USDC", "FDUSD", "BUSD", "USD")
_KINDS = {"linear": "linear", "um": "linear", "inverse": "inverse", "cm": "inverse", "spot": "spot"}
_VENUES = ("bybit", "binance", "coinbase", "yahoo", "artemis")


@dataclass(frozen=True, eq=False)
class Source:
    """Bars of one symbol from one table or file."""

    venue: str
    kind: str
    quote: str
    series: Series


@dataclass(frozen=True)
class Asset:
    """What is traded: ``quote`` is ``"USD"`` for every kind of dollar, empty when the name has none."""

    base: str
    quote: str


class Market:
    """Assets, their bars and funding, as one venue sees them."""

    def __init__(self, market: Any, *, venue: str) -> None:
        self.venue = venue
        self.origin = ""
        self.funding: dict[str, pd.Series] = {}
        self._sources: dict[Asset, list[Source]] = {}
        self._chosen: dict[tuple[Asset, Interval, str, str], Series | None] = {}
        self._open(market)

    @property
    def assets(self) -> list[Asset]:
        """All assets, by name."""
        return sorted(self._sources, key=lambda a: (a.base, a.quote))

    def series(self, asset: Asset, interval: Interval, *, kind: str = "", quote: str = "") -> Series | None:
        """Bars of an asset at an interval, or ``None`` when nothing so fine exists."""
        key = (asset, interval, kind, quote)
        if key not in self._chosen:
            self._chosen[key] = self._choose(*key)
        return self._chosen[key]

    def finest(self, asset: Asset, *, kind: str = "", quote: str = "") -> Series:
        """The finest bars of the best source; what tickers and order books are made of."""
        ranked = self._ranked(asset, kind, quote)
        alike = [
            s for s in ranked if _rank(s, self.venue, kind, quote)[:3] == _rank(ranked[0], self.venue, kind, quote)[:3]
        ]
        return min((s.series for s in alike), key=lambda s: (_length(s), -_days(s)))

    def first_ms(self, asset: Asset) -> int:
        """Open time of an asset's first bar: when it was listed, as far as this market knows."""
        return min(int(s.series.open_ms[0]) for s in self._ranked(asset, "", "")[:1])

    def default_now(self) -> int:
        """Half a bar after the last bar opened, so that the last bar is the still-open one."""
        sources = [s for found in self._sources.values() for s in found]
        own = [s for s in sources if s.venue == self.venue] or sources
        return max(int(s.series.open_ms[-1] + s.series.close_ms[-1]) // 2 for s in own)

    def intervals(self) -> list[str]:
        """Intervals that lie in the market as such (coarser ones are aggregated on request)."""
        found = {s.series.interval for sources in self._sources.values() for s in sources}
        return [i.value for i in Interval if i in found]

    def _choose(self, asset: Asset, interval: Interval, kind: str, quote: str) -> Series | None:
        ranked = self._ranked(asset, kind, quote)
        for rank in dict.fromkeys(_rank(s, self.venue, kind, quote) for s in ranked):
            usable = [
                s.series
                for s in ranked
                if _rank(s, self.venue, kind, quote) == rank and _builds(s.series.interval, interval)
            ]
            if usable:
                best = max(usable, key=_length)
                return best if best.interval is interval else best.aggregated(interval)
        return None

    def _ranked(self, asset: Asset, kind: str, quote: str) -> list[Source]:
        return sorted(self._sources[asset], key=lambda s: _rank(s, self.venue, kind, quote), reverse=True)

    def _open(self, market: Any) -> None:
        table = getattr(market, "candles", market)
        if isinstance(table, pd.DataFrame):
            candles = as_candles(table)
            self._add(candles, interval_of(candles), venue=str(candles.attrs.get("venue", "")), kind="")
            self.origin = str(candles.attrs.get("source", "a table of candles"))
        elif isinstance(market, (str, Path)):
            self._open_folder(Path(market))
        else:
            raise MarketDirError(
                f"a market is a table of candles, a simulated market or a folder of Parquet files, "
                f"got {type(market).__name__}"
            )
        if not self._sources:
            raise MarketDirError(f"no candles in {self.origin}; nothing to serve")

    def _open_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            raise MarketDirError(f"{folder} is not a folder; give the folder that holds the Parquet files of candles")
        files = sorted(folder.glob("*.parquet"))
        if not files:
            raise MarketDirError(f"no .parquet file in {folder}; a market is a folder of Parquet files of candles")
        self.origin = str(folder)
        tables: dict[tuple[str, str, Interval], list[pd.DataFrame]] = {}
        for file in files:
            try:
                frame = pd.read_parquet(file)
            except Exception as error:  # pyarrow raises many kinds for a damaged file
                raise MarketDirError(
                    f"{file} cannot be read as Parquet ({error}); remove it or fetch it again"
                ) from None
            columns = set(frame.columns)
            if {"ts", "symbol", "funding_rate"} <= columns:
                self._add_funding(frame)
            if columns & {"ts", "open_time"} and {"symbol", "open", "high", "low", "close", "volume"} <= columns:
                try:
                    candles = as_candles(frame)
                    interval = interval_of(candles)
                except IntervalError:
                    continue  # one bar, or steps that are no interval: not candles one can serve
                except AlphabookError as error:
                    raise MarketDirError(f"{file}: {error}") from None
                venue, kind = _venue_and_kind(file, candles)
                tables.setdefault((venue, kind, interval), []).append(candles)
        for (venue, kind, interval), parts in tables.items():
            self._add(pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0], interval, venue, kind)

    def _add(self, candles: pd.DataFrame, interval: Interval, venue: str, kind: str) -> None:
        for name, rows in candles.groupby("symbol", sort=True):
            asset, quote = parse_name(str(name))
            source = Source(venue, kind, quote, Series.from_candles(rows, interval))
            self._sources.setdefault(asset, []).append(source)

    def _add_funding(self, frame: pd.DataFrame) -> None:
        for name, rows in frame.groupby("symbol", sort=True):
            rates = rows.set_index("ts")["funding_rate"].sort_index()
            self.funding[parse_name(str(name))[0].base] = rates


def parse_name(name: str) -> tuple[Asset, str]:
    """Asset and quote currency behind a symbol in any of the usual spellings."""
    text = name.strip()
    match = re.fullmatch(r"([A-Za-z0-9]+)[-/_]([A-Za-z]{3,5})", text)
    if match and match[2].upper() in (*DOLLARS, "EUR", "GBP", "BTC", "ETH"):
        base, quote = match[1].upper(), match[2].upper()
        return Asset(base, "USD" if quote in DOLLARS else quote), quote
    for quote in DOLLARS:
        if text.upper().endswith(quote) and len(text) > len(quote):
            return Asset(text.upper().removesuffix(quote), "USD"), quote
    return Asset(text, ""), ""


def _rank(source: Source, venue: str, kind: str, quote: str) -> tuple[bool, bool, bool, int]:
    own = source.venue == venue
    return own, own and source.kind == kind, source.quote == quote, _days(source.series)


def _days(series: Series) -> int:
    return int(series.close_ms[-1] - series.open_ms[0]) // DAY_MS


def _length(series: Series) -> int:
    return series.interval.milliseconds or 31 * DAY_MS


def _builds(fine: Interval, coarse: Interval) -> bool:
    """Whether bars of ``fine`` tile every bar of ``coarse``."""
    if fine is coarse:
        return True
    if fine.milliseconds is None:
        return False
    whole = DAY_MS if coarse.milliseconds is None else coarse.milliseconds
    return whole % fine.milliseconds == 0 and fine.milliseconds <= whole


def _venue_and_kind(file: Path, candles: pd.DataFrame) -> tuple[str, str]:
    words = file.stem.lower().split("_")
    venue = next((v for v in _VENUES if v in words), str(candles.attrs.get("venue", "")))
    kind = next((_KINDS[w] for w in words if w in _KINDS), str(candles.attrs.get("kind", "")))
    return venue, kind
