"""Request budgets, on the wall clock: they protect the real exchange, not the simulated one."""

from __future__ import annotations

from collections import deque


class SlidingWindow:
    """At most ``limit`` units within any ``seconds``."""

    def __init__(self, *, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self._spent: deque[tuple[float, int]] = deque()

    def spend(self, units: int, now: float) -> bool:
        """Spend units at a time; ``False`` when that is more than is left. A refused request counts too."""
        while self._spent and self._spent[0][0] <= now - self.seconds:
            self._spent.popleft()
        self._spent.append((now, units))
        return sum(u for _, u in self._spent) <= self.limit


class FixedWindow:
    """At most ``limit`` units per window of ``seconds``; the count starts afresh with each window."""

    def __init__(self, *, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self.used = 0
        self._ends = 0.0

    def spend(self, units: int, now: float) -> bool:
        """Spend units at a time; ``False`` when that is more than is left."""
        if now >= self._ends:
            self.used, self._ends = 0, now + self.seconds
        self.used += units
        return self.used <= self.limit

    def left(self, now: float) -> float:
        """Seconds until the window ends."""
        return max(0.0, self._ends - now)


class TokenBucket:
    """``rate`` requests per second on average, ``burst`` at once."""

    def __init__(self, *, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = float(burst)
        self._at: float | None = None

    def spend(self, now: float) -> bool:
        """Take a token at a time; ``False`` when there is none."""
        if self._at is not None:
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
