"""Binance USD-M futures: oldest first, twelve fields, requests that weigh more the more they return.

Taught in :doc:`/notebooks/data/five_venues`.
"""

from __future__ import annotations

import re
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
    UnknownSymbolError,
    VenueError,
)
from .base import Page, Venue
from .fields import fill_between, funding_table, number, time_ms
from .http import Reply, http_error, log, redact
from .market import Instrument, Level, OrderBook, Ticker
from .paging import read_rows

WEIGHT_PER_MINUTE = 2400
WEIGHT_ALARM = 0.9  # share of the minute's weight from which all threads wait for the next minute
LENGTHS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w")
INTERVALS = {Interval(length): length for length in LENGTHS}
CONTRACTS = ("PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER")
DEPTHS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}  # limit -> weight


def kline_weight(limit: int) -> int:
    """What a klines request costs: 1 below 100 rows, 2 below 500, 5 up to 1000, 10 above."""
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


class BinanceFutures(Venue):
    """Binance's public USD-M futures data.

    Args:
        contract_type: ``None`` for ``/klines`` of a symbol; ``"PERPETUAL"``, ``"CURRENT_QUARTER"`` or
            ``"NEXT_QUARTER"`` for ``/continuousKlines`` of a pair.
        options: see :class:`alphabook.venues.Venue`.
    """

    name = "binance"
    default_url = "https://fapi.binance.com"
    testnet_url = "https://demo-fapi.binance.com"
    intervals = INTERVALS
    limit = 1500
    budget_rate, budget_burst = 28.0, 500.0  # weight; 2180 in a minute, the venue allows 2400

    def __init__(self, *, contract_type: str | None = None, **options: Any) -> None:
        if contract_type is not None and contract_type not in CONTRACTS:
            raise BadRequestError(
                f"contract_type {contract_type!r} is none of {', '.join(CONTRACTS)}; None means /klines of a symbol",
                venue=self.name,
            )
        super().__init__(**options)
        self.contract_type = contract_type
        self.used_weight: int | None = None

    @property
    def key(self) -> str:
        quarterly = self.contract_type not in (None, "PERPETUAL")
        return f"{self.name}-{str(self.contract_type).lower()}" if quarterly else self.name

    @classmethod
    def testnet(cls, **options: Any) -> BinanceFutures:
        """A client of Binance's test network."""
        return cls(base_url=cls.testnet_url, **options)

    def server_time(self) -> pd.Timestamp:
        return self._get("/fapi/v1/time", {}, lambda r: time_ms(r.payload["serverTime"]))

    def ticker(self, symbol: str) -> Ticker:
        code = self.symbol_code(symbol)
        row = self._get("/fapi/v1/ticker/24hr", {"symbol": code}, lambda r: r.payload)
        best = self._get("/fapi/v1/ticker/bookTicker", {"symbol": code}, lambda r: r.payload, weight=2)
        return _ticker(row, best)

    def tickers(self, symbols: Iterable[str] | None = None) -> list[Ticker]:
        """Tickers of all symbols, or of those given, in two calls. A row that cannot be read is logged."""
        wanted = None if symbols is None else [self.symbol_code(s) for s in symbols]
        rows = self._get("/fapi/v1/ticker/24hr", {}, lambda r: list(r.payload), weight=40)
        best = self._get("/fapi/v1/ticker/bookTicker", {}, lambda r: {b["symbol"]: b for b in r.payload}, weight=5)
        found: dict[str, Ticker] = {}
        for row in rows:
            try:
                found[row["symbol"]] = _ticker(row, best.get(row["symbol"], {}))
            except (KeyError, ValueError, TypeError) as problem:
                log.warning("binance: ticker left out (%r): %s", problem, str(row)[:120])
        return list(found.values()) if wanted is None else [found[s] for s in wanted if s in found]

    def order_book(self, symbol: str, depth: int = 50) -> OrderBook:
        """The best ``depth`` levels of each side, 1 to 1000 (asked for in the next size that Binance sells)."""
        size = next((d for d in DEPTHS if d >= depth), 1000)
        query = {"symbol": self.symbol_code(symbol), "limit": size}

        def parse(reply: Reply) -> OrderBook:
            book = reply.payload
            bids, asks = (tuple(Level(float(p), float(q)) for p, q in book[side][:depth]) for side in ("bids", "asks"))
            return OrderBook(symbol=str(query["symbol"]), time=time_ms(book["T"]), bids=bids, asks=asks)

        return self._get("/fapi/v1/depth", query, parse, weight=DEPTHS[size])

    def instruments(self) -> list[Instrument]:
        """Everything that exchangeInfo lists. Tick and step come from the filters, not from the precisions."""
        return self._get("/fapi/v1/exchangeInfo", {}, lambda r: [_instrument(row) for row in r.payload["symbols"]])

    def funding_history(self, symbol: str, start: object, end: object = None) -> pd.DataFrame:
        """Funding rates as a table ``time, symbol, rate, mark_price``; the price is NaN in old records."""
        code = self.symbol_code(symbol)
        first, last = self._range(start, end)

        def page(low: int, high: int) -> dict[int, tuple[float, float]]:
            query = {"symbol": code, "startTime": low, "endTime": high, "limit": 1000}
            rows = self._get("/fapi/v1/fundingRate", query, lambda r: list(r.payload))
            nan = float("nan")
            return {int(r["fundingTime"]): (float(r["fundingRate"]), number(r.get("markPrice")) or nan) for r in rows}

        rates = fill_between(page, int(first.timestamp() * 1000), int(last.timestamp() * 1000) - 1, limit=1000)
        return funding_table(rates, code, self.name)

    def _page(self, symbol: str, code: str, first_ms: int, last_ms: int, bars: int) -> Page:
        query: dict[str, object] = {"interval": code, "startTime": first_ms, "endTime": last_ms, "limit": bars}
        if self.contract_type is None:
            path, query = "/fapi/v1/klines", {"symbol": symbol, **query}
        else:
            path, query = "/fapi/v1/continuousKlines", {"pair": symbol, "contractType": self.contract_type, **query}

        def parse(reply: Reply) -> Page:
            rows = reply.payload
            if not isinstance(rows, list):
                raise ValueError("a list of klines was expected")
            # [openTime, open, high, low, close, volume, closeTime, quoteVolume, trades, takerBase, takerQuote, "0"]
            bars = read_rows(
                rows, order=(0, 1, 2, 3, 4, 5, 7), scale=1, venue=self.name, request=reply.request,
                on_grid=self._on_grid(code),
            )  # fmt: skip
            return Page(bars, reply.server_ms)

        return self._get(path, query, parse, weight=kline_weight(bars))

    def _get(self, path: str, query: dict[str, Any], parse: Any, *, weight: int = 1) -> Any:
        return self.http.get(path, query, weight=weight, parse=parse)

    def _classify(self, reply: Reply) -> VenueError | None:
        self._mind_weight(reply)
        body = reply.json_or_none()
        code = body.get("code") if isinstance(body, dict) else None
        if reply.status == 200 and isinstance(body, dict) and body.get("status") == "ERROR":
            return BadRequestError(  # fundingRate is served by another backend with an error shape of its own
                f"binance answered {code} to {reply.request}: {redact(str(body.get('errorData')))}. The request is at "
                "fault, not the network",
                venue=self.name, status=200, code=code,
            )  # fmt: skip
        if reply.status == 200 and not (isinstance(code, int) and code < 0):
            return None if body is not None else _not_json(reply)
        text = redact(str(body.get("msg", ""))) if isinstance(body, dict) else reply.short
        said = f"binance answered {reply.status}, code {code} ({text}) to {reply.request}"
        about: dict[str, Any] = {"venue": self.name, "status": reply.status, "code": code}
        if reply.status == 418 or (code == -1003 and "banned until" in text):
            return _ban(reply, text, said, about)
        if code in (-1003, -1015) or reply.status == 429:
            wait = reply.retry_after
            after = "a minute" if wait is None else f"{wait:.0f} s"
            return RateLimitedError(
                f"{said}. Wait {after} and go on", retry_after=60.0 if wait is None else wait, **about
            )
        if code in (-1121, -1122, -4141):
            return UnknownSymbolError(f"{said}. Check the spelling, like BTCUSDT", **about)
        if code == -1120:
            return BadIntervalError(f"{said}. Binance futures serve {', '.join(LENGTHS)}", **about)
        if code in (-1000, -1001, -1006, -1007, -1008, -1016, -1021):
            return OutageError(f"{said}. The venue has an outage; run the same command again later", **about)
        if code in (-1002, -1022, -2014, -2015):
            return AuthenticationError(f"{said}. Public market data needs no key: check the base URL", **about)
        if reply.status in (401, 403, 404, 408, 451) or reply.status >= 500:
            return http_error(self.name, reply, text, code=code)
        return BadRequestError(f"{said}. The request is at fault, not the network", **about)

    def _mind_weight(self, reply: Reply) -> None:
        """Back off before Binance has to say so: near the minute's limit everybody waits for the next minute."""
        used = number(reply.headers.get("X-MBX-USED-WEIGHT-1M"))
        if used is None:
            return
        self.used_weight = int(used)
        if used >= WEIGHT_ALARM * WEIGHT_PER_MINUTE:
            now = (reply.server_ms or reply.now * 1000) / 1000
            self.budget.hold(60.0 - now % 60.0)


