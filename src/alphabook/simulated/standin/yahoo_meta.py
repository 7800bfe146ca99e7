"""The ``meta`` object of a Yahoo chart: the listing, the last trade and the trading hours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd

from ...candles.interval import DAY_MS
from .market import Asset
from .quotes import Day, day_stats
from .series import Series

NEW_YORK = "America/New_York"
RANGES = ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"]


def chart_meta(name: str, asset: Asset, series: Series, now_ms: int, interval: str, span: str) -> dict[str, Any]:
    """Intraday charts tell more than daily ones, as the recorded answers do."""
    day = day_stats(series, now_ms)
    coin = bool(asset.quote)
    zone = "UTC" if coin else NEW_YORK
    local = pd.Timestamp(now_ms, unit="ms", tz="UTC").tz_convert(zone)
    offset = _offset(local)
    head = {"currency": "USD", "symbol": name.upper(), "exchangeName": "CCC" if coin else "NYQ"}
    kind = {"instrumentType": "CRYPTOCURRENCY" if coin else "EQUITY", "firstTradeDate": int(series.open_ms[0]) // 1000}
    clock = {"gmtoffset": offset, "timezone": local.tzname(), "exchangeTimezoneName": zone}
    tail = {"dataGranularity": interval, "range": span, "validRanges": RANGES}
    last = day.last if day else None
    before = day.open if day else None
    market_time = {"regularMarketTime": now_ms // 1000}
    periods = _periods(local, coin)
    if interval.endswith(("d", "wk", "mo")):
        prices = {"regularMarketPrice": last, "chartPreviousClose": before, "priceHint": 2}
        return head | kind | market_time | clock | prices | {"currentTradingPeriod": periods} | tail
    return (
        head
        | {"fullExchangeName": head["exchangeName"]}
        | kind
        | market_time
        | {"hasPrePostMarketData": not coin}
        | clock
        | _intraday_prices(day, last, before)
        | {"scale": 3, "priceHint": 2, "currentTradingPeriod": periods, "tradingPeriods": [[periods["regular"]]]}
        | tail
    )


def _intraday_prices(day: Day | None, last: float | None, before: float | None) -> dict[str, Any]:
    high, low = (day.high, day.low) if day else (None, None)
    return {
        "regularMarketPrice": last, "fiftyTwoWeekHigh": high, "fiftyTwoWeekLow": low, "regularMarketDayHigh": high,
        "regularMarketDayLow": low, "regularMarketVolume": int(day.turnover) if day else None,
        "chartPreviousClose": before, "previousClose": before,
    }  # fmt: skip


def _offset(local: pd.Timestamp) -> int:
    return int((local.utcoffset() or timedelta()).total_seconds())


def _periods(local: pd.Timestamp, coin: bool) -> dict[str, Any]:
    midnight = local.normalize()
    zone = {"timezone": local.tzname()}
    offset = {"gmtoffset": _offset(local)}
    if coin:
        start = int(midnight.timestamp())
        edges = [start, start, start + DAY_MS // 1000 - 60, start + DAY_MS // 1000 - 60]
    else:
        hours = ("04:00", "09:30", "16:00", "20:00")
        edges = [int((midnight + pd.Timedelta(f"{h}:00")).timestamp()) for h in hours]
    names = ("pre", "regular", "post")
    return {n: zone | {"start": edges[i], "end": edges[i + 1]} | offset for i, n in enumerate(names)}
