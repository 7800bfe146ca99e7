"""Coinbase Advanced Trade, the endpoints that need no key.

Everything is a string in an object. Where the documentation is silent: 350 or more intervals between
``start`` and ``end`` are refused, ``limit`` keeps the newest rows, and both ends are required.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...candles.interval import Interval
from .market import Asset, Market
from .quotes import day_stats, order_book
from .series import Series, number, stale, unit
from .wire import Ask, Handler, Refusal, Reply, iso_time

PREFIX = "/api/v3/brokerage"
GRANULARITIES = {
    "ONE_MINUTE": "1m", "FIVE_MINUTE": "5m", "FIFTEEN_MINUTE": "15m", "THIRTY_MINUTE": "30m", "ONE_HOUR": "1h",
    "TWO_HOUR": "2h", "FOUR_HOUR": "4h", "SIX_HOUR": "6h", "ONE_DAY": "1d",
}  # fmt: skip
MOST = 350


class AdvancedTrade:
    """The handlers under ``/api/v3/brokerage``."""

    def __init__(self, market: Market, listing: Mapping[str, Asset]) -> None:
        self.market = market
        self.listing = listing

    def route(self, path: str) -> Handler | None:
        """Who answers a path."""
        for pattern, handler in (
            ("/time", self.time),
            ("/market/products", self.products),
            ("/market/products/[^/]+", self.product),
            ("/market/products/[^/]+/candles", self.candles),
            ("/market/product_book", self.book),
        ):
            if re.fullmatch(PREFIX + pattern, path):
                return handler
        return None

    def time(self, ask: Ask) -> Reply:
        seconds = str(ask.now_ms // 1000)
        body = {"iso": iso_time(ask.now_ms, 0), "epochSeconds": seconds, "epochMillis": str(ask.now_ms)}
        return Reply(body=body)

    def candles(self, ask: Ask) -> Reply:
        asset = self._asset(ask.path.split("/")[6])
        name = ask.query.get("granularity", "")
        if name not in GRANULARITIES:
            raise Refusal(advanced_error(400, "INVALID_ARGUMENT", "unsupported granularity"))
        interval = Interval(GRANULARITIES[name])
        start, end = (self._whole(ask, key) for key in ("start", "end"))
        if start is None or end is None:
            raise Refusal(advanced_error(400, "INVALID_ARGUMENT", "start and end are required, in unix seconds"))
        assert interval.milliseconds is not None
        if (end - start) * 1000 // interval.milliseconds >= MOST:
            text = f"number of candles requested should be less than {MOST}"
            raise Refusal(advanced_error(400, "INVALID_ARGUMENT", text))
        series = self.market.series(asset, interval, kind="spot", quote="USD")
        if series is None:
            return Reply(body={"candles": []})
        low, high = series.span(start * 1000, end * 1000, ask.now_ms)
        limit = self._whole(ask, "limit") or MOST
        traded = [b for b in series.take(max(low, high - limit), high, ask.now_ms) if b.volume > 0]
        bars = ask.alter.rows(traded, stale=stale, extra=series.after)
        rows = [
            {"start": str(b.open_ms // 1000)}
            | {k: number(getattr(b, k)) for k in ("low", "high", "open", "close", "volume")}
            for b in reversed(bars)
        ]
        return Reply(body={"candles": ask.alter.wire_rows(rows)})

    def products(self, ask: Ask) -> Reply:
        rows = [self._product(n, a, ask.now_ms) for n, a in self.listing.items()]
        return Reply(body={"products": rows, "num_products": len(rows)})

    def product(self, ask: Ask) -> Reply:
        name = ask.path.split("/")[6]
        return Reply(body=self._product(name, self._asset(name), ask.now_ms))

    def book(self, ask: Ask) -> Reply:
        name = ask.query.get("product_id", "")
        series = self._finest(self._asset(name))
        book = order_book(series, ask.now_ms, depth=self._whole(ask, "limit") or 50)
        p = series.price_decimals
        bids, asks = ([{"price": number(x, p), "size": number(q)} for x, q in side] for side in book)
        body = {"product_id": name, "bids": bids, "asks": asks, "time": iso_time(ask.now_ms, 6)}
        return Reply(body={"pricebook": body})

    def _product(self, name: str, asset: Asset, now_ms: int) -> dict[str, Any]:
        series = self._finest(asset)
        day = day_stats(series, now_ms)
        base, quote, p = asset.base, asset.quote or "USD", series.price_decimals
        return {
            "product_id": name, "price": number(day.last, p) if day else "",
            "price_percentage_change_24h": number(round(100 * (day.last / day.open - 1), 8)) if day else "",
            "volume_24h": number(day.volume) if day else "", "base_increment": unit(series.volume_decimals),
            "quote_increment": unit(p), "quote_min_size": "1", "base_name": base, "quote_name": quote,
            "watched": False, "is_disabled": False, "new": False, "status": "online", "cancel_only": False,
            "limit_only": False, "post_only": False, "trading_disabled": False, "auction_mode": False,
            "product_type": "SPOT", "quote_currency_id": quote, "base_currency_id": base, "alias": "",
            "view_only": False, "price_increment": unit(p),
        }  # fmt: skip

    def _finest(self, asset: Asset) -> Series:
        return self.market.finest(asset, kind="spot", quote="USD")

    def _asset(self, name: str) -> Asset:
        if name not in self.listing:
            raise Refusal(advanced_error(404, "NOT_FOUND", "valid product_id is required"))
        return self.listing[name]

    @staticmethod
    def _whole(ask: Ask, key: str) -> int | None:
        text = ask.query.get(key, "")
        if not text:
            return None
        if not text.isdigit():
            raise Refusal(advanced_error(400, "INVALID_ARGUMENT", f"invalid {key}"))
        return int(text)


def advanced_error(status: int, kind: str, text: str) -> Reply:
    """Advanced Trade's error shape."""
    return Reply(status=status, body={"error": kind, "error_details": text, "message": text})
