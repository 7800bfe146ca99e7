"""Exercise checks that diagnose: each says what is wrong with *this* answer and what to do about it.

A chapter's author registers a check in ``exercises/<prefix>.py``::

    @exercise("bars.asof", kind="implement", difficulty=3, minutes=15)
    def check_asof(answer):
        \"\"\"Merge a coarse table into a fine one without seeing the future.\"\"\"
        if answer(fine, coarse)["close_1h"].iloc[3] == 12.0:
            raise Wrong("row 3 sees the 11:00 bar, which closes at 12:00: merge on close time, not open time")

and the reader calls ``check("bars.asof", my_function)``. A check never raises in the reader's notebook.
"""

from __future__ import annotations

import difflib
import dis
import importlib
import importlib.util
import linecache
import math
import pkgutil
import sysconfig
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any

import pandas as pd

from ._page import KEY, emit, escape, in_notebook

KINDS = ("predict", "implement", "bug", "measure", "stretch")
_ALIASES = {"find the bug": "bug", "find-the-bug": "bug", "find_the_bug": "bug", "implement + check": "implement"}
_PACKAGE = Path(__file__).parents[1]
_FOREIGN = tuple(sysconfig.get_paths()[p] for p in ("stdlib", "platstdlib", "purelib", "platlib"))


class Wrong(Exception):
    """What a check raises to reject an answer; the message is the diagnosis the reader sees."""


def one_number(value: Any, what: str) -> float:
    """A reader's answer as a finite number, or :class:`Wrong`; ``what`` names it in the message."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise Wrong(f"{what} is one number, got {type(value).__name__}") from None
    if not math.isfinite(number):
        raise Wrong(f"{what} is {number}: not a number to go on with")
    return number


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A registered exercise: its card and its check."""

    id: str
    kind: str
    difficulty: int
    minutes: int
    title: str
    check: Callable[[Any], None] = field(repr=False)

    @property
    def card(self) -> str:
        """``implement, difficulty 3 of 5, 15 minutes``."""
        kind = "find the bug" if self.kind == "bug" else self.kind
        return f"{kind}, difficulty {self.difficulty} of 5, {self.minutes} minutes"


@dataclass(frozen=True)
class CheckResult:
    """What a check found. True only when the answer passed.

    Attributes:
        status: ``"passed"``, ``"wrong"`` (the check rejects it), ``"error"`` (the answer raised),
            ``"not done"`` or ``"unknown"`` (no such exercise).
    """

    exercise: str
    status: str
    message: str

    def __bool__(self) -> bool:
        return self.status == "passed"

    def __str__(self) -> str:
        return f"{_MARKS[self.status]} {self.exercise}: {self.message}"

    def show(self) -> None:
        """Put the result on the page, or print it outside a notebook."""
        if not in_notebook():
            print(self)
            return
        css = f"ab-check ab-check-{self.status.replace(' ', '-')}"
        head, *rest = self.message.split("\n")
        more = "".join(f"<br>{escape(line)}" for line in rest)
        emit(
            {
                "text/plain": str(self),
                "text/html": f'<div class="{css}"><span class="ab-mark">{_MARKS[self.status]}</span> '
                f"<code>{escape(self.exercise)}</code> {escape(head)}{more}</div>",
            }
        )

    def _ipython_display_(self) -> None:
        """Nothing: ``check`` has shown it already, with or without a semicolon behind the call."""


_MARKS = {"passed": "✓", "wrong": "✗", "error": "✗", "not done": "○", "unknown": "?"}
_REGISTRY: dict[str, Exercise] = {}


def check(exercise_id: str, answer: object) -> CheckResult:
    """Check the reader's answer, show what was found, and return it; never raises on a wrong answer."""
    result = evaluate(exercise_id, answer)
    result.show()
    return result


