"""The WebSocket dialects: Bybit's public topics and Binance's routed market streams.

Bybit is talked to in JSON, its ping included. Binance futures routes klines through ``/market/ws`` and
``/market/stream``; the older, unrouted ``/ws`` and ``/stream`` still accept and acknowledge everything
but carry no klines, and neither does a stream name with capitals.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from ...candles.interval import Interval
from .binance import BinanceVenue
from .binance_shapes import taker
from .bybit import INTERVALS, BybitVenue
from .faults import Fault
from .series import Bar, number
from .streams import Connection, StreamRules, Subscription
from .wire import Venue, fingerprint

CLOSING_DELAY_MS = 204  # a recorded closing frame of Binance came so long after the bar's end
_BYBIT_PATH = re.compile(r"/v5/public/(spot|linear|inverse)")
_BINANCE_PATH = re.compile(r"(?P<route>/market|/public|)/(?:ws(?:/(?P<names>.+))?|(?P<combined>stream))")


def connect(
    venue: Venue, request: web.Request, socket: web.WebSocketResponse, faults: Sequence[Fault]
) -> Connection | None:
    """The conversation that a path opens; ``None`` where the venue has no stream."""
    if isinstance(venue, BybitVenue) and (match := _BYBIT_PATH.fullmatch(request.path)):
        return BybitConnection(socket, faults, venue, match[1])
    if isinstance(venue, BinanceVenue) and (match := _BINANCE_PATH.fullmatch(request.path)):
        names = match["names"] or request.query.get("streams", "")
        return BinanceConnection(
            socket, faults, venue, routed=match["route"] == "/market", combined=bool(match["combined"]),
            names=[n for n in names.split("/") if n],
        )  # fmt: skip
    return None


def has_streams(venue: Venue, path: str) -> bool:
    """Whether a path is a WebSocket address of the venue."""
    pattern = {"bybit": _BYBIT_PATH, "binance": _BINANCE_PATH}.get(venue.name)
    return pattern is not None and pattern.fullmatch(path) is not None


class BybitConnection(Connection):
    """``/v5/public/{spot,linear,inverse}``."""

    rules = StreamRules(silence=600.0)

    def __init__(
        self, socket: web.WebSocketResponse, faults: Sequence[Fault], venue: BybitVenue, category: str
    ) -> None:
        super().__init__(socket, faults)
        self.venue = venue
        self.category = category
        self.conn_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{category}/{next(venue.connections)}"))

    def reply(self, message: Any, now_ms: int) -> tuple[list[dict[str, Any]], list[Subscription]]:
        op = message.get("op", "") if isinstance(message, dict) else ""
        if op == "ping":
            pong = {"success": True, "ret_msg": "pong", "conn_id": self.conn_id}
            echo = {} if self.category == "spot" else {"req_id": message.get("req_id", "")}
            return [pong | echo | {"op": "ping"}], []
        if op not in ("subscribe", "unsubscribe"):
            return [{"success": False, "ret_msg": "Invalid op", "conn_id": self.conn_id, "op": op}], []
        args = [str(a) for a in message.get("args") or []]
        opened, problem = self._subscriptions(args)
        if problem:
            return [{"success": False, "ret_msg": problem, "conn_id": self.conn_id, "op": op}], []
        fresh = [s for s in opened if s.topic not in self.topics] if op == "subscribe" else []
        for subscription in opened:
            if op == "subscribe":
                self.topics.setdefault(subscription.topic, subscription)
            else:
                self.topics.pop(subscription.topic, None)
        text = op if self.category == "spot" else ""
        ack = {"success": True, "ret_msg": text, "conn_id": self.conn_id, "req_id": message.get("req_id", ""), "op": op}
        return [ack], fresh

    def frame(self, subscription: Subscription, bar: Bar, when_ms: int) -> dict[str, Any]:
        amounts = (bar.turnover, bar.volume) if self.category == "inverse" else (bar.volume, bar.turnover)
        prices = {k: number(getattr(bar, k)) for k in ("open", "close", "high", "low")}
        row = {"start": bar.open_ms, "end": bar.close_ms - 1, "interval": subscription.interval, **prices}
        row |= {"volume": number(amounts[0]), "turnover": number(amounts[1])}
        row |= {"confirm": bar.closed, "timestamp": when_ms - bar.closed}
        return {"topic": subscription.topic, "data": [row], "ts": when_ms, "type": "snapshot"}

    def _subscriptions(self, args: list[str]) -> tuple[list[Subscription], str]:
        if self.category == "spot" and len(args) > 10:
            return [], "args size >10"
        if sum(map(len, args)) > 21_000:
            return [], "args length exceeds 21000"
        found = []
        for topic in args:
            parts = topic.split(".")
            asset = self.venue.listing[self.category].get(parts[-1])
            if len(parts) != 3 or parts[0] != "kline" or parts[1] not in INTERVALS or asset is None:
                return [], f"Invalid topic: {topic}"
            series = self.venue.series(asset, Interval(INTERVALS[parts[1]]), self.category)
            found.append(Subscription(topic, parts[2], parts[1], series))
        return found, ""


class BinanceConnection(Connection):
    """``/market/ws/<stream>`` and ``/market/stream?streams=…``; unrouted paths stay silent."""

    rules = StreamRules(ping_every=180.0, pong_within=600.0, life=86_400.0, messages_per_second=10)

    def __init__(
        self, socket: web.WebSocketResponse, faults: Sequence[Fault], venue: BinanceVenue, *, routed: bool,
        combined: bool, names: list[str],
    ) -> None:  # fmt: skip
        super().__init__(socket, faults)
        self.venue = venue
        self.routed = routed
        self.combined = combined
        self.names: list[str] = []
        self._subscribe(names)

    def reply(self, message: Any, now_ms: int) -> tuple[list[dict[str, Any]], list[Subscription]]:
        method = message.get("method") if isinstance(message, dict) else None
        if method == "SUBSCRIBE":
            return [{"result": None, "id": message.get("id")}], self._subscribe(message.get("params") or [])
        if method == "UNSUBSCRIBE":
            for name in message.get("params") or []:
                self.topics.pop(name, None)
                self.names = [n for n in self.names if n != name]
            return [{"result": None, "id": message.get("id")}], []
        if method == "LIST_SUBSCRIPTIONS":
            return [{"result": list(self.names), "id": message.get("id")}], []
        error = {"code": 2, "msg": "Invalid request: unknown variant or not JSON"}
        return [{"error": error, "id": message.get("id") if isinstance(message, dict) else None}], []

    def frame(self, subscription: Subscription, bar: Bar, when_ms: int) -> dict[str, Any]:
        series = subscription.series
        assert series is not None
        p, v = series.price_decimals, series.volume_decimals
        buys, quote_buys, trades = taker(bar, v)
        quote = min(p + v, 8)
        first = fingerprint(subscription.symbol, bar.open_ms)
        name = subscription.symbol
        k = {
            "t": bar.open_ms, "T": bar.close_ms - 1, "s": name, "i": subscription.interval, "f": first,
            "L": first + trades - 1, "o": number(bar.open, p), "c": number(bar.close, p), "h": number(bar.high, p),
            "l": number(bar.low, p), "v": number(bar.volume, v), "n": trades, "x": bar.closed,
            "q": number(bar.turnover, quote), "V": number(buys, v), "Q": number(quote_buys, quote), "B": "0",
        }  # fmt: skip
        event_ms = when_ms + CLOSING_DELAY_MS * bar.closed
        if "continuousKline" in subscription.topic:
            k.pop("s")
            head = {"e": "continuous_kline", "E": event_ms, "ps": name, "ct": "PERPETUAL", "k": k}
        else:
            head = {"e": "kline", "E": event_ms, "s": name, "k": k}
        return {"stream": subscription.topic, "data": head} if self.combined else head

    def _subscribe(self, names: list[str]) -> list[Subscription]:
        fresh = []
        for name in names:
            if name not in self.names:
                self.names.append(name)
                found = self._stream(name)
                if found is not None:
                    self.topics[name] = found
                    fresh.append(found)
        return fresh

    def _stream(self, name: str) -> Subscription | None:
        match = re.fullmatch(r"([a-z0-9-]+)(?:@kline|_perpetual@continuousKline)_(\w+)", name)
        if not self.routed or match is None:
            return None
        asset = self.venue.listing.get(match[1].upper())
        if asset is None or match[2] not in {i.value for i in Interval}:
            return None
        series = self.venue.market.series(asset, Interval(match[2]), kind="linear", quote="USDT")
        return Subscription(name, match[1].upper(), match[2], series)
