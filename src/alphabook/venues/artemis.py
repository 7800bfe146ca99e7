"""Artemis: daily metrics of assets, not candles; words where numbers were expected.

Taught in :doc:`/notebooks/data/five_venues`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from functools import partial
from typing import Any

import pandas as pd
from tqdm import tqdm

from ..candles import Interval
from ..candles.table import TIME_DTYPE, split_symbols
from ..errors import (
    AuthenticationError,
    BadRequestError,
    MalformedReplyError,
    RegionBlockedError,
    UnknownSymbolError,
    VenueError,
)
from .base import Page, Venue
from .http import HeaderKey, Reply, http_error, redact

NO_INTERVALS: dict[Interval, str] = {}
BATCH = 5  # symbols per call, as in the vendor's own code; the service accepts 250
GRANULARITIES = ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR")
SENTINELS = (
    "Metric not found.",
    "Metric not available for asset.",
    "Market data not available for asset.",
    "Latest data not available for this asset.",
)


class Artemis(Venue):
    """Fundamental metrics (price, market cap, fees, users, …) per asset and day.

    Args:
        api_key: sent in the header ``X-API-Key`` and never shown; default: environment ``ARTEMIS_API_KEY``.
        base_url: default: environment ``ARTEMIS_BASE_URL``, else the public service.
        options: see :class:`alphabook.venues.Venue`.
    """

    name = "artemis"
    default_url = "https://data-svc.artemisxyz.com"
    intervals = NO_INTERVALS
    symbol_example = "btc"
    budget_rate, budget_burst = 1.0, 2.0  # the vendor's own code pauses one second between calls

    def __init__(self, *, api_key: str | None = None, base_url: str | None = None, **options: Any) -> None:
        key = api_key or os.environ.get("ARTEMIS_API_KEY") or ""
        self._has_key = bool(key)
        super().__init__(
            base_url=base_url or os.environ.get("ARTEMIS_BASE_URL"),
            auth=HeaderKey("X-API-Key", key) if key else None,
            timeout=options.pop("timeout", 60.0),
            **options,
        )

    def metrics(
        self,
        symbols: str | Iterable[str],
        metrics: str | Iterable[str],
        start: str,
        end: str,
        *,
        granularity: str = "DAY",
        progress: bool = False,
    ) -> pd.DataFrame:
        """Metrics as a long table ``date, symbol, metric, value``; ``null`` is NaN.

        Symbols go out in batches of five. A batch that fails does not take the others with it.

        Args:
            start, end: dates, both inclusive, as the service has them.
            granularity: DAY, WEEK, MONTH, QUARTER or YEAR.

        Returns:
            The table. ``attrs["unavailable"]`` lists ``(symbol, metric, what the service said)`` and
            ``attrs["failed"]`` lists ``(symbols of the batch, error)``.

        Raises:
            AuthenticationError: the key is missing or refused: no batch could do better.
            VenueError: every batch failed.
        """
        names = [self.symbol_code(s) for s in split_symbols(symbols)]
        wanted = split_symbols(metrics)
        if not names or not wanted:
            raise BadRequestError("artemis needs at least one symbol and one metric", venue=self.name)
        if granularity not in GRANULARITIES:
            raise BadRequestError(f"granularity {granularity!r} is none of {', '.join(GRANULARITIES)}", venue=self.name)
        first, last = self._range(start, pd.Timestamp(end) + pd.Timedelta(days=1))
        query = {"startDate": f"{first:%Y-%m-%d}", "endDate": f"{last - pd.Timedelta(days=1):%Y-%m-%d}"}
        if granularity != "DAY":
            query["granularity"] = granularity
        rows: list[tuple[str, str, str, float]] = []
        unavailable: list[tuple[str, str, str]] = []
        failed: list[tuple[tuple[str, ...], str]] = []
        batches = [names[i : i + BATCH] for i in range(0, len(names), BATCH)]
        for batch in tqdm(batches, desc=self.name, unit="batch", disable=not progress):
            try:
                found, missing = self.http.get(
                    f"/data/api/{','.join(wanted)}/",
                    {"symbols": ",".join(batch), **query},
                    parse=partial(_read, batch=batch, wanted=wanted),
                )
            except (AuthenticationError, RegionBlockedError):
                raise
            except VenueError as error:
                failed.append((tuple(batch), str(error)))
                if len(failed) == len(batches):
                    raise
                continue
            rows += found
            unavailable += missing
        table = pd.DataFrame(rows, columns=["date", "symbol", "metric", "value"])
        types = {"date": TIME_DTYPE, "symbol": "str", "metric": "str", "value": "float64"}
        table = table.assign(date=pd.to_datetime(table["date"], utc=True)).astype(types)
        table = table.drop_duplicates(["symbol", "metric", "date"], keep="last")
        table = table.sort_values(["symbol", "metric", "date"]).reset_index(drop=True)
        table.attrs.update(venue=self.name, source=self.source(",".join(names)), unavailable=unavailable, failed=failed)
        return table

    def symbols(self) -> pd.DataFrame:
        """All assets: ``symbol, artemis_id, title, coingecko_id``. Shares start with ``eq-``."""
        fields = ("symbol", "artemis_id", "title", "coingecko_id")

        def parse(reply: Reply) -> pd.DataFrame:
            return pd.DataFrame([{f: asset.get(f) for f in fields} for asset in reply.payload["assets"]])

        return self.http.get("/asset/symbols/", parse=parse)

    def supported_metrics(self, symbol: str) -> pd.DataFrame:
        """Metrics that exist for one asset: ``metric, label, unit, source, description``."""

        def parse(reply: Reply) -> pd.DataFrame:
            rows = [(name, about) for one in reply.payload["metrics"] for name, about in one.items()]
            fields = ("label", "unit", "source", "description")
            return pd.DataFrame([{"metric": name, **{f: about.get(f) for f in fields}} for name, about in rows])

        return self.http.get("/supported-metrics/", {"symbol": self.symbol_code(symbol)}, parse=parse)

    def symbol_code(self, symbol: str) -> str:
        return super().symbol_code(symbol).lower()

    def interval_code(self, interval: str | int | Interval) -> tuple[Interval, str]:
        Interval.parse(interval)
        raise VenueError(
            "artemis has daily metrics, no candles: a bar made of one price a day would invent its open, high and low. "
            "Use Artemis().metrics([...], ['PRICE']), or Bybit, BinanceFutures, Coinbase or Yahoo for candles",
            venue=self.name,
        )

    def _page(self, symbol: str, code: str, first_ms: int, last_ms: int, bars: int) -> Page:
        raise self._not_offered("candles")

    def _classify(self, reply: Reply) -> VenueError | None:
        if reply.status in (401, 403):
            hint = "the key was refused" if self._has_key else "no key was sent"
            return AuthenticationError(
                f"artemis answered {reply.status} to {reply.request}: {hint}. Set ARTEMIS_API_KEY or pass api_key=",
                venue=self.name,
                status=reply.status,
            )
        if reply.status == 404:
            return UnknownSymbolError(
                f"artemis answered 404 to {reply.request}: {redact(reply.short)}. Check the symbol and the base URL",
                venue=self.name,
                status=404,
            )
        return http_error(self.name, reply)


def _read(reply: Reply, batch: list[str], wanted: list[str]) -> tuple[list, list]:
    """Rows of one reply, and what it says in words instead of rows."""
    rows, missing = [], []
    symbols = reply.payload["data"]["symbols"]
    for symbol in batch:
        answers = symbols.get(symbol)
        if not isinstance(answers, dict):
            said = answers if isinstance(answers, str) else "Symbol not in the reply."
            missing += [(symbol, metric, said) for metric in wanted]
            continue
        by_name = {str(k).lower(): v for k, v in answers.items()}
        for metric in wanted:
            series = by_name.get(metric.lower())
            if isinstance(series, str):  # a sentence where a list belongs: iterating it would give its letters
                missing.append((symbol, metric, series))
            elif series is None:
                missing.append((symbol, metric, "Metric not in the reply."))
            else:
                rows += [_point(reply, symbol, metric, i, p) for i, p in enumerate(series)]
    return rows, missing


def _point(reply: Reply, symbol: str, metric: str, number: int, point: Any) -> tuple[str, str, str, float]:
    try:
        value = math.nan if point["val"] is None else float(point["val"])
        return str(pd.Timestamp(point["date"]).date()), symbol, metric, value
    except (KeyError, TypeError, ValueError) as problem:
        raise MalformedReplyError(
            f"artemis: row {number} of {metric} of {symbol} in the reply to {reply.request} is malformed "
            f"({problem}): {str(point)[:120]}",
            venue="artemis",
            status=200,
        ) from None
