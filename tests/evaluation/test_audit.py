"""The audit finds every leak of the zoo and stays silent about everything else in it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from evaluation.zoo import CLEAN, LEAKS, ONE, ret

from alphabook.errors import EvaluationError, LookaheadError
from alphabook.evaluation import audit_lookahead


def test_the_zoo_is_large_enough():
    assert len(LEAKS) >= 60
    assert len(CLEAN) >= 60


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_found(name):
    fn, data, settings = LEAKS[name]
    report = audit_lookahead(fn, data, **settings)
    assert report.found, f"{name}: {report}"
    assert all(leak.reach >= 1 for leak in report.leaks)


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_function_is_not_accused(name):
    fn, data, settings = CLEAN[name]
    report = audit_lookahead(fn, data, **settings)
    assert not report.found, f"{name}: {report}"
    assert report.raise_if_found() is report
    assert report.skipped == 0


def test_the_report_names_column_row_and_reach():
    report = audit_lookahead(lambda d: pd.DataFrame({"good": ret(d), "bad": ret(d).shift(-3)}), ONE)
    (leak,) = report.leaks
    assert (leak.column, leak.reach) == ("bad", 3)
    assert leak.first_row in ONE.index
    assert "bad: row" in str(report)
    assert "3 bars too much" in str(report)
    assert report.to_frame()["column"].tolist() == ["bad"]
    with pytest.raises(LookaheadError, match="bad: row"):
        report.raise_if_found()


def test_a_whole_sample_statistic_reaches_to_the_end():
    report = audit_lookahead(lambda d: d["close"] - d["close"].mean(), ONE)
    assert report.leaks[0].first_row == ONE.index[0]
    assert report.leaks[0].reach > 0.9 * len(ONE)


def test_a_silent_audit_states_its_power():
    report = audit_lookahead(ret, ONE, cuts=24)
    assert report.power(report.smallest_share) == pytest.approx(0.95)
    assert "12% of the rows" in str(report)
    assert "a rarer one may be there" in str(report)
    assert audit_lookahead(ret, ONE, cuts=100).smallest_share < report.smallest_share


def test_the_stated_power_is_the_measured_one():
    """A leak one bar deep in a tenth of the rows, at random places, is caught as often as the report says."""
    caught = []
    for seed in range(60):
        rare = pd.Series(np.random.default_rng(seed).random(len(ONE)) < 0.05, index=ONE.index)
        report = audit_lookahead(
            lambda d, rare=rare: ret(d).where(~rare.reindex(d.index), ret(d).shift(-1)), ONE, cuts=12, seed=seed
        )
        caught.append(report.found)
    expected = report.power(0.05)
    assert np.mean(caught) == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / 60))


def test_the_same_seed_gives_the_same_report():
    fn = lambda d: d["close"].rolling(5, center=True).mean()  # noqa: E731
    assert audit_lookahead(fn, ONE, seed=4) == audit_lookahead(fn, ONE, seed=4)


def test_a_function_that_refuses_short_data_is_audited_on_the_rest():
    def picky(d):
        if len(d) < 200:
            raise ValueError("too short")
        return ret(d).shift(-1)

    report = audit_lookahead(picky, ONE)
    assert report.found
    assert report.skipped > 0
    assert "too short" in str(report)


def _always(d):
    if len(d) == len(ONE) and d.equals(ONE):
        return ret(d)
    raise ValueError("never")


@pytest.mark.parametrize(
    ("fn", "settings", "message"),
    [
        (lambda d: ret(d) + np.random.default_rng().normal(), {}, "different results on the same data"),
        (lambda d: d["close"].to_numpy()[5:], {}, "has 315 rows for 320 rows of data"),
        (lambda d: d["close"].shift(1, freq="400h"), {}, "that the data do not have"),
        (_always, {}, "raised on every probe, first with ValueError: never"),
        (ret, {"fit_rows": 320}, "fit_rows=320 leaves nothing to cut"),
        (ret, {"horizon": 400}, "nothing to compare"),
    ],
)
def test_what_cannot_be_audited_is_said(fn, settings, message):
    with pytest.raises(EvaluationError, match=message):
        audit_lookahead(fn, ONE, **settings)
