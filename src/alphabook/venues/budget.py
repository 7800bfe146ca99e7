"""One rate budget for all threads that talk to one venue.

Taught in :doc:`/notebooks/data/five_venues`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable


class RateBudget:
    """A token bucket: at most ``burst + rate * t`` units are spent in any ``t`` seconds.

    A unit is a request, or a request's weight where the venue weighs them (Binance). Each caller books its
    units at once and then sleeps until they are due, so threads that share a budget queue up in order.

    Args:
        rate: units regained per second; ``math.inf`` for no limit.
        burst: units that may be spent at once after a rest.
    """

    def __init__(
        self,
        rate: float = math.inf,
        burst: float = 1.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError(f"a budget needs rate > 0 and burst >= 1, got rate={rate}, burst={burst}")
        self.rate, self.burst = rate, burst
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._units = burst
        self._stamp = clock()
        self._held_until = -math.inf
        self.spent = 0.0

    def take(self, units: float = 1.0) -> float:
        """Spend ``units``, sleeping until they are due; returns the seconds slept."""
        with self._lock:
            now = self._clock()
            if math.isinf(self.rate):
                wait = 0.0
            else:
                self._units = min(self.burst, self._units + (now - self._stamp) * self.rate) - units
                wait = max(0.0, -self._units / self.rate)
            self._stamp = now
            self.spent += units
            wait = max(wait, self._held_until - now)
        if wait > 0:
            self._sleep(wait)
        return max(wait, 0.0)

    def hold(self, seconds: float) -> None:
        """Let nobody through for ``seconds``: the venue asked one of us to wait, so all of us wait."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + max(0.0, seconds))

    def __repr__(self) -> str:
        return f"RateBudget(rate={self.rate:g}, burst={self.burst:g})"
