"""One careful HTTP client for all venues: budget, retries, what the server asks for, and no keys in any text.

Taught in :doc:`/notebooks/data/five_venues`.
"""

from __future__ import annotations

import email.utils
import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import requests
import tenacity

from .. import __version__
from ..errors import (
    AuthenticationError,
    BadRequestError,
    BannedError,
    MalformedReplyError,
    OutageError,
    RateLimitedError,
    RegionBlockedError,
    UnknownSymbolError,
    VenueError,
)
from .budget import RateBudget

log = logging.getLogger("alphabook.venues")
FORBIDDEN_SECONDS = 300.0  # after a 403 that does not say how long
USER_AGENT = f"alphabook/{__version__}"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back: status, headers, body as text, and the request it answers (keys removed)."""

    status: int
    headers: Mapping[str, str]
    text: str
    request: str
    now: float

    @property
    def payload(self) -> Any:
        """The body as JSON; raises ValueError when it is not."""
        return json.loads(self.text)

    def json_or_none(self) -> Any:
        try:
            return self.payload
        except ValueError:
            return None

    @property
    def server_ms(self) -> int | None:
        """Server time in ms from the ``Date`` header, when there is one."""
        when = _http_date(self.headers.get("Date"))
        return None if when is None else int(when * 1000)

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait from ``Retry-After`` (seconds or a date) or ``Retry-After-Ms``; never negative."""
        millis = _number(self.headers.get("Retry-After-Ms"))
        if millis is not None:
            return max(0.0, millis / 1000)
        text = self.headers.get("Retry-After")
        seconds = _number(text)
        if seconds is not None:
            return max(0.0, seconds)
        when = _http_date(text)
        return None if when is None else max(0.0, when - (self.server_ms or self.now * 1000) / 1000)

    @property
    def short(self) -> str:
        """The first line of the body, cut to what fits into a message."""
        return " ".join(self.text.split())[:160] or "(empty body)"


