"""Bybit v5, public market endpoints.

Rows are strings, newest first; errors come with HTTP 200 and a ``retCode``. Where the documentation is
silent the stand-in does this: an unknown parameter is ignored; a ``limit`` outside its range is clamped;
``start`` and ``end`` that span more than ``limit`` bars give the newest of them; rate-limit headers come
only with a refusal.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from ...candles.interval import Interval
from .bybit_shapes import book_rows, instrument, kline_row, ticker
from .faults import Fault
from .limits import SlidingWindow
from .market import Asset, Market
from .quotes import day_stats, funding_rates, order_book
from .series import Bar, Series, number, stale
from .wire import Ask, Handler, Refusal, Reply, Venue, fingerprint, retry_after

INTERVALS = {
    "1": "1m", "3": "3m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "120": "2h", "240": "4h",
    "360": "6h", "720": "12h", "D": "1d", "W": "1w", "M": "1M",
}  # fmt: skip
CATEGORIES = ("spot", "linear", "inverse")
_BOOK_DEPTHS = {"spot": (1, 200), "linear": (25, 500), "inverse": (25, 500)}
_JSON = "application/json; charset=utf-8"


class BybitVenue(Venue):
    """``/v5/market/*`` for spot, linear and inverse."""

    name = "bybit"

    def __init__(self, market: Market) -> None:
        super().__init__(market)
        self.connections = count(1)
        self.visits = SlidingWindow(limit=600, seconds=5.0)
        self.listing = {c: {_symbol(a, c): a for a in market.assets} for c in CATEGORIES}

    def route(self, path: str) -> Handler | None:
        return {
            "/v5/market/kline": self.kline,
            "/v5/market/tickers": self.tickers,
            "/v5/market/orderbook": self.orderbook,
            "/v5/market/instruments-info": self.instruments,
            "/v5/market/funding/history": self.funding,
            "/v5/market/time": self.time,
        }.get(path)

    def serves_rows(self, path: str) -> bool:
        return path == "/v5/market/kline"

    def not_found(self, ask: Ask) -> Reply:
        return Reply(status=404, text="404 page not found", content_type="text/plain")

    def throttle(self, ask: Ask, seconds: float) -> Reply | None:
        return None if self.visits.spend(1, seconds) else _too_frequent()

    def misbehave(self, fault: Fault, ask: Ask) -> Reply:
        if fault.kind == "retcode":
            headers = {}
            if fault.options["reset_after_ms"] is not None:
                reset = str(ask.now_ms + fault.options["reset_after_ms"])
                headers = {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "0", "X-Bapi-Limit-Reset-Timestamp": reset}
            return _error(ask, fault.options["code"], fault.options["message"], headers=headers)
        if fault.kind == "forbidden":
            return _too_frequent()
        status = {"banned": 418, "too_many": 429, "region": 451}.get(fault.kind) or fault.options["status"]
        return Reply(status=status, text="", headers=retry_after(fault), content_type="text/html")

    def kline(self, ask: Ask) -> Reply:
        category = self._category(ask)
        asset = self._asset(ask, category)
        name = ask.query.get("interval", "")
        if name not in INTERVALS:
            raise Refusal(_error(ask, 10001, "Invalid period!", result=_no_rows()))
        start, end = (_whole(ask, key) for key in ("start", "end"))
        limit = _limit(ask, default=200, most=1000)
        if start is not None and end is not None and start > end:
            raise Refusal(_error(ask, 10001, "The start time cannot be later than the end time", result=_no_rows()))
        series = self.series(asset, Interval(INTERVALS[name]), category)
        bars: list[Bar] = []
        if series is not None:
            low, high = series.span(None if start is None else series.floor(start), end, ask.now_ms)
            forward = start is not None and end is None
            low, high = (low, min(high, low + limit)) if forward else (max(low, high - limit), high)
            bars = ask.alter.rows(series.take(low, high, ask.now_ms), stale=stale, extra=series.after)
        rows = ask.alter.wire_rows([kline_row(b, category) for b in reversed(bars)])
        return _ok(ask, {"category": category, "symbol": ask.query["symbol"], "list": rows})

    def tickers(self, ask: Ask) -> Reply:
        category = self._category(ask)
        wanted = {ask.query["symbol"]: self._asset(ask, category)} if "symbol" in ask.query else self.listing[category]
        rows = []
        for symbol, asset in wanted.items():
            series = self.finest(asset, category)
            day = day_stats(series, ask.now_ms)
            if day is not None:
                rates = funding_rates(self.market.funding.get(asset.base), series, None, None, ask.now_ms)
                rows.append(ticker(symbol, category, series, day, rates[-1][1] if rates else None, ask.now_ms))
        return _ok(ask, {"category": category, "list": rows})

    def orderbook(self, ask: Ask) -> Reply:
        category = self._category(ask)
        asset = self._asset(ask, category)
        default, most = _BOOK_DEPTHS[category]
        series = self.finest(asset, category)
        book = order_book(series, ask.now_ms, depth=_limit(ask, default=default, most=most))
        bids, asks = (book_rows(side, series.price_decimals) for side in book)
        update = fingerprint(asset, ask.now_ms) % 10**8
        body = {"s": ask.query["symbol"], "b": bids, "a": asks, "ts": ask.now_ms, "u": update}
        return _ok(ask, body | {"seq": update * 100, "cts": ask.now_ms - 3})

    def instruments(self, ask: Ask) -> Reply:
        category = self._category(ask)
        listing = self.listing[category]
        names = sorted(listing) if ask.query.get("status", "Trading") == "Trading" else []
        if "symbol" in ask.query:
            names = [n for n in names if n == ask.query["symbol"]]
        if ask.query.get("baseCoin"):
            names = [n for n in names if listing[n].base == ask.query["baseCoin"]]
        paged = category != "spot"
        limit = _limit(ask, default=500, most=1000) if paged else max(1, len(names))
        begin = _cursor(ask.query.get("cursor", "")) if paged else 0
        rows = [
            instrument(n, listing[n], category, self.finest(listing[n], category), self.market.first_ms(listing[n]))
            for n in names[begin : begin + limit]
        ]
        result = {"category": category, "list": rows}
        if paged:
            result["nextPageCursor"] = f"first%3D{begin + limit}" if begin + limit < len(names) else ""
        return _ok(ask, result)

    def funding(self, ask: Ask) -> Reply:
        category = self._category(ask, missing="")
        if category == "spot":
            raise Refusal(_error(ask, 10001, "params error: Category is invalid"))
        asset = self._asset(ask, category)
        start, end = (_whole(ask, key) for key in ("startTime", "endTime"))
        if start is not None and end is None:
            raise Refusal(_error(ask, 10001, "params error: endTime is required when startTime is set"))
        series = self.finest(asset, category)
        rates = funding_rates(self.market.funding.get(asset.base), series, start, end, ask.now_ms)
        rows = [
            {"symbol": ask.query["symbol"], "fundingRate": number(rate), "fundingRateTimestamp": str(when)}
            for when, rate in reversed(rates[-_limit(ask, default=200, most=200) :])
        ]
        return _ok(ask, {"category": category, "list": rows})

    def time(self, ask: Ask) -> Reply:
        return _ok(ask, {"timeSecond": str(ask.now_ms // 1000), "timeNano": str(ask.now_ms * 1_000_000)})

    def series(self, asset: Asset, interval: Interval, category: str) -> Series | None:
        """Bars of an asset in a category."""
        return self.market.series(asset, interval, kind=category, quote=_quote(category))

    def finest(self, asset: Asset, category: str) -> Series:
        """The finest bars of an asset in a category."""
        return self.market.finest(asset, kind=category, quote=_quote(category))

    def _category(self, ask: Ask, *, missing: str = "linear") -> str:
        category = ask.query.get("category", missing)
        if category not in CATEGORIES:
            raise Refusal(_error(ask, 10001, "params error: Category is invalid"))
        return category

    def _asset(self, ask: Ask, category: str) -> Asset:
        asset = self.listing[category].get(ask.query.get("symbol", ""))
        if asset is None:
            raise Refusal(_error(ask, 10001, "Not supported symbols", result=_no_rows()))
        return asset


def _whole(ask: Ask, key: str) -> int | None:
    text = ask.query.get(key, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise Refusal(_error(ask, 10001, f"params error: {key} is invalid")) from None


def _limit(ask: Ask, *, default: int, most: int) -> int:
    limit = _whole(ask, "limit")
    return default if limit is None else max(1, min(limit, most))


def _symbol(asset: Asset, category: str) -> str:
    if not asset.quote:
        return asset.base
    return asset.base + (_quote(category) if asset.quote == "USD" else asset.quote)


def _quote(category: str) -> str:
    return "USD" if category == "inverse" else "USDT"


def _cursor(text: str) -> int:
    digits = text.removeprefix("first%3D").removeprefix("first=")
    return int(digits) if digits.isdigit() else 0


def _no_rows() -> dict[str, Any]:
    return {"category": "", "symbol": "", "list": []}


def _too_frequent() -> Reply:
    return Reply(status=403, text="access too frequent", content_type="text/plain")


def _ok(ask: Ask, result: dict[str, Any]) -> Reply:
    body = {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": ask.now_ms}
    return Reply(body=body, content_type=_JSON)


def _error(
    ask: Ask, code: int, message: str, *, headers: dict[str, str] | None = None, result: dict[str, Any] | None = None
) -> Reply:
    body = {"retCode": code, "retMsg": message, "result": result or {}, "retExtInfo": {}, "time": ask.now_ms}
    return Reply(body=body, headers=headers or {}, content_type=_JSON)
