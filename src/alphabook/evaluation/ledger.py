"""Two books that cannot be cooked: how many things were tried, and who has looked at the holdout.

Both are append-only files of one JSON object a line, written whole or not at all, so that they survive a crash and can
be read by anybody. Taught in :doc:`/notebooks/backtests/trials`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import EvaluationError, HoldoutError

if TYPE_CHECKING:
    from ..backtest import BacktestResult
    from ..backtest.watch import Run


@dataclass(frozen=True)
class Trial:
    """One line of the ledger: what was tried, and its Sharpe ratio per bar, net of costs."""

    study: str
    config: str
    data: str
    sharpe: float
    bars: int


class TrialLedger:
    """Every backtest that was run, by the digests of its configuration and its data.

    The same configuration on the same data is one trial, however often it runs. The file only grows.

    Args:
        path: where the ledger lives; it is made when the first trial is written.
        durable: whether a trial is on the disk, and not only handed to the system, when it is recorded.

    Raises:
        EvaluationError: the file holds a line that is no trial; the message names it.
    """

    def __init__(self, path: str | Path, *, durable: bool = True) -> None:
        self.path = Path(path)
        self.durable = durable
        self._trials: dict[tuple[str, str, str], Trial] = {}
        self._read_to = _Place()
        self._refresh()

    def record(self, result: BacktestResult, *, study: str, variant: str = "") -> Trial:
        """Write one backtest down; ``variant`` names what the configuration does not, as a signal's parameters.

        Returns:
            The trial, new or as it stands in the ledger already.
        """
        if not study:
            raise EvaluationError("study names the question that the trials belong to, got an empty one")
        returns = result.returns.to_numpy()
        spread = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
        sharpe = float(returns.mean()) / spread if spread > 1e-14 else 0.0
        config = f"{result.config.digest}/{variant}" if variant else result.config.digest
        return self._add([Trial(study, config, data_digest(result.candles), sharpe, len(returns))])[0]

    def record_runs(self, runs: Sequence[Run], *, study: str) -> list[Trial]:
        """Write down what :func:`alphabook.backtest.watch.watch` tells, in one piece.

        A run's configuration includes the digest of its signals or weights, so other signals are another trial.
        """
        if not study:
            raise EvaluationError("study names the question that the trials belong to, got an empty one")
        data = {id(run.data): run.data for run in runs}
        digests = {key: data_digest(table) for key, table in data.items()}
        return self._add(
            [
                Trial(
                    study, f"{run.config.digest}/{_digest(run.decisions)}", digests[id(run.data)], run.sharpe, run.bars
                )
                for run in runs
            ]
        )

    def _add(self, trials: Sequence[Trial]) -> list[Trial]:
        self._refresh()
        new = {(t.study, t.config, t.data): t for t in trials}
        rows = [vars(trial) for key, trial in new.items() if key not in self._trials]
        if rows:
            _append(self.path, rows, durable=self.durable)
            self._refresh()
        return [self._trials[t.study, t.config, t.data] for t in trials]

    def count(self, study: str | None = None) -> int:
        """Distinct trials, of one study or of all."""
        self._refresh()
        return sum(study in (None, trial.study) for trial in self._trials.values())

    def sharpes(self, study: str) -> list[float]:
        """Sharpe ratios per bar of the trials of a study, in the order in which they were first run."""
        self._refresh()
        return [trial.sharpe for trial in self._trials.values() if trial.study == study]

    def to_frame(self) -> pd.DataFrame:
        """A row per trial."""
        self._refresh()
        return pd.DataFrame([vars(t) for t in self._trials.values()], columns=list(Trial.__dataclass_fields__))

    def _refresh(self) -> None:
        for number, row in _lines(self.path, self._read_to):
            try:
                trial = Trial(**row)
                sound = math.isfinite(trial.sharpe)
            except TypeError:
                sound = False
            if not sound:
                raise EvaluationError(f"line {number} of {self.path.name} is no trial: {row}; nobody edits a ledger")
            self._trials.setdefault((trial.study, trial.config, trial.data), trial)

    def __len__(self) -> int:
        return self.count()


class HoldoutLedger:
    """A holdout that opens once. A second look, by the same study or another, is an error.

    What is looked at twice is no longer a holdout: whatever the first look changed was fitted to it.

    Args:
        path: where the looks are written down.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @contextmanager
    def open(self, holdout: pd.DataFrame, *, study: str, reason: str) -> Iterator[pd.DataFrame]:
        """Write the look down, then hand the holdout out.

        The look counts from the moment it is written, even when what follows crashes.

        Raises:
            HoldoutError: these candles were looked at before; the message says when and why.
        """
        if not study or not reason:
            raise EvaluationError("a look at the holdout has a study and a reason; one of them is empty")
        name = data_digest(holdout)
        for look in self.looks(holdout):
            raise HoldoutError(
                f"this holdout was opened on {look['when']} by {look['study']!r} ({look['reason']}): a second look "
                "would make it training data. Take later candles, or state the result of the first look"
            )
        when = datetime.now(UTC).isoformat(timespec="seconds")
        _append(self.path, [{"holdout": name, "study": study, "reason": reason, "when": when}])
        yield holdout

    def looks(self, holdout: pd.DataFrame) -> list[dict[str, Any]]:
        """The looks at these candles so far."""
        name = data_digest(holdout)
        return [row for _, row in _lines(self.path, _Place()) if row.get("holdout") == name]


def data_digest(table: pd.DataFrame) -> str:
    """Twelve hexadecimal digits over a table's rows, index and columns."""
    state = hashlib.sha256("|".join(map(str, table.columns)).encode())
    state.update(pd.util.hash_pandas_object(table, index=True).to_numpy().tobytes())
    return state.hexdigest()[:12]


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:12]


def _append(path: Path, rows: Sequence[dict[str, Any]], *, durable: bool = True) -> None:
    """A line per row, in one write; processes that append at once keep their lines whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a crash tore the last line: it never was one
            whole = path.read_bytes()
            os.ftruncate(descriptor, whole.rfind(b"\n") + 1)
        os.write(descriptor, lines)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass
class _Place:
    """How far a ledger has been read: lines and bytes."""

    lines: int = 0
    bytes: int = 0


def _lines(path: Path, place: _Place) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and content from ``place`` on, which moves; a torn last line, left by a crash, is not a line yet."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(place.bytes)
        text = file.read()
    for line in text[: text.rfind(b"\n") + 1].splitlines(keepends=True):
        place.lines += 1
        place.bytes += len(line)
        try:
            row = json.loads(line)
        except ValueError:
            raise EvaluationError(f"line {place.lines} of {path.name} is no JSON: {line[:60]!r}") from None
        yield place.lines, row
