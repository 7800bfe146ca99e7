"""WebSocket streams: who listens to which bars, and what is pushed when the clock moves.

Pushes follow the clock. When it moves, every subscription gets, in order of time, the bar as it stood at
:data:`LOOKS` instants inside it (still open) and its final form at the close. A frozen clock pushes
nothing but the still-open bar at the moment of subscribing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from .faults import Fault
from .limits import SlidingWindow
from .series import Bar, Series

LOOKS = 2  # pushes of a bar while it is open
STREAM_KINDS = ("gap", "duplicate", "malformed")  # row faults that also strike closing frames


@dataclass(frozen=True, kw_only=True)
class StreamRules:
    """What a venue demands of a connection, in seconds of wall time; ``None`` demands nothing.

    Attributes:
        ping_every: the server sends a ping frame this often.
        pong_within: and hangs up when no pong came for so long.
        silence: it hangs up on a client that sent nothing for so long.
        life: it hangs up on everyone after so long.
        messages_per_second: it hangs up on a client that sends more.
    """

    ping_every: float | None = None
    pong_within: float = 600.0
    silence: float | None = None
    life: float | None = None
    messages_per_second: int | None = None


@dataclass(frozen=True, eq=False)
class Subscription:
    """One topic of one connection."""

    topic: str
    symbol: str
    interval: str
    series: Series | None

    def events(self, after_ms: int, until_ms: int) -> Iterator[tuple[int, Bar]]:
        """Instants in ``(after, until]`` at which this bar is pushed, and what it looks like then."""
        if self.series is None:
            return
        first = self.series.position(after_ms)
        for i in range(first, len(self.series)):
            start, stop = self.series.bounds(i)
            if start >= until_ms:
                return
            looks = [start + (stop - start) * k // (LOOKS + 1) for k in range(1, LOOKS + 1)]
            for when in (*looks, stop):
                if after_ms < when <= until_ms:
                    yield when, self.series.seen(i, when)


class Connection(ABC):
    """One client's socket. Subclasses read the venue's messages and write its frames."""

    rules = StreamRules()

    def __init__(self, socket: web.WebSocketResponse, faults: Sequence[Fault]) -> None:
        self.socket = socket
        self.topics: dict[str, Subscription] = {}
        self.transport: asyncio.Transport | None = None
        self.heard = time.monotonic()
        self.sent = 0
        self._faults = list(faults)
        self._struck: Counter[tuple[int, str]] = Counter()

    @abstractmethod
    def reply(self, message: Any, now_ms: int) -> tuple[list[dict[str, Any]], list[Subscription]]:
        """Answers to a client's message, and the subscriptions it opened. ``message`` is ``None`` if not JSON."""

    @abstractmethod
    def frame(self, subscription: Subscription, bar: Bar, when_ms: int) -> dict[str, Any]:
        """A push."""

    async def push(self, subscription: Subscription, bar: Bar, when_ms: int) -> None:
        """Send a bar, unless a fault has it otherwise."""
        text = json.dumps(self.frame(subscription, bar, when_ms), separators=(",", ":"))
        times = 1
        for i, fault in enumerate(self._faults):
            if fault.kind in STREAM_KINDS and bar.closed and self._strikes(i, fault, subscription.topic):
                times = {"gap": 0, "duplicate": 2}.get(fault.kind, 1)
                text = text[: len(text) // 2] if fault.kind == "malformed" else text
        for _ in range(times):
            await self.send(text)

    async def send(self, message: dict[str, Any] | str) -> None:
        """Send one message; cut the line when a fault says so. A client that has gone is no error."""
        if self.socket.closed:
            return
        cut = next((f for f in self._faults if f.kind == "cut"), None)
        if cut is not None and self.sent >= cut.options["after"]:
            self.abort()
            return
        self.sent += 1
        text = message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self.socket.send_str(text)

    def abort(self) -> None:
        """Drop the line without a closing handshake."""
        if self.transport is not None:
            self.transport.abort()

    def _strikes(self, i: int, fault: Fault, topic: str) -> bool:
        if self._struck[i, topic] >= fault.options.get("size", 1):
            return False
        self._struck[i, topic] += 1
        return True


class Hub:
    """All open connections, and the instant up to which they have been told."""

    def __init__(self, told_ms: int, *, limits: bool = True) -> None:
        self.told_ms = told_ms
        self.limits = limits
        self._open: set[Connection] = set()

    async def serve(self, connection: Connection) -> None:
        """Talk with a client until it leaves or breaks a rule."""
        self._open.add(connection)
        watchers = [asyncio.create_task(job) for job in self._watch(connection)]
        try:
            for subscription in connection.topics.values():  # those named in the address
                await self._show(connection, subscription)
            await self._talk(connection)
        finally:
            self._open.discard(connection)
            for task in watchers:
                task.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)

    async def move(self, now_ms: int) -> None:
        """Push everything that happened up to ``now_ms``; a clock put back pushes nothing and replays later."""
        after, self.told_ms = self.told_ms, now_ms
        for connection in list(self._open):
            await self._push_since(connection, after, now_ms)

    async def close(self) -> None:
        """Say goodbye to everyone."""
        for connection in list(self._open):
            with contextlib.suppress(ConnectionError, RuntimeError, TimeoutError):
                await connection.socket.close(code=WSCloseCode.GOING_AWAY)

    @staticmethod
    async def _push_since(connection: Connection, after_ms: int, now_ms: int) -> None:
        events = [
            (when, order, subscription, bar)
            for order, subscription in enumerate(connection.topics.values())
            for when, bar in subscription.events(after_ms, now_ms)
        ]
        for when, _, subscription, bar in sorted(events, key=lambda e: e[:2]):
            await connection.push(subscription, bar, when)

    async def _talk(self, connection: Connection) -> None:
        rules, socket = connection.rules, connection.socket
        budget = SlidingWindow(limit=rules.messages_per_second or 0, seconds=1.0)
        while True:
            try:
                message = await socket.receive(timeout=rules.silence)
            except TimeoutError:
                await socket.close(code=WSCloseCode.GOING_AWAY)
                return
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                connection.heard = time.monotonic()
            elif message.type is WSMsgType.TEXT:
                if self.limits and rules.messages_per_second and not budget.spend(1, time.monotonic()):
                    await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"Too many requests")
                    return
                await self._answer(connection, message.data)
            elif message.type is not WSMsgType.BINARY:
                return

    async def _answer(self, connection: Connection, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        answers, opened = connection.reply(message, self.told_ms)
        for answer in answers:
            await connection.send(answer)
        for subscription in opened:
            await self._show(connection, subscription)

    async def _show(self, connection: Connection, subscription: Subscription) -> None:
        # the still-open bar, as venues push it right after subscribing
        bars = [] if subscription.series is None else subscription.series.window(None, None, self.told_ms)[-1:]
        for bar in bars:
            if not bar.closed:
                await connection.push(subscription, bar, self.told_ms)

    def _watch(self, connection: Connection) -> list[Any]:
        rules = connection.rules
        jobs = []
        if rules.ping_every is not None:
            jobs.append(self._ping(connection, rules.ping_every, rules.pong_within))
        if rules.life is not None:
            jobs.append(self._expire(connection, rules.life))
        return jobs

    async def _ping(self, connection: Connection, every: float, within: float) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            while not connection.socket.closed:
                await asyncio.sleep(every)
                if time.monotonic() - connection.heard > within:
                    connection.abort()
                    return
                await connection.socket.ping(str(int(time.time() * 1000)).encode())

    @staticmethod
    async def _expire(connection: Connection, life: float) -> None:
        await asyncio.sleep(life)
        connection.abort()
