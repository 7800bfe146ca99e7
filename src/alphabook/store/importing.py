"""From a folder of Parquet files into the store: checked first, whole files only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from ..candles.interval import Interval
from ..candles.market_dir import MarketDir
from ..candles.markets import Market
from ..candles.quality import validate_candles
from ..candles.table import as_candles
from ..errors import CandleError
from .candle_store import CandleStore
from .rows import UpsertResult


class FileImport(NamedTuple):
    """One file of an import: what went in, and the warnings its candles gave."""

    file: str
    venue: str
    symbols: int
    result: UpsertResult
    warnings: int


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What :func:`import_folder` did, file by file."""

    files: tuple[FileImport, ...]
    skipped: pd.DataFrame

    @property
    def total(self) -> UpsertResult:
        """Candles inserted, updated and unchanged over all files."""
        return sum((f.result for f in self.files), UpsertResult(0, 0, 0))

    def summary(self) -> str:
        """One line per file, and why other Parquet files were left aside."""
        lines = [
            f"{f.file}: {f.venue}, {f.symbols} symbols, {f.result.inserted:,} new, {f.result.updated:,} changed, "
            f"{f.result.unchanged:,} as before, {f.warnings:,} warnings"
            for f in self.files
        ]
        lines += [f"{row.file}: left aside, {row.reason}" for row in self.skipped.itertuples()]
        return "\n".join(lines)


def import_folder(
    store: CandleStore,
    market: MarketDir | str | Path,
    *,
    interval: str | int | Interval | None = None,
    progress: bool = False,
) -> ImportReport:
    """Copy the candles of a folder into the store, each file in one transaction.

    All files are checked before the first is written. A file of a market's usual kind goes in under
    the venue's name (``bybit``), another kind under both (``bybit-spot``). Holes in a file are not
    marked as covered: the next ``fetch`` asks the venue for them.

    Args:
        store: where to.
        market: a folder, or its :class:`~alphabook.candles.MarketDir`.
        interval: import only candles of this interval.
        progress: show a bar.

    Raises:
        CandleError: candles are broken; the message names the file and the first bad row, and nothing
            was written.
        MarketDirError: the folder is none, holds no candles, or a file in it cannot be read.
        StoreError: the store cannot be written.
    """
    folder = market if isinstance(market, MarketDir) else MarketDir(market)
    catalogue = folder.catalogue()
    if interval is not None:
        catalogue = catalogue[catalogue["interval"] == Interval.parse(interval).value]
        if catalogue.empty:
            raise CandleError(f"{folder.path} holds no {Interval.parse(interval)} candles; leave the interval out")
    by_file = {str(file): rows for file, rows in catalogue.groupby("file", sort=True)}
    warnings = {}
    for file, rows in tqdm(by_file.items(), desc="checking", unit="file", disable=not progress):
        parts = _parts(folder, file, rows)
        reports = [validate_candles(part, bar) for bar, part in parts]
        for report in reports:
            report.raise_if_bad(str(folder.path / file))
        warnings[file] = sum(len(report.warnings) for report in reports)
    done = []
    for file, rows in tqdm(by_file.items(), desc="importing", unit="file", disable=not progress):
        venue = Market(rows["venue"].iloc[0], rows["kind"].iloc[0]).key
        with store.transaction():
            results = [store.upsert(part, interval=bar, venue=venue) for bar, part in _parts(folder, file, rows)]
        total = sum(results, UpsertResult(0, 0, 0))
        done.append(FileImport(file, venue, rows["symbol"].nunique(), total, warnings[file]))
    return ImportReport(files=tuple(done), skipped=folder.skipped)


def _parts(folder: MarketDir, file: str, rows: pd.DataFrame) -> list[tuple[Interval, pd.DataFrame]]:
    """A file's candles, sorted, one table per interval."""
    table = as_candles(folder.read_file(file, symbols=sorted(rows["symbol"])))
    intervals = rows.groupby("interval")["symbol"].agg(set)
    return [(Interval.parse(str(text)), table[table["symbol"].isin(names)]) for text, names in intervals.items()]
