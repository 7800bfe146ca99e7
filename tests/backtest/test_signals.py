"""The rules by which forecasts become decisions; none of them looks ahead."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabook.errors import BacktestError
from alphabook.evaluation import audit_lookahead
from alphabook.signals import ProbabilitySignals, ReturnSignals, WeightSignals, signal_stats


def probabilities(*rows):
    return pd.DataFrame(rows, columns=["sell", "hold", "buy"], dtype=float)


def test_probabilities_need_a_threshold_and_a_majority():
    table = probabilities([0.1, 0.2, 0.7], [0.7, 0.2, 0.1], [0.3, 0.1, 0.6], [0.35, 0.1, 0.55], [np.nan] * 3)
    assert ProbabilitySignals().generate(table).tolist() == [1, -1, 1, 0, 0]
    both = ProbabilitySignals(buy_threshold=0.4, sell_threshold=0.4)
    assert both.generate(probabilities([0.5, 0.0, 0.5], [0.45, 0.1, 0.45])).tolist() == [0, 0]


def test_confirmation_waits():
    table = probabilities(*[[0.1, 0.1, 0.8]] * 3, [0.8, 0.1, 0.1], *[[0.1, 0.1, 0.8]] * 2)
    assert ProbabilitySignals(confirmation=2).generate(table).tolist() == [0, 1, 1, 0, 0, 1]


def test_predicted_returns_become_direction_and_size():
    predicted = pd.Series([0.01, -0.02, 0.0005, 0.03, np.nan])
    confidence = pd.Series([0.9, 0.8, 0.9, 0.4, 0.9])
    plain = ReturnSignals().generate(predicted, confidence)
    assert plain["signal"].tolist() == [1, -1, 0, 0, 0]
    np.testing.assert_allclose(plain["size"], [0.09, 0.08, 0, 0, 0])
    scaled = ReturnSignals(scale_by_return=True, scale_by_confidence=False).generate(predicted, confidence)
    np.testing.assert_allclose(scaled["size"], [0.1, 0.2, 0, 0, 0])
    assert ReturnSignals().generate(predicted)["signal"].tolist() == [1, -1, 0, 1, 0]


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), cap=st.sampled_from([0.2, 0.3, 0.5, 1.0]), short=st.booleans())
def test_weights_keep_caps_signs_and_gross(seed, cap, short):
    rng = np.random.default_rng(seed)
    predicted = pd.DataFrame(rng.normal(0, 0.01, (6, 4)))
    predicted[predicted.abs() < 0.002] = np.nan
    rule = WeightSignals(max_position=cap, allow_short=short)
    weights = rule.generate(predicted, pd.DataFrame(rng.uniform(0, 1, (6, 4))))
    assert weights.abs().max().max() <= cap + 1e-12
    assert (weights.abs().sum(axis=1) <= 1 + 1e-9).all()
    assert (np.sign(weights) * np.sign(predicted.fillna(0)) >= 0).all().all()
    if not short:
        assert (weights >= 0).all().all()


def test_weights_on_paper():
    predicted = pd.DataFrame([[0.03, 0.01, -0.02], [0.0, -0.01, -0.02]])
    np.testing.assert_allclose(WeightSignals(max_position=1.0).generate(predicted), [[0.75, 0.25, 0], [0, 0, 0]])
    np.testing.assert_allclose(WeightSignals(max_position=0.6).generate(predicted), [[0.6, 0.4, 0], [0, 0, 0]])
    short = WeightSignals(max_position=1.0, allow_short=True).generate(predicted)
    np.testing.assert_allclose(short, [[0.5, 1 / 6, -1 / 3], [0, -1 / 3, -2 / 3]])


@pytest.mark.parametrize(
    "rule",
    [
        lambda d: ProbabilitySignals(confirmation=3).generate(
            d[["a", "b", "c"]].div(d.sum(axis=1), axis=0).set_axis(["sell", "hold", "buy"], axis=1)
        ),
        lambda d: ReturnSignals(scale_by_return=True).generate(d["a"] - d["b"], d["c"].clip(0, 1)),
        lambda d: WeightSignals(max_position=0.4, allow_short=True).generate(d - 0.5),
    ],
)
def test_no_rule_looks_ahead(rule):
    data = pd.DataFrame(np.random.default_rng(1).uniform(0.01, 1, (300, 3)), columns=list("abc"))
    data.index = pd.date_range("2024", periods=300, freq="h", tz="UTC")
    audit_lookahead(rule, data).raise_if_found()


def test_stats_count():
    stats = signal_stats(pd.Series([1, 1, 0, -1]))
    assert (stats["buys"], stats["sells"], stats["holds"], stats["buy_ratio"]) == (2, 1, 1, 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ProbabilitySignals(buy_threshold=60), "buy_threshold is a probability in .* got 60"),
        (lambda: ProbabilitySignals(confirmation=0), "at least 1, got 0"),
        (lambda: ProbabilitySignals().generate(probabilities([0.5, 0.5, 0.5])), "row 0 is no distribution"),
        (lambda: ProbabilitySignals().generate(pd.DataFrame({"buy": [1.0]})), "lack sell, hold"),
        (lambda: ReturnSignals(base_size=2), "base_size .* got 2"),
        (lambda: ReturnSignals(min_return=-1), "min_return"),
        (lambda: ReturnSignals().generate(pd.Series([0.1]), 3.0), "confidence of row 0 is 3.0"),
        (lambda: ReturnSignals().generate(pd.Series([0.1]), pd.Series([1.0], index=[5])), "different indexes"),
        (lambda: WeightSignals(max_position=0), "max_position must be above 0"),
        (lambda: WeightSignals(buy_threshold=-1), "buy_threshold is a size"),
        (lambda: WeightSignals().generate(pd.DataFrame([[0.1]]), pd.DataFrame([[1.0, 1.0]])), "shape"),
        (lambda: WeightSignals().generate(pd.DataFrame([[0.1]]), 2.0), "outside"),
    ],
)
def test_errors_name_the_value(call, message):
    with pytest.raises(BacktestError, match=message):
        call()
