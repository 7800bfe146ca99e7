"""The checks of "Which attention, when?" accept right answers and name what is wrong with the others."""

import math
import statistics

import numpy as np
import pytest
from support import assert_exercise

from alphabook.teaching.checks import evaluate


def exact(pattern, n, d, size):
    if pattern == "favor":
        return 4 * n * size * d
    return 2 * d * sum(pattern == "dense" or abs(i - j) <= size for i in range(n) for j in range(n))


def formula(pattern, n, d, size):
    w = n - 1 if pattern == "dense" else min(size, n - 1)
    return {"favor": 4 * d * n * size}.get(pattern, 2 * d * (n * n - (n - w) * (n - w - 1)))


def spoil(pattern, change):
    """``exact``, with ``change(n, d, size)`` in place of one pattern's count."""
    return lambda p, n, d, size: change(n, d, size) if p == pattern else exact(p, n, d, size)


def test_count():
    assert_exercise(
        "which.count",
        right=[exact, formula],
        wrong={
            "these are floating-point operations": lambda *case: 2 * exact(*case),
            "half is missing: a score costs d": lambda *case: exact(*case) // 2,
            "hangs over the edges by w (w + 1)": spoil("window", lambda n, d, w: 2 * d * n * (2 * w + 1)),
            "no row sees more than n positions": spoil(
                "window", lambda n, d, w: 2 * d * (n * (2 * w + 1) - w * (w + 1))
            ),
            "a position sees itself": spoil("window", lambda n, d, w: 2 * d * n * 2 * w),
            "this is one-sided": spoil(
                "window", lambda n, d, w: 2 * d * sum(0 <= i - j <= w for i in range(n) for j in range(n))
            ),
            "half is missing: queries and keys meet": spoil("favor", lambda n, d, m: 2 * n * m * d),
            "three products of four": spoil("favor", lambda n, d, m: 3 * n * m * d),
            "this grows with n squared": spoil("favor", lambda n, d, m: 2 * n * n * d),
            "yours are 7": lambda *case: 7,
            "the count is one number, got tuple": lambda *case: (1, 2),
        },
    )


def search(dense, fast):
    (a1, b1), (a2, b2) = dense, fast
    wins = [a2 + b2 * n <= a1 + b1 * n * n for n in range(1, 2_000)]
    return 2_000 - next((k for k, won in enumerate(reversed(wins)) if not won), len(wins))


def solve(dense, fast, *, rounding=math.ceil, sign=1):
    (a1, b1), (a2, b2) = dense, fast
    inside = b2 * b2 + 4 * b1 * (a2 - a1)
    if inside < 0:
        return 1
    return max(1, rounding((b2 + sign * math.sqrt(inside)) / (2 * b1)))


def test_crossover():
    assert_exercise(
        "which.crossover",
        right=[search, solve],
        wrong={
            "the prices per call, 2 and 50, count too": lambda dense, fast: math.ceil(fast[1] / dense[1]),
            "is no length": lambda dense, fast: solve(dense, fast, rounding=float),
            "round up, not down": lambda dense, fast: solve(dense, fast, rounding=math.floor),
            "take the larger root": lambda dense, fast: solve(dense, fast, sign=-1 if fast[0] < dense[0] else 1),
            "is still slower, it wins from n = 65": lambda dense, fast: 3,
            "has been the faster one since n = 65": lambda dense, fast: 4_000,
            "one number, got NoneType": lambda dense, fast: {}.get(dense),
        },
    )


def race(work, clock, rounds, *, warm=True, turns=True, middle=statistics.median):
    if warm:
        for run in work.values():
            run()
    seconds = {name: [] for name in work}
    names = list(work)
    plan = [name for _ in range(rounds) for name in names] if turns else [name for name in names for _ in range(rounds)]
    for name in plan:
        begin = clock()
        work[name]()
        seconds[name].append(clock() - begin)
    return {name: middle(values) for name, values in seconds.items()}


def rotating(work, clock, rounds):
    names, seconds = list(work), {}
    for turn in range(-1, rounds):
        for name in names if turn % 2 else names[::-1]:
            begin = clock()
            work[name]()
            seconds.setdefault(name, []).append(clock() - begin)
    return {name: float(np.median(values[1:])) for name, values in seconds.items()}


def total(work, clock, rounds):
    out = race(work, clock, rounds)
    return {name: value * (rounds if name == "b" else 1) for name, value in out.items()}


def test_fair():
    assert_exercise(
        "which.fair",
        right=[race, rotating, lambda w, clock, rounds: race(w, clock, rounds, middle=min)],
        wrong={
            "call each once before the clock starts": lambda w, clock, rounds: race(
                w, clock, rounds, warm=False, middle=statistics.mean
            ),
            "take turns, one call each": lambda w, clock, rounds: race(w, clock, rounds, turns=False),
            "mean believes the interruption": lambda w, clock, rounds: race(w, clock, rounds, middle=statistics.mean),
            "return seconds of one call": total,
            "was called 2 times": lambda w, clock, rounds: race(w, clock, 1),
            "a dictionary of seconds under the names": lambda w, clock, rounds: list(race(w, clock, rounds).values()),
            "read the clock before and after": lambda w, clock, rounds: dict.fromkeys(race(w, clock, rounds), 0.0),
        },
    )


def test_features():
    assert_exercise(
        "which.features",
        right=[32, lambda: 48, np.int64(64)],
        wrong={
            "take more": 8,
            "pay for what nobody needs": 640,
            "nobody needs that many": 4_096,
            "is no number of features": 12.5,
            "one number, got str": "many",
        },
    )


def fit(lengths, dense_ms, fast_ms, *, weights=True):
    def line(x, y):
        scale = 1 / np.asarray(y) if weights else np.ones(len(y))
        a = np.column_stack([np.ones(len(x)), x]) * scale[:, None]
        return np.linalg.lstsq(a, y * scale, rcond=None)[0]

    (a1, b1), (a2, b2) = line(lengths**2, dense_ms), line(lengths, fast_ms)
    return (b2 + np.sqrt(b2**2 + 4 * b1 * (a2 - a1))) / (2 * b1)


def powers(lengths, dense_ms, fast_ms):
    (p, x), (q, y) = (np.polyfit(np.log(lengths), np.log(ms), 1) for ms in (dense_ms, fast_ms))
    return np.exp((y - x) / (p - q))


def by_search(lengths, dense_ms, fast_ms):
    b1, a1 = np.polyfit(lengths**2, dense_ms, 1)
    b2, a2 = np.polyfit(lengths, fast_ms, 1)
    grid = np.arange(1, 50_000)
    return grid[a2 + b2 * grid > a1 + b1 * grid**2][-1]


@pytest.mark.parametrize("features", [24, 32, 48, 64, 80])
def test_a_range_of_features_is_enough(features):
    assert evaluate("which.features", features).status == "passed"
