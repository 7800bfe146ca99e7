"""Checks of the exercises of :doc:`/notebooks/backtests/trials`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from statistics import NormalDist
from typing import Any

import numpy as np

from ...evaluation import deflated_sharpe_ratio, purged_splits
from ..checks import Wrong, exercise, one_number

_PHI = NormalDist().cdf


@exercise("trials.psr", kind="implement", difficulty=2, minutes=15)
def check_psr(answer: Callable[[np.ndarray, float], float]) -> None:
    """How sure is a Sharpe ratio?"""
    rng = np.random.default_rng(5)
    x = 0.017 - 0.01 * rng.exponential(size=160)  # many small gains, few large losses
    benchmark = 0.975
    c = x - x.mean()
    sharpe = x.mean() / x.std(ddof=1)
    skew, kurt = (c**3).mean() / (c**2).mean() ** 1.5, (c**4).mean() / (c**2).mean() ** 2

    def value(s: float = sharpe, g3: float = skew, g4: float = kurt, n: float = len(x) - 1, b: float = benchmark):
        return _PHI((s - b) * math.sqrt(n) / math.sqrt(max(1 - g3 * s + (g4 - 1) / 4 * s**2, 1e-9)))

    got = one_number(answer(x.copy(), benchmark), "the probability")
    if abs(got - value()) <= 3e-3:
        return
    mistakes = {
        value(b=0.0): "the benchmark is missing: the numerator is the Sharpe ratio minus the benchmark",
        1 - value(): "this is the probability that the true ratio is *below* the benchmark",
        value(g3=0.0, g4=3.0): "these are the moments of a normal distribution: measure skewness and kurtosis",
        value(g3=-skew): "the sign of the skewness is turned: negative skew makes the ratio *less* certain",
        value(
            g4=kurt - 3
        ): "this is the excess kurtosis: the formula wants the one that is 3 for a normal distribution",
        value(n=1.0): "the root of the number of bars is missing: a standard error falls with it",
        value(n=(len(x) - 1) ** 2): "multiply by the root of the number of bars, not by the number",
    }
    _diagnose(got, mistakes, 3e-3)
    raise Wrong(f"for 160 returns of skewness {skew:.2f} the probability is {value():.3f}, yours is {got:.3f}")


@exercise("trials.deflate", kind="bug", difficulty=3, minutes=15)
def check_deflate(answer: Callable[[np.ndarray, np.ndarray, float], float]) -> None:
    """Three ways to misuse a formula"""
    rng = np.random.default_rng(11)
    periods = 365.0
    table = 0.01 * rng.standard_t(6, (900, 60)) + 0.0004
    every = table.mean(axis=0) / table.std(axis=0, ddof=1)
    best = table[:, every.argmax()]
    some = every[every > 0]

    def value(kept: np.ndarray, scale: float, count: int) -> float:
        variance = scale * float(kept.var(ddof=1))
        return deflated_sharpe_ratio(best, num_trials=count, trial_variance=variance)

    got = one_number(answer(best.copy(), every.copy(), periods), "the deflated Sharpe ratio")
    if abs(got - value(every, 1.0, len(every))) <= 3e-3:
        return
    if got < 1e-6:
        raise Wrong(
            "the benchmark is of annual size and buries every strategy: the formula compares per-bar ratios, so the "
            "trials stay per bar"
        )
    mistakes = {
        value(every, 1.0, 1): "num_trials is 1: then nothing is deflated. Count every rule that was tried",
        value(some, 1.0, len(some)): "only the trials that made money are counted, and only their variance is taken: "
        "the losers were tried as well",
        value(some, 1.0, len(every)): "the count is right, but the variance is that of the winners alone: cutting the "
        "losers off makes luck look smaller than it is",
        value(every, 1.0, len(some)): "the variance is right, but the losers are missing from the count",
    }
    _diagnose(got, mistakes, 1e-3)
    raise Wrong(f"the deflated Sharpe ratio is {value(every, 1.0, len(every)):.3f}, yours is {got:.3f}")


@exercise("trials.embargo", kind="implement", difficulty=3, minutes=20)
def check_embargo(answer: Callable[[int, int, int, int], Iterable[Any]]) -> None:
    """Folds with a purge and an embargo"""
    for rows, splits, horizon, embargo in ((100, 5, 6, 0), (120, 4, 5, 9), (60, 3, 0, 0)):
        right = list(purged_splits(rows, num_splits=splits, horizon=horizon, embargo=embargo))
        got = [(set(map(int, train)), set(map(int, test))) for train, test in answer(rows, splits, horizon, embargo)]
        if len(got) != splits:
            raise Wrong(f"{splits} blocks are tested once each; you return {len(got)} folds")
        for number, ((train, test), (want, block)) in enumerate(zip(got, right, strict=True)):
            first, last = int(block[0]), int(block[-1])
            where = f"fold {number} of {rows} rows in {splits} blocks, horizon {horizon}, embargo {embargo}"
            if test != set(block.tolist()):
                raise Wrong(f"{where}: the test rows are {first} to {last}, nothing else")
            if train & test:
                raise Wrong(f"{where}: row {min(train & test)} is trained on and tested")
            extra, missing = train - set(want.tolist()), set(want.tolist()) - train
            early = [row for row in extra if row < first]
            late = [row for row in extra if row > last]
            if early:
                raise Wrong(
                    f"{where}: you train on row {max(early)}, whose label is known at row {max(early) + horizon}, and "
                    f"the test begins at row {first}: purge before the block"
                )
            if late and min(late) <= last + horizon:
                raise Wrong(
                    f"{where}: you train on row {min(late)}, which the label of test row {last} looks at (it ends at "
                    f"row {last + horizon}): purge behind the block too"
                )
            if late:
                raise Wrong(
                    f"{where}: you train on row {min(late)}: the embargo begins where the purge ends, so rows up to "
                    f"{last + horizon + embargo} are left out"
                )
            if missing:
                side = "before" if min(missing) < first else "behind"
                raise Wrong(
                    f"{where}: row {min(missing)} {side} the block knows nothing of it and could be trained on; "
                    "an embargo is needed behind the block only"
                )


@exercise("trials.spread", kind="measure", difficulty=2, minutes=10)
def check_spread(answer: float | Callable[[], float]) -> None:
    """How far one PBO can be trusted"""
    got = one_number(answer() if callable(answer) else answer, "the standard deviation")
    if 0.17 <= got <= 0.24:
        return
    if got > 1:
        raise Wrong(f"{got:g}: a probability spreads by less than one; did you take per cent?")
    if 0.42 <= got <= 0.6:
        raise Wrong("this is the mean of the probabilities: the question asks how far a single one scatters about it")
    if 0.028 <= got <= 0.058:
        raise Wrong("this looks like the variance: take its root")
    if 0 <= got < 0.028:
        raise Wrong(
            "this is too small for the scatter of one table: it looks like the standard error of the mean over all of "
            "them. Do not divide by the root of their number"
        )
    raise Wrong(f"over many noise tables of 480 bars and 20 strategies it is about a fifth, yours is {got:.3f}")


@exercise("trials.stepwise", kind="stretch", difficulty=4, minutes=40)
def check_stepwise(answer: Callable[[np.ndarray, np.random.Generator], Iterable[int]]) -> None:
    """Which of them, not only whether one"""
    found = [_columns(answer, _noise(seed), seed) for seed in range(12)]
    alarms = sum(bool(columns) for columns in found)
    if alarms > 3:
        raise Wrong(
            f"in {alarms} of 12 tables of pure noise you name a strategy: compare with the 95 % quantile of the "
            "*largest* resampled mean, not with each strategy's own"
        )
    table = _noise(40)
    table[:, :3] = 8 * table[:, :3] + 8 * 0.35  # loud and good: easy to see, and they hide the quiet ones
    table[:, 3:6] += 0.35
    columns = _columns(answer, table, 41)
    if not columns:
        raise Wrong("six strategies earn a third of their standard deviation per bar, and you name none")
    if columns - set(range(6)):
        raise Wrong(f"strategy {min(columns - set(range(6)))} is noise, and you name it")
    if columns == {0, 1, 2}:
        raise Wrong(
            "you stop after one step: take the strategies found out of the table and compute the quantile again. The "
            "three loud ones hid three quiet ones that are as good"
        )
    if columns != set(range(6)):
        raise Wrong(f"of the good strategies 0 to 5 you name only {sorted(columns)}")


def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((300, 30))


def _columns(answer: Callable[..., Iterable[int]], table: np.ndarray, seed: int) -> set[int]:
    found = answer(table.copy(), np.random.default_rng(seed))
    if found is None or isinstance(found, str | bytes) or not hasattr(found, "__iter__"):
        raise Wrong(f"return the numbers of the strategies, a list of integers, not {type(found).__name__}")
    return {int(column) for column in found}


def _diagnose(got: float, mistakes: dict[float, str], near: float) -> None:
    for value, words in mistakes.items():
        if abs(got - value) <= near:
            raise Wrong(words)
