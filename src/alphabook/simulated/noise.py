"""The unpredictable part of a market: clustered shocks, step by step, for the factor and for each asset."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .garch import Clustering, clustered, mixing

HOURS_PER_YEAR = 24 * 365
HOURS_PER_MONTH = HOURS_PER_YEAR / 12


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How bars are cut: a bar into ``blocks`` of at most an hour, a block into ``per_block`` steps.

    Shocks come once per block. A day is built from 24 hours, so that its returns inherit the
    clustering and the tails that hourly ones were calibrated to.
    """

    bars: int
    hours: float
    blocks: int
    per_block: int

    @classmethod
    def of(cls, bars: int, hours: float, substeps: int) -> Grid:
        """The grid for bars of ``hours``; ``substeps`` is the least number of steps in a bar."""
        blocks = max(1, round(hours))
        return cls(bars=bars, hours=hours, blocks=blocks, per_block=max(1, math.ceil(substeps / blocks)))

    @property
    def steps(self) -> int:
        """Steps in a bar."""
        return self.blocks * self.per_block

    @property
    def block_hours(self) -> float:
        """Length of a block in hours."""
        return self.hours / self.blocks


@dataclass(frozen=True)
class Noise:
    """Moves of one series, of variance one per block on average.

    Attributes:
        steps: moves, shape ``(bars, blocks, per_block)``.
        known: variance of each block given the blocks before it, shape ``(bars, blocks)``.
        actual: the same once the size of the block's own shock is drawn; Gaussian steps have this variance.
    """

    steps: NDArray[np.float64]
    known: NDArray[np.float64]
    actual: NDArray[np.float64]


def draw_noise(rng: np.random.Generator, grid: Grid, clustering: Clustering) -> Noise:
    """Shocks of one series; a Student-t shock is a Gaussian path whose variance is itself random."""
    normal_rng, mixing_rng = rng.spawn(2)
    shape = (grid.bars, grid.blocks)
    normal = normal_rng.standard_normal((*shape, grid.per_block)) / np.sqrt(grid.per_block)
    size = mixing(mixing_rng, grid.bars * grid.blocks, clustering.degrees)
    shock = normal.sum(axis=2).ravel() * np.sqrt(size)
    known = clustered(shock, clustering, grid.block_hours)
    actual = known * size
    return Noise(
        steps=normal * np.sqrt(actual).reshape(*shape, 1),
        known=known.reshape(shape),
        actual=actual.reshape(shape),
    )


def activity(rng: np.random.Generator, intensity: NDArray, hours: float) -> NDArray[np.float64]:
    """Volume of each bar relative to its level, shape ``(bars,)``.

    It rises with the size of the bar's moves, wanders slowly (half-life of 150 hours), and is noisy.
    """
    keep = 0.5 ** (hours / 150.0)
    kick = np.sqrt(1.0 - keep * keep)
    level, wander = 0.0, []
    for slow, fast in rng.standard_normal((len(intensity), 2)).tolist():
        level = keep * level + kick * slow
        wander.append(0.55 * level + 0.30 * fast)
    return intensity**1.3 * np.exp(np.array(wander) - 0.5 * (0.55**2 + 0.30**2))
