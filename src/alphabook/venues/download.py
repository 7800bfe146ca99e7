"""From a venue into the store: window by window, each with its coverage in one transaction.

Taught in :doc:`/notebooks/data/five_venues`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from ..candles import Interval
from ..candles.table import parse_time, split_symbols
from ..errors import NoDataError, TimeRangeError, UnknownSymbolError
from ..store import CandleStore, UpsertResult
from .base import Venue
from .paging import Grid, plan_windows
from .window import Window

REREAD = 3  # bars of earlier coverage read again when it is extended: venues revise the newest ones


class Slice(NamedTuple):
    """Candles of one interval that the book uses."""

    symbols: tuple[str, ...]
    interval: str
    start: str
    end: str


#: The book's fixed slice of real candles, from Bybit: ``alphabook fetch --preset book``.
BOOK_PRESET = (
    Slice(("BTCUSDT", "ETHUSDT", "XRPUSDT", "BNBUSDT", "SOLUSDT"), "1h", "2021-10-15", "2025-01-01"),
    Slice(("BTCUSDT",), "15m", "2024-10-01", "2025-01-01"),
)


@dataclass(frozen=True, kw_only=True)
class SymbolReport:
    """What a download did for one symbol.

    ``bars`` are the closed bars received, each counted once however many windows held it; ``revised`` ones were
    there before with other values; ``calls`` are all requests for its candles, those sent again included.
    """

    symbol: str
    bars: int = 0
    inserted: int = 0
    revised: int = 0
    calls: int = 0
    gaps: tuple[tuple[pd.Timestamp, pd.Timestamp, int], ...] = ()

    @property
    def missing(self) -> int:
        """Bars inside true gaps: they do not exist at the venue and are not filled."""
        return sum(count for _, _, count in self.gaps)


@dataclass(frozen=True, kw_only=True)
class DownloadReport:
    """What a download did, one row per symbol; ``clock_calls`` are the requests for the venue's clock."""

    venue: str
    interval: Interval
    start: pd.Timestamp
    end: pd.Timestamp
    rows: tuple[SymbolReport, ...]
    clock_calls: int = 0

    @property
    def calls(self) -> int:
        """Requests for candles over all symbols, those sent again included."""
        return sum(r.calls for r in self.rows)

    @property
    def bars(self) -> int:
        """Closed bars received over all symbols, each once, the re-read ones included."""
        return sum(r.bars for r in self.rows)

    def table(self) -> pd.DataFrame:
        """The report as a table ``symbol, bars, inserted, revised, gaps, missing, calls``."""
        return pd.DataFrame(
            [(r.symbol, r.bars, r.inserted, r.revised, len(r.gaps), r.missing, r.calls) for r in self.rows],
            columns=["symbol", "bars", "inserted", "revised", "gaps", "missing", "calls"],
        )

    def __str__(self) -> str:
        return (
            f"{self.venue} {self.interval} {self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M}\n"
            + self.table().to_string(index=False)
            + f"\nrequests: {self.calls} for candles, {self.clock_calls} for the venue's clock"
        )


def download(
    venue: Venue,
    symbols: str | Iterable[str],
    interval: str | int | Interval,
    start: object,
    end: object = None,
    store: CandleStore | str | Path = "data/market.sqlite",
    *,
    progress: bool = True,
    reread: int = REREAD,
) -> DownloadReport:
    """Bring ``[start, end)`` of all symbols into the store; what it covers already is not asked for again.

    May be stopped at any moment (Ctrl-C, crash, ban): every window is stored with its coverage at once, and the
    next run goes on where this one stopped, re-reading the last ``reread`` bars for revisions. Nothing is written
    before the first window of every symbol has arrived, so a misspelt symbol leaves no trace.

    Args:
        end: exclusive; ``None`` or a later time means the newest closed bar.
        store: an open store, or the path of one (created by the first write).

    Raises:
        TimeRangeError, BadIntervalError: before any call.
        NoDataError: a symbol has no candles in the whole range.
        VenueError: as :meth:`Venue.fetch_candles`; what was stored before stays.
        StoreError: the store cannot be opened or written.
    """
    names = [venue.symbol_code(s) for s in split_symbols(symbols)]
    if not names:
        raise UnknownSymbolError("no symbols given; pass for example BTCUSDT,ETHUSDT", venue=venue.name)
    bar, _ = venue.interval_code(interval)
    first = parse_time(start, name="start")
    if end is not None and parse_time(end, name="end") <= first:
        last = parse_time(end, name="end")
        raise TimeRangeError(f"start {first:%Y-%m-%d %H:%M} is not before end {last:%Y-%m-%d %H:%M}; swap them")
    with ExitStack() as stack:
        opened = store if isinstance(store, CandleStore) else stack.enter_context(CandleStore(store))
        venue.replied_at, before = None, venue.http.calls
        last = _closed_end(venue, bar, first, end, names, opened)
        clock_calls = venue.http.calls - before
        if first >= last:
            raise _nothing_closed(bar, first, last)
        jobs = [_Job(venue, name, bar, first, last, opened, reread) for name in names]
        with tqdm(total=sum(j.planned for j in jobs), desc=venue.key, unit="call", disable=not progress) as meter:
            for job in jobs:
                job.open()  # the first window of every symbol, before anything is written
            reports = tuple(job.run(meter) for job in jobs)
    return DownloadReport(
        venue=venue.key, interval=bar, start=first, end=_passed(venue, bar, last), rows=reports, clock_calls=clock_calls
    )


