"""The probability of backtest overfitting: a loop as oracle, noise, skill, errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabook.errors import EvaluationError
from alphabook.evaluation import probability_of_backtest_overfitting


def obvious(table, blocks):
    """Logits, a split at a time, from the returns themselves."""
    length = len(table) // blocks
    pieces = table[len(table) - length * blocks :].reshape(blocks, length, -1)
    logits = []
    for half in itertools.combinations(range(blocks), blocks // 2):
        rest = [b for b in range(blocks) if b not in half]
        inside, outside = (np.concatenate(pieces[list(b)]) for b in (half, rest))
        best = (inside.mean(0) / inside.std(0)).argmax()
        scores = outside.mean(0) / outside.std(0)
        rank = (scores < scores[best]).sum() + 1
        share = rank / (table.shape[1] + 1)
        logits.append(np.log(share / (1 - share)))
    return np.array(logits)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    blocks=st.sampled_from([2, 4, 6, 8]),
    strategies=st.integers(2, 8),
    extra=st.integers(0, 5),
)
def test_equals_a_loop(seed, blocks, strategies, extra):
    table = np.random.default_rng(seed).normal(0, 0.01, (blocks * 5 + extra, strategies))
    found = probability_of_backtest_overfitting(table, num_blocks=blocks)
    np.testing.assert_allclose(found.logits, obvious(table, blocks), rtol=1e-9, atol=1e-12)
    assert found.probability == (found.logits <= 0).mean()


def test_noise_overfits_and_skill_does_not():
    rng = np.random.default_rng(0)
    noise = [probability_of_backtest_overfitting(rng.normal(0, 0.01, (320, 20))).probability for _ in range(40)]
    assert 0.45 < np.mean(noise) < 0.7
    assert 0.1 < np.std(noise) < 0.3  # so one of them says little
    table = rng.normal(0, 0.01, (1280, 20))
    table[:, 3] += 0.003
    skill = probability_of_backtest_overfitting(table)
    assert skill.probability < 0.01
    assert float(skill) == skill.probability
    assert len(skill.logits) == 12_870


@pytest.mark.parametrize(
    ("table", "blocks", "message"),
    [
        (np.zeros(10), 4, "at least 2 strategies"),
        (np.zeros((10, 1)), 4, "at least 2 strategies"),
        (np.zeros((10, 3)), 5, "even"),
        (np.zeros((10, 3)), 16, "blocks of 0"),
        (np.array([[1.0, np.nan]] * 20), 4, "return 0 of strategy 1 is nan"),
    ],
)
def test_errors(table, blocks, message):
    with pytest.raises(EvaluationError, match=message):
        probability_of_backtest_overfitting(table, num_blocks=blocks)
