"""The candle store: idempotent upserts, coverage, gaps, and a digest of the content.

Taught in :doc:`/notebooks/data/five_venues`.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from ..candles.gaps import find_gaps
from ..candles.interval import Interval
from ..candles.markets import Market, choose_market, describe_source
from ..candles.table import (
    COLUMNS,
    TIME_DTYPE,
    as_candles,
    empty_candles,
    interval_of,
    parse_range,
    parse_time,
    split_symbols,
)
from ..errors import CandleError, StoreError
from .database import Database
from .rows import (
    VALUES,
    Series,
    UpsertResult,
    all_series,
    canonical_blocks,
    cover,
    coverage_of,
    read_candles,
    series_id,
    write_candles,
)
from .spans import Span, runs, subtract


class CandleStore:
    """Candles in one SQLite file.

    Every :meth:`upsert` is one transaction: after a crash its candles and its coverage are there
    together, or neither is. Threads may share a store, processes a file. A file that does not exist
    is created by the first upsert.

    Args:
        path: the file; its folders are made when needed.
        read_only: refuse to write, and create nothing.

    Raises:
        StoreError: the file cannot be opened or created, is damaged, is not a candle store, or was
            written by a newer alphabook.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self._database = Database(path, read_only=read_only)

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    # --- writing ---------------------------------------------------------------------------------
    def upsert(
        self,
        candles: pd.DataFrame,
        *,
        interval: str | int | Interval | None = None,
        venue: str | None = None,
        covered: tuple[object, object] | None = None,
        symbol: str | None = None,
    ) -> UpsertResult:
        """Insert new candles and replace those that differ, in one transaction with their coverage.

        Args:
            candles: any table that :func:`~alphabook.candles.as_candles` accepts.
            interval: when the table does not carry it.
            venue: when the table does not carry it; ``"unknown"`` otherwise.
            covered: ``(start, end)`` of open times that were asked for, end exclusive: what is not in
                the table does not exist at the venue. By default only the bars themselves count.
            symbol: names the series when the table has no rows or no symbol column.

        Raises:
            CandleError: a bar occurs twice with different values, or a price or volume is not a number.
            StoreError: the file cannot be written.
        """
        table = as_candles(candles, symbol=symbol)
        bar = interval_of(table, interval)
        where = venue or str(table.attrs.get("venue") or "unknown")
        table = _require_storable(table)
        span = None if covered is None else tuple(int(t.timestamp() * 1000) for t in parse_range(*covered))
        symbols = [symbol] if symbol is not None and table.empty else list(table["symbol"].unique())
        result = UpsertResult(0, 0, 0)
        with self._database.transaction() as connection:
            for name in symbols:
                part = table[table["symbol"] == name] if len(symbols) > 1 else table
                series = series_id(connection, where, name, bar)
                result += write_candles(connection, series, part)
                spans = [Span(*span)] if span else runs(part["open_time"], bar)
                cover(connection, series, spans)
        return result

    def transaction(self) -> AbstractContextManager[object]:
        """Several upserts as one: all of them, or none."""
        return self._database.transaction()

    # --- reading ---------------------------------------------------------------------------------
    def read(
        self,
        symbols: str | Iterable[str],
        interval: str | int | Interval | None = None,
        start: object | None = None,
        end: object | None = None,
        *,
        venue: str | None = None,
        columns: Iterable[str] | None = None,
    ) -> pd.DataFrame:
        """Candles with ``start <= open_time < end``; a symbol that is not there contributes no row.

        Where several venues hold a symbol, the same order of preference applies as in
        :meth:`alphabook.candles.MarketDir.read`. With ``columns`` only those are read and returned.

        Raises:
            StoreError: the file cannot be read, or a symbol is held at several intervals and none is named.
            CandleError: ``columns`` names something that is no column of a candle.
        """
        wanted = list(COLUMNS if columns is None else columns)
        unknown = [c for c in wanted if c not in COLUMNS]
        if unknown:
            raise CandleError(f"no column {', '.join(unknown)} in a candle; it has {', '.join(COLUMNS)}")
        low = None if start is None else int(parse_time(start, name="start").timestamp() * 1000)
        high = None if end is None else int(parse_time(end, name="end").timestamp() * 1000)
        with self._database.reading() as connection:
            found = self._find(connection, split_symbols(symbols), interval, venue)
            parts = [read_candles(connection, series, wanted, low, high) for series in found] if connection else []
        bar = found[0].interval if found else (None if interval is None else Interval.parse(interval))
        if not parts:
            return empty_candles(bar, venue)[wanted]
        out = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
        markets = {Market.parse(s.venue): [x.symbol for x in found if x.venue == s.venue] for s in found}
        times = out if "open_time" in out.columns else out.iloc[:0].assign(open_time=pd.Series(dtype=TIME_DTYPE))
        out.attrs = {
            "interval": str(bar),
            "venue": "+".join(m.key for m in markets),
            "source": describe_source(markets, times, found[0].interval),
        }
        return out

    def gaps(
        self, symbol: str, interval: str | int | Interval | None = None, *, venue: str | None = None
    ) -> pd.DataFrame:
        """Missing bars between the first and the last stored one, as :func:`~alphabook.candles.find_gaps` lists them.

        Raises:
            StoreError: the file cannot be read, or the symbol is held at several intervals and none is named.
        """
        times = self.read(symbol, interval, venue=venue, columns=["open_time", "symbol"])
        prices = dict.fromkeys(("open", "high", "low", "close", "volume"), 0.0)
        return find_gaps(times.assign(**prices), times.attrs.get("interval", interval))

    def missing(
        self, symbol: str, interval: str | int | Interval, start: object, end: object, *, venue: str | None = None
    ) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
        """Parts of ``[start, end)`` that no upsert has covered yet: what remains to be downloaded.

        Raises:
            StoreError: the file cannot be read.
            TimeRangeError: ``start`` is not before ``end``.
        """
        first, last = (int(t.timestamp() * 1000) for t in parse_range(start, end))
        with self._database.reading() as connection:
            found = self._find(connection, [symbol], interval, venue)
            covered = coverage_of(connection, found[0].id) if connection and found else []
        return [(_stamp(a), _stamp(b)) for a, b in subtract(Span(first, last), covered)]

    def coverage(self) -> pd.DataFrame:
        """One row per covered range: ``venue, symbol, interval, start, end, bars`` (end exclusive)."""
        query = (
            "SELECT s.venue, s.symbol, s.interval, c.start, c.stop, (SELECT count(*) FROM candles k "
            "WHERE k.series = s.id AND k.open_time >= c.start AND k.open_time < c.stop) "
            "FROM coverage c JOIN series s ON s.id = c.series ORDER BY s.venue, s.symbol, s.interval, c.start"
        )
        return self._table(query, ["venue", "symbol", "interval", "start", "end", "bars"], times=["start", "end"])

    def series(self) -> pd.DataFrame:
        """One row per series that holds candles: ``venue, symbol, interval, first, last, bars``."""
        query = (
            "SELECT s.venue, s.symbol, s.interval, min(k.open_time), max(k.open_time), count(*) "
            "FROM candles k JOIN series s ON s.id = k.series GROUP BY k.series ORDER BY s.venue, s.symbol, s.interval"
        )
        return self._table(query, ["venue", "symbol", "interval", "first", "last", "bars"], times=["first", "last"])

    def digest(self) -> str:
        """SHA-256 of the candles, as 64 hexadecimal digits.

        Two stores have one digest exactly when they hold the same candles: the order, the batches and
        the process that wrote them do not matter, nor does coverage. Hashed are, for each series in
        the order of venue, symbol and interval (as text), the line ``venue|symbol|interval|bars\\n`` and
        then its bars in order of time, each as a little-endian 64-bit integer of milliseconds followed
        by six IEEE doubles (open, high, low, close, volume, turnover; one NaN for a missing turnover,
        0.0 for -0.0).

        Raises:
            StoreError: the file cannot be read.
        """
        sha = hashlib.sha256()
        with self._database.reading() as connection:
            for series in sorted(all_series(connection), key=lambda s: (s.venue, s.symbol, str(s.interval))):
                for block in canonical_blocks(connection, series):  # type: ignore[arg-type]
                    sha.update(block)
        return sha.hexdigest()

    # --- life ------------------------------------------------------------------------------------
    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"CandleStore({str(self.path)!r})"

    def _find(
        self, connection: sqlite3.Connection | None, names: list[str], interval: object, venue: str | None
    ) -> list[Series]:
        """The preferred series of each name that is held, by symbol."""
        bar = None if interval is None else Interval.parse(interval)  # type: ignore[arg-type]
        named = [s for s in all_series(connection) if s.symbol in names]
        held = [s for s in named if venue in (None, s.venue) and bar in (None, s.interval)]
        if len({s.interval for s in held}) > 1:
            several = ", ".join(sorted({str(s.interval) for s in held}))
            raise StoreError(f"{self.path} holds {', '.join(names)} at several intervals ({several}); name one")
        markets = {(Market.parse(s.venue), s.symbol): s for s in held}
        chosen = choose_market(names, pd.DataFrame([(m, n) for m, n in markets], columns=["market", "symbol"]))
        return [markets[chosen[name], name] for name in sorted(chosen)]

    def _table(self, query: str, names: list[str], *, times: list[str]) -> pd.DataFrame:
        with self._database.reading() as connection:
            rows = connection.execute(query).fetchall() if connection else []
        out = pd.DataFrame(rows, columns=names)
        types = {n: "int64" if n in (*times, "bars") else "str" for n in names}
        out = out.astype(types)
        for name in times:
            out[name] = pd.to_datetime(out[name], unit="ms", utc=True).astype(TIME_DTYPE)
        return out


