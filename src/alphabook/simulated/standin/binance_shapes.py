"""Binance's long shapes: a kline row, tickers, exchangeInfo."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .market import Asset
from .quotes import Day, order_book
from .series import Bar, Series, number, unit
from .wire import fingerprint

_ORDER_TYPES = ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"]
FOREVER_MS = 4_133_404_800_000  # a perpetual's delivery date: 2100-12-25


def kline_row(bar: Bar, price_decimals: int, volume_decimals: int) -> list[Any]:
    """The twelve fields; trades and taker volumes are invented from the bar."""
    buys, quote_buys, trades = taker(bar, volume_decimals)
    quote_decimals = min(price_decimals + volume_decimals, 8)
    prices = (number(x, price_decimals) for x in (bar.open, bar.high, bar.low, bar.close))
    return [
        bar.open_ms, *prices, number(bar.volume, volume_decimals), bar.close_ms - 1,
        number(bar.turnover, quote_decimals), trades, number(buys, volume_decimals),
        number(quote_buys, quote_decimals), "0",
    ]  # fmt: skip


def taker(bar: Bar, volume_decimals: int) -> tuple[float, float, int]:
    """Taker buy volume, its quote value and the number of trades: more buyers in bars that rise."""
    if bar.volume <= 0:
        return 0.0, 0.0, 0
    lean = (bar.close - bar.open) / (bar.high - bar.low) if bar.high > bar.low else 0.0
    part = 0.5 + 0.2 * lean
    return round(bar.volume * part, volume_decimals), round(bar.turnover * part, 5), max(1, int(bar.turnover // 5000))


def day_ticker(symbol: str, series: Series, day: Day, now_ms: int) -> dict[str, Any]:
    """One row of ``ticker/24hr``."""
    p, v = series.price_decimals, series.volume_decimals
    mean = day.turnover / day.volume if day.volume else day.last
    trades = max(1, int(day.turnover // 5000))
    return {
        "symbol": symbol, "priceChange": number(round(day.last - day.open, p), p),
        "priceChangePercent": f"{100 * (day.last / day.open - 1):.3f}",
        "weightedAvgPrice": number(round(mean, p), p), "lastPrice": number(day.last, p), "lastQty": unit(v),
        "openPrice": number(day.open, p), "highPrice": number(day.high, p), "lowPrice": number(day.low, p),
        "volume": number(day.volume, v), "quoteVolume": number(round(day.turnover, 2), 2), "openTime": day.open_ms,
        "closeTime": now_ms, "firstId": fingerprint(symbol), "lastId": fingerprint(symbol) + trades - 1,
        "count": trades,
    }  # fmt: skip


def best_ticker(symbol: str, series: Series, day: Day, now_ms: int) -> dict[str, Any]:
    """One row of ``ticker/bookTicker``."""
    book = order_book(series, now_ms, depth=1)
    p, v = series.price_decimals, series.volume_decimals
    (bid, bid_size), (ask, ask_size) = book.bids[0], book.asks[0]
    return {
        "symbol": symbol, "bidPrice": number(bid, p), "bidQty": number(bid_size, v), "askPrice": number(ask, p),
        "askQty": number(ask_size, v), "time": now_ms, "lastUpdateId": fingerprint(symbol, now_ms),
    }  # fmt: skip


def price_ticker(symbol: str, series: Series, day: Day, now_ms: int) -> dict[str, Any]:
    """One row of ``ticker/price``."""
    return {"symbol": symbol, "price": number(day.last, series.price_decimals), "time": now_ms}


def exchange_info(
    symbols: Iterable[tuple[str, Asset, Series, int]], now_ms: int, *, weight_limit: int
) -> dict[str, Any]:
    """Everything that trades: symbol, asset, its bars (for tick and step) and first bar."""
    rows = [_symbol(*entry) for entry in symbols]
    names = dict.fromkeys(["USDT", *(r["baseAsset"] for r in rows)])
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight_limit},
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
        ],
        "exchangeFilters": [],
        "assets": [{"asset": n, "marginAvailable": n == "USDT", "autoAssetExchange": "0"} for n in names],
        "symbols": rows,
    }


def _symbol(symbol: str, asset: Asset, series: Series, first_ms: int) -> dict[str, Any]:
    tick, step = unit(series.price_decimals), unit(series.volume_decimals)
    quote = symbol.removeprefix(asset.base) or "USDT"
    lot = {"maxQty": "10000000", "minQty": step}
    band = {"multiplierDown": "0.8500", "multiplierUp": "1.1500", "multiplierDecimal": "4"}
    return {
        "symbol": symbol, "pair": symbol, "contractType": "PERPETUAL", "deliveryDate": FOREVER_MS,
        "onboardDate": first_ms, "status": "TRADING", "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000", "baseAsset": asset.base, "quoteAsset": quote, "marginAsset": quote,
        "pricePrecision": series.price_decimals, "quantityPrecision": series.volume_decimals,
        "baseAssetPrecision": 8, "quotePrecision": 8, "underlyingType": "COIN", "underlyingSubType": [],
        "settlePlan": 0, "triggerProtect": "0.0500", "liquidationFee": "0.012000", "marketTakeBound": "0.30",
        "filters": [
            {"minPrice": tick, "maxPrice": "1000000", "filterType": "PRICE_FILTER", "tickSize": tick},
            {"stepSize": step, "filterType": "LOT_SIZE", **lot},
            {"stepSize": step, "filterType": "MARKET_LOT_SIZE", **lot},
            {"limit": 200, "filterType": "MAX_NUM_ORDERS"},
            {"limit": 10, "filterType": "MAX_NUM_ALGO_ORDERS"},
            {"notional": "5", "filterType": "MIN_NOTIONAL"},
            {**band, "filterType": "PERCENT_PRICE"},
        ],
        "orderTypes": _ORDER_TYPES, "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }  # fmt: skip
