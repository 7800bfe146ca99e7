"""Bybit v5: newest first, errors inside HTTP 200, both ends of a range inclusive.

Taught in :doc:`/notebooks/data/five_venues`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from ..candles import Interval
from ..errors import (
    AuthenticationError,
    BadIntervalError,
    BadRequestError,
    BannedError,
    MalformedReplyError,
    OutageError,
    RateLimitedError,
    RegionBlockedError,
    UnknownSymbolError,
    VenueError,
)
from .base import Page, Venue
from .fields import fill_between, funding_table, number, time_ms
from .http import Reply, http_error, log, redact
from .market import Instrument, Level, OrderBook, Ticker
from .paging import read_rows

BAN_SECONDS = 600.0  # after HTTP 403 "access too frequent": stop for at least ten minutes
RESET_SECONDS = 2.0  # wait after 10006 when no reset time came with it
CODES = ("1", "3", "5", "15", "30", "60", "120", "240", "360", "720", "D", "W", "M")
LENGTHS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w", "1M")
INTERVALS = {Interval(length): code for length, code in zip(LENGTHS, CODES, strict=True)}


class Bybit(Venue):
    """Bybit's public market data.

    Args:
        category: ``"linear"`` (USDT perpetuals), ``"spot"`` or ``"inverse"``. For inverse contracts Bybit
            counts volume in quote units; the table still has base units in ``volume``.
        options: see :class:`alphabook.venues.Venue` (``base_url``, ``max_wait``, ``budget``, …).
    """

    name = "bybit"
    default_url = "https://api.bybit.com"
    testnet_url = "https://api-testnet.bybit.com"
    intervals = INTERVALS
    limit = 1000
    budget_rate, budget_burst = 70.0, 150.0  # 500 in 5 s; the venue allows 600

    def __init__(self, *, category: str = "linear", **options: Any) -> None:
        if category not in ("linear", "spot", "inverse"):
            raise BadRequestError(f"Bybit has linear, spot and inverse markets, not {category!r}", venue=self.name)
        super().__init__(**options)
        self.category = category

    @property
    def key(self) -> str:
        return self.name if self.category == "linear" else f"{self.name}-{self.category}"

    @classmethod
    def testnet(cls, **options: Any) -> Bybit:
        """A client of Bybit's test network."""
        return cls(base_url=cls.testnet_url, **options)

    def server_time(self) -> pd.Timestamp:
        return time_ms(self._get("/v5/market/time", {}, lambda r: r.payload["time"]))

    def ticker(self, symbol: str) -> Ticker:
        found = self._tickers(self.symbol_code(symbol))
        if not found:
            raise UnknownSymbolError(f"bybit lists no {self.category} symbol {symbol!r}", venue=self.name)
        return found[0]

    def tickers(self, symbols: Iterable[str] | None = None) -> list[Ticker]:
        """Tickers of all symbols, or of those given, in one call. A row that cannot be read is logged, not hidden."""
        wanted = None if symbols is None else [self.symbol_code(s) for s in symbols]
        found = {t.symbol: t for t in self._tickers(None)}
        return list(found.values()) if wanted is None else [found[s] for s in wanted if s in found]

    def order_book(self, symbol: str, depth: int = 50) -> OrderBook:
        """The best ``depth`` levels of each side, 1 to 1000."""
        query = {"category": self.category, "symbol": self.symbol_code(symbol), "limit": min(max(depth, 1), 1000)}

        def parse(reply: Reply) -> OrderBook:
            book = reply.payload["result"]
            sides = ([Level(float(p), float(q)) for p, q in book[side]] for side in ("b", "a"))
            bids, asks = (tuple(s) for s in sides)
            return OrderBook(symbol=book["s"], time=time_ms(book["ts"]), bids=bids, asks=asks)

        return self._get("/v5/market/orderbook", query, parse)

    def instruments(self) -> list[Instrument]:
        """Everything listed in this category, over all cursor pages."""
        found: dict[str, Instrument] = {}
        cursor: str | None = None
        while True:
            query: dict[str, object] = {"category": self.category, "limit": 1000, "cursor": cursor}
            rows, following = self._get("/v5/market/instruments-info", query, _instruments)
            found.update((i.symbol, i) for i in rows)
            if not following or following == cursor:
                return list(found.values())
            cursor = following

    def funding_history(self, symbol: str, start: object, end: object = None) -> pd.DataFrame:
        """Funding rates as a table ``time, symbol, rate``; 200 a call, newest first on the wire."""
        code = self.symbol_code(symbol)
        first, last = self._range(start, end)

        def page(low: int, high: int) -> dict[int, tuple[float, float]]:
            query = {"category": self.category, "symbol": code, "startTime": low, "endTime": high, "limit": 200}
            rows = self._get("/v5/market/funding/history", query, lambda r: r.payload["result"]["list"])
            return {int(r["fundingRateTimestamp"]): (float(r["fundingRate"]), float("nan")) for r in rows}

        rates = fill_between(page, int(first.timestamp() * 1000), int(last.timestamp() * 1000) - 1, limit=200)
        return funding_table(rates, code, self.name).drop(columns="mark_price")

    def _page(self, symbol: str, code: str, first_ms: int, last_ms: int, bars: int) -> Page:
        query = {
            "category": self.category,
            "symbol": symbol,
            "interval": code,
            "start": first_ms,
            "end": last_ms,
            "limit": bars,
        }
        # [start, open, high, low, close, volume, turnover]; inverse counts volume in quote, turnover in base
        order = (0, 1, 2, 3, 4, 6, 5) if self.category == "inverse" else (0, 1, 2, 3, 4, 5, 6)

        def parse(reply: Reply) -> Page:
            body = reply.payload
            rows = body["result"]["list"]
            bars = read_rows(
                rows, order=order, scale=1, venue=self.name, request=reply.request, on_grid=self._on_grid(code)
            )
            return Page(bars, int(body["time"]))

        return self._get("/v5/market/kline", query, parse)

    def _get(self, path: str, query: dict[str, object], parse: Any) -> Any:
        return self.http.get(path, query, parse=parse)

    def _tickers(self, symbol: str | None) -> list[Ticker]:
        query: dict[str, object] = {"category": self.category, "symbol": symbol}

        def parse(reply: Reply) -> list[Ticker]:
            when, found = time_ms(reply.payload["time"]), []
            for row in reply.payload["result"]["list"]:
                try:
                    found.append(_ticker(row, when))
                except (KeyError, ValueError, TypeError) as problem:
                    log.warning("bybit: ticker left out (%r): %s", problem, str(row)[:120])
            return found

        return self._get("/v5/market/tickers", query, parse)

    def _classify(self, reply: Reply) -> VenueError | None:
        if reply.status == 403:
            return self._forbidden(reply)
        body = reply.json_or_none()
        if reply.status != 200 and not (isinstance(body, dict) and body.get("retCode")):
            return http_error(self.name, reply)
        if not isinstance(body, dict) or "retCode" not in body:
            return MalformedReplyError(
                f"bybit: the reply to {reply.request} is not a v5 answer: {redact(reply.short)}", venue=self.name
            )
        return self._ret_code(reply, body) if body["retCode"] != 0 else None

    def _forbidden(self, reply: Reply) -> VenueError:
        said = f"bybit answered 403 to {reply.request}: {redact(reply.short)}"
        if any(word in reply.text.lower() for word in ("country", "region", "cloudfront", "restricted")):
            return RegionBlockedError(
                f"{said}. Bybit refuses this region; use another venue or a regional host (base_url=)",
                venue=self.name,
                status=403,
            )
        until = pd.Timestamp(reply.now + BAN_SECONDS, unit="s", tz="UTC").ceil("s")
        return BannedError(
            f"{said}. Too many requests in 5 s: stop all requests until {until:%H:%M:%S} UTC ({BAN_SECONDS:.0f} s)",
            until=until,
            retry_after=BAN_SECONDS,
            venue=self.name,
            status=403,
        )

    def _ret_code(self, reply: Reply, body: dict[str, Any]) -> VenueError:
        code, text = body["retCode"], redact(str(body.get("retMsg", "")))
        said = f"bybit answered retCode {code} ({text}) to {reply.request}"
        about: dict[str, Any] = {"venue": self.name, "status": reply.status, "code": code}
        if code in (10006, 10018, 429):
            wait = _reset_wait(reply, body)
            return RateLimitedError(f"{said}. Wait {wait:.1f} s and go on", retry_after=wait, **about)
        if code in (10000, 10002, 10016, 10019):
            return OutageError(f"{said}. The venue has an outage; run the same command again later", **about)
        if code in (10009, 10024):
            return RegionBlockedError(f"{said}. Bybit refuses this region; use another venue", **about)
        if code in (10003, 10004, 10005, 10007, 10010, 33004):
            return AuthenticationError(f"{said}. Public market data needs no key: check the base URL", **about)
        words = text.lower()
        if code in (10029, 110023) or (code == 10001 and "symbol" in words):
            return UnknownSymbolError(f"{said}. Check the spelling, like BTCUSDT, and the category", **about)
        if code == 10001 and ("interval" in words or "period" in words):
            return BadIntervalError(f"{said}. Bybit serves {', '.join(LENGTHS)}", **about)
        return BadRequestError(f"{said}. The request is at fault, not the network", **about)


