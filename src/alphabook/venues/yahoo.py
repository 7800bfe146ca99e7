"""Yahoo's chart service: unofficial, with holes in its arrays and a last bar that is none.

Taught in :doc:`/notebooks/data/five_venues`.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np
import pandas as pd

from ..candles import Interval
from ..candles.interval import DAY_MS
from ..errors import BadRequestError, MalformedReplyError, RateLimitedError, UnknownSymbolError, VenueError
from .base import Page, Venue
from .fields import number
from .http import Reply, http_error, redact
from .market import Ticker
from .paging import Bar

CODES = {"1m": "1m", "5m": "5m", "15m": "15m", "30m": "30m", "1h": "1h", "1d": "1d", "1w": "1wk", "1M": "1mo"}
INTERVALS = {Interval(length): code for length, code in CODES.items()}
SPAN_DAYS = {"1m": 7, "5m": 59, "15m": 59, "30m": 59, "1h": 729}  # one request, and 1m reaches back 30 days at all


class Yahoo(Venue):
    """Yahoo Finance charts of stocks, indices, currencies and coins.

    Daily and longer bars are named by the date in the exchange's own time zone, as 00:00 UTC. The table has
    an extra column ``adj_close`` (adjusted for dividends; NaN within the day); prices are adjusted for splits
    only. Rows that Yahoo sends as ``null`` are left out. Closed markets are not gaps.
    """

    name = "yahoo"
    default_url = "https://query1.finance.yahoo.com"
    intervals = INTERVALS
    limit = 20_000
    continuous: ClassVar[bool] = False
    symbol_example = "^GSPC or BTC-USD"
    budget_rate, budget_burst = 1.0, 3.0  # no published limit; non-browser clients are turned away early

    def __init__(self, **options: Any) -> None:
        headers = {"User-Agent": "Mozilla/5.0 (compatible; alphabook)", **(options.pop("headers", None) or {})}
        super().__init__(headers=headers, **options)

    def window_limit(self, interval: Interval) -> int:
        days = SPAN_DAYS.get(interval.value)
        return self.limit if days is None else int(days * DAY_MS // (interval.milliseconds or DAY_MS))

    def ticker(self, symbol: str) -> Ticker:
        """Price and day range from the chart's own head; Yahoo tells no bid and no ask."""
        code = self.symbol_code(symbol)

        def parse(reply: Reply) -> Ticker:
            meta = _result(reply)["meta"]
            previous, last = number(meta.get("chartPreviousClose")), float(meta["regularMarketPrice"])
            return Ticker(
                symbol=code,
                last_price=last,
                time=pd.Timestamp(int(meta["regularMarketTime"]), unit="s", tz="UTC"),
                previous_price_24h=previous,
                change_24h=last / previous - 1 if previous else None,
                high_24h=number(meta.get("regularMarketDayHigh")),
                low_24h=number(meta.get("regularMarketDayLow")),
                volume_24h=number(meta.get("regularMarketVolume")),
            )

        return self.http.get(f"/v8/finance/chart/{quote(code)}", {"interval": "1d", "range": "1d"}, parse=parse)

    def _page(self, symbol: str, code: str, first_ms: int, last_ms: int, bars: int) -> Page:
        interval = next(i for i, c in self.intervals.items() if c == code)
        step = interval.milliseconds or 31 * DAY_MS
        # a session's stamp may lie up to half a day on either side of its date's midnight in UTC
        slack = DAY_MS if step >= DAY_MS else 0
        query = {
            "period1": (first_ms - slack) // 1000,
            "period2": (last_ms + step + slack) // 1000,  # exclusive
            "interval": code,
            "events": "div,splits,capitalGains",
            "includePrePost": "false",
        }

        def parse(reply: Reply) -> Page:
            return _chart(reply, interval, reply.server_ms)

        return self.http.get(f"/v8/finance/chart/{quote(symbol)}", query, parse=parse)

    def _classify(self, reply: Reply) -> VenueError | None:
        body = reply.json_or_none()
        error = body.get("chart", {}).get("error") if isinstance(body, dict) else None
        text = redact(str(error.get("description", ""))) if isinstance(error, dict) else reply.short
        about: dict[str, Any] = {"venue": self.name, "status": reply.status}
        said = f"yahoo answered {reply.status} ({text}) to {reply.request}"
        if reply.status == 404 or (isinstance(error, dict) and error.get("code") == "Not Found"):
            return UnknownSymbolError(f"{said}. Check the symbol, like {self.symbol_example}", **about)
        if reply.status == 422 or (isinstance(error, dict) and "data not available" in text):
            return BadRequestError(
                f"{said}. Yahoo keeps 1m bars for 30 days, 5m to 30m for 60 days, 1h for 730 days: ask for a later "
                "start or a longer interval",
                **about,
            )
        if reply.status == 200 and body is None and "too many requests" in reply.text.lower():
            return RateLimitedError(f"{said}. Wait a minute and go on", retry_after=reply.retry_after, **about)
        if reply.status == 200:
            return None if isinstance(body, dict) and "chart" in body else _not_a_chart(reply)
        return http_error(self.name, reply, text)


