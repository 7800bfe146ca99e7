"""One pass over an equity curve for all sums that the metrics need, compiled.

Taught in :doc:`/notebooks/backtests/engine`.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

SUMS = ("mean", "spread", "downside", "deepest", "longest", "average", "count")
"""What :func:`curve_sums` gives, in order: mean, standard deviation (n - 1) and downside deviation about zero of the
returns; deepest drawdown and bars of the longest; mean equity; how many returns lie at or below ``bound``."""


def curve_sums(equity, initial, bound, lowest):  # type: ignore[no-untyped-def]
    """Give the :data:`SUMS`: of the returns, of the drawdown in bars, of the equity; fill ``lowest``.

    Into ``lowest`` go the returns at or below ``bound``, in order, for the quantile of the losses.
    """
    n = len(equity)
    total = square = down = average = deepest = 0.0
    before = peak = trough = initial
    longest = start = count = 0
    for i in range(n):
        value = equity[i]
        r = (value / max(before, 1e-100) - 1.0) * (before > 0.0)  # nothing branches, also where it is ruined
        loss = r if r < 0.0 else 0.0
        total += r
        square += r * r
        down += loss * loss
        average += value
        lowest[count] = r  # overwritten by the next unless it counts: no branch to mispredict
        count += r <= bound
        if value >= peak:
            deepest = max(deepest, 1.0 - trough / peak)
            longest = max(longest, i - start)
            peak = trough = value
            start = i + 1
        trough = value if value < trough else trough
        before = value
    deepest = max(deepest, 1.0 - trough / peak)
    longest = max(longest, n - start)
    mean = total / n
    around = square - n * mean * mean
    if around < 1e-6 * square:  # nearly constant returns: the difference has lost its digits
        around, before = 0.0, initial
        for i in range(n):
            r = equity[i] / before - 1.0 if before > 0.0 else 0.0
            around += (r - mean) * (r - mean)
            before = equity[i]
    spread = math.sqrt(around / (n - 1)) if n > 1 else math.nan
    return mean, spread, math.sqrt(down / n), deepest, longest, average / n, count


@cache
def compiled_sums() -> Any:
    """:func:`curve_sums` compiled by numba."""
    import numba

    return numba.njit(cache=True, error_model="numpy", nogil=True)(curve_sums)