def _ban(reply: Reply, text: str, said: str, about: dict[str, Any]) -> BannedError:
    until, wait = None, reply.retry_after
    stamp = re.search(r"banned until (\d{12,14})", text)
    if stamp:
        until = time_ms(stamp.group(1))
        if wait is None:
            wait = max(0.0, (int(stamp.group(1)) - (reply.server_ms or reply.now * 1000)) / 1000)
    elif wait is not None:
        until = pd.Timestamp((reply.server_ms or reply.now * 1000) / 1000 + wait, unit="s", tz="UTC").ceil("s")
    when = f"until {until:%Y-%m-%d %H:%M:%S} UTC" if until is not None else "for a while (two minutes to three days)"
    return BannedError(f"{said}. Stop all requests {when}", until=until, retry_after=wait or 120.0, **about)


def _not_json(reply: Reply) -> MalformedReplyError:
    return MalformedReplyError(
        f"binance: the reply to {reply.request} is not JSON: {redact(reply.short)}",
        venue="binance",
        status=reply.status,
    )


def _ticker(row: dict[str, Any], best: dict[str, Any]) -> Ticker:
    change = number(row.get("priceChangePercent"))
    return Ticker(
        symbol=row["symbol"],
        last_price=float(row["lastPrice"]),
        time=time_ms(row["closeTime"]),
        bid_price=number(best.get("bidPrice")),
        bid_size=number(best.get("bidQty")),
        ask_price=number(best.get("askPrice")),
        ask_size=number(best.get("askQty")),
        previous_price_24h=number(row.get("openPrice")),
        change_24h=None if change is None else change / 100,
        high_24h=number(row.get("highPrice")),
        low_24h=number(row.get("lowPrice")),
        volume_24h=number(row.get("volume")),
        turnover_24h=number(row.get("quoteVolume")),
    )


def _instrument(row: dict[str, Any]) -> Instrument:
    rules = {f.get("filterType"): f for f in row.get("filters", [])}
    lot, board = rules.get("LOT_SIZE", {}), number(row.get("onboardDate"))
    return Instrument(
        symbol=row["symbol"],
        kind=row.get("contractType", ""),
        status=row.get("status") or row.get("contractStatus", ""),
        base=row.get("baseAsset", ""),
        quote=row.get("quoteAsset", ""),
        tick_size=number(rules.get("PRICE_FILTER", {}).get("tickSize")),
        quantity_step=number(lot.get("stepSize")),
        min_quantity=number(lot.get("minQty")),
        min_notional=number(rules.get("MIN_NOTIONAL", {}).get("notional")),
        launch_time=time_ms(board) if board else None,
    )
