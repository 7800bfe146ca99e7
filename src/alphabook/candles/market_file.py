"""One Parquet file of a market folder: what it holds, and its candles."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import AlphabookError, CandleError, IntervalError, MarketDirError
from .interval import Interval
from .markets import market_of_file
from .table import REQUIRED, as_candles


class FileContent(NamedTuple):
    """What a file holds: a row of the catalogue per symbol, or the reason why there is none."""

    file: str
    rows: tuple[tuple, ...]
    reason: str = ""


def file_content(path: Path, *, name: str) -> FileContent:
    """Catalogue rows of one file; remembered until the file changes.

    Raises:
        MarketDirError: the file is not Parquet, or damaged.
    """
    try:
        stat = path.stat()
        return _content(path, name, stat.st_mtime_ns, stat.st_size)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def read_candle_file(path: Path, *, symbols: list[str] | None = None) -> pd.DataFrame:
    """Candles of one file as they stand in it, in file order.

    Raises:
        MarketDirError: the file is not Parquet, or damaged.
        CandleError: it does not hold candles.
    """
    try:
        wanted = [c for c in ("ts", "open_time", *REQUIRED[1:], "turnover") if c in pq.read_schema(path).names]
        only = None if symbols is None else [("symbol", "in", symbols)]
        frame = pq.read_table(path, columns=wanted, filters=only).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None
    try:
        return as_candles(frame, sort=False)
    except AlphabookError as error:
        raise CandleError(f"{path}: {error}") from None


@lru_cache(maxsize=512)
def _content(path: Path, name: str, modified: int, size: int) -> FileContent:
    schema = pq.read_schema(path)
    when = next((c for c in ("open_time", "ts") if c in schema.names), None)
    absent = [*([] if when else ["ts"]), *(c for c in REQUIRED[1:] if c not in schema.names)]
    if when is None or absent:
        return FileContent(name, (), f"no column {', '.join(absent)}")
    if pa.types.is_timestamp(schema.field(when).type) and schema.field(when).type.tz is None:
        return FileContent(name, (), f"{when} has no time zone, candles are UTC")
    if pq.read_metadata(path).num_rows == 0:
        return FileContent(name, (), "no rows")
    frame = pq.read_table(path, columns=[when, "symbol"]).to_pandas()
    times = pd.to_datetime(frame[when], utc=True, unit="ms" if pd.api.types.is_integer_dtype(frame[when]) else None)
    by_symbol = {str(symbol): part for symbol, part in times.groupby(frame["symbol"].astype("str"), sort=True)}
    usual = _named_interval(name)
    rows = []
    for symbol, part in by_symbol.items():
        interval = _infer(part) or usual
        if interval is None:
            return FileContent(
                name, (), f"the interval of {symbol} cannot be told from its {len(part)} bars or the name"
            )
        market = market_of_file(path.name)
        rows.append((name, market.venue, market.kind, symbol, interval.value, part.min(), part.max(), len(part)))
    return FileContent(name, tuple(rows))


def _infer(times: pd.Series) -> Interval | None:
    try:
        return Interval.infer(times)
    except IntervalError:
        return None


def _named_interval(name: str) -> Interval | None:
    """Interval written as a word of the file's name (``btc_1h_2024``), for symbols of a single bar."""
    for word in re.split(r"[_\-./ ]", name):
        if re.fullmatch(r"\d+(m|h|d|w|M)", word):
            try:
                return Interval.parse(word)
            except IntervalError:
                continue
    return None


def _unreadable(path: Path, error: Exception) -> MarketDirError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return MarketDirError(f"{path} is not a readable Parquet file ({reason}); replace it or move it out of the folder")