def _require_storable(table: pd.DataFrame) -> pd.DataFrame:
    """The table without identical repeats.

    Raises:
        CandleError: a bar has two different rows, or a value that must be a number is not.
    """
    numbers = np.isfinite(table[list(VALUES[:-1])].to_numpy()).all(axis=1) & ~np.isinf(table["turnover"].to_numpy())
    keyed = (table["symbol"].notna() & table["open_time"].notna()).to_numpy()
    if not (numbers & keyed).all():
        row = table[~(numbers & keyed)].iloc[0]
        raise CandleError(
            f"{row['symbol']} {row['open_time']}: a symbol, time, price or volume is missing or not a number; "
            "nothing was written. validate_candles(...) lists all such rows"
        )
    key = ["symbol", "open_time"]
    if not table.duplicated(key).any():
        return table
    table = table.drop_duplicates(COLUMNS)
    twice = table.duplicated(key)
    if twice.any():
        row = table[twice].iloc[0]
        raise CandleError(
            f"{row['symbol']} {row['open_time']:%Y-%m-%d %H:%M}: two rows tell different things about this bar; "
            "nothing was written. Keep the row that was fetched later"
        )
    return table


def _stamp(ms: int) -> pd.Timestamp:
    return pd.Timestamp(ms, unit="ms", tz="UTC")
