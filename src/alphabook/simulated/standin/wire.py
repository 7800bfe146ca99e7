"""What passes over the counter: a request as asked, a reply as it will be sent, and the venue between them.

A venue is a plain function of the request, the market and the clock; it never touches a socket, so that
it can be tested (and read) without one.
"""

from __future__ import annotations

import json
import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .faults import Alterations, Fault
from .market import Market


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request. ``query`` holds the last value of each name, ``now_ms`` the stand-in's clock."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    now_ms: int = 0
    alter: Alterations = field(default_factory=Alterations)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer: ``body`` is sent as JSON unless ``text`` is given."""

    status: int = 200
    body: Any = None
    text: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def payload(self) -> bytes:
        """The bytes of the body."""
        if self.text is not None:
            return self.text.encode()
        return json.dumps(self.body, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


Handler = Callable[[Ask], Reply]


class Refusal(Exception):
    """Raised inside a venue to answer at once with an error reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Venue(ABC):
    """One venue's REST side. Subclasses fill :meth:`route`, :meth:`not_found` and :meth:`misbehave`."""

    name: str

    def __init__(self, market: Market) -> None:
        self.market = market

    def answer(self, ask: Ask) -> Reply:
        """The reply to a request, errors included."""
        handler = self.route(ask.path)
        if handler is None:
            return self.not_found(ask)
        try:
            return handler(ask)
        except Refusal as refusal:
            return refusal.reply

    @abstractmethod
    def route(self, path: str) -> Handler | None:
        """Who answers a path."""

    @abstractmethod
    def not_found(self, ask: Ask) -> Reply:
        """What this venue says about a path it does not have."""

    @abstractmethod
    def misbehave(self, fault: Fault, ask: Ask) -> Reply:
        """The reply of a fault that takes the place of the answer (429, 403, ...)."""

    @abstractmethod
    def serves_rows(self, path: str) -> bool:
        """Whether a path answers with rows that the row faults (gap, duplicate, ...) can alter."""

    def throttle(self, ask: Ask, seconds: float) -> Reply | None:
        """The refusal of a client that has used up its budget at the time ``seconds``; ``None`` lets it pass."""
        return None

    def extra_headers(self) -> Mapping[str, str]:
        """Headers that go with every answer."""
        return {}


def fingerprint(*parts: object) -> int:
    """A number that is the same for the same parts in every process: the source of all invented values."""
    return zlib.crc32("|".join(map(str, parts)).encode())


def share(*parts: object) -> float:
    """Like :func:`fingerprint`, in [0, 1)."""
    return fingerprint(*parts) / 2**32


def retry_after(fault: Fault) -> dict[str, str]:
    """The Retry-After header a fault asks for."""
    wait = fault.options.get("retry_after")
    return {} if wait is None else {"Retry-After": seconds_text(wait)}


def seconds_text(wait: float) -> str:
    """Seconds as a header has them: whole and rounded up, except that scripts may ask for less than one."""
    return f"{wait:g}" if wait < 1 else str(math.ceil(wait))


def iso_time(ms: int, places: int) -> str:
    """ISO text in UTC with so many decimals of a second (0, 3 or 6)."""
    stamp = datetime.fromtimestamp(ms / 1000, tz=UTC)
    timespec = {0: "seconds", 3: "milliseconds", 6: "microseconds"}[places]
    return stamp.isoformat(timespec=timespec).replace("+00:00", "Z")
