"""The book's own ledgers: every backtest that a chapter runs is written down, and a holdout opens once.

``setup("costs")`` opens a chapter's ledgers. From then on each backtest and sweep of the process is a trial of the
study ``costs``, or of the one named around it::

    with study("costs.momentum") as ledger:
        result = backtest_signals(candles, signals)
    ledger.count("costs.momentum")

A build collects them in ``$ALPHABOOK_LEDGER_DIR``; elsewhere they live as long as the process. Taught in
:doc:`/notebooks/backtests/trials`.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EvaluationError
from ._page import PAGE

if TYPE_CHECKING:
    from ..backtest.watch import Run
    from ..evaluation import HoldoutLedger, TrialLedger

LEDGER_DIR = "ALPHABOOK_LEDGER_DIR"
STUDY = re.compile(r"[a-z][a-z0-9]*([-_.][a-z0-9]+)*")

_ledger: TrialLedger | None = None
_studies: list[str] = []


def open_ledgers() -> None:
    """Start the ledgers of the chapter whose page is open, and watch all backtests; :func:`setup` calls it."""
    global _ledger
    from ..backtest.watch import watch
    from ..evaluation import TrialLedger

    for kind in ("trials", "looks"):
        _file(kind).unlink(missing_ok=True)
    if _ledger is None:
        watch(_write)
    _ledger = TrialLedger(_file("trials"), durable=False)
    _studies.clear()


@contextmanager
def study(name: str) -> Iterator[TrialLedger]:
    """Backtests inside are trials of the study ``name``.

    Args:
        name: lower-case words joined by ``.`` or ``-``, the chapter's slug first: ``"costs.momentum"``.

    Raises:
        EvaluationError: the name is not of that form.
    """
    if not STUDY.fullmatch(name):
        raise EvaluationError(f"study {name!r}: write the chapter's slug, a dot and lower-case words: 'costs.momentum'")
    if _ledger is None:
        open_ledgers()
    assert _ledger is not None
    _studies.append(name)
    try:
        yield _ledger
    finally:
        _studies.pop()


def holdout_ledger() -> HoldoutLedger:
    """The book's holdouts. The same candles opened twice, in one chapter or in two, fail the build."""
    from ..evaluation import HoldoutLedger

    return HoldoutLedger(_file("looks"))


def _write(runs: Sequence[Run]) -> None:
    if _ledger is not None:
        _ledger.record_runs(runs, study=_studies[-1] if _studies else PAGE.chapter or "unnamed")


def _file(kind: str) -> Path:
    return Path(os.environ.get(LEDGER_DIR) or _own_folder()) / f"{PAGE.chapter or 'unnamed'}.{kind}.jsonl"


@cache
def _own_folder() -> str:
    folder = tempfile.TemporaryDirectory(prefix="ledgers-")
    _kept.append(folder)
    return folder.name


_kept: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends
