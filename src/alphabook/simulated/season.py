"""The hours of the week: when a market that never closes is busy."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# Shape of a UTC day, relative: volatility and volume of large coins 2021-10 .. 2024-12, averaged and rounded.
HOUR_VOLATILITY = np.array(
    [1.10, 1.09, 0.95, 0.90, 0.82, 0.83, 0.86, 0.86, 0.96, 0.88, 0.85, 0.85,
     1.06, 1.14, 1.24, 1.22, 1.12, 1.09, 1.05, 1.08, 1.06, 1.06, 0.98, 0.90]
)  # fmt: skip
HOUR_VOLUME = np.array(
    [1.00, 0.91, 0.80, 0.71, 0.68, 0.70, 0.75, 0.84, 0.92, 0.89, 0.89, 0.90,
     1.20, 1.40, 1.60, 1.52, 1.38, 1.20, 1.14, 1.07, 1.02, 0.88, 0.84, 0.79]
)  # fmt: skip
WEEKEND_VOLATILITY = 0.75
WEEKEND_VOLUME = 0.60


def seasonal_variance(open_time: pd.DatetimeIndex, hours: float) -> NDArray[np.float64]:
    """Variance of each bar relative to the weekly average, shape ``(bars,)``; exact mean over the bar."""
    return _mean_over(open_time, hours, _week(HOUR_VOLATILITY, WEEKEND_VOLATILITY) ** 2)


def seasonal_volume(open_time: pd.DatetimeIndex, hours: float) -> NDArray[np.float64]:
    """Volume of each bar relative to the weekly average, shape ``(bars,)``."""
    return _mean_over(open_time, hours, _week(HOUR_VOLUME, WEEKEND_VOLUME))


def _week(day: NDArray, weekend: float) -> NDArray:
    days = np.array([1, 1, 1, 1, 1, weekend, weekend])  # Monday first
    return (days[:, None] * day[None, :]).ravel()


def _mean_over(open_time: pd.DatetimeIndex, hours: float, profile: NDArray) -> NDArray:
    monday = pd.Timestamp("1970-01-05", tz="UTC")
    start = np.asarray((open_time - monday) / pd.Timedelta(hours=1), dtype=float)
    total = np.concatenate([[0.0], np.cumsum(profile / profile.mean())])

    def integral(t: NDArray) -> NDArray:
        weeks, rest = np.divmod(t, len(profile))
        return weeks * total[-1] + np.interp(rest, np.arange(len(total)), total)

    return (integral(start + hours) - integral(start)) / hours