def _reset_wait(reply: Reply, body: dict[str, Any]) -> float:
    """Seconds until the limit resets by the venue's own clock, never negative."""
    reset = number(reply.headers.get("X-Bapi-Limit-Reset-Timestamp"))
    if reset is None:
        return reply.retry_after if reply.retry_after is not None else RESET_SECONDS
    now = number(body.get("time")) or reply.now * 1000
    return max(0.0, (reset - now) / 1000)


def _ticker(row: dict[str, Any], when: pd.Timestamp) -> Ticker:
    return Ticker(
        symbol=row["symbol"],
        last_price=float(row["lastPrice"]),
        time=when,
        bid_price=number(row.get("bid1Price")),
        bid_size=number(row.get("bid1Size")),
        ask_price=number(row.get("ask1Price")),
        ask_size=number(row.get("ask1Size")),
        index_price=number(row.get("indexPrice")),
        mark_price=number(row.get("markPrice")),
        previous_price_24h=number(row.get("prevPrice24h")),
        change_24h=number(row.get("price24hPcnt")),
        high_24h=number(row.get("highPrice24h")),
        low_24h=number(row.get("lowPrice24h")),
        volume_24h=number(row.get("volume24h")),
        turnover_24h=number(row.get("turnover24h")),
        open_interest=number(row.get("openInterest")),
        funding_rate=number(row.get("fundingRate")),
    )


def _instruments(reply: Reply) -> tuple[list[Instrument], str]:
    result = reply.payload["result"]
    return [_instrument(row) for row in result["list"]], result.get("nextPageCursor") or ""


def _instrument(row: dict[str, Any]) -> Instrument:
    lot, launch = row.get("lotSizeFilter", {}), number(row.get("launchTime"))
    minutes = number(row.get("fundingInterval"))
    return Instrument(
        symbol=row["symbol"],
        kind=row.get("contractType", "Spot"),
        status=row["status"],
        base=row["baseCoin"],
        quote=row["quoteCoin"],
        tick_size=number(row.get("priceFilter", {}).get("tickSize")),
        quantity_step=number(lot.get("qtyStep") or lot.get("basePrecision")),
        min_quantity=number(lot.get("minOrderQty")),
        min_notional=number(lot.get("minNotionalValue") or lot.get("minOrderAmt")),
        launch_time=time_ms(launch) if launch else None,
        funding_interval=pd.Timedelta(minutes=minutes) if minutes else None,
    )
