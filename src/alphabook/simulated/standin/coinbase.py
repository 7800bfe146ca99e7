"""Coinbase: the Exchange API and the public half of Advanced Trade, on one port.

Exchange rows are JSON numbers ``[time s, low, high, open, close, volume]``, newest first; an interval
without trades has no row; a range without both ends is ignored. Advanced Trade sends strings in objects.
The stand-in's own choices: a bar of zero volume counts as an interval without trades; prices print as Go
prints floats (``994``, not ``994.0``); Advanced Trade's ``limit`` keeps the newest rows.
"""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from ...candles.interval import Interval
from .bybit import after, stale
from .faults import Fault
from .limits import TokenBucket
from .market import Asset, Market
from .quotes import Day, day_stats, order_book
from .series import Bar, Series, number
from .wire import Ask, Handler, Refusal, Reply, Venue, fingerprint

GRANULARITIES = {60: "1m", 300: "5m", 900: "15m", 3600: "1h", 21600: "6h", 86400: "1d"}
NAMED = {
    "ONE_MINUTE": "1m", "FIVE_MINUTE": "5m", "FIFTEEN_MINUTE": "15m", "THIRTY_MINUTE": "30m", "ONE_HOUR": "1h",
    "TWO_HOUR": "2h", "FOUR_HOUR": "4h", "SIX_HOUR": "6h", "ONE_DAY": "1d",
}  # fmt: skip
MOST = 300
MOST_ADVANCED = 350
WITHOUT_RANGE = 350
_TOO_FINE = "granularity too small for the requested time range. Count of aggregations requested exceeds 300"
_ADVANCED = "/api/v3/brokerage"


