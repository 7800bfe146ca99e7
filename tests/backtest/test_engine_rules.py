"""The order of events, on bars that fit on paper; bad input names row and value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from backtest.market import random_signals, wild_candles

from alphabook.backtest import BacktestConfig, backtest_signals, funding_per_bar
from alphabook.errors import BacktestError

FREE = {"commission": 0.0, "slippage": 0.0, "position_size": 1.0, "stop_loss": None, "take_profit": None}


def bars(*rows):
    frame = pd.DataFrame(rows, columns=["open", "high", "low", "close"], dtype=float)
    frame.index = pd.date_range("2024-01-01", periods=len(rows), freq="h", tz="UTC")
    return frame


def run(candles, signals, **settings):
    return backtest_signals(candles, pd.Series(signals, index=candles.index), BacktestConfig(**FREE | settings))


FLAT = (100, 100, 100, 100)


def test_a_signal_fills_at_the_next_open_and_pays_both_ways():
    candles = bars(FLAT, (101, 103, 100, 102), (104, 106, 103, 105), FLAT)
    result = run(candles, [1, 0, -1, 0], commission=0.001, slippage=0.01)
    trade = result.trades.iloc[0]
    assert (trade["entry_time"], trade["exit_time"]) == (candles.index[1], candles.index[3])
    assert trade["entry_price"] == pytest.approx(101 * 1.01)
    assert trade["exit_price"] == pytest.approx(100 * 0.99)
    units = 100_000 / (102.01 * 1.001)
    assert trade["units"] == pytest.approx(units)
    assert trade["commission"] == pytest.approx(0.001 * units * (102.01 + 99))
    assert trade["slippage"] == pytest.approx(units * (1.01 + 1.0))
    assert trade["gross_pnl"] == pytest.approx(units * -1)
    assert trade["bars"] == 2
    assert result.equity.iloc[0] == 100_000


def test_fifty_buys_on_a_flat_price_are_one_trade():
    """Fault 1.h of the seeds: every signal in the same direction closed and opened again."""
    candles = bars(*[FLAT] * 50)
    result = run(candles, [1] * 50, commission=0.001)
    assert len(result.trades) == 1
    assert result.trades["exit_reason"].tolist() == ["end_of_data"]


def test_a_flat_round_trip_costs_two_fees():
    """Fault 1.g: the entry fee shrank the quantity and was never paid."""
    result = run(bars(*[FLAT] * 4), [1, 0, -1, 0], commission=0.001, position_size=0.05)
    assert 100_000 - result.equity.iloc[-1] == pytest.approx(2 * 0.001 * 5_000, rel=2e-3)


@pytest.mark.parametrize(
    ("row", "reason", "price"),
    [
        ((100, 101, 97, 100), "stop_loss", 98),
        ((96, 97, 95, 96), "stop_loss", 96),  # gap: the open, worse than the level
        ((100, 105, 99, 104), "take_profit", 104),
        ((107, 108, 106, 107), "take_profit", 107),  # gap: the open, better than the level
        ((100, 105, 97, 100), "stop_loss", 98),  # both inside: pessimistic
        ((106, 108, 90, 100), "take_profit", 106),  # beyond the target at the open: nothing ambiguous
    ],
)
def test_stops_and_targets_inside_the_bar(row, reason, price):
    result = run(bars(FLAT, FLAT, row, FLAT), [1, 0, 0, 0], stop_loss=0.02, take_profit=0.04)
    trade = result.trades.iloc[0]
    assert (trade["exit_reason"], trade["exit_price"]) == (reason, pytest.approx(price))


def test_the_bar_does_not_say_which_came_first_so_the_result_does():
    candles = bars(FLAT, FLAT, (100, 105, 97, 100), FLAT)
    worst = run(candles, [1, 0, 0, 0], stop_loss=0.02, take_profit=0.04)
    best = run(candles, [1, 0, 0, 0], stop_loss=0.02, take_profit=0.04, intrabar="optimistic")
    assert (worst.ambiguous, best.ambiguous) == (1, 1)
    assert worst.trades["exit_reason"].tolist() == ["stop_loss"]
    assert best.trades["exit_reason"].tolist() == ["take_profit"]


def test_slippage_hurts_stops_and_spares_targets():
    stop = run(bars(FLAT, FLAT, (100, 100, 90, 95)), [1, 0, 0], stop_loss=0.02, slippage=0.01).trades.iloc[0]
    assert stop["exit_price"] == pytest.approx(101 * 0.98 * 0.99)
    target = run(bars(FLAT, FLAT, (100, 120, 100, 110)), [1, 0, 0], take_profit=0.04, slippage=0.01).trades.iloc[0]
    assert target["exit_price"] == pytest.approx(101 * 1.04)


def test_stops_live_from_the_entry_bar_or_from_the_next():
    candles = bars(FLAT, (100, 100, 90, 99), FLAT)
    assert run(candles, [1, 0, 0], stop_loss=0.02).trades["exit_reason"].tolist() == ["stop_loss"]
    assert run(candles, [1, 0, 0], stop_loss=0.02, stop_from="next_bar").trades["exit_reason"].tolist() == [
        "end_of_data"
    ]
    assert run(candles, [0, 1, 0], stop_loss=0.02, fill="close").trades["exit_reason"].tolist() == ["end_of_data"]


def test_an_opposite_signal_closes_and_reverses_only_where_shorts_are_allowed():
    candles = bars(*[FLAT] * 5)
    assert run(candles, [1, 0, -1, 0, 0]).trades["direction"].tolist() == [1]
    both = run(candles, [1, 0, -1, 0, 0], allow_short=True).trades
    assert both["direction"].tolist() == [1, -1]
    assert both["exit_reason"].tolist() == ["signal", "end_of_data"]
    assert len(run(candles, [-1, 0, 0, 0, 0]).trades) == 0


def test_a_short_earns_what_the_price_loses():
    candles = bars(FLAT, FLAT, (90, 90, 90, 90), (80, 80, 80, 80))
    result = run(candles, [-1, 0, 0, 0], allow_short=True)
    assert result.equity.tolist() == pytest.approx([100_000, 100_000, 110_000, 120_000])
    assert result.trades["mfe"].iloc[0] == pytest.approx(0.2)


def test_confirmation_waits_for_a_run_of_the_same_signal():
    result = run(bars(*[FLAT] * 7), [1, 0, 1, 1, 1, 0, 0], confirmation=3)
    assert result.trades["entry_time"].tolist() == [result.equity.index[5]]


def test_leverage_is_capped_and_a_ruined_account_stops():
    candles = bars(FLAT, FLAT, (250, 250, 250, 250), FLAT, FLAT, FLAT)
    result = run(candles, [-1, 1, -1, 0, 0, 0], allow_short=True)
    assert result.equity.iloc[-1] < 0  # the short lost more than there was
    assert result.refused == 2
    assert len(result.trades) == 1
    capped = run(candles[:2], [1, 0], sizing="units", units=5_000.0, max_leverage=2.0)
    assert capped.trades["units"].tolist() == [2_000.0]


def test_volatility_sizing_uses_only_the_past_of_the_decision():
    candles = wild_candles(400, 3)
    signals = random_signals(candles.index, 3)
    settings = {"sizing": "volatility", "target_volatility": 0.5, "volatility_window": 24}
    one = run(candles, signals.to_numpy(), **settings)
    shocked = candles.copy()
    shocked.iloc[200:] *= np.linspace(1, 5, 200)[:, None]
    other = run(shocked, signals.to_numpy(), **settings)
    np.testing.assert_array_equal(one.equity[:200], other.equity[:200])
    assert one.refused > 0  # no volatility is known in the first day
    assert one.trades["units"].nunique() > 10


def test_funding_is_paid_by_longs_on_what_they_hold():
    candles = bars(*[FLAT] * 4)
    rates = pd.Series([0.0, 0.01, 0.02, 0.0], index=candles.index)
    config = BacktestConfig(**FREE)
    signals = pd.Series([1, 0, 0, 0], index=candles.index)
    result = backtest_signals(candles, signals, config, funding=rates)
    assert result.costs["funding"] == pytest.approx(0.03 * 100_000)
    assert result.equity.iloc[-1] == pytest.approx(97_000)


def test_funding_times_fall_into_the_bars_that_paid_them():
    candles = bars(*[FLAT] * 4)
    opens = candles.index
    rates = pd.Series([0.1, 0.2, 0.3, 0.4], index=[opens[0], opens[1], opens[1] + pd.Timedelta("30min"), opens[3]])
    assert funding_per_bar(rates, candles).tolist() == [0.2, 0.3, 0.4, 0.0]


def test_the_year_has_as_many_bars_as_the_interval_says():
    candles = wild_candles(50, 1)
    assert run(candles, [0] * 50).periods_per_year == 8760
    daily = candles.set_index(pd.date_range("2020", periods=50, freq="D", tz="UTC"))
    assert run(daily, [0] * 50).periods_per_year == 365
    assert run(candles, [0] * 50, periods_per_year=252.0).periods_per_year == 252


CANDLES = wild_candles(10, 1)
SIGNALS = pd.Series(0, index=CANDLES.index)


def spoiled(row, column, value):
    out = CANDLES.copy()
    out.loc[out.index[row], column] = value
    return out


@pytest.mark.parametrize(
    ("candles", "signals", "message"),
    [
        (spoiled(4, "close", np.nan), SIGNALS, r"row 4 .* is not a candle: .*close nan"),
        (spoiled(4, "low", -1.0), SIGNALS, r"row 4 .* is not a candle"),
        (spoiled(4, "high", np.inf), SIGNALS, r"row 4 .* is not a candle"),
        (spoiled(4, "open", 1e6), SIGNALS, r"row 4 .* between low and high"),
        (CANDLES.iloc[::-1], SIGNALS.iloc[::-1], r"row 1 .* does not come after row 0 .* sort first"),
        (CANDLES.drop(columns="low"), SIGNALS, r"candles lack low"),
        (CANDLES.iloc[:1], SIGNALS.iloc[:1], r"1 candles: a backtest needs at least 2"),
        (CANDLES.iloc[:0], SIGNALS.iloc[:0], r"0 candles"),
        (CANDLES, SIGNALS.iloc[:7], r"7 signals for 10 candles"),
        (CANDLES, SIGNALS.shift(1, freq="h"), r"another index than the candles: row 0 is"),
        (CANDLES, SIGNALS.replace(0, 2), r"signal 0 is 2: 1 buys"),
        (CANDLES, SIGNALS.astype(float).mask(SIGNALS.index == SIGNALS.index[3]), r"signal 3 is nan"),
        (CANDLES, SIGNALS == 1, r"integers 1, -1 and 0, got values of type bool"),
        (CANDLES, [0] * 10, r"a Series on the candles' index, got list"),
        (CANDLES.assign(symbol=["A"] * 5 + ["B"] * 5), SIGNALS, r"candles of 2 symbols"),
    ],
)
def test_bad_input_names_row_and_value(candles, signals, message):
    with pytest.raises(BacktestError, match=message):
        backtest_signals(candles, signals)


def test_bad_funding_and_loop_are_named():
    with pytest.raises(BacktestError, match=r"use funding_per_bar"):
        backtest_signals(CANDLES, SIGNALS, funding=pd.Series([0.0]))
    with pytest.raises(BacktestError, match=r"funding of row 2 is nan"):
        backtest_signals(CANDLES, SIGNALS, funding=SIGNALS.astype(float).where(SIGNALS.index != SIGNALS.index[2]))
    with pytest.raises(BacktestError, match=r"'auto', 'plain' or 'compiled', got 'fast'"):
        backtest_signals(CANDLES, SIGNALS, loop="fast")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"initial_capital": -5.0}, r"initial_capital must be above 0, got -5"),
        ({"initial_capital": float("nan")}, r"initial_capital must be a finite number, got nan"),
        ({"position_size": 1.5}, r"position_size is a fraction of equity in \(0, 1\], got 1.5"),
        ({"position_size": 0}, r"position_size is a fraction"),
        ({"stop_loss": 1.0}, r"stop_loss is a fraction of the entry price in \(0, 1\), got 1.0; None"),
        ({"take_profit": -0.1}, r"take_profit is a fraction .* got -0.1"),
        ({"commission": -0.001}, r"commission is a fraction in \[0, 1\), got -0.001"),
        ({"slippage": 5}, r"slippage is a fraction in \[0, 1\), got 5"),
        ({"fill": "open"}, r"fill is one of 'next_open', 'close', got 'open'"),
        ({"confirmation": 0}, r"confirmation is a whole number of bars, at least 1, got 0"),
        ({"sizing": "units"}, r'sizing="units" needs units'),
        ({"units": 3.0}, r'units=3.0 is used only with sizing="units"'),
        ({"max_leverage": 0}, r"max_leverage must be above 0"),
        ({"periods_per_year": -1}, r"periods_per_year must be above 0, got -1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(settings, message):
    with pytest.raises(BacktestError, match=message):
        BacktestConfig(**settings)


def test_configurations_have_names():
    assert BacktestConfig().digest == BacktestConfig().digest
    assert BacktestConfig().digest != BacktestConfig(commission=0.002).digest
    assert len(BacktestConfig().digest) == 12
