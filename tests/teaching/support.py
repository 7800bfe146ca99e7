"""``assert_exercise``: proof that a check accepts right answers and rejects wrong ones, each by its own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alphabook.teaching.checks import evaluate, find_exercise


def assert_exercise(exercise_id: str, *, right: Sequence[Any], wrong: Mapping[str, Any]) -> None:
    """Every answer in ``right`` passes; each in ``wrong`` is rejected with a message that holds its key.

    Two right answers at least, written differently, and three wrong ones whose messages all differ. A stub
    is "not done", neither right nor wrong.
    """
    assert find_exercise(exercise_id) is not None, f"no exercise {exercise_id!r} is registered"
    assert len(right) >= 2, f"{exercise_id}: give at least two right answers written differently, got {len(right)}"
    assert len(wrong) >= 3, f"{exercise_id}: give at least three planted wrong answers, got {len(wrong)}"

    for number, answer in enumerate(right, start=1):
        result = evaluate(exercise_id, answer)
        assert result.status == "passed", f"{exercise_id}: right answer {number} is rejected: {result.message}"

    messages = {}
    for expected, answer in wrong.items():
        result = evaluate(exercise_id, answer)
        assert result.status in ("wrong", "error"), (
            f"{exercise_id}: the wrong answer {expected!r} counts as {result.status}"
        )
        assert expected in result.message, (
            f"{exercise_id}: expected {expected!r} in the diagnosis, got: {result.message}"
        )
        messages[expected] = result.message
    same = len(messages) - len(set(messages.values()))
    assert not same, f"{exercise_id}: {same} of the wrong answers share a message with another: {messages}"

    for unfinished in (None, Ellipsis, _not_written, _empty):
        assert evaluate(exercise_id, unfinished).status == "not done", (
            f"{exercise_id}: {unfinished!r} is not 'not done'"
        )


def _not_written(*args: Any, **kwargs: Any) -> None:
    raise NotImplementedError


def _empty(*args: Any, **kwargs: Any) -> None: ...
