"""Coinbase: the Exchange API and, on the same port, the public half of Advanced Trade.

Exchange rows are JSON numbers ``[time s, low, high, open, close, volume]``, newest first; an interval
without trades has no row; a range without both ends is ignored. Advanced Trade sends strings in objects.
The stand-in's own choices: a bar of zero volume counts as an interval without trades; prices print as Go
prints floats (``994``, not ``994.0``); a refused request tells no waiting time.
"""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from ...candles.interval import Interval
from .coinbase_advanced import PREFIX, AdvancedTrade, advanced_error
from .faults import Fault
from .limits import TokenBucket
from .market import Asset, Market
from .quotes import Day, day_stats, order_book
from .series import Bar, Series, number, stale, unit
from .wire import Ask, Handler, Refusal, Reply, Venue, fingerprint, iso_time, retry_after

GRANULARITIES = {60: "1m", 300: "5m", 900: "15m", 3600: "1h", 21600: "6h", 86400: "1d"}
MOST = 300
WITHOUT_RANGE = 350
_TOO_FINE = "granularity too small for the requested time range. Count of aggregations requested exceeds 300"


class CoinbaseVenue(Venue):
    """Products, candles, tickers, books and the clock."""

    name = "coinbase"

    def __init__(self, market: Market) -> None:
        super().__init__(market)
        self.bucket = TokenBucket(rate=10.0, burst=15)
        self.listing = {f"{a.base}-{a.quote}" if a.quote else a.base: a for a in market.assets}
        self.advanced = AdvancedTrade(market, self.listing)

    def route(self, path: str) -> Handler | None:
        if path.startswith(PREFIX):
            return self.advanced.route(path)
        for pattern, handler in (
            ("/products", self.products),
            ("/products/[^/]+", self.product),
            ("/products/[^/]+/candles", self.candles),
            ("/products/[^/]+/ticker", self.ticker),
            ("/products/[^/]+/stats", self.stats),
            ("/products/[^/]+/book", self.book),
            ("/currencies", self.currencies),
            ("/time", self.time),
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
        if ask.path.startswith(PREFIX):
            return advanced_error(404, "NOT_FOUND", "not found")
        return _error(404, "Route not found")

    def throttle(self, ask: Ask, seconds: float) -> Reply | None:
        return None if self.bucket.spend(seconds) else _error(429, "Public rate limit exceeded")

    def misbehave(self, fault: Fault, ask: Ask) -> Reply:
        status, text = {
            "forbidden": (403, "Forbidden"),
            "banned": (418, "Banned"),
            "too_many": (429, "Public rate limit exceeded"),
            "region": (451, "Unavailable For Legal Reasons"),
            "server_error": (fault.options.get("status", 503), "Internal server error"),
        }[fault.kind]
        return Reply(status=status, body={"message": text}, headers=retry_after(fault))

    def candles(self, ask: Ask) -> Reply:
        asset = self._asset(ask)
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
        series = self.market.series(asset, Interval(GRANULARITIES[seconds]), kind="spot", quote="USD")
        if series is None:
            return Reply(body=[])
        low, high = series.span(_ms(start), _ms(end), ask.now_ms)
        low = max(low, high - WITHOUT_RANGE) if start is None else low
        traded = [b for b in series.take(low, high, ask.now_ms) if b.volume > 0]
        bars = ask.alter.rows(traded, stale=stale, extra=series.after)
        return Reply(body=ask.alter.wire_rows([_row(b) for b in reversed(bars)]))

    def products(self, ask: Ask) -> Reply:
        return Reply(body=[self._product(name, asset) for name, asset in self.listing.items()])

    def product(self, ask: Ask) -> Reply:
        return Reply(body=self._product(ask.path.split("/")[2], self._asset(ask)))

    def ticker(self, ask: Ask) -> Reply:
        series = self._finest(self._asset(ask))
        day, book, p = self._day(series, ask), order_book(series, ask.now_ms, depth=1), series.price_decimals
        (bid, _), (best_ask, size) = book.bids[0], book.asks[0]
        body: dict[str, Any] = {"ask": number(best_ask, p), "bid": number(bid, p), "volume": number(day.volume)}
        body |= {"trade_id": fingerprint(ask.path, ask.now_ms), "price": number(day.last, p), "size": number(size)}
        return Reply(body=body | {"time": iso_time(ask.now_ms, 6), "rfq_volume": "0"})

    def stats(self, ask: Ask) -> Reply:
        series = self._finest(self._asset(ask))
        day, p = self._day(series, ask), series.price_decimals
        prices = {"open": day.open, "high": day.high, "low": day.low, "last": day.last}
        amounts = {"volume": number(day.volume), "volume_30day": number(round(30 * day.volume, 8))}
        return Reply(body={k: number(v, p) for k, v in prices.items()} | amounts)

    def book(self, ask: Ask) -> Reply:
        series = self._finest(self._asset(ask))
        level = ask.query.get("level", "1")
        if level not in ("1", "2", "3"):
            raise Refusal(_error(400, "Invalid level"))
        book, p = order_book(series, ask.now_ms, depth=1 if level == "1" else 50), series.price_decimals
        bids, asks = ([[number(x, p), number(q), 1 + i % 5] for i, (x, q) in enumerate(side)] for side in book)
        head = {"bids": bids, "asks": asks, "sequence": fingerprint(ask.path, ask.now_ms), "auction_mode": False}
        return Reply(body=head | {"auction": None, "time": iso_time(ask.now_ms, 6)})

    def currencies(self, ask: Ask) -> Reply:
        names = sorted({n for product in self.listing for n in product.split("-")})
        return Reply(body=[_currency(n) for n in names])

    def time(self, ask: Ask) -> Reply:
        return Reply(body={"iso": iso_time(ask.now_ms, 3), "epoch": ask.now_ms / 1000})

    def _product(self, name: str, asset: Asset) -> dict[str, Any]:
        series = self._finest(asset)
        base, quote = asset.base, asset.quote or "USD"
        return {
            "id": name, "base_currency": base, "quote_currency": quote, "quote_increment": unit(series.price_decimals),
            "base_increment": unit(series.volume_decimals), "display_name": f"{base}/{quote}", "min_market_funds": "1",
            "margin_enabled": False, "post_only": False, "limit_only": False, "cancel_only": False,
            "status": "online", "status_message": "", "trading_disabled": False, "fx_stablecoin": False,
            "max_slippage_percentage": "0.02000000", "auction_mode": False, "high_bid_limit_percentage": "",
        }  # fmt: skip

    def _day(self, series: Series, ask: Ask) -> Day:
        day = day_stats(series, ask.now_ms)
        if day is None:  # not listed yet at this time
            raise Refusal(_error(404, "NotFound"))
        return day

    def _finest(self, asset: Asset) -> Series:
        return self.market.finest(asset, kind="spot", quote="USD")

    def _asset(self, ask: Ask) -> Asset:
        asset = self.listing.get(ask.path.split("/")[2])
        if asset is None:
            raise Refusal(_error(404, "NotFound"))
        return asset


def _row(bar: Bar) -> list[Any]:
    return [bar.open_ms // 1000, *(_plain(x) for x in (bar.low, bar.high, bar.open, bar.close, bar.volume))]


def _plain(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _currency(name: str) -> dict[str, Any]:
    kind = "fiat" if name in ("USD", "EUR", "GBP") else "crypto"
    return {
        "id": name, "name": name, "min_size": "0.00000001", "status": "online", "message": "",
        "max_precision": "0.00000001", "convertible_to": [], "details": {"type": kind, "display_name": name},
        "default_network": "", "supported_networks": [], "display_name": name,
    }  # fmt: skip


def _ms(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1000


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


def _error(status: int, message: str) -> Reply:
    return Reply(status=status, body={"message": message})
