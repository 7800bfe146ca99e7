"""What every venue has in common: one interface, and the loop that fetches any span of closed bars.

Taught in :doc:`/notebooks/data/five_venues`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import ClassVar

import pandas as pd
import requests
from tqdm import tqdm

from ..candles import Interval
from ..candles.interval import DAY_MS
from ..candles.table import parse_time, split_symbols
from ..errors import BadIntervalError, TimeRangeError, UnknownSymbolError, VenueError
from .budget import RateBudget
from .http import HeaderKey, HttpClient, Reply, http_error
from .market import Instrument, OrderBook, Ticker
from .paging import Grid, plan_windows, to_candles
from .window import Page, Window, absent, part_of, settle, settled

CONFIRMATIONS = 2  # further replies without a bar before it counts as a true gap


class Venue(ABC):
    """A source of candles. All times are UTC; a bar is named by its open and returned only once closed.

    Args:
        base_url: another address, for example a stand-in's.
        attempts, backoff, timeout, max_wait: see :class:`alphabook.venues.http.HttpClient`.
        budget: a :class:`RateBudget` to share with other clients of the same venue.
        verify: ask for every window until two replies in a row agree: twice the calls, and the only defence
            against a stale bar served in place of the final one.
        sleep, clock, session: for tests and simulations.
    """

    name: ClassVar[str]
    default_url: ClassVar[str]
    intervals: Mapping[Interval, str]
    limit: int = 1000
    continuous: ClassVar[bool] = True  # a bar for every interval: a missing one is a gap, not a closed market
    budget_rate: ClassVar[float] = 10.0
    budget_burst: ClassVar[float] = 10.0

    def __init__(
        self,
        *,
        base_url: str | None = None,
        timeout: float = 30.0,
        attempts: int = 6,
        backoff: float = 0.5,
        max_wait: float = 60.0,
        budget: RateBudget | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        session: requests.Session | None = None,
        headers: Mapping[str, str] | None = None,
        auth: HeaderKey | None = None,
        verify: bool = False,
    ) -> None:
        self.budget = budget or RateBudget(self.budget_rate, self.budget_burst, sleep=sleep)
        self._clock = clock
        self.http = HttpClient(
            self.name,
            base_url or self.default_url,
            budget=self.budget,
            classify=self._classify,
            timeout=timeout,
            attempts=attempts,
            backoff=backoff,
            max_wait=max_wait,
            sleep=sleep,
            clock=clock,
            session=session,
            headers=headers,
            auth=auth,
        )
        self.verify = verify
        self.replied_at: pd.Timestamp | None = None  # the venue's time, as the latest candle reply told it

    @property
    def key(self) -> str:
        """Short name under which the candles are kept: ``"bybit"``, ``"bybit-spot"``."""
        return self.name

    # --- candles ---------------------------------------------------------------------------------
    def fetch_candles(
        self, symbol: str, interval: str | int | Interval, start: object, end: object = None, *, progress: bool = False
    ) -> pd.DataFrame:
        """Closed candles with ``start <= open_time < end``, whatever the number of calls it takes.

        Args:
            symbol: as the venue spells it (``BTCUSDT``, ``BTC-USD``, ``^GSPC``).
            interval: any spelling that :meth:`Interval.parse` reads.
            start, end: aware timestamps, ISO text (UTC) or milliseconds; ``end=None`` is now.
            progress: show a bar, one step per call planned.

        Returns:
            A candle table; ``attrs`` name interval, venue, source and ``gaps`` (true gaps, never filled).

        Raises:
            TimeRangeError, BadIntervalError: before any call.
            UnknownSymbolError, RateLimitedError, BannedError, RegionBlockedError, MalformedReplyError,
                OutageError: what the venue said, once retries are used up.
        """
        bar_length = self.interval_code(interval)[0]
        tables: list[pd.DataFrame] = []
        gaps: list[tuple[pd.Timestamp, pd.Timestamp, int]] = []
        for window in self.windows(symbol, interval, start, end, progress=progress):
            tables.append(window.candles)
            gaps.extend(window.gaps)
        filled = [t for t in tables if len(t)]
        if not filled:
            table = to_candles([], symbol, bar_length, self.key, self.source(symbol))
        else:
            attrs = dict(filled[0].attrs)
            table = pd.concat(filled, ignore_index=True)
            table = table.drop_duplicates("open_time", keep="last").sort_values("open_time").reset_index(drop=True)
            table.attrs = attrs
        present = set(table["open_time"])
        table.attrs["gaps"] = [
            (first.isoformat(), last.isoformat(), count)
            for first, last, count in dict.fromkeys(gaps)
            if first not in present
        ]
        return table

    def windows(
        self, symbol: str, interval: str | int | Interval, start: object, end: object = None, *, progress: bool = False
    ) -> Iterator[Window]:
        """The same candles window by window, oldest first, so that each can be stored before the next call."""
        bar_length, code = self.interval_code(interval)
        symbol = self.symbol_code(symbol)
        first, last = self._range(start, end)
        grid = Grid.between(bar_length, first, last)
        seen = False
        plan = plan_windows(len(grid), self.window_limit(bar_length))
        with tqdm(plan, desc=f"{self.name} {symbol} {bar_length}", unit="call", disable=not progress) as bar:
            for low, high in bar:
                part = Grid(grid.opens[low:high], grid.closes[low:high])
                page, missing = self._confirmed(symbol, code, part, confirm_empty=seen or high == len(grid))
                seen = bool(page.bars)
                now = self._now_ms(page)
                if part.opens[0] >= now:
                    return  # the window lies in the venue's future
                yield settle(
                    symbol, bar_length, part, page, missing, now,
                    venue=self.key, source=self.source(symbol), continuous=self.continuous,
                )  # fmt: skip

    def fetch_last(self, symbol: str, interval: str | int | Interval, limit: int = 1000) -> pd.DataFrame:
        """The latest ``limit`` closed bars, any number of them."""
        start, end = self.last_range(interval, limit)
        return self.fetch_candles(symbol, interval, start, end)

    def last_range(self, interval: str | int | Interval, limit: int) -> tuple[pd.Timestamp, pd.Timestamp]:
        """Start and end of the latest ``limit`` closed bars by the venue's clock."""
        if limit < 1:
            raise TimeRangeError(f"limit is a number of bars >= 1, got {limit}")
        bar_length, _ = self.interval_code(interval)
        end = bar_length.floor(self.server_time())
        assert isinstance(end, pd.Timestamp)
        if bar_length.milliseconds is None:
            return end - pd.DateOffset(months=limit), end
        return end - limit * bar_length.timedelta, end

    def fetch_many(
        self,
        symbols: str | Iterable[str],
        interval: str | int | Interval,
        start: object,
        end: object = None,
        *,
        workers: int = 4,
        progress: bool = False,
    ) -> pd.DataFrame:
        """Candles of several symbols in one table, fetched in parallel under one rate budget.

        The first error stops the fetch: a table with a symbol silently missing would be worse.
        """
        names = split_symbols(symbols)
        if not names:
            raise UnknownSymbolError("no symbols given; pass for example BTCUSDT,ETHUSDT", venue=self.name)
        with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
            jobs = [pool.submit(self.fetch_candles, name, interval, start, end) for name in names]
            try:
                tables = [j.result() for j in tqdm(jobs, desc=self.name, unit="symbol", disable=not progress)]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        gaps = {t["symbol"].iloc[0]: t.attrs.pop("gaps", []) for t in tables if len(t)}
        attrs = {k: v for k, v in tables[0].attrs.items() if k != "gaps"}
        table = pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)
        table = table.sort_values(["symbol", "open_time"], kind="stable").reset_index(drop=True)
        table.attrs = {**attrs, "source": self.source(",".join(names)), "gaps": gaps}
        return table

    # --- what some venues offer ------------------------------------------------------------------
    def server_time(self) -> pd.Timestamp:
        """The venue's clock; this machine's where the venue has none."""
        return self.local_time()

    def local_time(self) -> pd.Timestamp:
        """This machine's clock."""
        return pd.Timestamp(self._clock(), unit="s", tz="UTC").floor("ms")

    def ticker(self, symbol: str) -> Ticker:
        raise self._not_offered("tickers")

    def tickers(self, symbols: Iterable[str] | None = None) -> list[Ticker]:
        raise self._not_offered("tickers")

    def order_book(self, symbol: str, depth: int = 50) -> OrderBook:
        raise self._not_offered("order books")

    def instruments(self) -> list[Instrument]:
        raise self._not_offered("a list of instruments")

    def funding_history(self, symbol: str, start: object, end: object = None) -> pd.DataFrame:
        raise self._not_offered("funding rates")

    # --- what a venue must say about itself -------------------------------------------------------
    @abstractmethod
    def _page(self, symbol: str, code: str, first_ms: int, last_ms: int, bars: int) -> Page:
        """One call: the bars whose open lies in ``[first_ms, last_ms]``, at most ``bars`` of them."""

    def _classify(self, reply: Reply) -> VenueError | None:
        return http_error(self.name, reply)

    def symbol_code(self, symbol: str) -> str:
        """The symbol as the venue spells it, or UnknownSymbolError for what can be none."""
        name = str(symbol).strip().upper()
        if not name or not all(c.isalnum() or c in "-_.^=" for c in name):
            raise UnknownSymbolError(
                f"{symbol!r} is not a symbol of {self.name}; write it like {self.symbol_example}", venue=self.name
            )
        return name

    symbol_example: ClassVar[str] = "BTCUSDT"

    def interval_code(self, interval: str | int | Interval) -> tuple[Interval, str]:
        """The interval and its wire form, or BadIntervalError with the list of those served."""
        bar_length = Interval.parse(interval)
        if bar_length not in self.intervals:
            served = ", ".join(i.value for i in self.intervals)
            raise BadIntervalError(f"{self.name} serves no {bar_length} candles; use one of {served}", venue=self.name)
        return bar_length, self.intervals[bar_length]

    def window_limit(self, interval: Interval) -> int:
        return self.limit

    def source(self, symbol: str) -> str:
        return f"{self.key} {symbol} from {self.http.base_url}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.http.base_url!r})"

    # --- the loop's parts -------------------------------------------------------------------------
    def _confirmed(self, symbol: str, code: str, part: Grid, *, confirm_empty: bool) -> tuple[Page, list[int]]:
        """The window's page and the bars still missing after asking for the hole again."""
        page = self._call(symbol, code, part)
        bars, extra, now = dict(page.bars), {k: dict(v) for k, v in (page.extra or {}).items()}, self._now_ms(page)
        missing = absent(bars, part, now)
        if self.continuous and missing and (bars or confirm_empty):
            for _ in range(CONFIRMATIONS):
                hole = part_of(part, missing[0], missing[-1])
                again = self._call(symbol, code, hole)
                bars.update(again.bars)
                now = max(now, self._now_ms(again))
                missing = absent(bars, part, now)
                if not missing:
                    break
        return Page(bars, now, extra or None), missing

    def _call(self, symbol: str, code: str, part: Grid) -> Page:
        page = self._call_once(symbol, code, part)
        for _ in range(CONFIRMATIONS + 1 if self.verify else 0):
            again = self._call_once(symbol, code, part)
            if settled(again.bars, part, self._now_ms(again)) == settled(page.bars, part, self._now_ms(page)):
                return again
            page = again
        return page

    def _call_once(self, symbol: str, code: str, part: Grid) -> Page:
        first, last, end = int(part.opens[0]), int(part.opens[-1]), int(part.closes[-1])
        page = self._page(symbol, code, first, last, len(part))
        self.replied_at = pd.Timestamp(self._now_ms(page), unit="ms", tz="UTC")
        # rows beside the request (before its start, or the bar still open after its end) are not answers to it
        return replace(page, bars={t: b for t, b in page.bars.items() if first <= t < end})

    def _on_grid(self, code: str) -> Callable[[int], bool]:
        """Whether an open time can be one at this interval; days are the finest grid checked for longer bars."""
        length = next(i for i, c in self.intervals.items() if c == code).milliseconds or DAY_MS
        step = min(length, DAY_MS)
        return lambda open_ms: open_ms % step == 0

    def _now_ms(self, page: Page) -> int:
        return int(self._clock() * 1000) if page.server_ms is None else page.server_ms

    def _range(self, start: object, end: object) -> tuple[pd.Timestamp, pd.Timestamp]:
        first = parse_time(start, name="start")
        last = self.server_time() if end is None else parse_time(end, name="end")
        if first >= last:
            raise TimeRangeError(f"start {first:%Y-%m-%d %H:%M} is not before end {last:%Y-%m-%d %H:%M}; swap them")
        return first, last

    def _not_offered(self, what: str) -> VenueError:
        return VenueError(f"{self.name} offers no {what}; use Bybit, BinanceFutures or Coinbase", venue=self.name)
