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


STRETCH = 64  # bars


def _returns(now, before):  # type: ignore[no-untyped-def]
    total = square = down = average = 0.0
    for k in range(len(now)):
        value = now[k]
        r = value / before[k] - 1.0
        loss = r if r < 0.0 else 0.0
        total += r
        square += r * r
        down += loss * loss
        average += value
    return total, square, down, average


def _extremes(now):  # type: ignore[no-untyped-def]
    low = high = now[0]
    for k in range(len(now)):
        value = now[k]
        low = value if value < low else low
        high = value if value > high else high
    return low, high


@cache
def compiled_stretches() -> Any:
    """:data:`SUMS` but for the last, by stretches of bars: the order of a sum is free, so that a processor adds eight
    numbers at once. Equal to :func:`curve_sums` but for rounding; for sweeps, which need no quantile.
    """
    import numba

    loose = {"reassoc", "contract", "nsz", "nnan", "ninf"}
    free = numba.njit(cache=True, error_model="numpy", nogil=True, fastmath=loose)
    returns, extremes, bar_by_bar = free(_returns), free(_extremes), compiled_sums()

    @numba.njit(error_model="numpy", nogil=True)
    def stretches(equity, initial, space):  # type: ignore[no-untyped-def]
        n = len(equity)
        total = square = down = average = deepest = 0.0
        peak = trough = before = initial
        longest = start = 0
        for first in range(0, n, STRETCH):
            now = equity[first : first + STRETCH]
            low, high = extremes(now)
            if not (low > 0.0 and before > 0.0):  # ruined: a return on nothing needs care
                return bar_by_bar(equity, initial, -math.inf, space)[:6]
            r = now[0] / before - 1.0
            loss = r if r < 0.0 else 0.0
            total, square, down, average = total + r, square + r * r, down + loss * loss, average + now[0]
            some = returns(now[1:], now[:-1])
            total, square, down, average = total + some[0], square + some[1], down + some[2], average + some[3]
            if high >= peak:  # a new peak: bar by bar
                for k in range(len(now)):
                    value = now[k]
                    if value >= peak:
                        deepest = max(deepest, 1.0 - trough / peak)
                        longest = max(longest, first + k - start)
                        peak = trough = value
                        start = first + k + 1
                    trough = min(trough, value)
            else:
                trough = min(trough, low)
            before = now[len(now) - 1]
        deepest = max(deepest, 1.0 - trough / peak)
        longest = max(longest, n - start)
        mean = total / n
        around = square - n * mean * mean
        if n < 2 or around < 1e-6 * square:  # nearly constant returns: the difference has lost its digits
            return bar_by_bar(equity, initial, -math.inf, space)[:6]
        return mean, math.sqrt(around / (n - 1)), math.sqrt(down / n), deepest, longest, average / n

    return stretches


@cache
def compiled_sums() -> Any:
    """:func:`curve_sums` compiled by numba."""
    import numba

    return numba.njit(cache=True, error_model="numpy", nogil=True)(curve_sums)
