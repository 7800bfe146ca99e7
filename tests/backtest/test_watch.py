"""Whoever watches is told of every backtest, with what tells one trial from another."""

from __future__ import annotations

import math

import numpy as np
import pytest
from backtest.market import random_signals, wild_candles

from alphabook.backtest import BacktestConfig, PortfolioConfig, backtest_portfolio, backtest_signals, sweep
from alphabook.backtest.portfolio import equal_weight
from alphabook.backtest.watch import Run, watch
from alphabook.evaluation import TrialLedger

CANDLES = wild_candles(400, seed=3)
SIGNALS = random_signals(CANDLES.index, seed=3)


@pytest.fixture
def runs():
    seen: list[Run] = []
    end = watch(seen.extend)
    yield seen
    end()
    end()  # a second time does nothing
    backtest_signals(CANDLES, SIGNALS)
    told = len(seen)
    backtest_signals(CANDLES, SIGNALS)
    assert len(seen) == told


def test_a_backtest_tells_its_net_sharpe_ratio_per_bar(runs: list[Run]) -> None:
    result = backtest_signals(CANDLES, SIGNALS)
    (run,) = runs
    returns = result.returns.to_numpy()
    assert run.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1), rel=1e-9)
    assert run.data is CANDLES
    assert (run.config, run.bars) == (BacktestConfig(), 400)


def test_a_run_without_trades_has_a_sharpe_ratio_of_zero(runs: list[Run]) -> None:
    backtest_signals(CANDLES, SIGNALS * 0)
    assert runs[0].sharpe == 0


def test_a_portfolio_tells_too(runs: list[Run]) -> None:
    prices = CANDLES[["open", "close"]]
    result = backtest_portfolio(prices, equal_weight(prices), PortfolioConfig(rebalance_every=5))
    assert runs[0].sharpe == pytest.approx(result.metrics["sharpe_ratio"] / math.sqrt(8760), rel=1e-9)


def test_a_sweep_tells_each_set_as_one_backtest_would(runs: list[Run]) -> None:
    configs = [BacktestConfig(stop_loss=level) for level in (0.01, 0.02, 0.05)]
    sweep(CANDLES, SIGNALS, configs)
    told = [run.sharpe for run in runs]
    runs.clear()
    for config in configs:
        backtest_signals(CANDLES, SIGNALS, config)
    np.testing.assert_allclose(told, [run.sharpe for run in runs], rtol=1e-9)


def test_trials_differ_by_rules_by_signals_and_by_candles_and_by_nothing_else(runs: list[Run], tmp_path) -> None:
    other = random_signals(CANDLES.index, seed=4)
    for _ in range(2):
        backtest_signals(CANDLES, SIGNALS)
        backtest_signals(CANDLES, SIGNALS, BacktestConfig(stop_loss=0.03))
        backtest_signals(CANDLES, other)
        backtest_signals(wild_candles(400, seed=5), SIGNALS)
    for durable in (True, False):
        ledger = TrialLedger(tmp_path / f"{durable}.jsonl", durable=durable)
        for run in runs:
            ledger.record_runs([run], study="four")
        ledger.record_runs(runs, study="four")
        assert ledger.count("four") == 4
        assert TrialLedger(ledger.path).to_frame().equals(ledger.to_frame())


def test_a_sweep_and_its_backtests_are_the_same_trials(runs: list[Run], tmp_path) -> None:
    configs = [BacktestConfig(stop_loss=level) for level in (0.01, 0.02)]
    sweep(CANDLES, SIGNALS, configs)
    backtest_signals(CANDLES, SIGNALS, configs[1])
    ledger = TrialLedger(tmp_path / "trials.jsonl")
    ledger.record_runs(runs, study="one")
    assert ledger.count("one") == 2


def test_equal_configurations_have_equal_digests_and_others_have_others() -> None:
    assert BacktestConfig(initial_capital=1_000).digest == BacktestConfig(initial_capital=1_000.0).digest
    assert BacktestConfig(stop_loss=np.float64(0.03)).digest == BacktestConfig(stop_loss=0.03).digest
    digests = {
        BacktestConfig(stop_loss=x, take_profit=y).digest for x in (None, 0.01, 0.02) for y in (None, 0.01, 0.02)
    }
    assert len({*digests, PortfolioConfig().digest, BacktestConfig(allow_short=True).digest}) == 11