class _Job:
    """The ranges of one symbol that are still to be fetched, and the fetching of them."""

    def __init__(
        self, venue: Venue, symbol: str, bar: Interval, first: pd.Timestamp, last: pd.Timestamp, store: CandleStore,
        reread: int,
    ) -> None:  # fmt: skip
        self.venue, self.symbol, self.bar, self.first, self.last, self.store = venue, symbol, bar, first, last, store
        holes = store.missing(symbol, bar, first, last, venue=venue.key)
        self.ranges = [(_step_back(a, bar, reread) if self._covered_before(a) else a, b) for a, b in holes]
        limit = venue.window_limit(bar)
        self.planned = sum(len(plan_windows(len(Grid.between(bar, a, b)), limit)) for a, b in self.ranges)
        self.calls = 0
        self.windows: Iterator[Window] = iter(())

    def open(self) -> None:
        """Fetch the first window and keep it; errors of the symbol show here."""
        source = (window for a, b in self.ranges for window in self._fetch(a, b))
        head = next(source, None)
        self.windows = source if head is None else chain([head], source)

    def run(self, meter: tqdm) -> SymbolReport:
        inserted = revised = 0
        bars: set[pd.Timestamp] = set()  # neighbouring windows share some
        gaps: list[tuple[pd.Timestamp, pd.Timestamp, int]] = []
        held: list[Window] = []  # empty windows before the first bar: stored only if a bar follows
        known = not self.store.missing(self.symbol, self.bar, self.first, self.last, venue=self.venue.key)
        known = known or any(a != self.first for a, _ in self.ranges)
        for window in self.windows:
            meter.update()
            held.append(window)
            if len(window.candles) or known:
                for one in held:
                    change = self._store(one)
                    inserted, revised = inserted + change.inserted, revised + change.updated
                    bars.update(one.candles["open_time"])
                    known = True
                    gaps.extend(one.gaps)
                held = []
        newest = _passed(self.venue, self.bar, self.last)
        if not known and newest <= self.first:
            raise _nothing_closed(self.bar, self.first, newest)
        if not known:
            raise NoDataError(
                f"{self.venue.key} has no {self.bar} candles of {self.symbol} between {self.first:%Y-%m-%d} and "
                f"{self.last:%Y-%m-%d}: it was not listed then; choose other dates, or check the symbol"
            )
        return SymbolReport(
            symbol=self.symbol, bars=len(bars), inserted=inserted, revised=revised, calls=self.calls,
            gaps=tuple(dict.fromkeys(gaps)),
        )  # fmt: skip

    def _store(self, window: Window) -> UpsertResult:
        if window.covered_until <= window.start:
            return UpsertResult(0, 0, 0)
        return self.store.upsert(
            window.candles, interval=self.bar, venue=self.venue.key, symbol=self.symbol,
            covered=(window.start, window.covered_until),
        )  # fmt: skip

    def _fetch(self, start: pd.Timestamp, end: pd.Timestamp) -> Iterator[Window]:
        before = self.venue.http.calls
        for window in self.venue.windows(self.symbol, self.bar, start, end):
            self.calls += self.venue.http.calls - before
            yield window
            before = self.venue.http.calls
        self.calls += self.venue.http.calls - before

    def _covered_before(self, when: pd.Timestamp) -> bool:
        return not self.store.missing(self.symbol, self.bar, _step_back(when, self.bar, 1), when, venue=self.venue.key)


def _closed_end(
    venue: Venue, bar: Interval, first: pd.Timestamp, end: object, names: Iterable[str], store: CandleStore
) -> pd.Timestamp:
    """The end asked for, but not after the close of the newest closed bar by the venue's clock.

    The venue is not asked where its answer would change nothing: the end has passed by this machine's clock, and
    the store holds either all of the range or none of it. Every candle reply brings the venue's own time.
    """
    if end is not None and (asked := parse_time(end, name="end")) <= venue.local_time():
        holes = [store.missing(name, bar, first, asked, venue=venue.key) for name in names]
        if all(not hole or hole == [(first, asked)] for hole in holes):
            return asked
    newest = bar.floor(venue.server_time())
    assert isinstance(newest, pd.Timestamp)
    return newest if end is None else min(newest, parse_time(end, name="end"))


def _passed(venue: Venue, bar: Interval, last: pd.Timestamp) -> pd.Timestamp:
    """``last``, but not after the newest close by the time that the venue's replies told."""
    if venue.replied_at is None:
        return last
    newest = bar.floor(venue.replied_at)
    assert isinstance(newest, pd.Timestamp)
    return min(newest, last)


def _nothing_closed(bar: Interval, first: pd.Timestamp, newest: pd.Timestamp) -> TimeRangeError:
    return TimeRangeError(
        f"no {bar} bar after start {first:%Y-%m-%d %H:%M} has closed yet (the newest closed at "
        f"{newest:%Y-%m-%d %H:%M}); choose an earlier start"
    )


def _step_back(when: pd.Timestamp, bar: Interval, count: int) -> pd.Timestamp:
    if bar.milliseconds is None:
        return when - pd.DateOffset(months=count)
    return when - count * bar.timedelta