class HttpClient:
    """GET requests to one venue through one session, one budget and one retry policy.

    Args:
        venue: name used in messages.
        base_url: scheme and host, for example ``https://api.bybit.com`` or a stand-in's address.
        classify: turns a reply into the error it stands for, or ``None`` when it is an answer.
        attempts: tries per request, the first included.
        backoff: seconds before the first retry; doubles each time up to 30 s, plus a random share.
        max_wait: longest wait in seconds that a venue may ask for; beyond it the error is raised.
        auth: adds a key to each request; it is never part of a URL, a message or a repr.
    """

    def __init__(
        self,
        venue: str,
        base_url: str,
        *,
        budget: RateBudget,
        classify: Callable[[Reply], VenueError | None],
        headers: Mapping[str, str] | None = None,
        auth: HeaderKey | None = None,
        timeout: float = 30.0,
        attempts: int = 6,
        backoff: float = 0.5,
        max_wait: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        session: requests.Session | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise BadRequestError(
                f"base_url {redact(base_url)!r} is not an address; write it like https://api.example.com", venue=venue
            )
        self.venue, self.base_url = venue, base_url.rstrip("/")
        self.budget, self.max_wait, self.attempts = budget, max_wait, max(1, attempts)
        self._classify, self._auth, self._timeout, self._backoff = classify, auth, timeout, backoff
        self._sleep, self._clock = sleep, clock
        self._jitter = random.Random()  # spreads retries over time; no result depends on it
        self.session = session or requests.Session()
        self.session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json", **(headers or {})})
        if parts.hostname in ("127.0.0.1", "localhost", "::1"):
            self.session.trust_env = False  # a stand-in on this machine is not behind a proxy
        self.calls = 0

    def get(
        self,
        path: str,
        params: Mapping[str, object] | None = None,
        *,
        weight: float = 1.0,
        parse: Callable[[Reply], T],
    ) -> T:
        """``parse`` of the first good reply. Whatever is worth another try is tried again.

        ``parse`` may raise :class:`MalformedReplyError`: the same request is then sent again.

        Raises:
            VenueError: the typed error of the last attempt, or of the first that a retry cannot cure.
        """
        query = {k: str(v) for k, v in (params or {}).items() if v is not None}
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception(self._worth_retrying),
            before_sleep=self._announce,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(self._once, path, query, weight, parse)

    def _once(self, path: str, query: dict[str, str], weight: float, parse: Callable[[Reply], T]) -> T:
        self.budget.take(weight)
        request = redact(f"GET {path}" + (f"?{urlencode(query, safe=',:')}" if query else ""))
        self.calls += 1
        try:
            # a redirect could carry the key to another host, so it is an error instead
            response = self.session.get(
                self.base_url + path, params=query, timeout=self._timeout, auth=self._auth, allow_redirects=False
            )
            text = response.text
        except requests.Timeout:
            raise self._outage(f"no answer within {self._timeout:g} s", request) from None
        except requests.RequestException as error:
            raise self._outage(f"connection failed ({type(error).__name__})", request) from None
        reply = Reply(
            status=response.status_code, headers=response.headers, text=text, request=request, now=self._clock()
        )
        verdict = self._classify(reply)
        if verdict is not None:
            raise verdict
        try:
            return parse(reply)
        except MalformedReplyError:
            raise
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as problem:
            raise MalformedReplyError(
                f"{self.venue}: the reply to {request} is not in the documented form "
                f"({type(problem).__name__}: {redact(str(problem))[:120]}): {redact(reply.short)}",
                venue=self.venue,
                status=reply.status,
            ) from None

    def _outage(self, what: str, request: str) -> OutageError:
        return OutageError(
            f"{self.venue}: {what} for {request} at {self.base_url} ({self.attempts} attempts at most); check the "
            "network and run the same command again: what was stored is kept",
            venue=self.venue,
        )

    def _worth_retrying(self, error: BaseException) -> bool:
        if isinstance(error, RateLimitedError):
            return error.retry_after is None or error.retry_after <= self.max_wait
        return isinstance(error, (OutageError, MalformedReplyError))

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        backoff = min(30.0, self._backoff * 2 ** (state.attempt_number - 1))
        wait = backoff * (0.5 + 0.5 * self._jitter.random())
        if isinstance(error, RateLimitedError):
            wait = max(wait, error.retry_after or 0.0)
            self.budget.hold(wait)
        return wait

    def _announce(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait = state.next_action.sleep if state.next_action else 0.0
        log.info("%s; attempt %d, next in %.1f s", error, state.attempt_number, wait)

    def __repr__(self) -> str:
        return f"HttpClient({self.venue!r}, {redact(self.base_url)!r})"


class HeaderKey(requests.auth.AuthBase):
    """Sends a key in one header and shows it nowhere."""

    def __init__(self, header: str, key: str) -> None:
        self._header, self._key = header, key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[self._header] = self._key
        return request

    def __repr__(self) -> str:
        return f"HeaderKey({self._header!r}, '***')"


def http_error(
    venue: str, reply: Reply, what: str | None = None, *, code: int | str | None = None
) -> VenueError | None:
    """The error that an HTTP status stands for at every venue; ``None`` for 200."""
    status, text = reply.status, redact(what or reply.short)
    about: dict[str, Any] = {"venue": venue, "status": status, "code": code}
    said = f"{venue} answered {status} to {reply.request}: {text}"
    if status == 200:
        return None
    if status == 451:
        return RegionBlockedError(f"{said}. The venue refuses this region; use another venue", **about)
    if status == 401:
        return AuthenticationError(f"{said}. Check the API key", **about)
    if status == 429:
        wait = reply.retry_after
        return RateLimitedError(f"{said}. Wait {_wait_text(wait)} and go on", retry_after=wait, **about)
    if status == 418:
        wait = reply.retry_after
        return BannedError(f"{said}. Stop all requests for {_wait_text(wait)}", retry_after=wait, **about)
    if status == 403:
        wait = FORBIDDEN_SECONDS if reply.retry_after is None else reply.retry_after
        return BannedError(
            f"{said}. The venue turned this address away: stop for {wait:.0f} s", retry_after=wait, **about
        )
    if status in (408, 425) or status >= 500:
        return OutageError(f"{said}. The venue has an outage; run the same command again later", **about)
    if status == 404:
        return UnknownSymbolError(f"{said}. Check the symbol's spelling and the base URL", **about)
    return BadRequestError(f"{said}. The request is at fault, not the network", **about)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without keys: values of key-like parameters, passwords in addresses, and the given secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = _KEYED.sub(r"\1***", text)
    return re.sub(r"://[^/@\s]+@", "://***@", text)


_KEYED = re.compile(r"""(?i)((?:(?:x-)?api[-_]?key|secret|signature|token|password)["']?\s*[=:]\s*["']?)[^&\s"',;}]+""")


def _wait_text(wait: float | None) -> str:
    return "a few minutes" if wait is None else f"{wait:.0f} s"


def _number(text: str | None) -> float | None:
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if value == value and abs(value) != float("inf") else None


def _http_date(text: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text or "").timestamp()
    except (TypeError, ValueError):
        return None
