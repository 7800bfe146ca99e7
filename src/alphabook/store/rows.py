"""Rows in and out of the store's tables; every function works inside a transaction that is already open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import repeat
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..candles.gaps import milliseconds
from ..candles.interval import Interval
from ..candles.table import COLUMNS
from .spans import Span, add_span

VALUES = COLUMNS[2:]
_INSERT = f"INSERT INTO candles (series, open_time, {', '.join(VALUES)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_UPSERT = (
    f"{_INSERT} ON CONFLICT (series, open_time) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in VALUES)} "
    f"WHERE {' OR '.join(f'{c} IS NOT excluded.{c}' for c in VALUES)}"
)
_CHUNK = 50_000  # rows handed over at once: bounded memory, no measurable cost


class UpsertResult(NamedTuple):
    """What an upsert did, in candles."""

    inserted: int
    updated: int
    unchanged: int

    def __add__(self, other: object) -> UpsertResult:  # type: ignore[override]
        if not isinstance(other, UpsertResult):
            return NotImplemented
        return UpsertResult(*(a + b for a, b in zip(self, other, strict=True)))


class Series(NamedTuple):
    """One run of bars in the store: a symbol of a venue at an interval."""

    id: int
    venue: str
    symbol: str
    interval: Interval


def write_candles(connection: sqlite3.Connection, series: int, part: pd.DataFrame) -> UpsertResult:
    if part.empty:
        return UpsertResult(0, 0, 0)
    times = milliseconds(part["open_time"])
    bounds = (series, int(times[0]), int(times[-1]))
    count = "SELECT count(*) FROM candles WHERE series = ? AND open_time BETWEEN ? AND ?"
    before = connection.execute(count, bounds).fetchone()[0]
    sql = _UPSERT if before else _INSERT
    changed = 0
    for chunk in _rows(series, times, part):
        changed += connection.executemany(sql, chunk).rowcount
    inserted = connection.execute(count, bounds).fetchone()[0] - before
    return UpsertResult(inserted, changed - inserted, len(part) - changed)


def _rows(series: int, times: np.ndarray, part: pd.DataFrame) -> Iterator[Iterator[tuple]]:
    for at in range(0, len(part), _CHUNK):
        piece = slice(at, at + _CHUNK)
        columns = [part[c].to_numpy()[piece].tolist() for c in VALUES]  # SQLite stores NaN as NULL
        yield zip(repeat(series, len(columns[0])), times[piece].tolist(), *columns, strict=True)


def cover(connection: sqlite3.Connection, series: int, new: list[Span]) -> None:
    before = coverage_of(connection, series)
    after = before
    for span in new:
        after = add_span(after, span)
    if after != before:
        connection.execute("DELETE FROM coverage WHERE series = ?", (series,))
        connection.executemany("INSERT INTO coverage VALUES (?, ?, ?)", [(series, *span) for span in after])


def coverage_of(connection: sqlite3.Connection, series: int) -> list[Span]:
    rows = connection.execute("SELECT start, stop FROM coverage WHERE series = ? ORDER BY start", (series,))
    return [Span(*row) for row in rows]


def series_id(connection: sqlite3.Connection, venue: str, symbol: str, interval: Interval) -> int:
    key = (venue, symbol, interval.value)
    connection.execute("INSERT OR IGNORE INTO series (venue, symbol, interval) VALUES (?, ?, ?)", key)
    return connection.execute("SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?", key).fetchone()[
        0
    ]


def all_series(connection: sqlite3.Connection | None) -> list[Series]:
    if connection is None:
        return []
    rows = connection.execute("SELECT id, venue, symbol, interval FROM series ORDER BY id")
    return [Series(i, v, s, Interval(bar)) for i, v, s, bar in rows]


def read_candles(
    connection: sqlite3.Connection, series: Series, wanted: list[str], low: int | None, high: int | None
) -> pd.DataFrame:
    stored = [c for c in wanted if c != "symbol"]
    where, values = "series = ?", [series.id]
    for bound, sign in ((low, ">="), (high, "<")):
        if bound is not None:
            where, values = f"{where} AND open_time {sign} ?", [*values, bound]
    query = f"SELECT {', '.join(stored) or 'open_time'} FROM candles WHERE {where} ORDER BY open_time"
    rows = connection.execute(query, values).fetchall()
    # one matrix of doubles: NULL becomes NaN, and milliseconds are whole numbers far below 2 ** 53
    matrix = np.array(rows, dtype="float64").reshape(len(rows), max(len(stored), 1))
    out = pd.DataFrame({name: matrix[:, i] for i, name in enumerate(stored)}, index=pd.RangeIndex(len(rows)))
    if "open_time" in stored:
        out["open_time"] = pd.DatetimeIndex(out["open_time"].astype("int64").astype("datetime64[ms]")).tz_localize(
            "UTC"
        )
    if "symbol" in wanted:
        out["symbol"] = pd.Series([series.symbol] * len(rows), dtype="str")
    return out[wanted]


def canonical_blocks(connection: sqlite3.Connection, series: Series) -> Iterator[bytes]:
    record = np.dtype([("open_time", "<i8"), *((c, "<f8") for c in VALUES)])
    cursor = connection.execute(
        f"SELECT open_time, {', '.join(VALUES)} FROM candles WHERE series = ? ORDER BY open_time", (series.id,)
    )
    blocks, bars = [], 0
    while rows := cursor.fetchmany(_CHUNK):
        block = np.empty(len(rows), dtype=record)
        for name, values in zip(record.names or (), zip(*rows, strict=True), strict=True):
            block[name] = np.array(values, dtype=record[name])
        for name in VALUES:
            block[name][np.isnan(block[name])] = np.nan
            block[name] += 0.0
        blocks.append(block.tobytes())
        bars += len(rows)
    if bars:
        yield f"{series.venue}|{series.symbol}|{series.interval}|{bars}\n".encode()
        yield from blocks
