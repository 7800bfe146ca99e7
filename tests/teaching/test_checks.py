"""Checks diagnose: right answers pass, wrong ones learn why, and a reader's notebook never stops."""

from __future__ import annotations

import numpy as np
import pytest
from support import assert_exercise

from alphabook.teaching import Wrong, check, exercise, exercise_index
from alphabook.teaching.checks import KINDS, evaluate, find_exercise


@pytest.fixture
def double(registry):
    @exercise("demo.double", kind="implement", difficulty=2, minutes=5)
    def check_double(answer):
        """Twice a number.

        More words.
        """
        if answer(0) != 0:
            raise Wrong("zero doubled is `0`: multiply, do not add")
        if answer(-3) != -6:
            raise Wrong("negative numbers double as well")
        np.testing.assert_allclose(answer(np.array([1.0, 2.0])), [2, 4], err_msg="arrays double element by element")

    return "demo.double"


def test_right_answers_pass_and_count_as_true(double):
    assert check(double, lambda x: 2 * x)
    assert evaluate(double, lambda x: x + x).status == "passed"


def test_a_wrong_answer_gets_its_own_diagnosis(double, capsys):
    result = check(double, lambda x: x + 2)
    assert not result
    assert result.status == "wrong"
    assert capsys.readouterr().out == "✗ demo.double: zero doubled is `0`: multiply, do not add\n"
    assert evaluate(double, abs).message == "negative numbers double as well"


def test_an_assertion_of_the_check_is_a_diagnosis_too(double):
    result = evaluate(double, lambda x: 2 * x if np.isscalar(x) else 2 * x[::-1])
    assert result.status == "wrong"
    assert "element by element" in result.message


def test_an_assertion_of_the_reader_is_the_readers_error(double):
    def mine(x):
        assert x > 0, "positive only"
        return 2 * x

    result = evaluate(double, mine)
    assert result.status == "error"
    assert "AssertionError: positive only" in result.message
    assert "assert x > 0" in result.message


def test_an_exception_names_the_readers_line(double):
    def helper(x):
        return {}["close_time"]

    def mine(x):
        return helper(x)

    result = evaluate(double, mine)
    line = helper.__code__.co_firstlineno + 1
    assert result.status == "error"
    assert (
        result.message
        == f"""your answer raised KeyError: 'close_time'\nin line {line} of your code, `return {{}}["close_time"]`"""
    )


def test_an_exception_inside_a_library_names_the_line_that_called_it(double):
    def mine(x):
        return np.linalg.inv(np.zeros((2, 2)))

    result = evaluate(double, mine)
    assert "LinAlgError" in result.message
    assert "np.linalg.inv(np.zeros((2, 2)))" in result.message


def test_an_answer_of_the_wrong_type_is_reported(double):
    result = evaluate(double, 42)
    assert result.status == "error"
    assert result.message.startswith("the check could not use your answer: TypeError: 'int' object is not callable")


def raises_later(x):
    """Not done."""
    if x is not None:
        raise NotImplementedError


def body_of_dots(x): ...


def body_of_pass(x):
    """Only words."""


@pytest.mark.parametrize("answer", [None, ..., raises_later, body_of_dots, body_of_pass])
def test_what_is_not_done_is_not_wrong(double, answer):
    result = check(double, answer)
    assert result.status == "not done"
    assert result.message == "not done yet (implement, difficulty 2 of 5, 5 minutes)"


def test_a_function_that_returns_a_constant_is_an_answer(double):
    def zero(x):
        return 0

    assert evaluate(double, zero).status == "wrong"


def test_an_unknown_exercise_says_so_and_suggests_the_nearest(double):
    assert evaluate("demo.duble", 1).message == "there is no such exercise; did you mean `demo.double`?"
    assert evaluate("nowhere.at-all", 1).status == "unknown"
    assert evaluate("../x.y", 1).status == "unknown"


def test_an_interrupt_is_not_swallowed(registry):
    @exercise("demo.slow", kind="measure", difficulty=1, minutes=1)
    def check_slow(answer):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("demo.slow", 1)


