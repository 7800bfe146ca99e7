"""Coinbase: low before high, nothing for hours without trades, and two APIs that differ in everything else.

Taught in :doc:`/notebooks/data/five_venues`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pandas as pd

from ..candles import Interval
from ..errors import BadRequestError, UnknownSymbolError, VenueError
from .base import Page, Venue
from .fields import number
from .http import Reply, http_error, redact
from .market import Instrument, Level, OrderBook, Ticker
from .paging import read_rows

SECONDS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "6h": 21600, "1d": 86400}
NAMES = {
    "1m": "ONE_MINUTE", "5m": "FIVE_MINUTE", "15m": "FIFTEEN_MINUTE", "30m": "THIRTY_MINUTE",
    "1h": "ONE_HOUR", "2h": "TWO_HOUR", "6h": "SIX_HOUR", "1d": "ONE_DAY",
}  # fmt: skip
_ADVANCED = "/api/v3/brokerage/market"
_FIELDS = ("start", "low", "high", "open", "close", "volume")  # the Exchange API sends the same six as a list


class Coinbase(Venue):
    """Coinbase spot candles; volume is in base units, turnover is not told.

    Args:
        api: ``"exchange"`` (lists of numbers, 300 a call) or ``"advanced"`` (Advanced Trade: named strings,
            350 a call). Both start with the low, not with the open.
        options: see :class:`alphabook.venues.Venue`.
    """

    name = "coinbase"
    default_url = "https://api.exchange.coinbase.com"
    advanced_url = "https://api.coinbase.com"
    symbol_example = "BTC-USD"
    budget_rate, budget_burst = 8.0, 10.0  # the venue allows 10 a second, 15 in a burst

    def __init__(self, *, api: str = "exchange", base_url: str | None = None, **options: Any) -> None:
        if api not in ("exchange", "advanced"):
            raise BadRequestError(f"Coinbase has api='exchange' and api='advanced', not {api!r}", venue=self.name)
        self.api = api
        exchange = api == "exchange"
        self.intervals = {Interval(k): str(v) for k, v in (SECONDS if exchange else NAMES).items()}
        self.limit = 300 if exchange else 350
        headers = None if exchange else {"Cache-Control": "no-cache"}
        url = base_url or (self.default_url if exchange else self.advanced_url)
        super().__init__(base_url=url, headers=headers, **options)

    def server_time(self) -> pd.Timestamp:
        if self.api == "exchange":
            return self.http.get("/time", parse=lambda r: _stamp(float(r.payload["epoch"])))
        return self.http.get("/api/v3/brokerage/time", parse=lambda r: _stamp(int(r.payload["epochMillis"]) / 1000))

    def ticker(self, symbol: str) -> Ticker:
        code = self.symbol_code(symbol)
        if self.api == "exchange":
            return self.http.get(f"/products/{quote(code)}/ticker", parse=lambda r: _ticker(code, r.payload))
        return self.http.get(f"{_ADVANCED}/products/{quote(code)}", parse=lambda r: _ticker(code, r.payload))

    def tickers(self, symbols: Any = None) -> list[Ticker]:
        """Tickers of the given products, a call each (all products would be hundreds of calls)."""
        if symbols is None:
            raise BadRequestError("coinbase has no call for all tickers; name the products", venue=self.name)
        return [self.ticker(s) for s in symbols]

    def order_book(self, symbol: str, depth: int = 50) -> OrderBook:
        """The best ``depth`` levels of each side."""
        code = self.symbol_code(symbol)
        if self.api == "exchange":
            path, query = f"/products/{quote(code)}/book", {"level": "2"}
        else:
            path, query = f"{_ADVANCED}/product_book", {"product_id": code, "limit": str(depth)}

        def parse(reply: Reply) -> OrderBook:
            book = reply.payload.get("pricebook", reply.payload)
            bids, asks = (tuple(_level(row) for row in book[side][:depth]) for side in ("bids", "asks"))
            when = pd.Timestamp(book["time"]).tz_convert("UTC") if book.get("time") else None
            return OrderBook(symbol=code, time=when, bids=bids, asks=asks)

        return self.http.get(path, query, parse=parse)

    def instruments(self) -> list[Instrument]:
        """All products; Advanced Trade sends them in pages by offset."""
        if self.api == "exchange":
            return self.http.get("/products", parse=lambda r: [_instrument(row) for row in r.payload])
        found: dict[str, Instrument] = {}
        while True:
            query = {"limit": 500, "offset": len(found)}
            rows = self.http.get(f"{_ADVANCED}/products", query, parse=lambda r: r.payload["products"])
            fresh = {row["product_id"]: _instrument(row) for row in rows if row["product_id"] not in found}
            found.update(fresh)
            if len(rows) < 500 or not fresh:
                return list(found.values())

    def symbol_code(self, symbol: str) -> str:
        code = super().symbol_code(symbol)
        if "-" not in code:
            raise UnknownSymbolError(
                f"{symbol!r} is not a Coinbase product; write base and quote like BTC-USD", venue=self.name
            )
        return code

    def _page(self, symbol: str, code: str, first_ms: int, last_ms: int, bars: int) -> Page:
        if self.api == "exchange":
            path = f"/products/{quote(symbol)}/candles"
            query: dict[str, object] = {"granularity": code, "start": _iso(first_ms), "end": _iso(last_ms)}
        else:
            path = f"{_ADVANCED}/products/{quote(symbol)}/candles"
            query = {"granularity": code, "start": first_ms // 1000, "end": last_ms // 1000, "limit": bars}

        def parse(reply: Reply) -> Page:
            rows = reply.payload
            if self.api == "advanced":
                rows = [[row.get(f) for f in _FIELDS] if isinstance(row, dict) else row for row in rows["candles"]]
            if not isinstance(rows, list):
                raise ValueError("a list of candles was expected")
            # time, LOW, HIGH, OPEN, CLOSE, volume
            bars = read_rows(
                rows, order=(0, 3, 2, 1, 4, 5, None), scale=1000, venue=self.name, request=reply.request,
                on_grid=self._on_grid(code),
            )  # fmt: skip
            return Page(bars, reply.server_ms)

        return self.http.get(path, query, parse=parse)

    def _classify(self, reply: Reply) -> VenueError | None:
        if reply.status == 200:
            return None
        body = reply.json_or_none()
        text = redact(str(body.get("message") or body.get("error") or "")) if isinstance(body, dict) else reply.short
        if reply.status == 400 and "granularity" in text.lower() and "exceeds" in text.lower():
            return BadRequestError(
                f"coinbase answered 400 to {reply.request}: {text}. Ask for at most {self.limit} candles a call",
                venue=self.name, status=400,
            )  # fmt: skip
        if reply.status == 404 or (reply.status == 400 and "product" in text.lower()):
            return UnknownSymbolError(
                f"coinbase answered {reply.status} ({text}) to {reply.request}. Check the product, like BTC-USD",
                venue=self.name, status=reply.status,
            )  # fmt: skip
        return http_error(self.name, reply, text or None)


def _iso(ms: int) -> str:
    return pd.Timestamp(ms, unit="ms", tz="UTC").strftime("%Y-%m-%dT%H:%M:%SZ")


def _stamp(seconds: float) -> pd.Timestamp:
    return pd.Timestamp(seconds, unit="s", tz="UTC").floor("ms")


def _level(row: Any) -> Level:
    if isinstance(row, dict):
        return Level(float(row["price"]), float(row["size"]))
    return Level(float(row[0]), float(row[1]))


def _ticker(symbol: str, row: dict[str, Any]) -> Ticker:
    change = number(row.get("price_percentage_change_24h"))
    return Ticker(
        symbol=symbol,
        last_price=float(row["price"]),
        time=pd.Timestamp(row["time"]).tz_convert("UTC") if row.get("time") else None,
        bid_price=number(row.get("bid")),
        ask_price=number(row.get("ask")),
        change_24h=None if change is None else change / 100,
        volume_24h=number(row.get("volume") or row.get("volume_24h")),
    )


def _instrument(row: dict[str, Any]) -> Instrument:
    return Instrument(
        symbol=row.get("id") or row["product_id"],
        kind="spot",
        status=row.get("status") or "online",
        base=row.get("base_currency") or row.get("base_currency_id", ""),
        quote=row.get("quote_currency") or row.get("quote_currency_id", ""),
        tick_size=number(row.get("quote_increment") or row.get("price_increment")),
        quantity_step=number(row.get("base_increment")),
        min_quantity=number(row.get("base_min_size")),
        min_notional=number(row.get("min_market_funds") or row.get("quote_min_size")),
    )
