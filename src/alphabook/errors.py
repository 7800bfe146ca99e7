"""Every error of the package, in one small tree.

A message says what happened, where, the offending value, and what to do next.
Catch :class:`AlphabookError` to catch them all.
"""

from __future__ import annotations


class AlphabookError(Exception):
    """Base of all errors raised on purpose by this package."""


# --- input ---------------------------------------------------------------------------------------
class IntervalError(AlphabookError, ValueError):
    """An interval that no venue, or not this venue, understands (``7m``)."""


class TimeRangeError(AlphabookError, ValueError):
    """A start at or after its end, a naive timestamp, or dates that cannot be parsed."""


class CandleError(AlphabookError, ValueError):
    """A table that breaks the candle contract: missing columns, naive times, mixed intervals."""


class MarketDirError(AlphabookError, ValueError):
    """A folder that is not a market: absent, without Parquet files, or with an unreadable one."""


class NoDataError(AlphabookError, LookupError):
    """Candles that were asked for are not there; the message names the command that fetches them."""


class StoreError(AlphabookError):
    """The candle store cannot be opened, read or written."""


# --- venues --------------------------------------------------------------------------------------
class VenueError(AlphabookError):
    """A venue answered with an error, or not at all.

    Attributes:
        venue: name of the client, for example ``"bybit"``.
        status: HTTP status, when there was an answer.
        code: the venue's own error code (Bybit ``retCode``, Binance ``code``), when it sent one.
    """

    def __init__(
        self,
        message: str,
        *,
        venue: str = "",
        status: int | None = None,
        code: int | str | None = None,
    ) -> None:
        super().__init__(message)
        self.venue = venue
        self.status = status
        self.code = code


class UnknownSymbolError(VenueError, LookupError):
    """The venue does not list this symbol."""


class BadIntervalError(VenueError, IntervalError):
    """The venue does not serve this interval."""


class BadRequestError(VenueError):
    """The venue rejected a parameter for another reason: a defect of the client, not worth a retry."""


class AuthenticationError(VenueError):
    """The venue wants a key, or rejects the one it was given."""


class MalformedReplyError(VenueError):
    """The answer is not in the venue's documented form, and stayed so over all retries."""


class OutageError(VenueError):
    """No usable answer over all retries: timeouts, cut connections, 5xx."""


class RateLimitedError(VenueError):
    """Too many requests; ``retry_after`` says for how many seconds to wait."""

    def __init__(self, message: str, *, retry_after: float | None = None, **kw: object) -> None:
        super().__init__(message, **kw)  # type: ignore[arg-type]
        self.retry_after = retry_after


class BannedError(RateLimitedError):
    """The address is banned (Binance 418, Bybit 403) until ``until`` (UTC timestamp, when known)."""

    def __init__(self, message: str, *, until: object | None = None, **kw: object) -> None:
        super().__init__(message, **kw)  # type: ignore[arg-type]
        self.until = until


class RegionBlockedError(VenueError):
    """The venue refuses this region (451, or Bybit's 10009/10024): retrying cannot help."""


# --- backtests -----------------------------------------------------------------------------------
class BacktestError(AlphabookError, ValueError):
    """A backtest that cannot be run as asked: a price, signal, weight or setting that makes no sense."""


class EvaluationError(AlphabookError, ValueError):
    """An evaluation that cannot be made from what was given: too few rows or trials, or a holdout already opened."""


class HoldoutError(EvaluationError):
    """A second look at a holdout."""


class LookaheadError(EvaluationError):
    """Something knows what it cannot know yet."""


# --- teaching ------------------------------------------------------------------------------------
class ClaimError(AlphabookError, AssertionError):
    """A claim of the book that its own computation contradicts."""
