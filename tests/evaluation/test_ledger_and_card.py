"""Ledgers that only grow, a holdout that opens once, a card that is whole or not at all."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields

import pandas as pd
import pytest
from backtest.market import random_signals, wild_candles

from alphabook.backtest import BacktestConfig, backtest_signals
from alphabook.errors import BacktestError, EvaluationError, HoldoutError
from alphabook.evaluation import HoldoutLedger, HonestCard, TrialLedger, data_digest, honest_card

CANDLES = wild_candles(400, 5, volatility=0.01)


def trial(seed=0, **settings):
    settings.setdefault("allow_short", True)
    return backtest_signals(CANDLES, random_signals(CANDLES.index, seed), BacktestConfig(**settings))


def test_a_trial_counts_once_however_often_it_runs(tmp_path):
    ledger = TrialLedger(tmp_path / "deep" / "trials.jsonl")
    for _ in range(3):
        ledger.record(trial(), study="momentum")
    ledger.record(trial(stop_loss=0.05), study="momentum")
    ledger.record(trial(), study="momentum", variant="lookback=5")
    ledger.record(trial(), study="other")
    assert (ledger.count("momentum"), ledger.count(), len(ledger)) == (3, 4, 4)
    again = TrialLedger(ledger.path)
    assert again.sharpes("momentum") == ledger.sharpes("momentum")
    assert again.to_frame()["study"].tolist() == ["momentum"] * 3 + ["other"]
    r = trial().returns
    assert ledger.sharpes("other") == [pytest.approx(r.mean() / r.std())]


def test_two_ledgers_on_one_file_see_each_other(tmp_path):
    one, two = TrialLedger(tmp_path / "t.jsonl"), TrialLedger(tmp_path / "t.jsonl")
    one.record(trial(), study="s")
    two.record(trial(), study="s")
    two.record(trial(stop_loss=0.03), study="s")
    assert one.count("s") == two.count("s") == 2
    assert len(one.path.read_text().splitlines()) == 2


def _write(job):
    path, number = job
    TrialLedger(path).record(trial(position_size=0.01 * (number + 1)), study="s")


def test_processes_that_write_at_once_tear_nothing(tmp_path):
    path = tmp_path / "t.jsonl"
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_write, [(path, i) for i in range(12)]))
    assert TrialLedger(path).count("s") == 12


def test_a_torn_last_line_is_dropped_and_the_next_is_whole(tmp_path):
    ledger = TrialLedger(tmp_path / "t.jsonl")
    ledger.record(trial(), study="s")
    with ledger.path.open("ab") as file:
        file.write(b'{"study": "s", "con')
    again = TrialLedger(ledger.path)
    assert again.count() == 1
    again.record(trial(stop_loss=0.07), study="s")
    assert TrialLedger(ledger.path).count() == 2
    assert [json.loads(line)["study"] for line in ledger.path.read_text().splitlines()] == ["s", "s"]


@pytest.mark.parametrize(
    ("line", "message"),
    [("nonsense", r"line 1 of t.jsonl is no JSON"), ('{"study": "s"}', r"line 1 of t.jsonl is no trial")],
)
def test_a_ledger_that_was_edited_is_refused(tmp_path, line, message):
    (tmp_path / "t.jsonl").write_text(line + "\n")
    with pytest.raises(EvaluationError, match=message):
        TrialLedger(tmp_path / "t.jsonl")


def test_a_trial_needs_a_study(tmp_path):
    with pytest.raises(EvaluationError, match="names the question"):
        TrialLedger(tmp_path / "t.jsonl").record(trial(), study="")


def test_a_holdout_opens_once(tmp_path):
    ledger = HoldoutLedger(tmp_path / "looks.jsonl")
    last = CANDLES.iloc[300:]
    with ledger.open(last, study="momentum", reason="final test") as holdout:
        assert holdout is last
    with (
        pytest.raises(HoldoutError, match=r"opened on .* by 'momentum' \(final test\): a second look"),
        HoldoutLedger(ledger.path).open(last.copy(), study="other", reason="curious"),
    ):
        pytest.fail("the holdout opened twice")
    assert len(ledger.looks(last)) == 1
    with ledger.open(CANDLES.iloc[:100], study="momentum", reason="other data"):
        pass


def test_a_look_counts_even_when_the_code_behind_it_crashes(tmp_path):
    ledger = HoldoutLedger(tmp_path / "looks.jsonl")
    with pytest.raises(ZeroDivisionError), ledger.open(CANDLES, study="s", reason="r"):
        raise ZeroDivisionError
    with pytest.raises(HoldoutError), ledger.open(CANDLES, study="s", reason="r"):
        pytest.fail("opened twice")
    with pytest.raises(EvaluationError, match="a study and a reason"), ledger.open(CANDLES, study="", reason="r"):
        pytest.fail("opened without a study")


def test_data_has_a_name():
    assert data_digest(CANDLES) == data_digest(CANDLES.copy())
    changed = CANDLES.copy()
    changed.iloc[5, 0] += 1e-9
    assert data_digest(changed) != data_digest(CANDLES)
    assert data_digest(CANDLES.shift(freq="h")) != data_digest(CANDLES)


@pytest.fixture
def facts(tmp_path):
    ledger = TrialLedger(tmp_path / "t.jsonl")
    for size in (0.1, 0.2, 0.3):
        ledger.record(trial(position_size=size), study="s")
    return {
        "universe": "one simulated symbol",
        "ledger": ledger,
        "study": "s",
        "overfitting": 0.6,
        "holdout_looks": HoldoutLedger(tmp_path / "looks.jsonl"),
        "baseline": trial(seed=3),
        "baseline_name": "coin flips",
        "funding": "none: spot",
    }


def test_a_card_is_filled_in_by_machine(facts):
    result = trial(position_size=0.3)
    card = honest_card(result, **facts)
    assert card.trials == 3
    assert card.holdout_looks == 0
    assert card.sharpe == result.metrics["sharpe_ratio"]
    assert card.interval[0] < card.sharpe < card.interval[1]
    assert card.beats_baseline == (card.sharpe > facts["baseline"].metrics["sharpe_ratio"])
    text = str(card)
    for word in ("Universe", "the next open", "10.0 basis points", "none: spot", "Trials", "60%", "coin flips"):
        assert word in text
    assert "<caption>Honest card</caption>" in card._repr_html_()
    assert len(card.lines()) == 13


@pytest.mark.parametrize("name", [item.name for item in fields(HonestCard)])
def test_a_card_with_a_missing_field_fails(facts, name):
    card = honest_card(trial(position_size=0.3), **facts)
    values = {item.name: getattr(card, item.name) for item in fields(HonestCard)}
    holes = [(float("nan"), 1.0)] if name == "interval" else [None, "", float("nan")]
    for hole in holes:
        with pytest.raises(EvaluationError, match=f"lacks '{name}'"):
            HonestCard(**values | {name: hole})


def test_a_card_compares_like_with_like(facts):
    with pytest.raises(EvaluationError, match=r"the baseline pays a commission of 0, the strategy 0.001"):
        honest_card(trial(), **facts | {"baseline": trial(commission=0.0)})
    with pytest.raises(EvaluationError, match=r"knows no trial of 'unheard'"):
        honest_card(trial(), **facts | {"study": "unheard"})
    with pytest.raises(EvaluationError, match=r"lacks 'funding'"):
        honest_card(trial(), **facts | {"funding": None})


def test_intervals_cover_and_name_what_they_cannot_do():
    result = trial()
    table = result.intervals(("sharpe_ratio", "max_drawdown"), draws=200, seed=1)
    pd.testing.assert_frame_equal(table, result.intervals(("sharpe_ratio", "max_drawdown"), draws=200, seed=1))
    assert (table["low"] < table["high"]).all()
    assert table.loc["sharpe_ratio", "value"] == pytest.approx(result.metrics["sharpe_ratio"])
    assert table.attrs["block"] >= 1
    with pytest.raises(BacktestError, match="no interval for 'num_trades'"):
        result.intervals(("num_trades",))
    with pytest.raises(BacktestError, match="level is a probability"):
        result.intervals(level=95)
