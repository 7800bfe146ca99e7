"""The book's ledgers: nothing that a chapter runs stays unwritten, and a holdout opens once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from backtest.market import random_signals, wild_candles
from execute import _studies, opened_twice

from alphabook.backtest import BacktestConfig, backtest_signals, sweep
from alphabook.errors import EvaluationError, HoldoutError
from alphabook.teaching import holdout_ledger, setup, study

CANDLES = wild_candles(200, seed=1)
SIGNALS = random_signals(CANDLES.index, seed=1)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALPHABOOK_LEDGER_DIR", str(tmp_path))
    return tmp_path


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_runs_are_written_under_the_chapter_or_the_study_around_them(folder: Path) -> None:
    setup("costs")
    backtest_signals(CANDLES, SIGNALS)
    with study("costs.stops") as ledger:
        sweep(CANDLES, SIGNALS, [BacktestConfig(stop_loss=x) for x in (0.01, 0.02, 0.03)])
        with study("costs.inner"):
            backtest_signals(CANDLES, SIGNALS)
        assert ledger.count("costs.stops") == 3
    backtest_signals(CANDLES, SIGNALS * 0)
    assert _studies(folder) == [
        {"study": "costs", "trials": 2, "markets": 1},
        {"study": "costs.stops", "trials": 3, "markets": 1},
        {"study": "costs.inner", "trials": 1, "markets": 1},
    ]


def test_a_chapter_that_runs_again_starts_its_ledger_again(folder: Path) -> None:
    for _ in range(2):
        setup("costs")
        backtest_signals(CANDLES, SIGNALS)
    assert len(lines(folder / "costs.trials.jsonl")) == 1
    setup("engine")
    backtest_signals(CANDLES, SIGNALS)
    assert len(lines(folder / "engine.trials.jsonl")) == 1


def test_the_study_ends_when_its_block_fails(folder: Path) -> None:
    setup("costs")
    with pytest.raises(ZeroDivisionError), study("costs.broken"):
        raise ZeroDivisionError
    backtest_signals(CANDLES, SIGNALS)
    assert [row["study"] for row in lines(folder / "costs.trials.jsonl")] == ["costs"]


@pytest.mark.parametrize("name", ["", "Costs", "costs momentum", "costs.", "../x"])
def test_a_study_has_a_plain_name(name: str) -> None:
    with pytest.raises(EvaluationError, match=r"costs\.momentum"), study(name):
        pass


def test_a_holdout_opens_once_in_a_chapter() -> None:
    setup("costs")
    with holdout_ledger().open(CANDLES, study="costs.stops", reason="the last word") as holdout:
        assert holdout is CANDLES
    with pytest.raises(HoldoutError, match="the last word"), holdout_ledger().open(CANDLES, study="x", reason="again"):
        pass
    assert len(holdout_ledger().looks(CANDLES)) == 1


def test_a_holdout_opens_once_in_the_book(folder: Path) -> None:
    records = []
    for chapter in ("costs", "engine"):
        setup(chapter)
        with holdout_ledger().open(CANDLES, study=chapter, reason="look"):
            pass
        records.append({"docname": f"notebooks/{chapter}", "looks": lines(folder / f"{chapter}.looks.jsonl")})
    assert opened_twice(records[:1]) == []
    (line,) = opened_twice(records)
    assert "notebooks/costs" in line
    assert "notebooks/engine" in line
    assert "other candles" in line


def test_without_a_build_the_ledgers_live_in_a_folder_of_the_process(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.delenv("ALPHABOOK_LEDGER_DIR")
    setup("costs")
    backtest_signals(CANDLES, SIGNALS)
    with study("costs") as ledger:
        assert ledger.count("costs") == 1
        assert not ledger.path.is_relative_to(folder)