def test_the_page_shows_a_check_once_and_escapes_it(double, notebook):
    result = check(double, lambda x: x + 2)
    bundle, _ = notebook[0]
    assert len(notebook) == 1
    assert 'class="ab-check ab-check-wrong"' in bundle["text/html"]
    assert "<code>0</code>" in bundle["text/html"]
    result._ipython_display_()
    assert len(notebook) == 1


# --- registering -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"exercise_id": "nodot"}, "write the chapter's prefix"),
        ({"kind": "essay"}, "kind is one of predict, implement, bug, measure, stretch, got 'essay'"),
        ({"difficulty": 6}, "difficulty is 1 to 5, got 6"),
        ({"difficulty": 0}, "difficulty is 1 to 5, got 0"),
        ({"minutes": 0}, "minutes is at least 1, got 0"),
    ],
)
def test_a_card_that_makes_no_sense_is_refused(wrong, message):
    card = {"exercise_id": "demo.x", "kind": "bug", "difficulty": 1, "minutes": 1} | wrong
    with pytest.raises(ValueError, match=message):
        exercise(card.pop("exercise_id"), **card)


def test_an_id_belongs_to_one_check_but_a_module_may_be_reloaded(double):
    def other(answer):
        """Another."""

    with pytest.raises(ValueError, match="registered twice"):
        exercise(double, kind="bug", difficulty=1, minutes=1)(other)
    same = find_exercise(double).check
    assert exercise(double, kind="bug", difficulty=1, minutes=1)(same) is same


def test_the_index_lists_title_kind_difficulty_minutes(double):
    row = exercise_index().set_index("id").loc[double]
    assert row.to_dict() == {"title": "Twice a number", "kind": "implement", "difficulty": 2, "minutes": 5}
    assert set(exercise_index()["kind"]) <= set(KINDS)


# --- assert_exercise itself must be able to fail ---------------------------------------------------------


RIGHT = [lambda x: 2 * x, lambda x: x + x]
WRONG = {
    "zero doubled": lambda x: x + 2,
    "negative": abs,
    "element by element": lambda x: 2 * x if np.isscalar(x) else x,
}


def test_assert_exercise_accepts_what_it_should(double):
    assert_exercise(double, right=RIGHT, wrong=WRONG)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (RIGHT[:1], WRONG, "at least two right"),
        (RIGHT, {"negative": abs, "zero": RIGHT[0]}, "at least three planted"),
        ([*RIGHT, abs], WRONG, "right answer 3 is rejected"),
        (RIGHT, WRONG | {"anything": RIGHT[0]}, "counts as passed"),
        (RIGHT, WRONG | {"anything": None}, "counts as not done"),
        (RIGHT, WRONG | {"other words": abs}, "expected 'other words' in the diagnosis"),
        (RIGHT, WRONG | {"numbers": abs}, "share a message"),
    ],
)
def test_assert_exercise_rejects_weak_proofs(double, right, wrong, message):
    with pytest.raises(AssertionError, match=message):
        assert_exercise(double, right=right, wrong=wrong)


def test_assert_exercise_needs_a_registered_exercise():
    with pytest.raises(AssertionError, match=r"no exercise 'demo\.nothing'"):
        assert_exercise("demo.nothing", right=RIGHT, wrong=WRONG)


def test_assert_exercise_catches_a_check_that_passes_a_stub(registry):
    @exercise("demo.lazy", kind="bug", difficulty=1, minutes=1)
    def check_lazy(answer):
        """Swallows everything."""
        try:
            answer(1)
        except NotImplementedError:
            raise Wrong("written by hand") from None
        words = {1: "one", 2: "two", 3: "three"}
        if answer(1) in words:
            raise Wrong(words[answer(1)])

    with pytest.raises(AssertionError, match="is not 'not done'"):
        assert_exercise(
            "demo.lazy",
            right=[lambda x: 7, lambda x: 8],
            wrong={w: (lambda x, n=n: n) for n, w in ((1, "one"), (2, "two"), (3, "three"))},
        )
