"""The stand-in's clock: frozen, stepped by hand, or running at a chosen speed."""

from __future__ import annotations

import time


class Clock:
    """Epoch milliseconds. ``speed`` is simulated seconds per real second; 0 stands still."""

    def __init__(self, now_ms: int, *, speed: float = 0.0) -> None:
        if speed < 0:
            raise ValueError(f"speed is simulated seconds per real second and must be >= 0, got {speed}")
        self.speed = speed
        self._base_ms = now_ms
        self._since = time.monotonic()

    def now_ms(self) -> int:
        """The time now."""
        return self._base_ms + int((time.monotonic() - self._since) * 1000 * self.speed)

    def set(self, now_ms: int) -> None:
        """Put the clock; a running one runs on from here."""
        self._base_ms = now_ms
        self._since = time.monotonic()
