"""Where the first row is that is no candle or no signal; in whole arrays, and compiled for long series.

Taught in :doc:`/notebooks/backtests/engine`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def first_odd_candle(opens: Floats, highs: Floats, lows: Floats, closes: Floats) -> int:
    """First row whose prices are not finite, not above 0, or outside low and high; -1 without any."""
    good = (lows > 0) & (highs < np.inf)
    for inside in (opens, closes):
        good &= (inside >= lows) & (inside <= highs)
    return -1 if good.all() else int(good.argmin())


def first_odd_signal(signals: NDArray) -> int:
    """First row that is not -1, 0 or 1; -1 without any."""
    good = (signals == 0) | (signals == 1) | (signals == -1)
    return -1 if good.all() else int(good.argmin())


@cache
def compiled_checks() -> tuple[Callable[..., int], Callable[..., int]]:
    """:func:`first_odd_candle` and :func:`first_odd_signal`, a row at a time, compiled by numba."""
    import numba

    @numba.njit(cache=True, nogil=True)
    def odd_candle(opens, highs, lows, closes):  # type: ignore[no-untyped-def]
        for i in range(len(opens)):
            low, high = lows[i], highs[i]
            good = (low > 0.0) & (high < np.inf) & (opens[i] >= low) & (opens[i] <= high)
            if not (good & (closes[i] >= low) & (closes[i] <= high)):
                return i
        return -1

    @numba.njit(cache=True, nogil=True)
    def odd_signal(signals):  # type: ignore[no-untyped-def]
        for i in range(len(signals)):
            if not -1 <= signals[i] <= 1:
                return i
        return -1

    return odd_candle, odd_signal
