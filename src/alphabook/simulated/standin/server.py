"""The stand-in as a server: one port, HTTP and WebSocket, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd
from aiohttp import web

from ...candles.interval import Interval
from ...candles.table import parse_time
from ...errors import AlphabookError
from .binance import BinanceVenue
from .bybit import BybitVenue
from .clock import Clock
from .coinbase import CoinbaseVenue
from .faults import ON_ROWS, Alterations, Fault, FaultPlan, read_faults
from .market import Market
from .wire import Ask, Reply, Venue

VENUES: dict[str, type[Venue]] = {"bybit": BybitVenue, "binance": BinanceVenue, "coinbase": CoinbaseVenue}
ADMIN = "/__standin__"


class StandInError(AlphabookError):
    """The stand-in cannot start: unknown venue, or a port that is taken."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request as it was served; ``status`` is 0 when no answer was sent, 101 for a WebSocket.

    ``fault`` names the kinds that struck, joined by ``+``, and is empty for a clean answer.
    """

    method: str
    path: str
    query: Mapping[str, str]
    status: int
    fault: str = ""


class StandIn:
    """A local exchange that speaks one venue's wire format and replays a market.

    Args:
        venue: ``"bybit"``, ``"binance"``, ``"coinbase"``, ``"yahoo"`` or ``"artemis"``.
        market: a table of candles, a simulated market, or a folder of Parquet candles.
        now: the venue's clock; by default half a bar after the last bar opened, which leaves that bar open.
        faults: a fault script: a list of entries or a JSON file, see :mod:`.faults`.
        port: 0 picks a free one.
        speed: simulated seconds per real second; 0 stands still until :meth:`set_now` or :meth:`advance`.
        limits: whether the venue's real request limits are enforced (on the wall clock).

    Raises:
        StandInError: unknown venue, or the port is taken.
        MarketDirError: the folder is not a market.
        FaultScriptError: the script has an entry that is not understood.

    Example::

        with StandIn("bybit", market=candles, faults=[{"kind": "retcode"}]) as exchange:
            client = Bybit(base_url=exchange.url)
            client.fetch_candles("BTCUSDT", "1h", "2024-01-01", "2024-02-01")
            print(len(exchange.calls), exchange.calls[0].fault)
    """

    def __init__(
        self,
        venue: str,
        *,
        market: Any,
        now: object | None = None,
        faults: Sequence[Mapping[str, Any] | Fault] | str | Path | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
        speed: float = 0.0,
        limits: bool = True,
    ) -> None:
        if venue not in VENUES:
            raise StandInError(f"no stand-in for venue {venue!r}; use one of {', '.join(VENUES)}")
        self.market = market if isinstance(market, Market) else Market(market, venue=venue)
        self.venue = VENUES[venue](self.market)
        self.clock = Clock(self.market.default_now() if now is None else _ms(now), speed=speed)
        self.faults = read_faults(faults, venue=venue)
        self.limits = limits
        self._plan = FaultPlan(self.faults)
        self._host, self._port = host, port
        self._calls: list[Call] = []
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    # --- life ------------------------------------------------------------------------------------
    def start(self) -> Self:
        """Listen; returns when requests are answered."""
        if self._thread is not None:
            raise StandInError(f"the {self.venue.name} stand-in runs already at {self.url}")
        ready: Future[int] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name=f"standin-{self.venue.name}"
        )
        self._thread.daemon = True  # a forgotten stand-in does not keep the interpreter alive
        self._thread.start()
        try:
            self._port = ready.result()
        except OSError as error:
            self._thread.join()
            self._thread = None
            raise StandInError(
                f"cannot listen on {self._host}:{self._port} ({error.strerror}); choose another port, or 0 for a free one"
            ) from None
        return self

    def stop(self) -> None:
        """Close every connection and end the thread; calling it twice does no harm."""
        if self._thread is None or self._loop is None or self._stop is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- what a test looks at --------------------------------------------------------------------
    @property
    def url(self) -> str:
        """Base address for REST clients."""
        return f"http://{self._host}:{self._port}"

    @property
    def ws_url(self) -> str:
        """Base address for WebSocket clients; paths are the venue's own."""
        return f"ws://{self._host}:{self._port}"

    @property
    def calls(self) -> list[Call]:
        """Every request so far, oldest first."""
        return list(self._calls)

    @property
    def now(self) -> pd.Timestamp:
        """The venue's clock."""
        return pd.Timestamp(self.clock.now_ms(), unit="ms", tz="UTC")

    def set_now(self, when: object) -> None:
        """Put the clock; streams send what happened in between, before this returns."""
        target = _ms(when)
        if self._thread is None or self._loop is None:
            self.clock.set(target)
        else:
            asyncio.run_coroutine_threadsafe(self._move(target), self._loop).result()

    def advance(self, step: str | pd.Timedelta | None = None) -> pd.Timestamp:
        """Move the clock on by an interval (``"15m"``), a Timedelta, or one bar of the market's finest interval."""
        if step is None:
            step = self.market.intervals()[0]
        length = step if isinstance(step, pd.Timedelta) else Interval.parse(step).timedelta
        self.set_now(self.now + length)
        return self.now

    def state(self) -> dict[str, Any]:
        """What is served, as ``GET /__standin__/state`` tells it."""
        return {
            "venue": self.venue.name,
            "url": self.url,
            "ws_url": self.ws_url,
            "now": self.now.isoformat(),
            "market": self.market.origin,
            "symbols": [f"{a.base}/{a.quote}" if a.quote else a.base for a in self.market.assets],
            "intervals": self.market.intervals(),
            "faults": [f.kind for f in self.faults],
            "calls": len(self._calls),
        }

    # --- the server's own thread -----------------------------------------------------------------
    async def _serve(self, ready: Future[int]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port)
            try:
                await site.start()
            except OSError as error:
                ready.set_exception(error)
                return
            ready.set_result(site._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]
            await self._stop.wait()
        finally:
            await runner.cleanup()

    async def _move(self, target_ms: int) -> None:
        self.clock.set(target_ms)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith(ADMIN):
            return self._admin(request)
        query = dict(request.query)
        now_ms = self.clock.now_ms()
        ask = Ask(path=request.path, query=query, headers=request.headers, now_ms=now_ms)
        refusal = self.venue.throttle(ask, time.monotonic()) if self.limits else None
        if refusal is not None:
            return self._send(request, query, refusal, now_ms)
        return await self._answer(request, ask)

    async def _answer(self, request: web.Request, ask: Ask) -> web.StreamResponse:
        key = request.path_qs
        due = self._plan.due(request.path, key, has_rows=self.venue.serves_rows(request.path))
        first = next(((i, f) for i, f in due if f.kind not in ON_ROWS), None)
        if first is not None:
            self._plan.strike(first[0], key)
            return await self._misbehave(first[1], request, ask)
        alter = Alterations([entry for entry in due if entry[1].kind in ON_ROWS], seed=key)
        ask = Ask(path=ask.path, query=ask.query, headers=ask.headers, now_ms=ask.now_ms, alter=alter)
        reply = self.venue.answer(ask)
        body = reply.payload()
        if reply.status == 200 and alter.malformed("truncated"):
            body = body[: len(body) // 2]
        if reply.status == 200 and alter.malformed("not_json"):
            body = b"<html><body>upstream connect error</body></html>"
        for position, _ in alter.struck:
            self._plan.strike(position, key)
        struck = "+".join(f.kind for _, f in alter.struck)
        return self._send(request, ask.query, reply, ask.now_ms, fault=struck, body=body)

    async def _misbehave(self, fault: Fault, request: web.Request, ask: Ask) -> web.StreamResponse:
        if fault.kind == "timeout":
            self._log(request, ask.query, 0, fault.kind)
            assert self._stop is not None
            try:
                await asyncio.wait_for(self._stop.wait(), fault.options["seconds"])
            except TimeoutError:
                pass
            return self._hang_up(request)
        if fault.kind == "cut":
            return await self._cut(request, ask)
        return self._send(request, ask.query, self.venue.misbehave(fault, ask), ask.now_ms, fault=fault.kind)

    async def _cut(self, request: web.Request, ask: Ask) -> web.StreamResponse:
        reply = self.venue.answer(ask)
        body = reply.payload()
        self._log(request, ask.query, reply.status, "cut")
        response = web.StreamResponse(status=reply.status, headers=self._headers(reply, ask.now_ms))
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        return self._hang_up(request, response)

    @staticmethod
    def _hang_up(request: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.close()
        return response if response is not None else web.Response()

    def _send(
        self, request: web.Request, query: Mapping[str, str], reply: Reply, now_ms: int, *, fault: str = "",
        body: bytes | None = None,
    ) -> web.Response:  # fmt: skip
        self._log(request, query, reply.status, fault)
        payload = reply.payload() if body is None else body
        return web.Response(status=reply.status, body=payload, headers=self._headers(reply, now_ms))

    def _headers(self, reply: Reply, now_ms: int) -> dict[str, str]:
        date = formatdate(now_ms / 1000, usegmt=True)
        return {"Content-Type": reply.content_type, "Date": date, **self.venue.extra_headers(), **reply.headers}

    def _log(self, request: web.Request, query: Mapping[str, str], status: int, fault: str) -> None:
        self._calls.append(Call(method=request.method, path=request.path, query=query, status=status, fault=fault))

    def _admin(self, request: web.Request) -> web.Response:
        if request.path == f"{ADMIN}/calls":
            return web.json_response({"calls": [asdict(c) for c in self._calls]})
        if request.path == f"{ADMIN}/state":
            return web.json_response(self.state())
        return web.json_response({"error": f"use {ADMIN}/calls or {ADMIN}/state"}, status=404)


def _ms(when: object) -> int:
    return int(parse_time(when, name="now").timestamp() * 1000)
