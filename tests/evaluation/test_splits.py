"""No training row knows a test row; every block is tested as often as it should be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabook.errors import EvaluationError
from alphabook.evaluation import combinatorial_splits, num_paths, purged_splits, walk_forward


def assert_no_leak(train, test, ends, embargo=0):
    """A training label may not look at a test row, a test label not at a training row."""
    assert len(np.intersect1d(train, test)) == 0
    looked_at = {row: set(range(row, ends[row] + 1)) for row in np.concatenate([train, test])}
    seen_by_test = set().union(*(looked_at[row] for row in test))
    for row in train:
        assert not looked_at[row] & set(test.tolist()), f"the label of training row {row} sees a test row"
        assert row not in seen_by_test, f"training row {row} is seen by a test label"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(20, 60), splits=st.integers(2, 5), longest=st.integers(0, 3))
def test_purged_folds_do_not_leak_whatever_the_labels(seed, rows, splits, longest):
    rng = np.random.default_rng(seed)
    ends = np.minimum(np.arange(rows) + rng.integers(0, longest + 1, rows), rows - 1)
    tested = []
    for train, test in purged_splits(rows, num_splits=splits, label_end=ends):
        assert_no_leak(train, test, ends)
        tested.append(test)
    np.testing.assert_array_equal(np.concatenate(tested), np.arange(rows))


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(30, 60), splits=st.integers(3, 6), horizon=st.integers(0, 2), embargo=st.integers(0, 2))
def test_combinatorial_folds(rows, splits, horizon, embargo):
    ends = np.minimum(np.arange(rows) + horizon, rows - 1)
    count = np.zeros(rows, dtype=int)
    folds = list(combinatorial_splits(rows, num_splits=splits, num_test=2, horizon=horizon, embargo=embargo))
    assert len(folds) == math.comb(splits, 2)
    for train, test in folds:
        assert_no_leak(train, test, ends)
        count[test] += 1
        behind = [row for row in test if row + 1 < rows and row + 1 not in test]
        for row in behind:
            assert not set(range(row + 1, row + 1 + embargo)) & set(train.tolist())
    assert (count == num_paths(splits, 2)).all()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(20, 80),
    train=st.integers(1, 10),
    test=st.integers(1, 5),
    horizon=st.integers(0, 4),
    expanding=st.booleans(),
)
def test_walk_forward_never_looks_ahead(rows, train, test, horizon, expanding):
    folds = list(walk_forward(rows, train=train, test=test, horizon=horizon, expanding=expanding))
    ends = np.arange(rows) + horizon
    for a, b in folds:
        assert ends[a].max() < b.min()
        assert b.tolist() == list(range(b[0], b[0] + test))
        assert (a[0] == 0) if expanding else (len(a) == train)
    tested = np.concatenate([b for _, b in folds])
    assert len(np.unique(tested)) == len(tested)
    assert rows - tested[-1] - 1 < test


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: list(walk_forward(10, train=8, test=3)), ": 11 rows, the table has 10"),
        (lambda: list(walk_forward(10, train=0, test=3)), "train is a whole number of rows, at least 1, got 0"),
        (lambda: list(walk_forward(10, train=2, test=3, step=0)), "step is a whole number"),
        (lambda: list(purged_splits(10, num_splits=1)), "between 2 and the 10 rows, got 1"),
        (lambda: list(purged_splits(10, num_splits=2, horizon=9)), "leave no row to train on"),
        (lambda: list(purged_splits(4, num_splits=2, label_end=[0, 0, 2, 3])), "label_end of row 1 is 0"),
        (lambda: list(purged_splits(4, num_splits=2, label_end=[0, 1])), "label_end holds 4 row numbers"),
        (lambda: list(purged_splits(4, num_splits=2, horizon=1, label_end=[0, 1, 2, 3])), "not both"),
        (lambda: list(combinatorial_splits(20, num_splits=4, num_test=4)), "between 1 and num_splits - 1 = 3, got 4"),
    ],
)
def test_errors(call, message):
    with pytest.raises(EvaluationError, match=message):
        call()
