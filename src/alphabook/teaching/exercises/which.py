"""Checks of the exercises of :doc:`/notebooks/attention/which_attention`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..checks import Wrong, exercise, one_number

Line = tuple[float, float]  # price per call, price per n (fast) or per n squared (dense)


# --- counting --------------------------------------------------------------------------------------
@exercise("which.count", kind="implement", difficulty=2, minutes=15)
def check_count(answer: Callable[[str, int, int, int], int]) -> None:
    """Count the multiply-adds"""
    for pattern, n, d, size in (
        ("dense", 50, 8, 0),
        ("window", 100, 4, 10),
        ("favor", 100, 8, 16),
        ("window", 6, 2, 9),
    ):
        right, got = _count(pattern, n, d, size), one_number(answer(pattern, n, d, size), "the count")
        if got == right:
            continue
        case = f"{pattern}, n = {n}, d = {d}" + (f", size {size}" if size else "")
        for wrong, diagnosis in _count_mistakes(pattern, n, d, size).items():
            if got == wrong != right:
                raise Wrong(f"{case}: {diagnosis}")
        raise Wrong(f"{case}: {right:,} multiply-adds, yours are {got:,.0f}")


def _count(pattern: str, n: int, d: int, size: int) -> int:
    if pattern == "favor":
        return 4 * n * size * d
    reach = min(size, n - 1) if pattern == "window" else n - 1
    return 2 * d * (n * (2 * reach + 1) - reach * (reach + 1))


def _count_mistakes(pattern: str, n: int, d: int, size: int) -> dict[int, str]:
    right = _count(pattern, n, d, size)
    twice = "these are floating-point operations: a multiply-add is a product and a sum, counted once"
    if pattern == "favor":
        return {
            2 * right: twice,
            right
            // 2: "half is missing: queries and keys meet the projection (2 n m d), and then keys meet values and "
            "queries meet the result (2 n m d)",
            right * 3 // 4: "three products of four: project the queries, project the keys, keys times values, queries "
            "times the result",
            2 * n * n * d: "this grows with n squared: the keys are summed up once for all queries",
        }
    half = "half is missing: a score costs d, and the value's share in the mean costs d again"
    mistakes = {2 * right: twice, right // 2: half}
    if pattern == "window":
        reach = min(size, n - 1)
        mistakes |= {
            2 * d * n * (2 * size + 1): "the first and the last rows see fewer than 2w + 1 positions: a window hangs "
            "over the edges by w (w + 1) pairs in all",
            2 * d * (n * (2 * size + 1) - size * (size + 1)): "this window is wider than the sequence, and no row sees "
            "more than n positions",
            2 * d * n * 2 * size: "the span is 2w + 1: a position sees itself",
            2 * d * (n * (reach + 1) - reach * (reach + 1) // 2): "this is one-sided: the window reaches w to the left "
            "and w to the right",
        }
    return mistakes


# --- the crossover ---------------------------------------------------------------------------------
@exercise("which.crossover", kind="implement", difficulty=3, minutes=15)
def check_crossover(answer: Callable[[Line, Line], int]) -> None:
    """Where two lines cross for good"""
    cases: tuple[tuple[Line, Line], ...] = (
        ((0.0, 1.0), (0.0, 65.0)),
        ((2.0, 0.01), (50.0, 1.3)),
        ((1.0, 1.0), (0.0, 3.0)),
        ((9.0, 1.0), (0.0, 3.0)),
        ((0.0, 0.5), (0.2, 1.1)),
    )
    for dense, fast in cases:
        right, got = _cross(dense, fast), one_number(answer(dense, fast), "the crossover")
        if got == right:
            continue
        (a1, b1), (a2, b2) = dense, fast
        case = f"dense {a1:g} + {b1:g} n², fast {a2:g} + {b2:g} n"
        root = math.sqrt(max(0.0, b2**2 + 4 * b1 * (a2 - a1)))
        if got in (math.floor(b2 / b1), math.ceil(b2 / b1)):
            raise Wrong(
                f"{case}: you compared the prices per n only; the prices per call, {a1:g} and {a2:g}, count too"
            )
        if got != math.floor(got):
            raise Wrong(f"{case}: {got:g} is no length; return the first whole n")
        if got == math.floor((b2 + root) / (2 * b1)):
            raise Wrong(f"{case}: at n = {got:g} the fast one is still slower: round up, not down")
        if got in (max(1, math.ceil((b2 - root) / (2 * b1))), math.floor((b2 - root) / (2 * b1))):
            raise Wrong(f"{case}: from n = {got:g} on dense becomes the faster one again: take the larger root")
        late = a1 + b1 * got**2 >= a2 + b2 * got
        raise Wrong(
            f"{case}: at n = {got:g} the fast one "
            + (
                f"has been the faster one since n = {right}"
                if late
                else f"is still slower, it wins from n = {right} on"
            )
        )


def _cross(dense: Line, fast: Line) -> int:
    """First whole n from which ``a2 + b2 n <= a1 + b1 n**2`` holds for good."""
    (a1, b1), (a2, b2) = dense, fast
    last = max(1, math.ceil(b2 / b1 + math.sqrt(max(0.0, a2 - a1) / b1)) + 2)
    while last > 1 and a2 + b2 * (last - 1) <= a1 + b1 * (last - 1) ** 2:
        last -= 1
    return last


# --- a fair race -----------------------------------------------------------------------------------
@exercise("which.fair", kind="bug", difficulty=3, minutes=20)
def check_fair(answer: Callable[..., Mapping[str, float]]) -> None:
    """An unfair race"""
    ratio = _race(answer, lambda call, name: 2.0 if name == "b" else 1.0, rounds=7)
    if abs(ratio - 2) > 0.02:
        raise Wrong(
            f"b takes twice as long as a on every call, and you report {ratio:.2f} times: return seconds of one call "
            "under each name"
        )
    cold = _race(answer, lambda call, name: 8.0 if call == 0 else 1.0, rounds=7, own_calls=True, only="a")
    if cold < 0.95:
        raise Wrong(
            f"a's first call takes 8 times as long (it compiles, fills caches), afterwards both are alike; you report "
            f"that b takes {cold:.2f} of a's time: call each once before the clock starts"
        )
    worse = _race(answer, lambda call, name: 1.03**call, rounds=9)
    if abs(worse - 1) > 0.12:
        raise Wrong(
            f"two equal functions on a machine that gets slower and slower: you report {worse:.2f} times. Let them "
            "take turns, one call each per round"
        )
    hiccup = _race(answer, lambda call, name: 60.0 if call == 11 else 1.0, rounds=7)
    if abs(hiccup - 1) > 0.05:
        raise Wrong(
            f"two equal functions, and one single call of fourteen is interrupted: you report {hiccup:.2f} times. A "
            "mean believes the interruption; a median does not"
        )


def _race(answer: Callable[..., Any], slowness: Callable[[int, str], float], *, rounds: int, **how: Any) -> float:
    """``answer``'s seconds of b over those of a, on a clock that only the two functions move."""
    now, calls, own = [0.0], [0], {"a": 0, "b": 0}

    def runner(name: str) -> Callable[[], None]:
        def run() -> None:
            call = own[name] if how.get("own_calls") else calls[0]
            slow = 1.0 if how.get("only") not in (None, name) else slowness(call, name)
            now[0] += slow
            calls[0] += 1
            own[name] += 1

        return run

    got = answer({"a": runner("a"), "b": runner("b")}, clock=lambda: now[0], rounds=rounds)
    if not isinstance(got, Mapping) or set(got) != {"a", "b"}:
        raise Wrong(f"return a dictionary of seconds under the names of the work, got {type(got).__name__}")
    if min(own.values()) < rounds:
        raise Wrong(f"{rounds} rounds were asked for, and one of the two was called {min(own.values())} times")
    first, second = (one_number(got[name], f"the time of {name}") for name in "ab")
    if first <= 0 or second <= 0:
        raise Wrong(f"times are positive, got {first:g} and {second:g}: read the clock before and after the call")
    return second / first


