"""Does a number of yesterday change when tomorrow does? Then it has seen tomorrow.

The audit runs a function on the whole data, then on data whose future was cut off, then on data whose future was
replaced, and compares the rows before. It needs to know nothing about the function.
Taught in :doc:`/notebooks/backtests/museum`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..candles import Interval, interval_of
from ..errors import EvaluationError, IntervalError, LookaheadError
from ._probes import Cut, shocked, truncated

Data = pd.DataFrame | pd.Series | np.ndarray | Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Leak:
    """A column that knew something too early.

    Attributes:
        column: of the function's output.
        first_row: label of the earliest row that changed.
        reach: bars that it looked beyond what it may know, at least.
        probe: ``"truncate"`` or ``"shock"``, whichever showed the longest reach.
        rows: distinct rows seen to change.
    """

    column: str
    first_row: Any
    reach: int
    probe: str
    rows: int


@dataclass(frozen=True)
class AuditReport:
    """What an audit found, and what it could have found.

    Attributes:
        leaks: one per column that leaks; empty when nothing was found.
        probes: runs on changed data that were compared.
        rows: rows of the data.
        skipped: probes on which the function raised, with the first message.
    """

    leaks: tuple[Leak, ...]
    probes: int
    cuts: int
    rows: int
    horizon: int
    skipped: int = 0
    first_error: str = field(default="", repr=False)

    @property
    def found(self) -> bool:
        """Whether anything leaks."""
        return bool(self.leaks)

    def power(self, share: float) -> float:
        """Probability of catching a leak one bar deep that touches this share of the rows, at random places."""
        return 1 - (1 - share) ** self.cuts

    @property
    def smallest_share(self) -> float:
        """Share of rows that a leak one bar deep must touch to be caught with a probability of 95 %."""
        return 1 - 0.05 ** (1 / self.cuts) if self.cuts else 1.0

    def raise_if_found(self) -> AuditReport:
        """The report itself when it is clean.

        Raises:
            LookaheadError: something leaks; the message is the report.
        """
        if self.found:
            raise LookaheadError(str(self))
        return self

    def to_frame(self) -> pd.DataFrame:
        """A row per leak."""
        return pd.DataFrame([vars(leak) for leak in self.leaks], columns=list(Leak.__dataclass_fields__))

    def __str__(self) -> str:
        tried = f"{self.probes} probes at {self.cuts} cuts of {self.rows:,} rows"
        if self.skipped:
            tried += f"; {self.skipped} probes raised ({self.first_error})"
        if not self.leaks:
            return (
                f"no look-ahead found in {tried}. A leak one bar deep in {self.smallest_share:.0%} of the rows would "
                "have been caught with a probability of 95 %; a rarer one may be there"
            )
        lines = [f"look-ahead in {len(self.leaks)} columns ({tried}):"]
        lines += [
            f"  {leak.column}: row {leak.first_row} knows at least {leak.reach} bar{'s' * (leak.reach != 1)} too much "
            f"({leak.probe}, {leak.rows} rows seen)"
            for leak in self.leaks
        ]
        return "\n".join(lines)


def audit_lookahead(
    fn: Callable[[Any], Any],
    data: Data,
    *,
    horizon: int = 0,
    fit_rows: int = 0,
    settle: int = 0,
    cuts: int = 24,
    rtol: float = 1e-9,
    seed: int = 0,
) -> AuditReport:
    """Find rows of ``fn(data)`` that depend on what they cannot know.

    Row ``t`` of the output may depend on bars up to ``t + horizon``. That is 0 for features, signals and equity, the
    label's horizon for labels, and -1 for a position that is held *during* bar ``t``.

    Args:
        fn: takes data of the same kind as ``data``; returns a Series, a table or an array with a row per row of the
            (first) table, or per time of it; or an iterable of ``(train, test)`` row numbers, audited as folds.
        data: a table in order of time, a Series, an array (time first), or several tables by name. Rows of candles are
            known at their close time, other tables with time stamps at their time stamp.
        fit_rows: rows that a scaler or model is openly fitted on; only what comes later is cut and shocked.
        settle: last rows of cut-off data that may differ: a backtest closes at the end what is still open, so audit its
            equity with 1.
        cuts: places at which the future is cut off and replaced, spread over the data at random.
        rtol: relative to the size of a column, differences up to here are rounding.

    Raises:
        EvaluationError: the output has other rows than the data, ``fn`` gives different results on the same data, or
            raises on every probe.
    """
    clock = Clock.of(data)
    if not 0 <= fit_rows < len(clock.bars) - 1:
        raise EvaluationError(f"fit_rows={fit_rows} leaves nothing to cut of {len(clock.bars)} bars")
    whole = fn(data)
    if _is_folds(whole):
        return _audit_folds(list(fn(data)), clock, horizon)
    full = _table(whole, data, clock)
    again = _table(fn(data), data, clock)
    if not _same(full.values, again.values, rtol).all():
        raise EvaluationError(
            "fn gives different results on the same data: pass a seeded generator in, or the audit would find only that"
        )
    places = _places(len(clock.bars), cuts, fit_rows, horizon, seed)
    found: dict[str, list[tuple[int, int, str]]] = {}
    probes = skipped = 0
    first_error = ""
    for number, place in enumerate(places):
        cut = Cut(clock.bars[place])
        for probe in ("truncate", "shock"):
            short = probe == "truncate"
            changed: Data = (
                truncated(data, cut, clock.known) if short else shocked(data, cut, clock.known, seed=seed + number)
            )
            try:
                part = _table(fn(changed), changed, Clock.of(changed, clock.interval))
            except EvaluationError:
                raise
            except Exception as error:  # a function may refuse short data; that is no leak, and it is counted
                skipped += 1
                first_error = first_error or f"{type(error).__name__}: {error}"
                continue
            probes += 1
            before = (
                place - horizon if probe == "shock" else min(place, place - horizon) - settle
            )  # cut rows are absent
            for column, row in _differences(full, part, clock, before, rtol):
                found.setdefault(column, []).append((row, place - horizon - row, probe))
    if probes == 0:
        raise EvaluationError(
            f"fn raised on every probe, first with {first_error}: give it more data than {len(clock.bars)} bars"
        )
    leaks = tuple(_leak(column, seen, clock) for column, seen in found.items())
    return AuditReport(leaks, probes, len(places), len(clock.bars), horizon, skipped, first_error)


@dataclass(frozen=True)
class Clock:
    """When the rows of some data are known: ``known`` per table and row, ``bars`` the distinct times of the first."""

    known: dict[str, np.ndarray]
    bars: np.ndarray
    labels: dict[Any, int]
    interval: dict[str, Any]

    @classmethod
    def of(cls, data: Data, interval: Mapping[str, Any] | None = None) -> Clock:
        """Close times of candles, time stamps of other tables, row numbers of the rest."""
        tables = data if isinstance(data, Mapping) else {"": data}
        known, lengths = {}, {}
        for name, table in tables.items():
            lengths[name] = _interval(table) if interval is None else interval[name]
            known[name] = _known(table, lengths[name])
        first = next(iter(known.values()))
        bars = np.unique(first)
        table = next(iter(tables.values()))
        labels: dict[Any, int] = {}
        if isinstance(table, pd.DataFrame | pd.Series):
            number = np.searchsorted(bars, first)
            stamps = table["open_time"] if isinstance(table, pd.DataFrame) and "open_time" in table else table.index
            labels = dict(zip(stamps, number.tolist(), strict=True))
        return cls(known, bars, labels, lengths)


@dataclass(frozen=True)
class _Table:
    """An output as numbers: values (rows, columns), the bar and a key of each row."""

    values: np.ndarray
    columns: list[str]
    bars: np.ndarray
    keys: list[Any]


def _interval(table: Any) -> Interval | None:
    if isinstance(table, pd.DataFrame) and "open_time" in table.columns and len(table) > 1:
        try:
            return interval_of(table)
        except IntervalError:
            return None
    return None


def _known(table: Any, interval: Interval | None) -> np.ndarray:
    if isinstance(table, pd.DataFrame) and "open_time" in table.columns:
        stamps = pd.DatetimeIndex(table["open_time"])
        if interval is not None:
            stamps = pd.DatetimeIndex(interval.close_times(stamps))
        return stamps.as_unit("ms").asi8
    if isinstance(table, pd.DataFrame | pd.Series) and isinstance(table.index, pd.DatetimeIndex):
        return table.index.as_unit("ms").asi8
    return np.arange(len(table))


def _table(output: Any, data: Data, clock: Clock) -> _Table:
    """Rows of an output with the bar each belongs to and a key that finds it again in another output."""
    table = next(iter(data.values())) if isinstance(data, Mapping) else data
    first = next(iter(clock.known.values()))
    if isinstance(output, pd.Series):
        output = output.to_frame(str(output.name) if output.name is not None else "value")
    if isinstance(output, pd.DataFrame):
        values = np.column_stack(
            [_numbers(output.iloc[:, j]) for j in range(output.shape[1])] or [np.empty(len(output))]
        )
        columns, index = [str(c) for c in output.columns], output.index
        if isinstance(index, pd.RangeIndex) or not isinstance(index, pd.DatetimeIndex):
            own = table.index if isinstance(table, pd.DataFrame | pd.Series) else pd.RangeIndex(len(first))
            rows = own.get_indexer(index) if own.is_unique else np.arange(len(index))
            if (rows < 0).any() or len(rows) > len(first):
                raise EvaluationError(_misfit(len(output), len(first)))
            stamps = table["open_time"] if isinstance(table, pd.DataFrame) and "open_time" in table else own
            names = [stamps.iloc[r] if isinstance(stamps, pd.Series) else stamps[int(r)] for r in rows]
            symbols = (
                table["symbol"].iloc[rows].tolist()
                if isinstance(table, pd.DataFrame) and "symbol" in table
                else [""] * len(rows)
            )
            return _Table(
                values, columns, np.searchsorted(clock.bars, first[rows]), list(zip(names, symbols, strict=True))
            )
        bars = np.array([clock.labels.get(label, -1) for label in index])
        if (bars < 0).any():
            raise EvaluationError(f"the output has a row {index[int(np.argmax(bars < 0))]} that the data do not have")
        count = (
            pd.Series(1, index=index).groupby(level=0).cumsum().tolist() if index.has_duplicates else [""] * len(index)
        )
        return _Table(values, columns, bars, list(zip(index, count, strict=True)))
    values = np.asarray(output, dtype=float)
    if values.ndim == 0 or len(values) != len(first):
        raise EvaluationError(_misfit(values.shape[0] if values.ndim else 1, len(first)))
    flat = values.reshape(len(values), -1)
    keys = (
        [(row, "") for row in range(len(flat))]
        if not clock.labels
        else list(zip(clock.labels, [""] * len(flat), strict=False))
    )
    if len(keys) != len(flat):
        keys = [(row, "") for row in range(len(flat))]
    columns = [f"column {j}" for j in range(flat.shape[1])] if flat.shape[1] > 1 else ["value"]
    return _Table(flat, columns, np.searchsorted(clock.bars, first), keys)


def _misfit(got: int, expected: int) -> str:
    return f"the output has {got} rows for {expected} rows of data: return one row per row, or keep the index"


def _numbers(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_datetime64_any_dtype(column):
        return column.astype("int64").to_numpy(dtype=float)
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=float, na_value=np.nan)
    return np.array([hash(value) % 2**31 for value in column], dtype=float)


def _same(one: np.ndarray, other: np.ndarray, rtol: float) -> np.ndarray:
    if one.shape != other.shape:
        return np.zeros(1, dtype=bool)
    with np.errstate(invalid="ignore"):
        size = np.nanmax(np.abs(np.where(np.isfinite(one), one, np.nan)), axis=0, initial=0.0) if len(one) else 0.0
        close = np.abs(one - other) <= rtol * np.maximum(np.abs(one), 1e-3 * size)
    return close | (one == other) | (np.isnan(one) & np.isnan(other))


def _differences(full: _Table, part: _Table, clock: Clock, before: int, rtol: float) -> list[tuple[str, int]]:
    """Column and bar of every row before bar ``before`` that differs, or is missing, in ``part``."""
    rows = np.flatnonzero(full.bars < before)
    place = {key: row for row, key in enumerate(part.keys)}
    other = np.full((len(rows), len(full.columns)), np.nan)
    missing = np.zeros(len(rows), dtype=bool)
    names = {name: j for j, name in enumerate(part.columns)}
    at = np.array([place.get(full.keys[row], -1) for row in rows], dtype=int)
    missing = at < 0
    for j, name in enumerate(full.columns):
        if name in names and len(part.values):
            other[:, j] = part.values[np.maximum(at, 0), names[name]]
    same = _same(full.values[rows], other, rtol) if len(rows) else np.ones((0, len(full.columns)), dtype=bool)
    same &= ~missing[:, None]
    return [(name, int(full.bars[rows[k]])) for j, name in enumerate(full.columns) for k in np.flatnonzero(~same[:, j])]


def _places(bars: int, cuts: int, fit_rows: int, horizon: int, seed: int) -> list[int]:
    """Bars from which on the future is taken away: one at random in each of ``cuts`` stretches."""
    first = max(fit_rows, min(bars // 4, bars - 2), horizon + 1, 1)
    if first >= bars:
        raise EvaluationError(f"{bars} bars leave nothing to compare with fit_rows={fit_rows} and horizon={horizon}")
    rng = np.random.default_rng(seed)
    edges = np.linspace(first, bars, min(cuts, bars - first) + 1)
    return sorted(
        {int(rng.integers(math.floor(a), max(math.floor(a) + 1, math.floor(b)))) for a, b in itertools.pairwise(edges)}
    )


def _leak(column: str, seen: list[tuple[int, int, str]], clock: Clock) -> Leak:
    reach, probe = max((reach, probe) for _, reach, probe in seen)
    first = min(row for row, _, _ in seen)
    label = next((name for name, bar in clock.labels.items() if bar == first), first)
    return Leak(column, label, reach, probe, len({row for row, _, _ in seen}))


def _is_folds(output: Any) -> bool:
    if isinstance(output, pd.DataFrame | pd.Series | np.ndarray) or not isinstance(output, Iterable):
        return False
    if not isinstance(output, list | tuple):
        return True  # a generator of folds
    return bool(output) and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in output)


def _audit_folds(folds: list[tuple[Any, Any]], clock: Clock, horizon: int) -> AuditReport:
    """A training label may not look at a test bar, nor a test label at a training bar."""
    leaks = []
    for number, (train, test) in enumerate(folds):
        train, test = np.asarray(train, dtype=int), np.asarray(test, dtype=int)
        tested = np.zeros(len(clock.bars) + max(horizon, 0) + 1, dtype=bool)
        for ahead in range(max(horizon, 0) + 1):
            tested[test + ahead] = True  # bars that a test label looks at
        own = np.zeros_like(tested)
        own[test] = True
        reach = np.zeros(len(train), dtype=int)
        for ahead in range(max(horizon, 0) + 1):
            reach = np.where(own[train + ahead], np.maximum(reach, ahead + 1), reach)
        reach = np.maximum(reach, tested[train])
        if reach.any():
            bad = train[reach > 0]
            leaks.append(Leak(f"fold {number}", int(bad.min()), int(reach.max()), "overlap", len(bad)))
    return AuditReport(tuple(leaks), len(folds), len(folds), len(clock.bars), horizon)
