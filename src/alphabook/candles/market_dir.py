"""A folder of Parquet files as a market: what it holds, and candles from it.

Taught in :doc:`/notebooks/data/when_is_a_bar_known`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..errors import CandleError, MarketDirError, NoDataError
from .interval import Interval
from .market_file import FileContent, file_content, read_candle_file
from .markets import Market, choose_market, describe_source, preference
from .table import REQUIRED, as_candles, parse_time, split_symbols

CATALOGUE = ("file", "venue", "kind", "symbol", "interval", "first", "last", "bars")


class MarketDir:
    """A folder of Parquet files with the columns ``ts`` (or ``open_time``), ``symbol``, prices and ``volume``.

    ``ts`` is the open time of the bar, UTC. Venue and kind of market are read from the beginning of
    the file's name (``bybit_linear_…``, ``binance_um_…``, ``coinbase_spot_…``), the interval of each
    symbol from its own bars. Files of anything else (funding rates, fundamentals) are left aside and
    listed in :attr:`skipped` with the reason. Sub-folders are read too.

    Raises:
        MarketDirError: the folder does not exist, or is a file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise MarketDirError(f"{self.path} does not exist; name a folder of Parquet files with candles")
        if not self.path.is_dir():
            raise MarketDirError(f"{self.path} is a file, not a folder; name the folder that holds the Parquet files")

    def catalogue(self) -> pd.DataFrame:
        """One row per file and symbol: ``file, venue, kind, symbol, interval, first, last, bars``.

        Only the time and symbol columns are read, and once: unchanged files are remembered.

        Raises:
            MarketDirError: no Parquet file is there, none holds candles, or one cannot be read.
        """
        contents = self._contents()
        rows = [row for content in contents for row in content.rows]
        if not rows:
            reasons = "; ".join(f"{c.file}: {c.reason}" for c in contents[:3])
            raise MarketDirError(
                f"{self.path} holds no candles ({reasons}); a file of candles has {', '.join(REQUIRED)}"
            )
        return pd.DataFrame(rows, columns=list(CATALOGUE))

    @property
    def skipped(self) -> pd.DataFrame:
        """Parquet files that hold no candles: ``file``, ``reason``."""
        rows = [(content.file, content.reason) for content in self._contents() if content.reason]
        return pd.DataFrame(rows, columns=["file", "reason"])

    def read(
        self,
        symbols: str | Iterable[str] | None = None,
        interval: str | int | Interval = "1h",
        start: object | None = None,
        end: object | None = None,
        *,
        venue: str | None = None,
        kind: str | None = None,
    ) -> pd.DataFrame:
        """Candles with ``start <= open_time < end`` of the named symbols (all of one market by default).

        Where several markets hold a symbol, the first in this order is taken that holds every symbol
        asked for (else the first for each symbol): Bybit linear, Binance USD-M, other Bybit, other
        Binance, Coinbase, Yahoo, the rest by name. Files of the same market are put together; rows
        that they share must agree.

        Raises:
            NoDataError: a symbol is not there at this interval and time; the message names the command.
            CandleError: two files contradict each other.
            MarketDirError: a file cannot be read.
        """
        bar = Interval.parse(interval)
        held = self._held(bar, start, end, venue, kind)
        names = split_symbols(symbols) if symbols is not None else self._all_of_one_market(held)
        chosen = choose_market(names, held)
        missing = [n for n in names if n not in chosen] or ([] if names else ["BTCUSDT"])
        if missing:
            raise NoDataError(self._missing(missing, bar, start, end, venue, kind))
        parts = [self._read_one(name, chosen[name], bar, start, end, held) for name in names]
        out = as_candles(pd.concat(parts, ignore_index=True), interval=bar)
        markets = {m: [n for n in names if chosen[n] == m] for m in sorted(set(chosen.values()), key=preference)}
        out.attrs.update(venue="+".join(m.key for m in markets), source=describe_source(markets, out, bar))
        return out

    def _contents(self) -> list[FileContent]:
        below = len(self.path.parts)
        files = sorted(p for p in self.path.rglob("*.parquet") if not any(s.startswith(".") for s in p.parts[below:]))
        if not files:
            raise MarketDirError(f"{self.path} holds no Parquet file; name a folder of Parquet files with candles")
        return [file_content(f, name=f.relative_to(self.path).as_posix()) for f in files]

    def _held(
        self, bar: Interval, start: object | None, end: object | None, venue: str | None, kind: str | None
    ) -> pd.DataFrame:
        held = self.catalogue()
        held["market"] = [Market(v, k) for v, k in zip(held["venue"], held["kind"], strict=True)]
        held["key"] = [m.key for m in held["market"]]
        keep = held["interval"] == bar.value
        if venue is not None:
            keep &= (held["venue"] == venue) | (held["key"] == venue)
        if kind is not None:
            keep &= held["kind"] == kind
        if start is not None:
            keep &= held["last"] >= parse_time(start, name="start")
        if end is not None:
            keep &= held["first"] < parse_time(end, name="end")
        return held[keep]

    def _all_of_one_market(self, held: pd.DataFrame) -> list[str]:
        if held.empty:
            return []
        best = min(held["market"], key=preference)
        return sorted(set(held.loc[held["key"] == best.key, "symbol"]))

    def _read_one(
        self, symbol: str, market: Market, bar: Interval, start: object | None, end: object | None, held: pd.DataFrame
    ) -> pd.DataFrame:
        mine = held[(held["symbol"] == symbol) & (held["key"] == market.key)]
        parts = [self.read_file(f, symbols=[symbol]) for f in sorted(set(mine["file"]))]
        out = as_candles(pd.concat(parts, ignore_index=True), interval=bar)
        if len(parts) > 1:
            out = out.drop_duplicates().reset_index(drop=True)
            twice = out["open_time"].duplicated()
            if twice.any():
                raise CandleError(
                    f"{', '.join(sorted(set(mine['file'])))} in {self.path} contradict each other on {symbol} {bar} "
                    f"{out['open_time'][twice].iloc[0]:%Y-%m-%d %H:%M}; keep the file that is right"
                )
        if start is not None:
            out = out[out["open_time"] >= parse_time(start, name="start")]
        if end is not None:
            out = out[out["open_time"] < parse_time(end, name="end")]
        return out

    def read_file(self, file: str, symbols: list[str] | None = None) -> pd.DataFrame:
        """One file's candles as they stand in it, in file order.

        Raises:
            MarketDirError: the file cannot be read.
            CandleError: it holds no candles; the file is named.
        """
        return read_candle_file(self.path / file, symbols=symbols)

    def _missing(
        self,
        names: list[str],
        bar: Interval,
        start: object | None,
        end: object | None,
        venue: str | None,
        kind: str | None,
    ) -> str:
        catalogue = self.catalogue()
        there = sorted(set(catalogue.loc[catalogue["interval"] == bar.value, "symbol"]))
        span = "" if start is None and end is None else f" between {start or 'the first bar'} and {end or 'the last'}"
        at = "".join(f" ({label} {value})" for label, value in (("venue", venue), ("kind", kind)) if value)
        shown = ", ".join(there[:8]) + (f" and {len(there) - 8} more" if len(there) > 8 else "") or "nothing"
        return (
            f"no candles for {', '.join(names)} {bar}{at}{span} in {self.path}; at {bar} it holds {shown}; "
            f"run `alphabook fetch --symbols {','.join(names)} --interval {bar}`"
        )

    def __repr__(self) -> str:
        return f"MarketDir({str(self.path)!r})"