# --- enough features -------------------------------------------------------------------------------
LIMIT = 0.2  # of the error that is asked for
SLACK = 0.02  # what one draw of tasks and features differs from the next


@exercise("which.features", kind="measure", difficulty=3, minutes=20)
def check_features(answer: int | Callable[[], int]) -> None:
    """How many features are enough?"""
    features = one_number(answer() if callable(answer) else answer, "the number of features")
    if features < 1 or features != int(features):
        raise Wrong(f"{features:g} is no number of features: a whole number, one or more")
    if features >= 1_024:
        raise Wrong(
            f"with {features:,.0f} features FAVOR+ does {features / 1024:.3g} times the work of dense attention on "
            "2,048 positions: nobody needs that many for gentle scores"
        )
    here = _error_of(int(features))
    if here > LIMIT + SLACK:
        raise Wrong(
            f"with {features:.0f} features the error is {here:.2f} over many draws, {LIMIT} is asked for: take more"
        )
    if features >= 4 and (fewer := _error_of(int(features) // 4)) <= LIMIT - SLACK:
        raise Wrong(f"a quarter of your features has an error of {fewer:.2f} already: you pay for what nobody needs")


def _error_of(features: int) -> float:
    """Error on the chapter's task *many*, averaged over draws."""
    import torch

    from ...attention import draw_projection, favor_attention

    n, d, heads, generator, errors = 2_048, 32, 2, torch.Generator().manual_seed(20), []
    for _ in range(6):
        kind = torch.randint(0, 2, (n,), generator=generator)
        axis = torch.nn.functional.normalize(torch.randn(1, heads, 1, d, generator=generator), dim=-1)
        own = math.sqrt(1.5 * math.sqrt(d)) * axis * (2 * kind[:, None] - 1)
        truth = torch.randn(1, heads, 2, d, generator=generator)[:, :, kind]
        value = truth + 3 * torch.randn(1, heads, n, d, generator=generator)
        rows = draw_projection(features, d, generator=generator)
        miss = favor_attention(own, own, value, projection=rows) - truth
        errors.append(float(miss.square().mean().sqrt() / truth.std()))
    return float(np.mean(errors))


# --- a forecast ------------------------------------------------------------------------------------
