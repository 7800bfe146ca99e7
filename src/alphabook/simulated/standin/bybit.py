"""Bybit v5, public market endpoints.

Rows are strings, newest first; errors come with HTTP 200 and a ``retCode``. Where the documentation is
silent the stand-in does this: an unknown parameter is ignored; a ``limit`` outside its range is clamped;
``start`` and ``end`` that span more than ``limit`` bars give the newest of them; rate-limit headers come
only with a refusal.
"""

from __future__ import annotations

from typing import Any

from ...candles.interval import Interval
from .faults import Fault
from .limits import SlidingWindow
from .market import Asset, Market
from .quotes import day_stats, funding_rates, order_book
from .series import Bar, Series, number
from .wire import Ask, Handler, Refusal, Reply, Venue, fingerprint

INTERVALS = {
    "1": "1m", "3": "3m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "120": "2h", "240": "4h",
    "360": "6h", "720": "12h", "D": "1d", "W": "1w", "M": "1M",
}  # fmt: skip
CATEGORIES = ("spot", "linear", "inverse")
_BOOK_DEPTHS = {"spot": (1, 200), "linear": (25, 500), "inverse": (25, 500)}


class BybitVenue(Venue):
    """``/v5/market/*`` for spot, linear and inverse."""

    name = "bybit"

    def __init__(self, market: Market) -> None:
        super().__init__(market)
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
                reset = ask.now_ms + fault.options["reset_after_ms"]
                headers = {
                    "X-Bapi-Limit": "10",
                    "X-Bapi-Limit-Status": "0",
                    "X-Bapi-Limit-Reset-Timestamp": str(reset),
                }
            return _error(ask, fault.options["code"], fault.options["message"], headers)
        if fault.kind == "forbidden":
            return _too_frequent()
        if fault.kind == "server_error":
            return Reply(status=fault.options["status"], text="", content_type="text/html")
        status = {"banned": 418, "too_many": 429, "region": 451}[fault.kind]
        wait = fault.options.get("retry_after")
        headers = {} if wait is None else {"Retry-After": f"{wait:g}"}
        return Reply(status=status, text="", headers=headers, content_type="text/html")

    def kline(self, ask: Ask) -> Reply:
        category = self._category(ask)
        asset = self._asset(ask, category)
        name = ask.query.get("interval", "")
        if name not in INTERVALS:
            raise Refusal(_error(ask, 10001, "Invalid period!", result=_no_rows()))
        start, end = (self._whole(ask, key) for key in ("start", "end"))
        limit = self._limit(ask, default=200, most=1000)
        if start is not None and end is not None and start > end:
            raise Refusal(_error(ask, 10001, "The start time cannot be later than the end time", result=_no_rows()))
        series = self._series(asset, Interval(INTERVALS[name]), category)
        bars: list[Bar] = []
        if series is not None:
            first = None if start is None else series.floor(start)
            low, high = series.span(first, end, ask.now_ms)
            low, high = (
                (low, min(high, low + limit)) if end is None and start is not None else (max(low, high - limit), high)
            )
            bars = ask.alter.rows(series.take(low, high, ask.now_ms), stale=stale, extra=lambda b: after(series, b))
        rows = ask.alter.wire_rows([_row(b, category) for b in reversed(bars)])
        return _ok(ask, {"category": category, "symbol": ask.query["symbol"], "list": rows})

    def tickers(self, ask: Ask) -> Reply:
        category = self._category(ask)
        wanted = {ask.query["symbol"]: self._asset(ask, category)} if "symbol" in ask.query else self.listing[category]
        rows = [self._ticker(s, a, category, ask.now_ms) for s, a in wanted.items()]
        return _ok(ask, {"category": category, "list": [r for r in rows if r is not None]})

    def orderbook(self, ask: Ask) -> Reply:
        category = self._category(ask)
        asset = self._asset(ask, category)
        default, most = _BOOK_DEPTHS[category]
        series = self._finest(asset, category)
        book = order_book(series, ask.now_ms, depth=self._limit(ask, default=default, most=most))
        sides = [[[number(p, series.price_decimals), number(q)] for p, q in side] for side in (book.bids, book.asks)]
        update = fingerprint(asset, ask.now_ms) % 10**8
        return _ok(
            ask,
            {
                "s": ask.query["symbol"],
                "b": sides[0],
                "a": sides[1],
                "ts": ask.now_ms,
                "u": update,
                "seq": update * 100,
                "cts": ask.now_ms - 3,
            },  # fmt: skip
        )

    def instruments(self, ask: Ask) -> Reply:
        category = self._category(ask)
        names = sorted(self.listing[category])
        if "symbol" in ask.query:
            names = [n for n in names if n == ask.query["symbol"]]
        if ask.query.get("status", "Trading") != "Trading":
            names = []
        if ask.query.get("baseCoin"):
            names = [n for n in names if self.listing[category][n].base == ask.query["baseCoin"]]
        if category == "spot":
            rows = [self._spot_instrument(n, self.listing[category][n]) for n in names]
            return _ok(ask, {"category": category, "list": rows})
        limit = self._limit(ask, default=500, most=1000)
        begin = _cursor(ask.query.get("cursor", ""))
        page = names[begin : begin + limit]
        rows = [self._instrument(n, self.listing[category][n], category) for n in page]
        more = f"first%3D{begin + limit}" if begin + limit < len(names) else ""
        return _ok(ask, {"category": category, "list": rows, "nextPageCursor": more})

    def funding(self, ask: Ask) -> Reply:
        category = self._category(ask, missing="")
        if category not in ("linear", "inverse"):
            raise Refusal(_error(ask, 10001, "params error: Category is invalid"))
        asset = self._asset(ask, category)
        start, end = (self._whole(ask, key) for key in ("startTime", "endTime"))
        if start is not None and end is None:
            raise Refusal(_error(ask, 10001, "params error: endTime is required when startTime is set"))
        limit = self._limit(ask, default=200, most=200)
        series = self._finest(asset, category)
        rates = funding_rates(self.market.funding.get(asset.base), series, start, end, ask.now_ms)[-limit:]
        rows = [
            {"symbol": ask.query["symbol"], "fundingRate": number(rate), "fundingRateTimestamp": str(when)}
            for when, rate in reversed(rates)
        ]
        return _ok(ask, {"category": category, "list": rows})

    def time(self, ask: Ask) -> Reply:
        return _ok(ask, {"timeSecond": str(ask.now_ms // 1000), "timeNano": str(ask.now_ms * 1_000_000)})

    def _ticker(self, symbol: str, asset: Asset, category: str, now_ms: int) -> dict[str, Any] | None:
        series = self._finest(asset, category)
        day = day_stats(series, now_ms)
        if day is None:
            return None
        p = series.price_decimals
        book = order_book(series, now_ms, depth=1)
        (bid, bid_size), (ask_, ask_size) = book.bids[0], book.asks[0]
        volume, turnover = (day.turnover, day.volume) if category == "inverse" else (day.volume, day.turnover)
        head = {"symbol": symbol}
        best = {
            "bid1Price": number(bid, p), "bid1Size": number(bid_size),
            "ask1Price": number(ask_, p), "ask1Size": number(ask_size),
        }  # fmt: skip
        move = {
            "prevPrice24h": number(day.open, p), "price24hPcnt": f"{day.last / day.open - 1:.6f}".rstrip("0").rstrip("."),
            "highPrice24h": number(day.high, p), "lowPrice24h": number(day.low, p),
            "turnover24h": number(turnover), "volume24h": number(volume),
        }  # fmt: skip
        last = number(day.last, p)
        if category == "spot":
            return head | best | {"lastPrice": last} | move | {"usdIndexPrice": last}
        known = funding_rates(self.market.funding.get(asset.base), series, None, None, now_ms)
        period = 8 * 3_600_000
        return head | {
            "lastPrice": last, "indexPrice": last, "markPrice": last, **move,
            "prevPrice1h": number(day.hour_ago, p), "openInterest": number(round(day.volume, 3)),
            "openInterestValue": number(round(day.volume * day.last, 2)),
            "fundingRate": number(known[-1][1]) if known else "", "nextFundingTime": str((now_ms // period + 1) * period),
            "predictedDeliveryPrice": "", "basisRate": "", "deliveryFeeRate": "", "deliveryTime": "0",
            "ask1Size": best["ask1Size"], "bid1Price": best["bid1Price"], "ask1Price": best["ask1Price"],
            "bid1Size": best["bid1Size"], "basis": "", "preOpenPrice": "", "preQty": "", "curPreListingPhase": "",
        }  # fmt: skip

    def _instrument(self, symbol: str, asset: Asset, category: str) -> dict[str, Any]:
        series = self._finest(asset, category)
        tick, step = _unit(series.price_decimals), _unit(series.volume_decimals)
        quote = symbol.removeprefix(asset.base) or "USD"
        linear = category == "linear"
        return {
            "symbol": symbol, "symbolId": fingerprint(symbol) % 1000,
            "contractType": "LinearPerpetual" if linear else "InversePerpetual", "status": "Trading",
            "baseCoin": asset.base, "quoteCoin": quote, "launchTime": str(self.market.first_ms(asset)),
            "deliveryTime": "0", "deliveryFeeRate": "", "priceScale": str(series.price_decimals),
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
            "priceFilter": {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick},
            "lotSizeFilter": {
                "maxOrderQty": "1190.000", "minOrderQty": step, "qtyStep": step, "postOnlyMaxOrderQty": "1190.000",
                "maxMktOrderQty": "500.000", "minNotionalValue": "5",
            },
            "unifiedMarginTrade": True, "fundingInterval": 480, "settleCoin": quote if linear else asset.base,
            "copyTrading": "both", "upperFundingRate": "0.00375", "lowerFundingRate": "-0.00375",
            "isPreListing": False, "preListingInfo": None,
            "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"}, "symbolType": "",
        }  # fmt: skip

    def _spot_instrument(self, symbol: str, asset: Asset) -> dict[str, Any]:
        series = self._finest(asset, "spot")
        step = _unit(series.volume_decimals)
        return {
            "symbol": symbol, "baseCoin": asset.base, "quoteCoin": symbol.removeprefix(asset.base) or "USD",
            "innovation": "0", "status": "Trading", "marginTrading": "utaOnly", "stTag": "0",
            "lotSizeFilter": {
                "basePrecision": step, "quotePrecision": "0.0000001", "minOrderQty": step, "maxOrderQty": "83",
                "minOrderAmt": "5", "maxOrderAmt": "8000000",
            },
            "priceFilter": {"tickSize": _unit(series.price_decimals)},
            "riskParameters": {"priceLimitRatioX": "0.005", "priceLimitRatioY": "0.01"}, "symbolType": "",
        }  # fmt: skip

    def _series(self, asset: Asset, interval: Interval, category: str) -> Series | None:
        return self.market.series(asset, interval, kind=category, quote=_quote(category))

    def _finest(self, asset: Asset, category: str) -> Series:
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

    @staticmethod
    def _whole(ask: Ask, key: str) -> int | None:
        text = ask.query.get(key, "")
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise Refusal(_error(ask, 10001, f"params error: {key} is invalid")) from None

    def _limit(self, ask: Ask, *, default: int, most: int) -> int:
        limit = self._whole(ask, "limit")
        return default if limit is None else max(1, min(limit, most))


def stale(bar: Bar) -> Bar:
    """A bar as it looked before its last trades: another close, less volume."""
    return bar._replace(
        close=round((bar.open + 3 * bar.low) / 4, 8) if bar.close != bar.low else bar.high,
        volume=round(bar.volume * 0.75, 8),
        turnover=round(bar.turnover * 0.75, 8),
    )


def after(series: Series | None, bar: Bar) -> Bar:
    """The bar after ``bar``, half-way through its life."""
    assert series is not None
    return series.half_next(bar.close_ms, bar.close)


def _row(bar: Bar, category: str) -> list[str]:
    amounts = (bar.turnover, bar.volume) if category == "inverse" else (bar.volume, bar.turnover)
    return [str(bar.open_ms), *(number(x) for x in (bar.open, bar.high, bar.low, bar.close, *amounts))]


def _symbol(asset: Asset, category: str) -> str:
    if not asset.quote:
        return asset.base
    return asset.base + (_quote(category) if asset.quote == "USD" else asset.quote)


def _quote(category: str) -> str:
    return "USD" if category == "inverse" else "USDT"


def _unit(decimals: int) -> str:
    return f"{10.0**-decimals:.{decimals}f}"


def _cursor(text: str) -> int:
    digits = text.removeprefix("first%3D").removeprefix("first=")
    return int(digits) if digits.isdigit() else 0


def _no_rows() -> dict[str, Any]:
    return {"category": "", "symbol": "", "list": []}


def _too_frequent() -> Reply:
    return Reply(status=403, text="access too frequent", content_type="text/plain")


def _ok(ask: Ask, result: dict[str, Any]) -> Reply:
    body = {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": ask.now_ms}
    return Reply(body=body, content_type="application/json; charset=utf-8")


def _error(
    ask: Ask, code: int, message: str, headers: dict[str, str] | None = None, *, result: dict[str, Any] | None = None
) -> Reply:
    body = {"retCode": code, "retMsg": message, "result": result or {}, "retExtInfo": {}, "time": ask.now_ms}
    return Reply(body=body, headers=headers or {}, content_type="application/json; charset=utf-8")
