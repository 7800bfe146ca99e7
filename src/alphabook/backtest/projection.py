"""Caps that are kept: the nearest weights that respect them.

Taught in :doc:`/notebooks/backtests/portfolio`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def project_capped_simplex(weights: Floats, cap: float, *, total: float | None = None) -> Floats:
    """The nearest point (least squares) with every weight in [0, cap] and the given sum.

    Shifting all weights by one number and clipping them to [0, cap] gives the projection; the number is where the sum,
    a piecewise linear function of the shift, crosses ``total``. When even full caps do not reach ``total``, every
    weight is the cap and the rest stays cash.

    Args:
        weights: (assets,) or (rows, assets).
        cap: largest weight.
        total: sum to keep; ``None`` keeps each row's own.

    Michelot (1986) for the simplex; Wang and Lu (2015) with caps.
    """
    rows = np.atleast_2d(np.asarray(weights, dtype=float))
    wanted = rows.sum(axis=1) if total is None else np.full(len(rows), float(total))
    out = np.empty_like(rows)
    for i, (row, budget) in enumerate(zip(rows, wanted, strict=True)):
        out[i] = _project(row, cap, budget)
    return out.reshape(np.shape(weights))


def _project(row: Floats, cap: float, budget: float) -> Floats:
    if budget >= cap * len(row):
        return np.full(len(row), cap)
    if row.min() >= 0 and row.max() <= cap and abs(row.sum() - budget) < 1e-15:
        return row
    corners = np.sort(np.concatenate((-row, cap - row)))  # shifts at which a weight leaves 0 or reaches the cap
    sums = np.clip(row + corners[:, None], 0.0, cap).sum(axis=1)
    right = int(np.searchsorted(sums, budget, side="left"))
    right = min(max(right, 1), len(corners) - 1)
    left = right - 1
    gain = sums[right] - sums[left]
    share = (budget - sums[left]) / gain if gain > 0 else 0.0
    return np.clip(row + corners[left] + share * (corners[right] - corners[left]), 0.0, cap)
