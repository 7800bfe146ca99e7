""":class:`StandIn`, the stand-in as a test or a chapter uses it, and :func:`run` for the command line."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import pandas as pd

from ...candles.interval import Interval
from ...candles.table import parse_time
from ...errors import AlphabookError
from .artemis import ArtemisVenue
from .binance import BinanceVenue
from .bybit import BybitVenue
from .clock import Clock
from .coinbase import CoinbaseVenue
from .faults import Fault, read_faults
from .market import Market
from .server import ADMIN, Call, Server
from .wire import Venue
from .yahoo import YahooVenue

VENUES: dict[str, type[Venue]] = {
    "bybit": BybitVenue,
    "binance": BinanceVenue,
    "coinbase": CoinbaseVenue,
    "yahoo": YahooVenue,
    "artemis": ArtemisVenue,
}


class StandInError(AlphabookError):
    """The stand-in cannot start: unknown venue, or a port that is taken."""


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
        api_key: the only key that Artemis accepts; by default any will do.
        panel: Artemis metrics to serve: ``date``, ``symbol`` and one column per metric.

    Raises:
        StandInError: unknown venue; on entering, the port is taken.
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
        api_key: str | None = None,
        panel: pd.DataFrame | None = None,
    ) -> None:
        if venue not in VENUES:
            raise StandInError(f"no stand-in for venue {venue!r}; use one of {', '.join(VENUES)}")
        self.faults = read_faults(faults, venue=venue)
        self.market = Market(market, venue=venue)
        self.venue = VENUES[venue](self.market)
        if isinstance(self.venue, ArtemisVenue):
            self.venue.api_key = api_key
            if panel is not None:
                self.venue.use_panel(panel)
        self.clock = Clock(self.market.default_now() if now is None else _ms(now), speed=speed)
        self._limits = limits
        self._host, self._port = host, port
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen; returns when requests are answered."""
        if self._thread is not None:
            raise StandInError(f"the {self.venue.name} stand-in runs already at {self.url}; stop it first")
        started: Future[int] = Future()
        thread = threading.Thread(target=self._run, args=(started,), name=f"standin-{self.venue.name}", daemon=True)
        thread.start()
        try:
            self._port = started.result()
        except OSError as error:
            thread.join()
            address = f"{self._host}:{self._port}"
            raise StandInError(
                f"cannot listen on {address} ({error.strerror or error}); choose another port, or 0 for a free one"
            ) from None
        self._thread = thread
        return self

    def stop(self) -> None:
        """Close every connection and end the thread; calling it twice does no harm."""
        if self._thread is None or self._loop is None or self._server is None:
            return
        self._loop.call_soon_threadsafe(self._server.stop.set)
        self._thread.join()
        self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base address for REST clients."""
        return f"http://{self._host}:{self._port}"

    @property
    def ws_url(self) -> str:
        """Base address for WebSocket clients; the paths behind it are the venue's own."""
        return f"ws://{self._host}:{self._port}"

    @property
    def calls(self) -> list[Call]:
        """Every request so far, oldest first."""
        return [] if self._server is None else list(self._server.calls)

    @property
    def now(self) -> pd.Timestamp:
        """The venue's clock."""
        return pd.Timestamp(self.clock.now_ms(), unit="ms", tz="UTC")

    def set_now(self, when: object) -> None:
        """Put the clock; streams have sent what happened in between when this returns."""
        target = _ms(when)
        if self._thread is None or self._loop is None or self._server is None:
            self.clock.set(target)
        else:
            asyncio.run_coroutine_threadsafe(self._server.move(target), self._loop).result()

    def advance(self, step: str | pd.Timedelta | None = None) -> pd.Timestamp:
        """Move the clock on by an interval (``"15m"``), a Timedelta, or one bar of the finest interval."""
        length = (
            step if isinstance(step, pd.Timedelta) else Interval.parse(step or self.market.intervals()[0]).timedelta
        )
        self.set_now(self.now + length)
        return self.now

    def _run(self, started: Future[int]) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._server = Server(self.venue, self.clock, self.faults, limits=self._limits)
            await self._server.serve(self._host, self._port, started.set_result)

        try:
            asyncio.run(main())
        except OSError as error:
            if started.done():
                raise
            started.set_exception(error)


def run(
    venue: str,
    market: Any,
    port: int = 0,
    faults_path: str | Path | None = None,
    now: object | None = None,
    host: str = "127.0.0.1",
    speed: float = 0.0,
) -> None:
    """Serve until Ctrl-C or SIGTERM, for ``alphabook standin``; must be called from the main thread."""
    ended = threading.Event()

    def end(signum: int, frame: FrameType | None) -> None:
        ended.set()

    exchange = StandIn(venue, market=market, port=port, faults=faults_path, now=now, host=host, speed=speed)
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with exchange:
            print(_greeting(exchange), flush=True)
            while not ended.wait(0.5):  # a wait without end would keep Windows from seeing Ctrl-C
                pass
            print(f"stopped after {len(exchange.calls)} calls", flush=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _greeting(exchange: StandIn) -> str:
    names = [f"{a.base}/{a.quote}" if a.quote else a.base for a in exchange.market.assets]
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return "\n".join(
        [
            f"{exchange.venue.name} stand-in at {exchange.url}  (WebSocket {exchange.ws_url})",
            f"  market   {exchange.market.origin}: {shown}; bars of {', '.join(exchange.market.intervals())}",
            f"  clock    {exchange.now:%Y-%m-%d %H:%M:%S} UTC",
            f"  faults   {', '.join(f.kind for f in exchange.faults) or 'none'}",
            f"  record   {exchange.url}{ADMIN}/calls and {ADMIN}/state",
            "Ctrl-C ends it.",
        ]
    )


def _ms(when: object) -> int:
    return int(parse_time(when, name="now").timestamp() * 1000)