def _chart(reply: Reply, interval: Interval, server_ms: int | None) -> Page:
    result = _result(reply)
    meta, stamps = result["meta"], result.get("timestamp") or []
    quotes = (result.get("indicators", {}).get("quote") or [{}])[0]
    columns = [quotes.get(k) or [] for k in ("open", "high", "low", "close", "volume")]
    adjusted = ((result.get("indicators", {}).get("adjclose") or [{}])[0]).get("adjclose") or [None] * len(stamps)
    lengths = {len(c) for c in (*columns, adjusted)} | {len(stamps)}
    if stamps and len(lengths) != 1:
        raise ValueError(f"parallel arrays of different lengths {sorted(lengths)}")
    bars: dict[int, Bar] = {}
    adj: dict[int, float] = {}
    pseudo = _pseudo_bar(stamps, columns, meta, interval)
    for i, stamp in enumerate(stamps):
        values = [c[i] for c in columns]
        if any(v is None for v in values[:4]) or i == pseudo:
            continue
        numbers = [float(v) if v is not None else 0.0 for v in values]
        if not all(math.isfinite(v) for v in numbers) or numbers[1] < numbers[2] or min(numbers[:4]) <= 0:
            raise MalformedReplyError(
                f"yahoo: row {i} of the reply to {reply.request} is malformed: {values}", venue="yahoo", status=200
            )
        open_ms = _open_ms(int(stamp), interval, meta.get("exchangeTimezoneName") or "UTC")
        bars[open_ms] = Bar(open_ms, *numbers)
        adj[open_ms] = math.nan if adjusted[i] is None else float(adjusted[i])
    return Page(bars, server_ms, {"adj_close": adj})


def _open_ms(stamp: int, interval: Interval, zone: str) -> int:
    """A bar's name: the stamp itself within the day, else its local date as 00:00 UTC."""
    if (interval.milliseconds or DAY_MS) < DAY_MS:
        return stamp * 1000
    local = pd.Timestamp(stamp, unit="s", tz="UTC").tz_convert(zone).tz_localize(None).normalize()
    opened = interval.floor(local.tz_localize("UTC"))
    assert isinstance(opened, pd.Timestamp)
    return int(opened.timestamp() * 1000)


def _pseudo_bar(stamps: list[int], columns: list[list], meta: dict[str, Any], interval: Interval) -> int | None:
    """Index of a last point that is the current price dressed as a bar, if there is one."""
    if len(stamps) < 2:
        return None
    last = len(stamps) - 1
    flat = len({c[last] for c in columns[:4]}) == 1 and not columns[4][last]
    if stamps[last] == meta.get("regularMarketTime") and flat:
        return last
    step = (interval.milliseconds or DAY_MS) // 1000
    if step >= DAY_MS // 1000:
        return None
    phase = np.bincount(np.asarray(stamps[:-1]) % step // 60).argmax()
    return last if flat and stamps[last] % step // 60 != phase else None


def _result(reply: Reply) -> dict[str, Any]:
    return reply.payload["chart"]["result"][0]


def _not_a_chart(reply: Reply) -> MalformedReplyError:
    return MalformedReplyError(
        f"yahoo: the reply to {reply.request} is not a chart: {redact(reply.short)}", venue="yahoo", status=reply.status
    )
