"""The stand-in's web server: receives requests, applies the fault script, keeps the record of calls."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from email.utils import formatdate
from typing import Any

from aiohttp import web

from .clock import Clock
from .faults import INSTEAD, ON_ROWS, Alterations, Fault, FaultPlan
from .streams import STREAM_KINDS, Hub
from .venue_streams import connect, has_streams
from .wire import Ask, Reply, Venue

ADMIN = "/__standin__"
SECRETS = ("APIKey", "api_key")  # parameters whose values are never recorded
TICK = 0.05  # seconds of wall time between looks at a running clock
_NOT_JSON = b"<html><body>upstream connect error or disconnect/reset before headers</body></html>"
_ON_STREAMS = {*INSTEAD, *STREAM_KINDS} - {"retcode"}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request as it was served; ``status`` is 0 when no answer was sent, 101 for a WebSocket.

    ``fault`` names the kinds that struck, joined by ``+``, and is empty for a clean answer. Row faults of a
    WebSocket are named when the connection opens.
    """

    method: str
    path: str
    query: Mapping[str, str]
    status: int
    fault: str = ""


class Server:
    """One venue behind one port. Everything here runs in the event loop of :meth:`serve`."""

    def __init__(self, venue: Venue, clock: Clock, faults: Sequence[Fault], *, limits: bool) -> None:
        self.venue = venue
        self.clock = clock
        self.limits = limits
        self.calls: list[Call] = []
        self.hub = Hub(clock.now_ms(), limits=limits)
        self.stop = asyncio.Event()
        self._plan = FaultPlan(faults)

    async def serve(self, host: str, port: int, started: Any) -> None:
        """Listen until :attr:`stop` is set; ``started(port)`` is called when requests are answered."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await runner.setup()
        ticker = asyncio.create_task(self._run_clock())
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
            started(runner.addresses[0][1])
            await self.stop.wait()
        finally:
            ticker.cancel()
            await asyncio.gather(ticker, return_exceptions=True)
            await self.hub.close()
            await runner.cleanup()

    async def move(self, now_ms: int) -> None:
        """Put the clock and push what happened in between."""
        self.clock.set(now_ms)
        await self.hub.move(now_ms)

    async def _run_clock(self) -> None:
        while self.clock.speed:
            await asyncio.sleep(TICK)
            await self.hub.move(self.clock.now_ms())

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith(ADMIN):
            return self._admin(request)
        ask = Ask(
            path=request.path, query=dict(request.query), headers=request.headers, now_ms=self.clock.now_ms()
        )  # fmt: skip
        upgrade = request.headers.get("Upgrade", "").lower() == "websocket" and has_streams(self.venue, request.path)
        refusal = self.venue.throttle(ask, time.monotonic()) if self.limits and not upgrade else None
        if refusal is not None:
            return self._send(request, ask, refusal)
        kinds = _ON_STREAMS if upgrade else {*INSTEAD, *(ON_ROWS if self.venue.serves_rows(request.path) else ())}
        due = self._plan.due(request.path, request.path_qs, kinds=kinds)
        if upgrade:
            return await self._stream(request, ask, due)
        first = next(((i, f) for i, f in due if f.kind in INSTEAD), None)
        if first is not None:
            self._plan.strike(first[0], request.path_qs)
            return await self._misbehave(first[1], request, ask)
        return self._answer(request, ask, due)

    def _answer(self, request: web.Request, ask: Ask, due: Sequence[tuple[int, Fault]]) -> web.StreamResponse:
        alter = Alterations(due, seed=request.path_qs)
        reply = self.venue.answer(replace(ask, alter=alter))
        body = reply.payload()
        if reply.status == 200 and alter.malformed("truncated"):
            body = body[: len(body) // 2]
        if reply.status == 200 and alter.malformed("not_json"):
            body = _NOT_JSON
        for position, _ in alter.struck:
            self._plan.strike(position, request.path_qs)
        return self._send(request, ask, reply, fault="+".join(f.kind for _, f in alter.struck), body=body)

    async def _misbehave(self, fault: Fault, request: web.Request, ask: Ask) -> web.StreamResponse:
        if fault.kind == "timeout":
            self._log(request, ask, 0, fault.kind)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), fault.options["seconds"])
            return self._hang_up(request, web.Response())
        if fault.kind == "cut":
            return await self._cut(request, ask)
        return self._send(request, ask, self.venue.misbehave(fault, ask), fault=fault.kind)

    async def _cut(self, request: web.Request, ask: Ask) -> web.StreamResponse:
        reply = self.venue.answer(ask)
        body = reply.payload()
        self._log(request, ask, reply.status, "cut")
        response = web.StreamResponse(status=reply.status, headers=self._headers(reply, ask))
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        return self._hang_up(request, response)

    @staticmethod
    def _hang_up(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.close()
        return response

    async def _stream(self, request: web.Request, ask: Ask, due: Sequence[tuple[int, Fault]]) -> web.StreamResponse:
        for position, fault in due:
            if fault.kind in INSTEAD and fault.kind != "cut":
                self._plan.strike(position, request.path_qs)
                return await self._misbehave(fault, request, ask)
        for position, _ in due:
            self._plan.strike(position, request.path_qs)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self._log(request, ask, 101, "+".join(f.kind for _, f in due))
        connection = connect(self.venue, request, socket, [f for _, f in due])
        if connection is not None:
            connection.transport = request.transport
            await self.hub.serve(connection)
        return socket

    def _send(
        self, request: web.Request, ask: Ask, reply: Reply, *, fault: str = "", body: bytes | None = None
    ) -> web.Response:
        self._log(request, ask, reply.status, fault)
        payload = reply.payload() if body is None else body
        return web.Response(status=reply.status, body=payload, headers=self._headers(reply, ask))

    def _headers(self, reply: Reply, ask: Ask) -> dict[str, str]:
        date = formatdate(ask.now_ms / 1000, usegmt=True)  # a client may take the venue's time from here
        return {"Content-Type": reply.content_type, "Date": date, **self.venue.extra_headers(), **reply.headers}

    def _log(self, request: web.Request, ask: Ask, status: int, fault: str) -> None:
        query = {k: "***" if k in SECRETS else v for k, v in ask.query.items()}
        self.calls.append(Call(method=request.method, path=request.path, query=query, status=status, fault=fault))

    def _admin(self, request: web.Request) -> web.Response:
        if request.path == f"{ADMIN}/calls":
            return web.json_response({"calls": [asdict(c) for c in self.calls]})
        if request.path == f"{ADMIN}/state":
            return web.json_response(self.state())
        return web.json_response({"error": f"use {ADMIN}/calls or {ADMIN}/state"}, status=404)

    def state(self) -> dict[str, Any]:
        """What is served and how far things are."""
        market = self.venue.market
        return {
            "venue": self.venue.name,
            "now_ms": self.clock.now_ms(),
            "speed": self.clock.speed,
            "market": market.origin,
            "symbols": [f"{a.base}/{a.quote}" if a.quote else a.base for a in market.assets],
            "intervals": market.intervals(),
            "faults": [f.kind for f in self._plan.faults],
            "calls": len(self.calls),
        }
