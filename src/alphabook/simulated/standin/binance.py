"""Binance: USDⓈ-M futures (``/fapi/v1``) and, for comparison, spot candles (``/api/v3``).

Rows ascend and mix numbers with strings; errors come with HTTP 400 and a negative ``code``; unknown
parameters are rejected; every answer tells the weight used in this minute. The stand-in's own choices:
trade counts and taker volumes are invented from the bar; the weight window starts with the first request
and lasts a minute; after a 429 five more requests are refused before the sixth earns a two-minute 418.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...candles.interval import BINANCE_INTERVALS, Interval
from .binance_shapes import best_ticker, day_ticker, exchange_info, kline_row, price_ticker
from .faults import Fault
from .limits import FixedWindow, SlidingWindow
from .market import Asset, Market
from .quotes import FUNDING_MS, Day, day_stats, funding_rates, order_book, price_at
from .series import Series, number, stale
from .wire import Ask, Handler, Refusal, Reply, Venue, fingerprint, seconds_text

CONTRACTS = ("PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER", "TRADIFI_PERPETUAL")
MARK_PRICE_SINCE = 1_698_710_400_000  # 2023-10-31: older funding rows carry an empty markPrice
PATIENCE = 5
BAN_SECONDS = 120.0
_INTERVALS = {i.value: i for i in (*BINANCE_INTERVALS, Interval.MO1)}
_DEPTHS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_BUSY = (
    "Too many requests; current limit is {limit} requests per minute. "
    "Please use the websocket for live updates to avoid polling the API."
)
_BANNED = (
    "Way too many requests; IP(127.0.0.1) banned until {until}. "
    "Please use the websocket for live updates to avoid bans."
)
_REGION = (
    "Service unavailable from a restricted location according to 'b. Eligibility' in "
    "https://www.binance.com/en/terms. "
    "Please contact customer service if you believe you received this message in error."
)
_BACKEND = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."


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
            "/fapi/v1/ticker/24hr": lambda ask: self._tickers(ask, day_ticker),
            "/fapi/v1/ticker/bookTicker": lambda ask: self._tickers(ask, best_ticker),
            "/fapi/v1/ticker/price": lambda ask: self._tickers(ask, price_ticker),
            "/fapi/v1/premiumIndex": lambda ask: self._tickers(ask, self._premium),
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
            fits = self.funding_calls.spend(1, seconds)
            return None if fits else _busy(self.funding_calls.limit, self.funding_calls.seconds)
        if self.weight.spend(weight_of(ask), seconds):
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
            return _busy(self.weight.limit, wait)
        if fault.kind == "region":
            return _error(0, _REGION, status=451)
        if fault.kind == "server_error":
            status = fault.options["status"]
            unknown = (-1001, "Internal error; unable to process your request. Please try again.")
            return _error(*((-1007, _BACKEND) if status == 504 else unknown), status=status)
        return Reply(status=403, text="<html><h1>403 Forbidden</h1></html>", content_type="text/html")

    def klines(self, ask: Ask) -> Reply:
        _known(ask, "symbol", "interval", "startTime", "endTime", "limit")
        return self._klines(ask, self._asset(ask, "symbol"), kind="linear", most=1500)

    def continuous_klines(self, ask: Ask) -> Reply:
        _known(ask, "pair", "contractType", "interval", "startTime", "endTime", "limit")
        pair = self._asset(ask, "pair")
        if _required(ask, "contractType") not in CONTRACTS:
            raise Refusal(_invalid("contractType"))
        if ask.query["contractType"] != "PERPETUAL":  # this market has no delivery contracts
            raise Refusal(_error(-1121, "Invalid symbol."))
        return self._klines(ask, pair, kind="linear", most=1500)

    def spot_klines(self, ask: Ask) -> Reply:
        _known(ask, "symbol", "interval", "startTime", "endTime", "timeZone", "limit")
        return self._klines(ask, self._asset(ask, "symbol"), kind="spot", most=1000)

    def exchange_info(self, ask: Ask) -> Reply:
        _known(ask)
        symbols = [(s, a, self.finest(a), self.market.first_ms(a)) for s, a in self.listing.items()]
        return Reply(body=exchange_info(symbols, ask.now_ms, weight_limit=self.weight.limit))

    def funding_rate(self, ask: Ask) -> Reply:
        _known(ask, "symbol", "startTime", "endTime", "limit")
        limit = _whole(ask, "limit") or 100
        if limit > 1000:
            head = {"status": "ERROR", "type": "VALID", "code": "000002"}
            detail = {"errorData": {"limit": "limit can not greater than 1000"}}
            return Reply(body=head | detail | {"data": None, "subData": None, "params": None})
        start, end = _whole(ask, "startTime"), _whole(ask, "endTime")
        wanted = {ask.query["symbol"]: self._asset(ask, "symbol")} if "symbol" in ask.query else self.listing
        rows: list[dict[str, Any]] = []
        for symbol, asset in wanted.items():
            series = self.finest(asset)
            recorded = self.market.funding.get(asset.base)
            for when, rate in funding_rates(recorded, series, start, end, ask.now_ms):
                late = when + fingerprint(symbol, when) % 12 if recorded is None else when  # real stamps come late
                mark = f"{price_at(series, when):.8f}" if when >= MARK_PRICE_SINCE else ""
                row = {"symbol": symbol, "fundingRate": f"{rate:.8f}", "fundingTime": late, "markPrice": mark}
                rows.append(row | {"rateType": "Regular"})
        rows.sort(key=lambda row: row["fundingTime"])
        return Reply(body=rows[:limit] if start is not None else rows[-limit:])

    def funding_info(self, ask: Ask) -> Reply:
        _known(ask)
        return Reply(body=[])  # lists adjusted symbols only, and here all keep eight hours

    def time(self, ask: Ask) -> Reply:
        return Reply(body={"serverTime": ask.now_ms})

    def ping(self, ask: Ask) -> Reply:
        return Reply(body={})

    def depth(self, ask: Ask) -> Reply:
        _known(ask, "symbol", "limit")
        series = self.finest(self._asset(ask, "symbol"))
        limit = _whole(ask, "limit") or 500
        if limit not in _DEPTHS:
            raise Refusal(_error(-4021, f"{limit} is not valid depth limit."))
        p, v = series.price_decimals, series.volume_decimals
        book = order_book(series, ask.now_ms, depth=limit)
        bids, asks = ([[number(x, p), number(q, v)] for x, q in side] for side in book)
        head = {"lastUpdateId": fingerprint(ask.query["symbol"], ask.now_ms), "E": ask.now_ms, "T": ask.now_ms - 5}
        return Reply(body=head | {"bids": bids, "asks": asks})

    def finest(self, asset: Asset) -> Series:
        """The finest bars of an asset's perpetual."""
        return self.market.finest(asset, kind="linear", quote="USDT")

    def _klines(self, ask: Ask, asset: Asset, *, kind: str, most: int) -> Reply:
        interval = _INTERVALS.get(_required(ask, "interval"))
        if interval is None:
            raise Refusal(_error(-1120, "Invalid interval."))
        start, end = _whole(ask, "startTime"), _whole(ask, "endTime")
        limit = _whole(ask, "limit") if "limit" in ask.query else 500
        if limit is None or not 1 <= limit <= most:
            raise Refusal(_invalid("limit"))
        if start is not None and end is not None and start > end:
            raise Refusal(_error(-1023, "Start time is greater than end time."))
        series = self.market.series(asset, interval, kind=kind, quote="USDT")
        if series is None:
            return Reply(body=[])
        low, high = series.span(start, end, ask.now_ms)
        low, high = (low, min(high, low + limit)) if start is not None else (max(low, high - limit), high)
        bars = ask.alter.rows(series.take(low, high, ask.now_ms), stale=stale, extra=series.after)
        places = (8, 8) if kind == "spot" else (series.price_decimals, series.volume_decimals)
        return Reply(body=ask.alter.wire_rows([kline_row(b, *places) for b in bars]))

    def _tickers(self, ask: Ask, make: Callable[[str, Series, Day, int], dict[str, Any]]) -> Reply:
        _known(ask, "symbol")
        wanted = {ask.query["symbol"]: self._asset(ask, "symbol")} if "symbol" in ask.query else self.listing
        rows = []
        for symbol, asset in wanted.items():
            series = self.finest(asset)
            day = day_stats(series, ask.now_ms)
            if day is not None:
                rows.append(make(symbol, series, day, ask.now_ms))
        if "symbol" not in ask.query:
            return Reply(body=rows)
        return Reply(body=rows[0]) if rows else _error(-1121, "Invalid symbol.")

    def _premium(self, symbol: str, series: Series, day: Day, now_ms: int) -> dict[str, Any]:
        recorded = self.market.funding.get(self.listing[symbol].base)
        rates = funding_rates(recorded, series, None, None, now_ms)
        price = f"{day.last:.8f}"
        return {
            "symbol": symbol, "markPrice": price, "indexPrice": price, "estimatedSettlePrice": price,
            "lastFundingRate": f"{rates[-1][1] if rates else 0:.8f}", "interestRate": "0.00010000",
            "nextFundingTime": (now_ms // FUNDING_MS + 1) * FUNDING_MS, "time": now_ms,
        }  # fmt: skip

    def _asset(self, ask: Ask, key: str) -> Asset:
        asset = self.listing.get(_required(ask, key).upper())
        if asset is None:
            raise Refusal(_error(-1121, "Invalid symbol."))
        return asset


def weight_of(ask: Ask) -> int:
    """What a request costs of the 2,400 per minute."""
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
        raise Refusal(_invalid(key)) from None


def _invalid(key: str) -> Reply:
    return _error(-1130, f"Data sent for parameter '{key}' is not valid.")


def _busy(limit: int, wait: float | None) -> Reply:
    return _error(-1003, _BUSY.format(limit=limit), status=429, wait=wait)


def _ban(ask: Ask, wait: float | None) -> Reply:
    until = ask.now_ms + round((BAN_SECONDS if wait is None else wait) * 1000)
    return _error(-1003, _BANNED.format(until=until), status=418, wait=wait)


def _error(code: int, message: str, *, status: int = 400, wait: float | None = None) -> Reply:
    headers = {} if wait is None else {"Retry-After": seconds_text(wait)}
    return Reply(status=status, body={"code": code, "msg": message}, headers=headers)
