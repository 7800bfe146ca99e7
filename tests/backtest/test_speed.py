"""Work grows with the number of candles, not faster; what was cut for speed says the same as the whole arrays."""

from __future__ import annotations

import math
import statistics
import time

import numpy as np
import pytest
from backtest.market import random_signals, wild_candles
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabook.backtest import BacktestConfig, backtest_signals
from alphabook.backtest._checks import compiled_checks, first_odd_candle, first_odd_signal
from alphabook.backtest.engine import read_only
from alphabook.backtest.metrics import expected_shortfall, value_at_risk


@pytest.mark.slow
def test_time_grows_as_the_number_of_candles():
    """Processor time, the best of several: other work on the machine does not count, and bounds are generous."""
    whole = wild_candles(1_600_000, 1, volatility=0.002)
    signals = random_signals(whole.index, 1, share=0.02)
    lengths, seconds = [200_000, 400_000, 800_000, 1_600_000], []
    for length in lengths:
        candles, said, took = whole.iloc[:length], signals.iloc[:length], []
        for _ in range(4):
            begin = time.process_time()
            backtest_signals(candles, said, BacktestConfig(allow_short=True), loop="compiled")
            took.append(time.process_time() - begin)
        seconds.append(min(took))
    logs = [[math.log(x) for x in values] for values in (lengths, seconds)]
    assert statistics.linear_regression(*logs).slope < 1.3


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), bars=st.integers(2, 9_000), share=st.sampled_from([0.0, 0.01, 0.5]))
def test_metrics_in_one_pass_equal_the_definitions(seed, bars, share):
    candles = wild_candles(bars, seed, volatility=0.01)
    signals = random_signals(candles.index, seed, share)
    config = BacktestConfig(allow_short=True, position_size=1.0)
    plain, fast = (backtest_signals(candles, signals, config, loop=loop) for loop in ("plain", "compiled"))
    for name, value in plain.metrics.items():
        assert fast.metrics[name] == pytest.approx(value, rel=1e-9, abs=1e-13, nan_ok=True), name
    returns = fast.returns.to_numpy()
    assert fast.metrics["var_95"] == pytest.approx(value_at_risk(returns), rel=1e-9, abs=1e-15)
    assert fast.metrics["cvar_95"] == pytest.approx(expected_shortfall(returns), rel=1e-9, abs=1e-15)
    assert fast.metrics["exposure"] == np.count_nonzero(fast.position) / bars


def test_a_curve_that_grows_evenly_has_no_sharpe_ratio_from_rounding():
    from alphabook.backtest.metrics import summary

    curve = 100_000 * 1.001 ** np.arange(1, 5_001)
    for compiled in (False, True):
        found = summary(curve, 100_000, 8760.0, traded_value=0, gross_pnl=0, net_pnl=[], exposed=1.0, compiled=compiled)
        assert found["volatility"] < 1e-12


@settings(max_examples=60, deadline=None)
@given(
    row=st.integers(0, 19), column=st.integers(0, 3), value=st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e9])
)
def test_compiled_checks_find_the_same_row(row, column, value):
    prices = wild_candles(20, 3).to_numpy().copy()
    prices[row, column] = value
    columns = [read_only(c) for c in prices.T]
    assert compiled_checks()[0](*columns) == first_odd_candle(*columns)
    signals = np.zeros(20, dtype=np.int64)
    assert compiled_checks()[1](read_only(signals)) == first_odd_signal(signals) == -1
    signals[row] = 2
    assert compiled_checks()[1](read_only(signals)) == first_odd_signal(signals) == row
