"""Binance: USDⓈ-M futures (``/fapi/v1``) and, for comparison, spot candles (``/api/v3``).

Rows ascend and mix numbers with strings; errors come with HTTP 400 and a negative ``code``; unknown
parameters are rejected; every answer tells the weight used in this minute. The stand-in's own choices:
trade counts and taker volumes are invented from the bar; the weight window starts with the first request
and lasts a minute; after a 429 five more requests are refused before the sixth earns a two-minute 418.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...candles.interval import Interval
from ...errors import IntervalError
from .binance_info import exchange_info, kline_row
from .bybit import after, stale
from .faults import Fault
from .limits import FixedWindow, SlidingWindow
from .market import Asset, Market
from .quotes import day_stats, funding_rates, order_book, price_at
from .series import Bar, Series, number
from .wire import Ask, Handler, Refusal, Reply, Venue, fingerprint

CONTRACTS = ("PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER", "TRADIFI_PERPETUAL")
MARK_PRICE_SINCE = 1_698_710_400_000  # 2023-10-31: older funding rows carry an empty markPrice
PATIENCE = 5
BAN_SECONDS = 120.0
_DEPTHS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_BUSY = (
    "Too many requests; current limit is {limit} requests per minute. "
    "Please use the websocket for live updates to avoid polling the API."
)
_BANNED = (
    "Way too many requests; IP({ip}) banned until {until}. Please use the websocket for live updates to avoid bans."
)
_REGION = (
    "Service unavailable from a restricted location according to 'b. Eligibility' in "
    "https://www.binance.com/en/terms. Please contact customer service if you believe you received this message in error."
)


class BinanceVenue(Venue):
    """Klines, exchange information, funding, tickers and depth."""

    name = "binance"

    def __init__(self, market: Market) -> None:
        super().__init__(market)
        self.weight = FixedWindow(limit=2400, seconds=60.0)
        self.funding_calls = SlidingWindow(limit=500, seconds=300.0)
        self.listing = {_symbol(a): a for a in market.assets}
        self._ignored = 0
        self._banned_until = 0.0

    def route(self, path: str) -> Handler | None:
        return {
            "/fapi/v1/klines": self.klines,
            "/fapi/v1/continuousKlines": self.continuous_klines,
            "/api/v3/klines": self.spot_klines,
            "/fapi/v1/exchangeInfo": self.exchange_info,
            "/fapi/v1/fundingRate": self.funding_rate,
            "/fapi/v1/fundingInfo": self.funding_info,
            "/fapi/v1/time": self.time,
            "/api/v3/time": self.time,
            "/fapi/v1/ping": self.ping,
            "/api/v3/ping": self.ping,
            "/fapi/v1/ticker/24hr": self.ticker_day,
            "/fapi/v1/ticker/bookTicker": self.book_ticker,
            "/fapi/v1/ticker/price": self.ticker_price,
            "/fapi/v1/depth": self.depth,
        }.get(path)

    def serves_rows(self, path: str) -> bool:
        return path.lower().endswith("klines")

    def not_found(self, ask: Ask) -> Reply:
        return Reply(status=404, text="<html><body><h2>404 Not found</h2></body></html>", content_type="text/html")

    def extra_headers(self) -> Mapping[str, str]:
        return {"X-MBX-USED-WEIGHT-1M": str(self.weight.used)}

    def throttle(self, ask: Ask, seconds: float) -> Reply | None:
        if seconds < self._banned_until:
            return _ban(ask, self._banned_until - seconds)
        if ask.path in ("/fapi/v1/fundingRate", "/fapi/v1/fundingInfo"):
            return None if self.funding_calls.spend(1, seconds) else _busy(500, 300.0)
        if self.weight.spend(_weight(ask), seconds):
            self._ignored = 0
            return None
        self._ignored += 1
        if self._ignored > PATIENCE:
            self._banned_until = seconds + BAN_SECONDS
            return _ban(ask, BAN_SECONDS)
        return _busy(self.weight.limit, self.weight.left(seconds))

    def misbehave(self, fault: Fault, ask: Ask) -> Reply:
        wait = fault.options.get("retry_after")
        if fault.kind == "banned":
            return _ban(ask, wait)
        if fault.kind == "too_many":
            return _busy(2400, wait)
        if fault.kind == "region":
            return _error(0, _REGION, status=451)
        if fault.kind == "server_error":
            status = fault.options["status"]
            code, text = (
                -1007,
                "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
            )
            if status != 504:
                code, text = -1000, "An unknown error occurred while processing the request."
            return _error(code, text, status=status)
        return Reply(status=403, text="<html><h1>403 Forbidden</h1></html>", content_type="text/html")

    def klines(self, ask: Ask) -> Reply:
        _known(ask, "symbol", "interval", "startTime", "endTime", "limit")
        return self._klines(ask, self._symbol(ask, "symbol"), kind="linear", default=500, most=1500)

    def continuous_klines(self, ask: Ask) -> Reply:
        _known(ask, "pair", "contractType", "interval", "startTime", "endTime", "limit")
        pair = self._symbol(ask, "pair")
        if _required(ask, "contractType") not in CONTRACTS:
            raise Refusal(_error(-1130, "Data sent for parameter 'contractType' is not valid."))
        if ask.query["contractType"] != "PERPETUAL":
            raise Refusal(_error(-1121, "Invalid symbol."))
        return self._klines(ask, pair, kind="linear", default=500, most=1500)

    def spot_klines(self, ask: Ask) -> Reply:
        _known(ask, "symbol", "interval", "startTime", "endTime", "timeZone", "limit")
        return self._klines(ask, self._symbol(ask, "symbol"), kind="spot", default=500, most=1000)

    def exchange_info(self, ask: Ask) -> Reply:
        _known(ask)
        symbols = [(s, a, self._finest(a), self.market.first_ms(a)) for s, a in self.listing.items()]
        return Reply(body=exchange_info(symbols, ask.now_ms, weight_limit=self.weight.limit))

    def funding_rate(self, ask: Ask) -> Reply:
        _known(ask, "symbol", "startTime", "endTime", "limit")
        limit = _whole(ask, "limit") or 100
        if limit > 1000:
            error = {"limit": "limit can not greater than 1000"}
            body = {"status": "ERROR", "type": "VALID", "code": "000002", "errorData": error}
            return Reply(body=body | {"data": None, "subData": None, "params": None})
        start, end = _whole(ask, "startTime"), _whole(ask, "endTime")
        wanted = {ask.query["symbol"]: self._symbol(ask, "symbol")} if "symbol" in ask.query else self.listing
        rows = []
        for symbol, asset in wanted.items():
            series = self._finest(asset)
            recorded = self.market.funding.get(asset.base)
            rates = funding_rates(recorded, series, start, end, ask.now_ms)
            for when, rate in rates[:limit] if start is not None else rates[-limit:]:
                late = when + fingerprint(symbol, when) % 12 if recorded is None else when
                mark = f"{price_at(series, when):.8f}" if when >= MARK_PRICE_SINCE else ""
                row = {"symbol": symbol, "fundingTime": late, "fundingRate": f"{rate:.8f}"}
                rows.append(row | {"markPrice": mark, "rateType": "Regular"})
        return Reply(body=sorted(rows, key=lambda r: r["fundingTime"])[-limit:] if len(wanted) > 1 else rows)

    def funding_info(self, ask: Ask) -> Reply:
        _known(ask)
        return Reply(body=[])  # lists adjusted symbols only, and here all keep eight hours

    def time(self, ask: Ask) -> Reply:
        return Reply(body={"serverTime": ask.now_ms})

    def ping(self, ask: Ask) -> Reply:
        return Reply(body={})

    def ticker_day(self, ask: Ask) -> Reply:
        return self._per_symbol(ask, self._day)

    def book_ticker(self, ask: Ask) -> Reply:
        return self._per_symbol(ask, self._best)

    def ticker_price(self, ask: Ask) -> Reply:
        return self._per_symbol(ask, self._price)

    def depth(self, ask: Ask) -> Reply:
        _known(ask, "symbol", "limit")
        series = self._finest(self._symbol(ask, "symbol"))
        limit = _whole(ask, "limit") or 500
        if limit not in _DEPTHS:
            raise Refusal(_error(-4021, f"{limit} is not valid depth limit."))
        book = order_book(series, ask.now_ms, depth=limit)
        p, v = series.price_decimals, series.volume_decimals
        bids, asks = ([[number(x, p), number(q, v)] for x, q in side] for side in (book.bids, book.asks))
        head = {"lastUpdateId": fingerprint(ask.query["symbol"], ask.now_ms), "E": ask.now_ms, "T": ask.now_ms - 5}
        return Reply(body=head | {"bids": bids, "asks": asks})

    def _klines(self, ask: Ask, asset: Asset, *, kind: str, default: int, most: int) -> Reply:
        interval = _interval(_required(ask, "interval"))
        start, end = _whole(ask, "startTime"), _whole(ask, "endTime")
        limit = _whole(ask, "limit") if "limit" in ask.query else default
        if limit is None or not 1 <= limit <= most:
            raise Refusal(_error(-1130, "Data sent for parameter 'limit' is not valid."))
        if start is not None and end is not None and start > end:
            raise Refusal(_error(-1023, "Start time is greater than end time."))
        series = self.market.series(asset, interval, kind=kind, quote="USDT")
        if series is None:
            return Reply(body=[])
        low, high = series.span(start, end, ask.now_ms)
        low, high = (low, min(high, low + limit)) if start is not None else (max(low, high - limit), high)
        bars = ask.alter.rows(series.take(low, high, ask.now_ms), stale=stale, extra=lambda b: after(series, b))
        places = (8, 8) if kind == "spot" else (series.price_decimals, series.volume_decimals)
        return Reply(body=ask.alter.wire_rows([kline_row(b, *places) for b in bars]))

    def _per_symbol(self, ask: Ask, make: Any) -> Reply:
        _known(ask, "symbol")
        if "symbol" in ask.query:
            row = make(ask.query["symbol"], self._symbol(ask, "symbol"), ask.now_ms)
            return Reply(body=row) if row else Reply(status=400, body={"code": -1121, "msg": "Invalid symbol."})
        rows = (make(s, a, ask.now_ms) for s, a in self.listing.items())
        return Reply(body=[r for r in rows if r is not None])

    def _day(self, symbol: str, asset: Asset, now_ms: int) -> dict[str, Any] | None:
        series = self._finest(asset)
        day = day_stats(series, now_ms)
        if day is None:
            return None
        p, v = series.price_decimals, series.volume_decimals
        mean = day.turnover / day.volume if day.volume else day.last
        trades = max(1, int(day.turnover // 5000))
        return {
            "symbol": symbol, "priceChange": number(round(day.last - day.open, p), p),
            "priceChangePercent": f"{100 * (day.last / day.open - 1):.3f}", "weightedAvgPrice": number(round(mean, p), p),
            "lastPrice": number(day.last, p), "lastQty": f"{10.0**-v:.{v}f}", "openPrice": number(day.open, p),
            "highPrice": number(day.high, p), "lowPrice": number(day.low, p), "volume": number(day.volume, v),
            "quoteVolume": number(day.turnover, 2), "openTime": day.open_ms, "closeTime": now_ms,
            "firstId": fingerprint(symbol), "lastId": fingerprint(symbol) + trades - 1, "count": trades,
        }  # fmt: skip

    def _best(self, symbol: str, asset: Asset, now_ms: int) -> dict[str, Any] | None:
        series = self._finest(asset)
        book = order_book(series, now_ms, depth=1)
        if not book.bids:
            return None
        p, v = series.price_decimals, series.volume_decimals
        (bid, bid_size), (ask_, ask_size) = book.bids[0], book.asks[0]
        return {
            "symbol": symbol, "bidPrice": number(bid, p), "bidQty": number(bid_size, v), "askPrice": number(ask_, p),
            "askQty": number(ask_size, v), "time": now_ms, "lastUpdateId": fingerprint(symbol, now_ms),
        }  # fmt: skip

    def _price(self, symbol: str, asset: Asset, now_ms: int) -> dict[str, Any] | None:
        day = day_stats(self._finest(asset), now_ms)
        if day is None:
            return None
        return {"symbol": symbol, "price": number(day.last, self._finest(asset).price_decimals), "time": now_ms}

    def _finest(self, asset: Asset) -> Series:
        return self.market.finest(asset, kind="linear", quote="USDT")

    def _symbol(self, ask: Ask, key: str) -> Asset:
        asset = self.listing.get(_required(ask, key).upper())
        if asset is None:
            raise Refusal(_error(-1121, "Invalid symbol."))
        return asset


def _weight(ask: Ask) -> int:
    text = ask.query.get("limit", "")
    limit = int(text) if text.isdigit() else 500
    if ask.path.startswith("/api/v3"):
        return 2 if ask.path.endswith("klines") else 1
    if ask.path.endswith(("/klines", "/continuousKlines")):
        return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10
    if ask.path.endswith("/depth"):
        return _DEPTHS.get(limit, 10)
    if ask.path.endswith("/ticker/24hr"):
        return 1 if "symbol" in ask.query else 40
    if "/ticker/" in ask.path:
        return 2 if "symbol" in ask.query else 5
    return 1


def _symbol(asset: Asset) -> str:
    return asset.base + ("USDT" if asset.quote == "USD" else asset.quote)


def _interval(text: str) -> Interval:
    try:
        found = Interval(text)
    except ValueError:
        raise Refusal(_error(-1120, "Invalid interval.")) from None
    except IntervalError:
        raise Refusal(_error(-1120, "Invalid interval.")) from None
    return found


def _known(ask: Ask, *names: str) -> None:
    read = sum(name in names for name in ask.query)
    if read < len(ask.query):
        text = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(ask.query)}'."
        raise Refusal(_error(-1104, text))


def _required(ask: Ask, key: str) -> str:
    value = ask.query.get(key, "")
    if not value:
        raise Refusal(_error(-1102, f"Mandatory parameter '{key}' was not sent, was empty/null, or malformed."))
    return value


def _whole(ask: Ask, key: str) -> int | None:
    text = ask.query.get(key)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise Refusal(_error(-1130, f"Data sent for parameter '{key}' is not valid.")) from None


def _busy(limit: int, wait: float | None) -> Reply:
    headers = {} if wait is None else {"Retry-After": f"{_seconds(wait)}"}
    return _error(-1003, _BUSY.format(limit=limit), status=429, headers=headers)


def _ban(ask: Ask, wait: float | None) -> Reply:
    headers = {} if wait is None else {"Retry-After": f"{_seconds(wait)}"}
    until = ask.now_ms + int((wait or BAN_SECONDS) * 1000)
    return _error(-1003, _BANNED.format(ip="127.0.0.1", until=until), status=418, headers=headers)


def _seconds(wait: float) -> str:
    return f"{wait:.0f}" if wait >= 1 or wait == 0 else f"{wait:g}"


def _error(code: int, message: str, *, status: int = 400, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status=status, body={"code": code, "msg": message}, headers=headers or {})


__all__ = ["Bar", "BinanceVenue"]
