"""The checks of "How many things did we try?" accept right answers and name what is wrong with the others."""

import math
from statistics import NormalDist

import numpy as np
from support import assert_exercise

from alphabook.evaluation import (
    deflated_sharpe_ratio,
    probabilistic_sharpe_ratio,
    probability_of_backtest_overfitting,
    purged_splits,
)


def moments(x):
    c = x - x.mean()
    return (c**3).mean() / (c**2).mean() ** 1.5, (c**4).mean() / (c**2).mean() ** 2


def psr(x, benchmark, *, sign=1, excess=0, normal=False, power=0.5):
    sharpe = x.mean() / x.std(ddof=1)
    skew, kurt = (0.0, 3.0) if normal else moments(x)
    variance = 1 - sign * skew * sharpe + (kurt - excess - 1) / 4 * sharpe**2
    return NormalDist().cdf((sharpe - benchmark) * (len(x) - 1) ** power / math.sqrt(variance))


def packaged(x, benchmark):
    skew, kurt = moments(x)
    return probabilistic_sharpe_ratio(
        x.mean() / x.std(ddof=1), len(x), benchmark=benchmark, skewness=skew, kurtosis=kurt
    )


def test_psr():
    assert_exercise(
        "trials.psr",
        right=[psr, packaged, lambda x, b: np.float64(psr(x, b))],
        wrong={
            "the benchmark is missing": lambda x, b: psr(x, 0.0),
            "*below* the benchmark": lambda x, b: 1 - psr(x, b),
            "moments of a normal distribution": lambda x, b: psr(x, b, normal=True),
            "the sign of the skewness": lambda x, b: psr(x, b, sign=-1),
            "this is the excess kurtosis": lambda x, b: psr(x, b, excess=3),
            "the root of the number of bars is missing": lambda x, b: psr(x, b, power=0),
            "one number, got list": lambda x, b: [1],
            "yours is 0.123": lambda x, b: 0.123,
        },
    )


def deflate(returns, trials, periods, *, kept=None, count=None, scale=1.0):
    kept = trials if kept is None else kept
    return deflated_sharpe_ratio(returns, num_trials=count or len(trials), trial_variance=scale * np.var(kept, ddof=1))


def test_deflate():
    def printed(returns, trials, periods):
        kept = trials[trials > 0] * np.sqrt(periods)
        return deflated_sharpe_ratio(returns, num_trials=len(kept), trial_variance=kept.var(ddof=1))

    assert_exercise(
        "trials.deflate",
        right=[deflate, lambda r, t, p: deflated_sharpe_ratio(r, num_trials=len(t), trial_sharpes=t)],
        wrong={
            "of annual size and buries": printed,
            "num_trials is 1": lambda r, t, p: deflate(r, t, p, count=1),
            "the losers were tried as well": lambda r, t, p: deflate(r, t, p, kept=t[t > 0], count=(t > 0).sum()),
            "the variance is that of the winners alone": lambda r, t, p: deflate(r, t, p, kept=t[t > 0]),
            "the losers are missing from the count": lambda r, t, p: deflate(r, t, p, count=(t > 0).sum()),
            "yours is 0.500": lambda r, t, p: 0.5,
        },
    )


def folds(rows, splits, horizon, embargo, *, before=True, behind=True, sides=1, gap=True):
    size = rows // splits
    for first in range(0, rows, size):
        last = first + size - 1
        low = first - (horizon if before else 0) - (embargo if sides == 2 else 0)
        high = last + (horizon if behind else 0) + (embargo if gap else 0)
        train = [row for row in range(rows) if row < low or row > high]
        yield train, list(range(first, last + 1))


def test_embargo():
    def packaged(rows, splits, horizon, embargo):
        return purged_splits(rows, num_splits=splits, horizon=horizon, embargo=embargo)

    assert_exercise(
        "trials.embargo",
        right=[folds, packaged],
        wrong={
            "purge before the block": lambda *a: folds(*a, before=False),
            "purge behind the block too": lambda *a: folds(*a, behind=False),
            "the embargo begins where the purge ends": lambda *a: folds(*a, gap=False),
            "an embargo is needed behind the block only": lambda *a: folds(*a, sides=2),
            "blocks are tested once each; you return 1": lambda *a: [next(iter(folds(*a)))],
            "is trained on and tested": lambda *a: [(list(range(a[0])), test) for _, test in folds(*a)],
            "the test rows are": lambda *a: [(test, train) for train, test in folds(*a)],
        },
    )


def test_spread():
    rng = np.random.default_rng(3)
    found = [
        probability_of_backtest_overfitting(rng.standard_normal((480, 20)), num_blocks=8).probability
        for _ in range(300)
    ]
    assert_exercise(
        "trials.spread",
        right=[np.std(found), lambda: float(np.std(found, ddof=1)), 0.2],
        wrong={
            "this is the mean": np.mean(found),
            "looks like the variance": np.var(found),
            "standard error of the mean": np.std(found) / math.sqrt(300),
            "did you take per cent": 100 * np.std(found),
            "about a fifth, yours is 0.350": 0.35,
        },
    )


def stepwise(table, rng, *, rounds=400, studentise=False, steps=99, each=False):
    scale = table.std(axis=0) if studentise else np.ones(table.shape[1])
    x = table / scale
    means = x.mean(axis=0)
    drawn = np.array([x[rng.integers(0, len(x), len(x))].mean(axis=0) for _ in range(rounds)]) - means
    left, found = list(range(x.shape[1])), []
    for _ in range(steps):
        if not left:
            break
        limit = np.quantile(drawn[:, left], 0.95, axis=0) if each else np.quantile(drawn[:, left].max(axis=1), 0.95)
        new = [column for column, beyond in zip(left, means[left] > limit, strict=True) if beyond]
        if not new:
            break
        found += new
        left = [column for column in left if column not in new]
    return found


def test_stepwise():
    assert_exercise(
        "trials.stepwise",
        right=[stepwise, lambda table, rng: np.array(stepwise(table, rng, studentise=True))],
        wrong={
            "compare with the 95 % quantile of the *largest*": lambda t, rng: stepwise(t, rng, each=True),
            "you name none": lambda t, rng: [],
            "you stop after one step": lambda t, rng: stepwise(t, rng, steps=1),
            "a list of integers, not int": lambda t, rng: 3,
            "is noise, and you name it": lambda t, rng: range(7) if t.std() > 1.2 else [],
            "you name only": lambda t, rng: [0] if t.std() > 1.2 else [],
        },
    )
