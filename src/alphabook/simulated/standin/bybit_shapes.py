"""Bybit's long shapes: a kline row, a ticker, an instrument."""

from __future__ import annotations

from typing import Any

from .market import Asset
from .quotes import FUNDING_MS, Day, order_book
from .series import Bar, Series, number, unit
from .wire import fingerprint


def kline_row(bar: Bar, category: str) -> list[str]:
    """Seven strings; inverse contracts count volume in dollars and turnover in coins."""
    amounts = (bar.turnover, bar.volume) if category == "inverse" else (bar.volume, bar.turnover)
    return [str(bar.open_ms), *(number(x) for x in (bar.open, bar.high, bar.low, bar.close, *amounts))]


def book_rows(side: list[tuple[float, float]], decimals: int) -> list[list[str]]:
    """One side of the order book, prices padded to the tick."""
    return [[number(price, decimals), number(size)] for price, size in side]


def ticker(symbol: str, category: str, series: Series, day: Day, funding: float | None, now_ms: int) -> dict[str, Any]:
    """One row of ``/v5/market/tickers``; spot has fewer fields than contracts."""
    p = series.price_decimals
    book = order_book(series, now_ms, depth=1)
    (bid, bid_size), (ask, ask_size) = book.bids[0], book.asks[0]
    volume, turnover = (day.turnover, day.volume) if category == "inverse" else (day.volume, day.turnover)
    best = {
        "bid1Price": number(bid, p), "bid1Size": number(bid_size),
        "ask1Price": number(ask, p), "ask1Size": number(ask_size),
    }  # fmt: skip
    change = f"{day.last / day.open - 1:.6f}".rstrip("0").rstrip(".")
    move = {
        "prevPrice24h": number(day.open, p), "price24hPcnt": change, "highPrice24h": number(day.high, p),
        "lowPrice24h": number(day.low, p), "turnover24h": number(turnover), "volume24h": number(volume),
    }  # fmt: skip
    last = number(day.last, p)
    if category == "spot":
        return {"symbol": symbol} | best | {"lastPrice": last} | move | {"usdIndexPrice": last}
    return {
        "symbol": symbol, "lastPrice": last, "indexPrice": last, "markPrice": last, **move,
        "prevPrice1h": number(day.hour_ago, p), "openInterest": number(round(day.volume, 3)),
        "openInterestValue": number(round(day.volume * day.last, 2)),
        "fundingRate": "" if funding is None else number(funding),
        "nextFundingTime": str((now_ms // FUNDING_MS + 1) * FUNDING_MS),
        "predictedDeliveryPrice": "", "basisRate": "", "deliveryFeeRate": "", "deliveryTime": "0", **best,
        "basis": "", "preOpenPrice": "", "preQty": "", "curPreListingPhase": "",
    }  # fmt: skip


def instrument(symbol: str, asset: Asset, category: str, series: Series, first_ms: int) -> dict[str, Any]:
    """One row of ``/v5/market/instruments-info``; the funding interval is in minutes."""
    tick, step = unit(series.price_decimals), unit(series.volume_decimals)
    quote = symbol.removeprefix(asset.base) or "USD"
    if category == "spot":
        return _spot_instrument(symbol, asset.base, quote, tick, step)
    linear = category == "linear"
    return {
        "symbol": symbol, "symbolId": fingerprint(symbol) % 1000,
        "contractType": "LinearPerpetual" if linear else "InversePerpetual", "status": "Trading",
        "baseCoin": asset.base, "quoteCoin": quote, "launchTime": str(first_ms), "deliveryTime": "0",
        "deliveryFeeRate": "", "priceScale": str(series.price_decimals),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": "1190.000", "minOrderQty": step, "qtyStep": step, "postOnlyMaxOrderQty": "1190.000",
            "maxMktOrderQty": "500.000", "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True, "fundingInterval": 480, "settleCoin": quote if linear else asset.base,
        "copyTrading": "both", "upperFundingRate": "0.00375", "lowerFundingRate": "-0.00375", "isPreListing": False,
        "preListingInfo": None, "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        "symbolType": "",
    }  # fmt: skip


def _spot_instrument(symbol: str, base: str, quote: str, tick: str, step: str) -> dict[str, Any]:
    return {
        "symbol": symbol, "baseCoin": base, "quoteCoin": quote, "innovation": "0", "status": "Trading",
        "marginTrading": "utaOnly", "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": step, "quotePrecision": "0.0000001", "minOrderQty": step, "maxOrderQty": "83",
            "minOrderAmt": "5", "maxOrderAmt": "8000000",
        },
        "priceFilter": {"tickSize": tick},
        "riskParameters": {"priceLimitRatioX": "0.005", "priceLimitRatioY": "0.01"}, "symbolType": "",
    }  # fmt: skip