def exercise(
    exercise_id: str, *, kind: str, difficulty: int, minutes: int, title: str | None = None
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register the decorated function as the check of an exercise; its docstring's first line is the title.

    Raises:
        ValueError: the id, kind, difficulty (1 to 5) or minutes make no sense, or the id is taken.
    """
    kind = _ALIASES.get(kind, kind)
    if not KEY.fullmatch(exercise_id):
        raise ValueError(f"exercise id {exercise_id!r}: write the chapter's prefix, a dot and words, like 'bars.asof'")
    if kind not in KINDS:
        raise ValueError(f"exercise {exercise_id}: kind is one of {', '.join(KINDS)}, got {kind!r}")
    if difficulty not in range(1, 6):
        raise ValueError(f"exercise {exercise_id}: difficulty is 1 to 5, got {difficulty!r}")
    if minutes < 1:
        raise ValueError(f"exercise {exercise_id}: minutes is at least 1, got {minutes!r}")

    def register(function: Callable[[Any], None]) -> Callable[[Any], None]:
        known = _REGISTRY.get(exercise_id)
        if known is not None and _origin(known.check) != _origin(function):
            raise ValueError(f"exercise {exercise_id} is registered twice: {_origin(known.check)}, {_origin(function)}")
        heading = title or (function.__doc__ or exercise_id).strip().splitlines()[0].rstrip(".")
        _REGISTRY[exercise_id] = Exercise(
            id=exercise_id, kind=kind, difficulty=difficulty, minutes=minutes, title=heading, check=function
        )
        return function

    return register


def evaluate(exercise_id: str, answer: object) -> CheckResult:
    """:func:`check` without showing anything."""
    found = find_exercise(exercise_id)
    if found is None:
        return CheckResult(exercise_id, "unknown", _unknown(exercise_id))
    todo = CheckResult(exercise_id, "not done", f"not done yet ({found.card})")
    if answer is None or answer is Ellipsis or _is_stub(answer):
        return todo
    try:
        found.check(answer)
    except Wrong as wrong:
        return CheckResult(exercise_id, "wrong", str(wrong))
    except NotImplementedError:
        return todo
    except Exception as error:
        return _explain(found, error)
    return CheckResult(exercise_id, "passed", "passed")


def find_exercise(exercise_id: str) -> Exercise | None:
    """The registered exercise, its module loaded on the way; ``None`` when there is none of that id."""
    prefix = exercise_id.partition(".")[0]
    module = f"{__package__}.exercises.{prefix}"
    if exercise_id not in _REGISTRY and prefix.isidentifier() and importlib.util.find_spec(module) is not None:
        importlib.import_module(module)
    return _REGISTRY.get(exercise_id)


def exercise_index() -> pd.DataFrame:
    """All exercises with a check: columns id, title, kind, difficulty, minutes; sorted by id."""
    from . import exercises

    for module in pkgutil.iter_modules(exercises.__path__):
        importlib.import_module(f"{exercises.__name__}.{module.name}")
    columns = ["id", "title", "kind", "difficulty", "minutes"]
    rows = [[getattr(item, column) for column in columns] for _, item in sorted(_REGISTRY.items())]
    return pd.DataFrame(rows, columns=columns)


def _explain(found: Exercise, error: Exception) -> CheckResult:
    """Name the reader's own line where there is one; an assertion of the check itself is a diagnosis."""
    line = _readers_line(error, found.check)
    if line is None and isinstance(error, AssertionError):
        return CheckResult(found.id, "wrong", str(error).strip() or "an assertion of the check does not hold")
    what = "".join(traceback.format_exception_only(error)).strip()
    if line is None:
        return CheckResult(found.id, "error", f"the check could not use your answer: {what}")
    number, code = line
    where = f"in line {number} of your code" + (f", `{code}`" if code else "")
    return CheckResult(found.id, "error", f"your answer raised {what}\n{where}")


def _readers_line(error: BaseException, check_function: Callable[..., Any]) -> tuple[int, str] | None:
    """Number and text of the innermost line that is not ours, not the check's, not a library's."""
    found = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        foreign = Path(file).is_relative_to(_PACKAGE) or file.startswith((*_FOREIGN, "<frozen"))
        if not foreign and frame.f_code is not getattr(check_function, "__code__", None):
            found = number, linecache.getline(file, number, frame.f_globals).strip()
    return found


_STUB_OPS = {"RESUME", "NOP", "RETURN_CONST", "LOAD_CONST", "RETURN_VALUE", "POP_TOP", "COPY_FREE_VARS"}


def _is_stub(answer: object) -> bool:
    """Whether a function's body is only a docstring, ``pass`` or ``...``."""
    if not isinstance(answer, FunctionType):
        return False
    steps = list(dis.get_instructions(answer))
    consts = [s.argval for s in steps if s.opname in ("LOAD_CONST", "RETURN_CONST")]
    return all(s.opname in _STUB_OPS for s in steps) and all(c is None or c is Ellipsis for c in consts)


def _unknown(exercise_id: str) -> str:
    known = exercise_index()["id"].tolist()
    close = difflib.get_close_matches(exercise_id, known, n=1)
    return "there is no such exercise" + (f"; did you mean `{close[0]}`?" if close else "")


def _origin(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
