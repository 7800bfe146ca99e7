"""A requests adapter that plays an exchange: scripted replies in, recorded requests out. No socket is opened."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from alphabook.venues import RateBudget


@dataclass
class Answer:
    """One scripted reply; ``error`` is raised instead of answering."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    error: Exception | None = None


class Exchange(requests.adapters.BaseAdapter):
    """Answers from a list (the last one repeats) or from a function of path and query."""

    def __init__(self, *script: Answer | Callable[[str, dict[str, str]], Answer]) -> None:
        super().__init__()
        self.script = list(script)
        self.requests: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        self.requests.append(request)
        step = self.script[min(len(self.requests), len(self.script)) - 1]
        parts = urlsplit(request.url or "")
        answer = (
            step if isinstance(step, Answer) else step(parts.path, {k: v[-1] for k, v in parse_qs(parts.query).items()})
        )
        if answer.error is not None:
            raise answer.error
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update(answer.headers)
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        response.raw = io.BytesIO(text.encode())
        response.encoding = "utf-8"
        response.request, response.url = request, request.url or ""
        return response

    def close(self) -> None:
        pass

    @property
    def queries(self) -> list[dict[str, str]]:
        return [{k: v[-1] for k, v in parse_qs(urlsplit(r.url or "").query).items()} for r in self.requests]


class Sleeper:
    """A clock and a sleep that belong together: sleeping moves the clock and nothing else."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0, f"a negative sleep of {seconds} s"
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def client(kind: type, *script: Any, **options: Any) -> tuple[Any, Exchange, Sleeper]:
    """A venue client on a scripted exchange, without a rate budget and without real sleep."""
    exchange, time = Exchange(*script), Sleeper()
    session = requests.Session()
    session.mount("http://", exchange)
    session.mount("https://", exchange)
    options.setdefault("budget", RateBudget(sleep=time.sleep, clock=time.clock))
    return kind(session=session, sleep=time.sleep, clock=time.clock, **options), exchange, time
