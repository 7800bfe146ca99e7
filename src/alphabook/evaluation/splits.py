"""Folds in which the past trains and the future tests, with what overlaps taken out.

A label of bar ``i`` that looks ``horizon`` bars ahead is known at bar ``i + horizon``. A training row whose label
reaches into the test rows has seen them: it is *purged*. Rows directly behind the test rows may carry their echo: they
are put under *embargo*. Taught in :doc:`/notebooks/backtests/trials`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import EvaluationError

Rows = NDArray[np.int64]
Fold = tuple[Rows, Rows]


def walk_forward(
    num_rows: int,
    *,
    train: int,
    test: int,
    step: int | None = None,
    horizon: int = 0,
    expanding: bool = False,
) -> Iterator[Fold]:
    """Train on the past, test on what follows, move on.

    Args:
        num_rows: rows of the table, in order of time.
        train, test: rows of a fold.
        step: rows from one fold to the next; ``None`` is ``test``, so that every row is tested once.
        horizon: bars that labels look ahead; so many rows between training and test are purged.
        expanding: keep all earlier rows in the training set instead of the last ``train``.

    Yields:
        Row numbers to train on and to test on.

    Raises:
        EvaluationError: sizes that make no fold.
    """
    _at_least("train", train, 1)
    _at_least("test", test, 1)
    _at_least("horizon", horizon, 0)
    step = test if step is None else step
    _at_least("step", step, 1)
    if train + horizon + test > num_rows:
        raise EvaluationError(
            f"train={train}, horizon={horizon}, test={test}: {train + horizon + test} rows, the table has {num_rows}"
        )
    for first in range(train + horizon, num_rows - test + 1, step):
        begin = 0 if expanding else first - horizon - train
        yield np.arange(begin, first - horizon), np.arange(first, first + test)


def purged_splits(
    num_rows: int, *, num_splits: int = 5, horizon: int = 0, label_end: ArrayLike | None = None, embargo: int = 0
) -> Iterator[Fold]:
    """Each of ``num_splits`` blocks is tested once; rows that know it are not trained on.

    Args:
        horizon: bars that every label looks ahead; or
        label_end: row at which each row's label is known, for labels of varying length (triple barrier).
        embargo: rows behind each test block that are left out as well.

    Raises:
        EvaluationError: fewer than two blocks, more blocks than rows, labels that end before they begin, or a fold
            without a row left to train on.
    """
    for chosen in range(_checked_splits(num_rows, num_splits)):
        yield _fold(num_rows, num_splits, (chosen,), _ends(num_rows, horizon, label_end), embargo)


def combinatorial_splits(
    num_rows: int,
    *,
    num_splits: int = 6,
    num_test: int = 2,
    horizon: int = 0,
    label_end: ArrayLike | None = None,
    embargo: int = 0,
) -> Iterator[Fold]:
    """Every choice of ``num_test`` blocks out of ``num_splits`` is tested once, purged on both sides of each block.

    The test predictions can be put together to ``num_paths(num_splits, num_test)`` whole histories.

    López de Prado (2018), chapter 12.
    """
    _checked_splits(num_rows, num_splits)
    if not 1 <= num_test < num_splits:
        raise EvaluationError(f"num_test is between 1 and num_splits - 1 = {num_splits - 1}, got {num_test}")
    ends = _ends(num_rows, horizon, label_end)
    for chosen in itertools.combinations(range(num_splits), num_test):
        yield _fold(num_rows, num_splits, chosen, ends, embargo)


def num_paths(num_splits: int, num_test: int) -> int:
    """Whole histories that the combinatorial test folds make: each block is tested in so many of them."""
    return math.comb(num_splits - 1, num_test - 1)


def _fold(num_rows: int, num_splits: int, chosen: tuple[int, ...], ends: Rows, embargo: int) -> Fold:
    _at_least("embargo", embargo, 0)
    borders = np.linspace(0, num_rows, num_splits + 1).round().astype(np.int64)
    rows = np.arange(num_rows)
    tested = np.zeros(num_rows, dtype=bool)
    known = np.zeros(num_rows, dtype=bool)  # rows that know something of a test block, or it of them
    for block in chosen:
        first, last = borders[block], borders[block + 1]
        tested[first:last] = True
        reach = int(ends[first:last].max())  # the last row that a test label looks at
        known |= (ends >= first) & (rows < last)
        known[first : min(reach + 1 + embargo, num_rows)] = True
    train = rows[~known & ~tested]
    if len(train) == 0:
        raise EvaluationError(
            f"test blocks {chosen} leave no row to train on: fewer num_splits, a shorter horizon or a smaller embargo"
        )
    return train, rows[tested]


def _ends(num_rows: int, horizon: int, label_end: ArrayLike | None) -> Rows:
    _at_least("horizon", horizon, 0)
    if label_end is None:
        return np.minimum(np.arange(num_rows) + horizon, num_rows - 1)
    if horizon:
        raise EvaluationError("give horizon or label_end, not both")
    ends = np.asarray(label_end)
    if ends.shape != (num_rows,) or not np.issubdtype(ends.dtype, np.integer):
        raise EvaluationError(f"label_end holds {num_rows} row numbers, got {ends.dtype} of shape {ends.shape}")
    early = np.flatnonzero(ends < np.arange(num_rows))
    if len(early):
        raise EvaluationError(
            f"label_end of row {early[0]} is {ends[early[0]]}: a label cannot be known before its row"
        )
    return np.minimum(ends, num_rows - 1).astype(np.int64)


def _checked_splits(num_rows: int, num_splits: int) -> int:
    if not 2 <= num_splits <= num_rows:
        raise EvaluationError(f"num_splits is between 2 and the {num_rows} rows, got {num_splits}")
    return num_splits


def _at_least(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise EvaluationError(f"{name} is a whole number of rows, at least {least}, got {value!r}")
