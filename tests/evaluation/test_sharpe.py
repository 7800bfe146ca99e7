"""Published numbers, simulated truth, and errors of the Sharpe ratios of many trials."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alphabook.errors import EvaluationError
from alphabook.evaluation import (
    deflated_sharpe_ratio,
    effective_trials,
    expected_maximum_sharpe,
    probabilistic_sharpe_ratio,
)


def test_the_worked_example_of_bailey_and_lopez_de_prado():
    variance = 0.5 / 250
    assert expected_maximum_sharpe(100, variance) == pytest.approx(0.1132, abs=5e-5)
    got = deflated_sharpe_ratio(
        sharpe=2.5 / math.sqrt(250), num_bars=1250, skewness=-3, kurtosis=10, num_trials=100, trial_variance=variance
    )
    assert got == pytest.approx(0.9004, abs=5e-5)


def test_expected_maximum_is_that_of_simulated_noise():
    rng = np.random.default_rng(0)
    best = rng.normal(0, 0.03, (20_000, 50)).max(axis=1)
    assert expected_maximum_sharpe(50, 0.03**2) == pytest.approx(best.mean(), rel=0.02)
    assert expected_maximum_sharpe(1, 0.03**2) == 0


def test_a_probability_of_noise_is_uniform():
    """Without trials the probabilistic ratio of worthless returns is below p in p of the cases."""
    rng = np.random.default_rng(1)
    r = rng.standard_t(8, (2_000, 500))
    found = np.array([deflated_sharpe_ratio(x, num_trials=1, trial_variance=0.0) for x in r])
    for level in (0.05, 0.5, 0.95):
        assert (found < level).mean() == pytest.approx(level, abs=3 * math.sqrt(level * (1 - level) / 2_000))


def test_the_best_of_many_worthless_is_deflated():
    rng = np.random.default_rng(2)
    hits = naive = 0
    for _ in range(200):
        table = rng.normal(0, 0.01, (500, 40))
        ratios = table.mean(axis=0) / table.std(axis=0, ddof=1)
        best = table[:, ratios.argmax()]
        hits += deflated_sharpe_ratio(best, num_trials=40, trial_sharpes=ratios) > 0.95
        naive += deflated_sharpe_ratio(best, num_trials=1, trial_variance=0.0) > 0.95
    assert hits <= 20
    assert naive > 150


def test_returns_and_their_moments_give_the_same():
    r = np.random.default_rng(3).normal(0.001, 0.01, 300)
    c = r - r.mean()
    same = deflated_sharpe_ratio(
        sharpe=r.mean() / r.std(ddof=1),
        num_bars=300,
        skewness=np.mean(c**3) / np.mean(c**2) ** 1.5,
        kurtosis=np.mean(c**4) / np.mean(c**2) ** 2,
        num_trials=7,
        trial_variance=0.001,
    )
    assert deflated_sharpe_ratio(r, num_trials=7, trial_variance=0.001) == pytest.approx(same)


def test_more_trials_deflate_more():
    r = np.random.default_rng(4).normal(0.001, 0.01, 500)
    found = [deflated_sharpe_ratio(r, num_trials=n, trial_variance=0.002) for n in (1, 2, 10, 100, 1_000)]
    assert found == sorted(found, reverse=True)


def test_effective_trials_counts_copies_once():
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(20_000, 10))
    assert effective_trials(noise) == pytest.approx(10, rel=0.01)
    assert effective_trials(np.repeat(noise[:, :1], 10, axis=1)) == pytest.approx(1)
    assert effective_trials(np.hstack([noise, noise])) == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expected_maximum_sharpe(0, 1), "at least 1, got 0"),
        (lambda: expected_maximum_sharpe(5, -1), "trial_variance .* got -1"),
        (lambda: probabilistic_sharpe_ratio(0.1, 1), "num_bars must be at least 2"),
        (lambda: probabilistic_sharpe_ratio(0.1, 50, kurtosis=0.0), "belongs to no distribution.*Add 3"),
        (lambda: deflated_sharpe_ratio(np.zeros(50), num_trials=2, trial_variance=1), "constant"),
        (lambda: deflated_sharpe_ratio([1.0, np.nan, 2], num_trials=2, trial_variance=1), "finite numbers"),
        (lambda: deflated_sharpe_ratio(num_trials=2, trial_variance=1), "give the returns of the chosen strategy"),
        (lambda: deflated_sharpe_ratio(sharpe=0.1, num_bars=90, num_trials=2), "give trial_sharpes"),
        (
            lambda: deflated_sharpe_ratio(sharpe=0.1, num_bars=90, num_trials=2, trial_sharpes=[1, 2, 3]),
            "3 trial_sharpes, but num_trials=2",
        ),
        (lambda: effective_trials(np.zeros(5)), "bars, strategies"),
    ],
)
def test_errors_say_what_is_missing(call, message):
    with pytest.raises(EvaluationError, match=message):
        call()