class CoinbaseVenue(Venue):
    """Products, candles, tickers, books and the clock of both APIs."""

    name = "coinbase"

    def __init__(self, market: Market) -> None:
        super().__init__(market)
        self.bucket = TokenBucket(rate=10.0, burst=15)
        self.listing = {_product(a): a for a in market.assets}

    def route(self, path: str) -> Handler | None:
        for pattern, handler in (
            (r"/products", self.products),
            (r"/products/[^/]+", self.product),
            (r"/products/[^/]+/candles", self.candles),
            (r"/products/[^/]+/ticker", self.ticker),
            (r"/products/[^/]+/stats", self.stats),
            (r"/products/[^/]+/book", self.book),
            (r"/currencies", self.currencies),
            (r"/time", self.time),
            (_ADVANCED + r"/time", self.advanced_time),
            (_ADVANCED + r"/market/products", self.advanced_products),
            (_ADVANCED + r"/market/products/[^/]+", self.advanced_product),
            (_ADVANCED + r"/market/products/[^/]+/candles", self.advanced_candles),
            (_ADVANCED + r"/market/product_book", self.advanced_book),
        ):
            if re.fullmatch(pattern, path):
                return handler
        return None

    def answer(self, ask: Ask) -> Reply:
        if not ask.headers.get("User-Agent"):
            return _error(400, "User-Agent header is required.")
        return super().answer(ask)

    def serves_rows(self, path: str) -> bool:
        return path.endswith("/candles")

    def not_found(self, ask: Ask) -> Reply:
        return _advanced_error(404, "NOT_FOUND", "not found") if _advanced(ask) else _error(404, "Route not found")

    def throttle(self, ask: Ask, seconds: float) -> Reply | None:
        return None if self.bucket.spend(seconds) else _error(429, "Public rate limit exceeded")

    def misbehave(self, fault: Fault, ask: Ask) -> Reply:
        wait = fault.options.get("retry_after")
        headers = {} if wait is None else {"Retry-After": f"{wait:g}"}
        status, text = {
            "forbidden": (403, "Forbidden"),
            "banned": (418, "Banned"),
            "too_many": (429, "Public rate limit exceeded"),
            "region": (451, "Unavailable For Legal Reasons"),
            "server_error": (fault.options.get("status", 503), "Internal server error"),
        }[fault.kind]
        return Reply(status=status, body={"message": text}, headers=headers)

    def candles(self, ask: Ask) -> Reply:
        asset = self._asset(ask, 2)
        text = ask.query.get("granularity", "60")
        if not text.isdigit() or int(text) not in GRANULARITIES:
            raise Refusal(_error(400, "Unsupported granularity"))
        seconds = int(text)
        start, end = (_seconds(ask, key) for key in ("start", "end"))
        if start is None or end is None:
            start = end = None
        elif end < start:
            raise Refusal(_error(400, "invalid range: end must be after start"))
        elif (end - start) // seconds > MOST:
            raise Refusal(_error(400, _TOO_FINE))
        bars = self._bars(ask, asset, Interval(GRANULARITIES[seconds]), start, end, WITHOUT_RANGE)
        return Reply(body=ask.alter.wire_rows([_row(b) for b in reversed(bars)]))

    def products(self, ask: Ask) -> Reply:
        return Reply(body=[self._product(name, asset) for name, asset in self.listing.items()])

    def product(self, ask: Ask) -> Reply:
        return Reply(body=self._product(ask.path.split("/")[2], self._asset(ask, 2)))

    def ticker(self, ask: Ask) -> Reply:
        series = self._finest(self._asset(ask, 2))
        day = self._day(series, ask)
        book = order_book(series, ask.now_ms, depth=1)
        places = series.price_decimals
        return Reply(
            body={
                "ask": number(book.asks[0][0], places),
                "bid": number(book.bids[0][0], places),
                "volume": number(day.volume),
                "trade_id": fingerprint(ask.path, ask.now_ms),
                "price": number(day.last, places),
                "size": number(book.asks[0][1]),
                "time": _iso(ask.now_ms, "us"),
                "rfq_volume": "0",
            }  # fmt: skip
        )

    def stats(self, ask: Ask) -> Reply:
        series = self._finest(self._asset(ask, 2))
        day, p = self._day(series, ask), series.price_decimals
        prices = {"open": day.open, "high": day.high, "low": day.low, "last": day.last}
        amounts = {"volume": number(day.volume), "volume_30day": number(round(30 * day.volume, 8))}
        return Reply(body={k: number(v, p) for k, v in prices.items()} | amounts)

    def book(self, ask: Ask) -> Reply:
        series = self._finest(self._asset(ask, 2))
        level = ask.query.get("level", "1")
        if level not in ("1", "2", "3"):
            raise Refusal(_error(400, "Invalid level"))
        book = order_book(series, ask.now_ms, depth=1 if level == "1" else 50)
        p = series.price_decimals
        bids, asks = ([[number(x, p), number(q), 1 + i % 5] for i, (x, q) in enumerate(s)] for s in book)
        head = {"bids": bids, "asks": asks, "sequence": fingerprint(ask.path, ask.now_ms), "auction_mode": False}
        return Reply(body=head | {"auction": None, "time": _iso(ask.now_ms, "us")})

    def currencies(self, ask: Ask) -> Reply:
        names = sorted({n for product in self.listing for n in product.split("-")})
        return Reply(
            body=[
                {
                    "id": n, "name": n, "min_size": "0.00000001", "status": "online", "message": "",
                    "max_precision": "0.00000001", "convertible_to": [],
                    "details": {"type": "fiat" if n in ("USD", "EUR", "GBP") else "crypto", "display_name": n},
                    "default_network": "", "supported_networks": [], "display_name": n,
                }
                for n in names
            ]
        )  # fmt: skip

    def time(self, ask: Ask) -> Reply:
        return Reply(body={"iso": _iso(ask.now_ms, "ms"), "epoch": ask.now_ms / 1000})

    def advanced_time(self, ask: Ask) -> Reply:
        seconds = ask.now_ms // 1000
        return Reply(body={"iso": _iso(ask.now_ms, "s"), "epochSeconds": str(seconds), "epochMillis": str(ask.now_ms)})

    def advanced_candles(self, ask: Ask) -> Reply:
        asset = self._asset(ask, 6)
        name = ask.query.get("granularity", "")
        if name not in NAMED:
            raise Refusal(_advanced_error(400, "INVALID_ARGUMENT", "unsupported granularity"))
        start, end = ask.query.get("start", ""), ask.query.get("end", "")
        if not (start.isdigit() and end.isdigit()):
            raise Refusal(_advanced_error(400, "INVALID_ARGUMENT", "start and end are required, in unix seconds"))
        step = (Interval(NAMED[name]).milliseconds or 0) // 1000
        if (int(end) - int(start)) // step >= MOST_ADVANCED:
            text = f"number of candles requested should be less than {MOST_ADVANCED}"
            raise Refusal(_advanced_error(400, "INVALID_ARGUMENT", text))
        limit = int(ask.query["limit"]) if ask.query.get("limit", "").isdigit() else MOST_ADVANCED
        bars = self._bars(ask, asset, Interval(NAMED[name]), int(start), int(end), limit)
        rows = [
            {"start": str(b.open_ms // 1000)}
            | {k: number(getattr(b, k)) for k in ("low", "high", "open", "close", "volume")}
            for b in reversed(bars)
        ]
        return Reply(body={"candles": ask.alter.wire_rows(rows)})

    def advanced_products(self, ask: Ask) -> Reply:
        rows = [self._advanced_product(n, a, ask.now_ms) for n, a in self.listing.items()]
        return Reply(body={"products": rows, "num_products": len(rows)})

    def advanced_product(self, ask: Ask) -> Reply:
        asset = self._asset(ask, 6)
        return Reply(body=self._advanced_product(ask.path.split("/")[6], asset, ask.now_ms))

    def advanced_book(self, ask: Ask) -> Reply:
        name = ask.query.get("product_id", "")
        if name not in self.listing:
            raise Refusal(_advanced_error(400, "INVALID_ARGUMENT", "valid product_id is required"))
        series = self._finest(self.listing[name])
        depth = int(ask.query["limit"]) if ask.query.get("limit", "").isdigit() else 50
        p = series.price_decimals
        bids, asks = (
            [{"price": number(x, p), "size": number(q)} for x, q in s]
            for s in order_book(series, ask.now_ms, depth=depth)
        )
        return Reply(
            body={"pricebook": {"product_id": name, "bids": bids, "asks": asks, "time": _iso(ask.now_ms, "us")}}
        )

    def _bars(
        self, ask: Ask, asset: Asset, interval: Interval, start: int | None, end: int | None, limit: int
    ) -> list[Bar]:
        series = self.market.series(asset, interval, kind="spot", quote="USD")
        if series is None:
            return []
        first = None if start is None else start * 1000
        low, high = series.span(first, None if end is None else end * 1000, ask.now_ms)
        low = max(low, high - limit) if start is None or limit < MOST_ADVANCED else low
        traded = [b for b in series.take(low, high, ask.now_ms) if b.volume > 0]
        return ask.alter.rows(traded, stale=stale, extra=lambda b: after(series, b))

    def _product(self, name: str, asset: Asset) -> dict[str, Any]:
        series = self._finest(asset)
        base, quote = name.rsplit("-", 1) if "-" in name else (name, "USD")
        return {
            "id": name, "base_currency": base, "quote_currency": quote, "quote_increment": _unit(series.price_decimals),
            "base_increment": _unit(series.volume_decimals), "display_name": f"{base}/{quote}", "min_market_funds": "1",
            "margin_enabled": False, "post_only": False, "limit_only": False, "cancel_only": False,
            "status": "online", "status_message": "", "trading_disabled": False, "fx_stablecoin": False,
            "max_slippage_percentage": "0.02000000", "auction_mode": False, "high_bid_limit_percentage": "",
        }  # fmt: skip

    def _advanced_product(self, name: str, asset: Asset, now_ms: int) -> dict[str, Any]:
        series = self._finest(asset)
        day = day_stats(series, now_ms)
        base, quote = name.rsplit("-", 1) if "-" in name else (name, "USD")
        return {
            "product_id": name, "price": number(day.last, series.price_decimals) if day else "",
            "price_percentage_change_24h": number(round(100 * (day.last / day.open - 1), 8)) if day else "",
            "volume_24h": number(day.volume) if day else "", "base_increment": _unit(series.volume_decimals),
            "quote_increment": _unit(series.price_decimals), "quote_min_size": "1", "base_name": base,
            "quote_name": quote, "watched": False, "is_disabled": False, "new": False, "status": "online",
            "cancel_only": False, "limit_only": False, "post_only": False, "trading_disabled": False,
            "auction_mode": False, "product_type": "SPOT", "quote_currency_id": quote, "base_currency_id": base,
            "alias": "", "view_only": False, "price_increment": _unit(series.price_decimals),
        }  # fmt: skip

    def _day(self, series: Series, ask: Ask) -> Day:
        day = day_stats(series, ask.now_ms)
        if day is None:
            raise Refusal(_error(404, "NotFound"))
        return day

    def _finest(self, asset: Asset) -> Series:
        return self.market.finest(asset, kind="spot", quote="USD")

    def _asset(self, ask: Ask, position: int) -> Asset:
        asset = self.listing.get(ask.path.split("/")[position])
        if asset is None:
            text = "valid product_id is required"
            raise Refusal(_advanced_error(404, "NOT_FOUND", text) if _advanced(ask) else _error(404, "NotFound"))
        return asset


def _row(bar: Bar) -> list[Any]:
    return [bar.open_ms // 1000, *(_plain(x) for x in (bar.low, bar.high, bar.open, bar.close, bar.volume))]


def _plain(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _product(asset: Asset) -> str:
    return f"{asset.base}-{asset.quote}" if asset.quote else asset.base


def _seconds(ask: Ask, key: str) -> int | None:
    text = ask.query.get(key, "").strip().replace(" ", "+")  # an unescaped + in a URL arrives as a space
    if not text:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return int(float(text))
    try:
        stamp = pd.Timestamp(text)
    except ValueError:
        raise Refusal(_error(400, f"invalid {key}")) from None
    return int((stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp).timestamp())


def _iso(ms: int, unit: str) -> str:
    text = pd.Timestamp(ms, unit="ms", tz="UTC").strftime("%Y-%m-%dT%H:%M:%S.%f")
    return {"us": text, "ms": text[:-3], "s": text[:-7]}[unit] + "Z"


def _unit(decimals: int) -> str:
    return f"{10.0**-decimals:.{decimals}f}"


def _advanced(ask: Ask) -> bool:
    return ask.path.startswith(_ADVANCED)


def _error(status: int, message: str) -> Reply:
    return Reply(status=status, body={"message": message})


def _advanced_error(status: int, kind: str, text: str) -> Reply:
    return Reply(status=status, body={"error": kind, "error_details": text, "message": text})
