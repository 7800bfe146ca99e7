"""Artemis: daily metrics of assets, behind a key.

A metric that an asset lacks is a sentence where a list should be; a value may be ``null``. The metrics of
the market (price, capitalisation, volume) follow from the candles, those of the chain (fees, revenue,
value locked, active addresses) are invented from them, the same in every run; a ``panel`` replaces both.

The stand-in's own choices: both dates are inclusive and only closed days count; without dates the latest
day alone is sent; ``limit`` keeps the newest rows; a week, month, quarter or year is dated by its first
day; the bodies of 401 and 400 are invented (they are not documented); any key will do unless one is set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ...candles.interval import Interval
from ...errors import CandleError
from .faults import Fault
from .market import Asset, Market
from .series import Bar
from .wire import Ask, Handler, Refusal, Reply, Venue, fingerprint, retry_after, share

NOT_FOUND = "Metric not found."
NOT_FOR_ASSET = "Metric not available for asset."
NO_MARKET_DATA = "Market data not available for asset."
NO_LATEST = "Latest data not available for this asset."
MOST_SYMBOLS = 250
MARKET_METRICS = ("PRICE", "MC", "FDMC", "24H_VOLUME")
CHAIN_METRICS = ("FEES", "REVENUE", "TVL", "DAU")
SUMS = ("24H_VOLUME", "FEES", "REVENUE")
_PERIODS = {"DAY": "", "WEEK": "W-SUN", "MONTH": "M", "QUARTER": "Q", "YEAR": "Y"}
_LABELS = {
    "PRICE": ("Price", "Token price", "USD"), "MC": ("Market Cap", "Circulating market capitalisation", "USD"),
    "FDMC": ("Fully Diluted Market Cap", "Market capitalisation of all tokens", "USD"),
    "24H_VOLUME": ("24h Volume", "Traded value of the day", "USD"), "FEES": ("Fees", "Fees paid by users", "USD"),
    "REVENUE": ("Revenue", "Fees kept by the protocol", "USD"), "TVL": ("TVL", "Value locked", "USD"),
    "DAU": ("Daily Active Addresses", "Addresses that acted on the day", "addresses"),
}  # fmt: skip


@dataclass(frozen=True)
class _Day:
    """One point of a metric, made from a bar."""

    day: pd.Timestamp
    value: float | None


class ArtemisVenue(Venue):
    """``/data/api/{metrics}/``, ``/asset/symbols/`` and ``/supported-metrics/``."""

    name = "artemis"

    def __init__(self, market: Market) -> None:
        super().__init__(market)
        self.api_key: str | None = None
        self.listing = {_symbol(a): a for a in market.assets}
        self._panel: dict[str, dict[str, list[_Day]]] = {}
        self._panel_metrics: tuple[str, ...] = ()

    def use_panel(self, panel: pd.DataFrame) -> None:
        """Serve this table (``date`` or ``ts``, ``symbol``, one column per metric) instead of invented metrics."""
        dates = next((c for c in ("date", "ts", "open_time") if c in panel.columns), None)
        if dates is None or "symbol" not in panel.columns:
            raise CandleError(
                f"a panel has date (or ts) and symbol columns, found {', '.join(map(str, panel.columns))}"
            )
        metrics = [c for c in panel.columns if c not in (dates, "symbol")]
        self._panel_metrics = tuple(str(m).upper() for m in metrics)
        days = pd.to_datetime(panel[dates], utc=True).dt.normalize()
        for symbol, rows in panel.assign(**{dates: days}).sort_values(dates).groupby("symbol"):
            self._panel[str(symbol).lower()] = {
                str(m).upper(): [
                    _Day(d, None if pd.isna(v) else float(v)) for d, v in zip(rows[dates], rows[m], strict=True)
                ]
                for m in metrics
                if rows[m].notna().any()
            }

    def route(self, path: str) -> Handler | None:
        if re.fullmatch("/data/api/[^/]+/?", path):
            return self.metrics
        return {"/asset/symbols": self.symbols, "/supported-metrics": self.supported}.get(path.rstrip("/"))

    def answer(self, ask: Ask) -> Reply:
        key = ask.headers.get("X-API-Key") or ask.query.get("APIKey", "")
        if not key or (self.api_key is not None and key != self.api_key):
            return Reply(status=401, body={"message": "Unauthorized"})
        return super().answer(ask)

    def serves_rows(self, path: str) -> bool:
        return path.startswith("/data/api/")

    def not_found(self, ask: Ask) -> Reply:
        return Reply(status=404, body={"message": "Not Found"})

    def misbehave(self, fault: Fault, ask: Ask) -> Reply:
        status = {"forbidden": 403, "banned": 418, "too_many": 429, "region": 451}.get(fault.kind)
        text = {403: "Forbidden", 418: "Banned", 429: "Too Many Requests", 451: "Unavailable For Legal Reasons"}
        status = status or fault.options["status"]
        return Reply(status=status, body={"message": text.get(status, "Server Error")}, headers=retry_after(fault))

    def metrics(self, ask: Ask) -> Reply:
        names = [n for n in ask.path.split("/")[3].split(",") if n]
        symbols = [s for s in ask.query.get("symbols", "").split(",") if s]
        if not symbols or len(symbols) > MOST_SYMBOLS:
            raise Refusal(_bad(f"symbols must name 1 to {MOST_SYMBOLS} assets, got {len(symbols)}"))
        granularity = ask.query.get("granularity", "DAY").upper()
        if granularity not in _PERIODS:
            raise Refusal(_bad(f"granularity must be one of {', '.join(_PERIODS)}"))
        start, end = (_date(ask, key) for key in ("startDate", "endDate"))
        body = {s: {n: self._cell(ask, s, n, start, end, granularity) for n in names} for s in symbols}
        return Reply(body={"data": {"symbols": body}})

    def symbols(self, ask: Ask) -> Reply:
        names = sorted(self._panel) or list(self.listing)
        rows = [
            {"artemis_id": n, "symbol": n, "title": n.upper(), "coingecko_id": n, "color": f"#{fingerprint(n):08x}"[:7]}
            for n in names
        ]
        return Reply(body={"assets": rows})

    def supported(self, ask: Ask) -> Reply:
        wanted = ask.query.get("symbol", "")
        rows = []
        for metric in self._panel_metrics or (*MARKET_METRICS, *CHAIN_METRICS):
            if wanted and isinstance(self._days(wanted, metric, ask.now_ms), str):
                continue
            label, text, unit = _LABELS.get(metric, (metric.title(), metric, "USD"))
            how = {} if metric in SUMS else {"aggregation_type": "LAST"}
            source = "CoinGecko" if metric in MARKET_METRICS else "Artemis"
            rows.append({metric.lower(): {"label": label, "description": text, "source": source, "unit": unit} | how})
        return Reply(body={"metrics": rows})

    def _cell(
        self, ask: Ask, symbol: str, name: str, start: pd.Timestamp | None, end: pd.Timestamp | None, granularity: str
    ) -> str | list[Any]:
        days = self._days(symbol, name.upper(), ask.now_ms)
        if isinstance(days, str):
            return days
        if start is None and end is None:
            days = days[-1:]
            if not days:
                return NO_LATEST
        days = [d for d in days if (start is None or d.day >= start) and (end is None or d.day <= end)]
        if granularity != "DAY":
            days = _grouped(days, _PERIODS[granularity], total=name.upper() in SUMS)
        days = days[-_limit(ask) :]
        days = ask.alter.rows(days, stale=_stale, extra=_next)
        return ask.alter.wire_rows([{"date": f"{d.day:%Y-%m-%d}", "val": d.value} for d in days])

    def _days(self, symbol: str, metric: str, now_ms: int) -> str | list[_Day]:
        """All closed days of a metric, or the sentence that stands in for them."""
        if self._panel:
            if metric not in self._panel_metrics:
                return NOT_FOUND
            days = self._panel.get(symbol.lower(), {}).get(metric)
            now = pd.Timestamp(now_ms, unit="ms", tz="UTC")
            return NOT_FOR_ASSET if days is None else [d for d in days if d.day + pd.Timedelta(days=1) <= now]
        if metric not in (*MARKET_METRICS, *CHAIN_METRICS):
            return NOT_FOUND
        asset = self.listing.get(symbol.lower())
        series = None if asset is None else self.market.series(asset, Interval.D1, kind="spot", quote="USD")
        if asset is None or series is None:
            return NO_MARKET_DATA if metric in MARKET_METRICS else NOT_FOR_ASSET
        if metric in CHAIN_METRICS and not has_chain(asset):
            return NOT_FOR_ASSET
        bars = series.window(None, None, now_ms)
        return [_Day(pd.Timestamp(b.open_ms, unit="ms", tz="UTC"), _value(asset, metric, b)) for b in bars if b.closed]


def has_chain(asset: Asset) -> bool:
    """Whether an asset has metrics of its chain: four in five coins do, no stock does."""
    return bool(asset.quote) and share("chain", asset.base) < 0.8


def _value(asset: Asset, metric: str, bar: Bar) -> float | None:
    if metric in CHAIN_METRICS and share(asset.base, metric, bar.open_ms) < 0.01:
        return None  # Artemis leaves holes like these
    cap = bar.close * 10 ** (7 + 2 * share("supply", asset.base))
    yearly = 10 ** (-3 + 2 * share("fees", asset.base))
    fees = cap * yearly / 365 * (0.5 + share("busy", asset.base, bar.open_ms))
    values = {
        "PRICE": bar.close, "MC": cap, "FDMC": cap * (1 + share("locked", asset.base)), "24H_VOLUME": bar.turnover,
        "FEES": fees, "REVENUE": fees * share("kept", asset.base), "TVL": cap * share("tvl", asset.base),
        "DAU": float(int(cap ** 0.5 * (0.5 + share("users", asset.base, bar.open_ms)))),
    }  # fmt: skip
    return round(values[metric], 8)


def _grouped(days: list[_Day], period: str, *, total: bool) -> list[_Day]:
    groups: dict[pd.Timestamp, list[float]] = {}
    for d in days:
        first = d.day.tz_localize(None).to_period(period).start_time.tz_localize("UTC")
        groups.setdefault(first, []).extend([] if d.value is None else [d.value])
    return [_Day(first, None if not vs else sum(vs) if total else vs[-1]) for first, vs in groups.items()]


def _stale(day: _Day) -> _Day:
    return _Day(day.day, None if day.value is None else day.value * 0.97)


def _next(day: _Day) -> _Day:
    return _Day(day.day + pd.Timedelta(days=1), None if day.value is None else day.value * 0.5)


def _symbol(asset: Asset) -> str:
    return asset.base.lower() if asset.quote else f"eq-{asset.base.lower()}"


def _date(ask: Ask, key: str) -> pd.Timestamp | None:
    text = ask.query.get(key, "")
    if not text:
        return None
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise Refusal(_bad(f"{key} must be YYYY-MM-DD"))
    return pd.Timestamp(text, tz="UTC")


def _limit(ask: Ask) -> int:
    text = ask.query.get("limit", "")
    return max(1, min(int(text), 1000)) if text.isdigit() else 10**6


def _bad(text: str) -> Reply:
    return Reply(status=400, body={"message": text})
