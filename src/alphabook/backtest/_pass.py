"""One pass over an equity curve for all sums that the metrics need; the same source plain and compiled.

Taught in :doc:`/notebooks/backtests/engine`.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

SUMS = ("mean", "spread", "downside", "deepest", "longest", "average")
"""What :func:`curve_sums` gives, in order: mean, standard deviation (n - 1) and downside deviation about zero of the
returns; deepest drawdown and bars of the longest; mean equity."""


def curve_sums(equity, initial, returns):  # type: ignore[no-untyped-def]
    """Fill ``returns``; give the :data:`SUMS`: of the returns, of the drawdown in bars, of the equity."""
    n = len(equity)
    total = average = deepest = 0.0
    before = peak = initial
    longest = since = 0
    for i in range(n):
        value = equity[i]
        r = value / before - 1.0 if before > 0.0 else 0.0
        returns[i] = r
        total += r
        average += value
        if value >= peak:
            peak = value
            since = 0
        else:
            since += 1
            longest = max(longest, since)
            deepest = max(deepest, 1.0 - value / peak)
        before = value
    mean = total / n
    square = down = 0.0
    for i in range(n):
        r = returns[i]
        square += (r - mean) * (r - mean)
        low = min(r, 0.0)
        down += low * low
    spread = math.sqrt(square / (n - 1)) if n > 1 else math.nan
    return mean, spread, math.sqrt(down / n), deepest, longest, average / n


@cache
def compiled_sums() -> Any:
    """:func:`curve_sums` compiled by numba."""
    import numba

    return numba.njit(cache=True, error_model="numpy", nogil=True)(curve_sums)
