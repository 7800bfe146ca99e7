"""Yahoo's chart endpoint, as far as unofficial clients have mapped it.

``/v8/finance/chart/{symbol}`` answers with parallel arrays. Prices are single-precision floats, so they
equal the market's to seven digits only. Coins (``BTC-USD``) count volume in dollars, and many hours of
theirs report 0; names without a quote are taken for stocks: daily bars are stamped at the New York
session's open. A hole in the market's grid shows as a row of nulls. A request that reaches the present
ends with a pseudo bar stamped now, one price, volume 0, even past ``period2``. A client whose User-Agent
does not look like a browser gets 429 as plain text.

The stand-in's own choices: intervals ``2m``, ``90m``, ``5d`` and ``3mo`` have no data; a range that ends
before the first bar is a 400; there is no request limit.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from ...candles.interval import DAY_MS, Interval
from .faults import Fault
from .market import Asset, Market
from .series import Bar, Series, stale
from .wire import Ask, Handler, Refusal, Reply, Venue, retry_after, share
from .yahoo_meta import NEW_YORK, chart_meta

INTERVALS = {
    "1m": "1m", "2m": "", "5m": "5m", "15m": "15m", "30m": "30m", "60m": "1h", "90m": "", "1h": "1h",
    "1d": "1d", "5d": "", "1wk": "1w", "1mo": "1M", "3mo": "",
}  # fmt: skip
DAILY_UP = ("1d", "5d", "1wk", "1mo", "3mo")
_REACH_DAYS = {"1m": 30, "2m": 60, "5m": 60, "15m": 60, "30m": 60, "90m": 60, "60m": 730, "1h": 730}
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "wk": 604_800, "mo": 30 * 86_400, "y": 365 * 86_400}
Point = tuple[int, Bar | None]


class YahooVenue(Venue):
    """``/v8/finance/chart/{symbol}``."""

    name = "yahoo"

    def __init__(self, market: Market) -> None:
        super().__init__(market)
        self.listing = {f"{a.base}-{a.quote}" if a.quote else a.base: a for a in market.assets}

    def route(self, path: str) -> Handler | None:
        return self.chart if re.fullmatch("/v8/finance/chart/[^/]+", path) else None

    def answer(self, ask: Ask) -> Reply:
        return super().answer(ask) if "Mozilla" in ask.headers.get("User-Agent", "") else _too_many({})

    def serves_rows(self, path: str) -> bool:
        return path.startswith("/v8/finance/chart/")

    def not_found(self, ask: Ask) -> Reply:
        return Reply(status=404, text="<html><body>Not Found</body></html>", content_type="text/html")

    def misbehave(self, fault: Fault, ask: Ask) -> Reply:
        if fault.kind == "too_many":
            return _too_many(retry_after(fault))
        status = {"forbidden": 403, "banned": 418, "region": 451}.get(fault.kind) or fault.options["status"]
        return Reply(status=status, text="", headers=retry_after(fault), content_type="text/html")

    def chart(self, ask: Ask) -> Reply:
        name = ask.path.rsplit("/", 1)[1]
        asset = self.listing.get(name.upper()) or self.listing.get(name)
        if asset is None:
            raise Refusal(_error(404, "Not Found", "No data found, symbol may be delisted"))
        interval = ask.query.get("interval", "1d")
        if interval not in INTERVALS:
            valid = ", ".join(INTERVALS)
            text = f"Invalid input - interval={interval} is not supported. Valid intervals: [{valid}]"
            raise Refusal(_error(422, "Unprocessable Entity", text))
        start, end = _range(ask)
        _reach(interval, start, end, ask.now_ms // 1000)
        series = self.market.series(asset, Interval(INTERVALS[interval]), quote="USD") if INTERVALS[interval] else None
        finest = self.market.finest(asset, quote="USD")
        if end <= int(finest.open_ms[0]) // 1000:
            text = f"Data doesn't exist for startDate = {start}, endDate = {end}"
            raise Refusal(_error(400, "Bad Request", text))
        points = [] if series is None else self._points(ask, asset, series, start, end)
        meta = chart_meta(name, asset, finest, ask.now_ms, interval, ask.query.get("range", ""))
        return Reply(body={"chart": {"result": [_result(meta, points, asset, interval, ask)], "error": None}})

    def _points(self, ask: Ask, asset: Asset, series: Series, start: int, end: int) -> list[Point]:
        stamp = _stamp(asset, series.interval)
        bars = series.window(start * 1000 - DAY_MS, end * 1000, ask.now_ms)  # stocks are stamped later in the day
        bars = [b for b in bars if start <= stamp(b) < end]
        bars = ask.alter.rows(bars, stale=stale, extra=series.after)
        points: list[Point] = []
        for bar in bars:
            points += _holes(points, bar, series, asset)
            points.append((stamp(bar), bar))
        step = (series.interval.milliseconds or 31 * DAY_MS) // 1000
        now = ask.now_ms // 60_000 * 60
        if bars and asset.quote and end * 1000 > ask.now_ms - step * 1000 and now > points[-1][0]:
            price = bars[-1].close
            points.append((now, Bar(now * 1000, now * 1000, price, price, price, price, 0.0, 0.0, False)))
        return points


def _result(meta: dict[str, Any], points: list[Point], asset: Asset, interval: str, ask: Ask) -> dict[str, Any]:
    if not points:
        return {"meta": meta, "indicators": {"quote": [{}]} | ({"adjclose": [{}]} if interval in DAILY_UP else {})}
    quote: dict[str, list[Any]] = {k: [_price(b, k) for _, b in points] for k in ("high", "open", "close", "low")}
    quote["volume"] = [_volume(b, asset, interval) for _, b in points]
    adjusted = list(quote["close"])
    if ask.alter.malformed("short_row"):
        quote["close"] = quote["close"][:-1]
    if ask.alter.malformed("not_a_number"):
        quote["close"][len(points) // 2] = "n/a"
    indicators: dict[str, Any] = {"quote": [quote]}
    if interval in DAILY_UP:
        indicators["adjclose"] = [{"adjclose": adjusted}]
    return {"meta": meta, "timestamp": [t for t, _ in points], "indicators": indicators}


def _holes(points: list[Point], bar: Bar, series: Series, asset: Asset) -> list[Point]:
    """Null rows for the grid times missing before a bar; stocks have closing times instead of holes."""
    step = series.interval.milliseconds
    if not points or not asset.quote or step is None:
        return []
    return [(t, None) for t in range(points[-1][0] + step // 1000, bar.open_ms // 1000, step // 1000)]


def _stamp(asset: Asset, interval: Interval) -> Any:
    if asset.quote or (interval.milliseconds is not None and interval.milliseconds < DAY_MS):
        return lambda bar: bar.open_ms // 1000

    def session_open(bar: Bar) -> int:
        day = pd.Timestamp(bar.open_ms, unit="ms", tz="UTC").strftime("%Y-%m-%d")
        return int(pd.Timestamp(f"{day} 09:30", tz=NEW_YORK).timestamp())

    return session_open


def _price(bar: Bar | None, key: str) -> float | None:
    return None if bar is None else float(np.float32(getattr(bar, key)))


def _volume(bar: Bar | None, asset: Asset, interval: str) -> int | None:
    if bar is None:
        return None
    if not asset.quote:
        return int(bar.volume)
    silent = interval not in DAILY_UP and share("volume", asset.base, bar.open_ms) < 1 / 3
    return 0 if silent else int(bar.turnover)


def _range(ask: Ask) -> tuple[int, int]:
    now = ask.now_ms // 1000
    try:
        if "period1" in ask.query:
            return int(ask.query["period1"]), int(ask.query.get("period2", now))
    except ValueError:
        raise Refusal(_error(400, "Bad Request", "Invalid input - period1 and period2 are unix seconds")) from None
    text = ask.query.get("range", "1d")
    if text == "max":
        return 0, now + 1
    if text == "ytd":
        return int(pd.Timestamp(f"{pd.Timestamp(now, unit='s').year}-01-01", tz="UTC").timestamp()), now + 1
    match = re.fullmatch(r"(\d+)(m|h|d|wk|mo|y)", text)
    if match is None:
        raise Refusal(_error(422, "Unprocessable Entity", f"Invalid input - range={text} is not supported."))
    return now - int(match[1]) * _UNITS[match[2]], now + 1


def _reach(interval: str, start: int, end: int, now: int) -> None:
    head = f"{interval} data not available for startTime={start} and endTime={end}."
    if interval == "1m" and end - start > 8 * 86_400:
        text = f"{head} Only 8 days worth of 1m granularity data are allowed to be fetched per request."
        raise Refusal(_error(422, "Unprocessable Entity", text))
    days = _REACH_DAYS.get(interval)
    if days is not None and start < now - days * 86_400:
        text = f"{head} The requested range must be within the last {days} days."
        raise Refusal(_error(422, "Unprocessable Entity", text))


def _too_many(headers: dict[str, str]) -> Reply:
    return Reply(status=429, text="Edge: Too Many Requests", headers=headers, content_type="text/plain")


def _error(status: int, code: str, text: str) -> Reply:
    return Reply(status=status, body={"chart": {"result": None, "error": {"code": code, "description": text}}})
