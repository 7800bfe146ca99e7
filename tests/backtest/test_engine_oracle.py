"""The engine equals an obvious one on random markets, and its cash adds up."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from backtest.market import random_signals, wild_candles
from backtest.simple_engine import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabook.backtest import BacktestConfig, backtest_signals

CONFIGS = st.builds(
    BacktestConfig,
    position_size=st.sampled_from([0.02, 0.5, 1.0]),
    stop_loss=st.sampled_from([None, 0.005, 0.02, 0.1]),
    take_profit=st.sampled_from([None, 0.005, 0.04, 0.2]),
    commission=st.sampled_from([0.0, 0.001, 0.01]),
    slippage=st.sampled_from([0.0, 0.0005, 0.003]),
    allow_short=st.booleans(),
    fill=st.sampled_from(["next_open", "close"]),
    stop_from=st.sampled_from(["entry_bar", "next_bar"]),
    intrabar=st.sampled_from(["pessimistic", "optimistic"]),
    max_leverage=st.sampled_from([0.7, 1.0]),
)
FACTS = ("entry_price", "exit_price", "units", "gross_pnl", "commission", "slippage", "funding")


@settings(max_examples=300, deadline=None)
@given(config=CONFIGS, seed=st.integers(0, 10**6), bars=st.integers(2, 120), fund=st.booleans())
def test_equals_the_obvious_engine(config, seed, bars, fund):
    candles = wild_candles(bars, seed)
    signals = random_signals(candles.index, seed)
    funding = pd.Series(np.random.default_rng(seed).normal(0, 1e-4, bars), index=candles.index) if fund else None
    result = backtest_signals(candles, signals, config, funding=funding, loop="plain")
    account = Account(config).run(
        candles.to_numpy(), signals.to_numpy(), None if funding is None else funding.to_numpy()
    )

    assert len(result.trades) == len(account.trades)
    for name in FACTS:
        expected = [trade[name] for trade in account.trades]
        np.testing.assert_allclose(result.trades[name], expected, rtol=1e-10, atol=1e-9, err_msg=name)
    assert result.trades["exit_reason"].tolist() == [trade["exit_reason"] for trade in account.trades]
    assert result.trades["direction"].tolist() == [trade["direction"] for trade in account.trades]
    for kind in ("entry", "exit"):
        assert result.trades[f"{kind}_time"].tolist() == [candles.index[t[f"{kind}_bar"]] for t in account.trades]
    np.testing.assert_allclose(result.equity, account.equity, rtol=1e-12, atol=1e-7)


@settings(max_examples=200, deadline=None)
@given(config=CONFIGS, seed=st.integers(0, 10**6), bars=st.integers(2, 300))
def test_the_cash_adds_up(config, seed, bars):
    candles = wild_candles(bars, seed, volatility=0.01)
    signals = random_signals(candles.index, seed, share=0.8)
    result = backtest_signals(candles, signals, config, loop="compiled")
    trades, final = result.trades, result.equity.iloc[-1]
    parts = trades["gross_pnl"] - trades["commission"] - trades["slippage"] - trades["funding"]
    np.testing.assert_allclose(final, math.fsum([config.initial_capital, *trades["net_pnl"]]), rtol=0, atol=1e-9)
    np.testing.assert_allclose(trades["net_pnl"], parts, rtol=1e-12, atol=1e-9)
    paid = config.commission * trades["units"] * (trades["entry_price"] + trades["exit_price"])
    np.testing.assert_allclose(trades["commission"], paid, rtol=1e-10)
    assert result.metrics["final_equity"] == final
    assert sum(result.costs.values()) == pytest.approx(
        trades[["commission", "slippage", "funding"]].to_numpy().sum(), rel=1e-12, abs=1e-9
    )


@settings(max_examples=100, deadline=None)
@given(config=CONFIGS, seed=st.integers(0, 10**6), bars=st.integers(2, 200))
def test_the_compiled_loop_equals_the_plain_one_bit_for_bit(config, seed, bars):
    candles = wild_candles(bars, seed)
    signals = random_signals(candles.index, seed)
    plain, fast = (backtest_signals(candles, signals, config, loop=loop) for loop in ("plain", "compiled"))
    assert plain.digest == fast.digest
    pd.testing.assert_frame_equal(plain.trades, fast.trades, check_exact=True)
    pd.testing.assert_series_equal(plain.position, fast.position, check_exact=True)


@settings(max_examples=100, deadline=None)
@given(config=CONFIGS, seed=st.integers(0, 10**6), cut=st.integers(2, 99))
def test_what_comes_later_changes_nothing_before(config, seed, cut):
    candles = wild_candles(100, seed)
    signals = random_signals(candles.index, seed)
    shocked = candles.copy()
    shocked.iloc[cut:] *= 3.0
    later = signals.copy()
    later.iloc[cut:] = -later.iloc[cut:]
    one, other = (backtest_signals(c, s, config, loop="plain") for c, s in ((candles, signals), (shocked, later)))
    np.testing.assert_array_equal(one.equity[:cut], other.equity[:cut])
    done = [r.trades[r.trades["exit_time"] < candles.index[cut]] for r in (one, other)]
    pd.testing.assert_frame_equal(*done, check_exact=True)
