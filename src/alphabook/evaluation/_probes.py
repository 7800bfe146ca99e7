"""Two ways of taking the future away: cut it off, or replace it by another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Cut:
    """What is known at ``time`` or later is the future."""

    time: Any


def truncated(data: Any, cut: Cut, known: Mapping[str, np.ndarray]) -> Any:
    """The data as they were before the cut; positions and attributes kept."""
    if isinstance(data, Mapping):
        return {name: _head(table, known[name] < cut.time) for name, table in data.items()}
    return _head(data, known[""] < cut.time)


def shocked(data: Any, cut: Cut, known: Mapping[str, np.ndarray], *, seed: int) -> Any:
    """The same rows with another future: every number at or after the cut is replaced.

    A candle takes another level and the shape of another bar, so that it stays a candle; other columns are scaled,
    shifted and shuffled, so that a function of their order, size or sign changes.
    """
    rng = np.random.default_rng(seed)
    if isinstance(data, Mapping):
        return {name: _shock(table, known[name] >= cut.time, rng) for name, table in data.items()}
    return _shock(data, known[""] >= cut.time, rng)


def _head(table: Any, past: np.ndarray) -> Any:
    if isinstance(table, np.ndarray):
        return table[past].copy()
    head = table[past]
    if isinstance(table.index, pd.RangeIndex):
        head = head.reset_index(drop=True)
    head = head.copy()
    head.attrs = dict(table.attrs)
    return head


def _shock(table: Any, future: np.ndarray, rng: np.random.Generator) -> Any:
    out = table.copy()
    count = int(future.sum())
    if isinstance(table, np.ndarray):
        out = out.astype(float) if not np.issubdtype(out.dtype, np.floating) else out
        out[future] = _other(out[future].reshape(count, -1), rng).reshape(out[future].shape)
        return out
    if isinstance(table, pd.Series):
        out = out.astype(float) if pd.api.types.is_integer_dtype(out) else out
        out.iloc[np.flatnonzero(future)] = _other_column(table[future], rng)
        return out
    rows = np.flatnonzero(future)
    model = rng.integers(0, len(table), count)  # another bar, whose shape this one takes
    drift = np.exp(rng.normal(0, 0.5, count))
    for name in table.columns:
        if name in ("open_time", "symbol", "ts", "date", "asset"):
            continue
        column = table[name]
        if name in PRICES and "close" in table.columns:
            shape = (column / table["close"]).to_numpy(dtype=float)[model]
            out[name] = column.astype(float)
            out.iloc[rows, out.columns.get_loc(name)] = table["close"].to_numpy(dtype=float)[rows] * drift * shape
        else:
            if pd.api.types.is_integer_dtype(column):
                out[name] = column.astype(float)
            out.iloc[rows, out.columns.get_loc(name)] = _other_column(column.iloc[rows], rng)
    out.attrs = dict(table.attrs)
    return out


def _other_column(column: pd.Series, rng: np.random.Generator) -> Any:
    if pd.api.types.is_bool_dtype(column):
        return ~column.to_numpy(dtype=bool)
    if pd.api.types.is_numeric_dtype(column):
        return _other(column.to_numpy(dtype=float).reshape(-1, 1), rng).ravel()
    return rng.permutation(column.to_numpy())


def _other(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other numbers of the same kind: positive stay positive, NaN stay NaN."""
    positive = np.nanmin(values, axis=0, initial=np.inf) > 0
    factor = np.exp(rng.normal(0, 0.7, values.shape))
    filled = np.nan_to_num(values)
    scale = filled.std(axis=0) if len(values) > 1 else np.abs(filled[0])
    scale = np.where(scale > 0, scale, 1.0)
    return np.where(positive, values * factor, -values + scale * rng.normal(0, 1, values.shape))
