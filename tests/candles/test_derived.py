"""Derived values, against the definitions written out bar by bar."""

import math

import numpy as np
import pandas as pd
import pytest
from candle_factory import holed_candles, make_candles, two_symbols
from hypothesis import given, settings

from alphabook import candles as c
from alphabook.errors import CandleError

ONE = c.as_candles(
    pd.DataFrame(
        {
            "open_time": pd.to_datetime(["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00"], utc=True),
            "symbol": "BTCUSDT",
            "open": [100.0, 108.0, 90.0],
            "high": [110.0, 109.0, 95.0],
            "low": [96.0, 104.0, 88.0],
            "close": [104.0, 105.0, 90.0],
            "volume": 1.0,
        }
    ),
    interval="1h",
)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (c.typical_price, [310 / 3, 106.0, 91.0]),
        (c.weighted_close, [103.5, 105.75, 90.75]),
        (c.body, [4.0, 3.0, 0.0]),
        (c.upper_shadow, [6.0, 1.0, 5.0]),
        (c.lower_shadow, [4.0, 1.0, 2.0]),
        (c.is_bullish, [True, False, False]),
        (c.is_bearish, [False, True, False]),
        (c.range_pct, [14.0, 500 / 108, 700 / 90]),
        (c.true_range, [14.0, 5.0, 17.0]),
        (c.simple_return, [math.nan, 1 / 104, -15 / 105]),
        (c.log_return, [math.nan, math.log(105 / 104), math.log(90 / 105)]),
    ],
)
def test_three_bars_on_paper(function, expected):
    result = function(ONE)
    np.testing.assert_allclose(result.astype("float64"), np.array(expected, dtype="float64"))
    assert result.name == function.__name__
    assert result.index.equals(ONE.index)


@settings(max_examples=30, deadline=None)
@given(candles=holed_candles())
def test_identities_of_a_valid_bar(candles):
    whole = c.body(candles) + c.upper_shadow(candles) + c.lower_shadow(candles)
    np.testing.assert_allclose(whole, candles["high"] - candles["low"], rtol=0, atol=1e-9)
    assert (c.true_range(candles) >= candles["high"] - candles["low"] - 1e-12).all()
    assert c.typical_price(candles).between(candles["low"], candles["high"]).all()
    np.testing.assert_allclose(np.expm1(c.log_return(candles)), c.simple_return(candles), rtol=1e-9, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(candles=holed_candles())
def test_returns_by_loop(candles):
    there = {(r.symbol, r.open_time): r.close for r in candles.itertuples()}
    step = pd.Timedelta(minutes=15)
    expected = [r.close / there.get((r.symbol, r.open_time - step), math.nan) - 1 for r in candles.itertuples()]
    np.testing.assert_allclose(c.simple_return(candles), expected, rtol=1e-12, atol=1e-15)


def test_no_return_across_a_gap():
    candles = make_candles(6, keep=np.array([1, 1, 0, 1, 1, 1], dtype=bool))
    assert c.simple_return(candles).isna().tolist() == [True, False, True, False, False]


def test_true_range_reaches_back_within_the_symbol_only():
    both = two_symbols(3)
    first = both.index[both["symbol"] == "ETHUSDT"][0]
    assert c.true_range(both)[first] == both["high"][first] - both["low"][first]


def test_later_bars_do_not_change_earlier_values():
    candles = make_candles(20)
    changed = candles.copy()
    changed.loc[12:, ["open", "high", "low", "close"]] *= 2
    for function in (c.true_range, c.simple_return, c.log_return):
        pd.testing.assert_series_equal(function(candles)[:12], function(changed)[:12])


@pytest.mark.parametrize("function", [c.true_range, c.simple_return, c.log_return])
def test_shuffled_rows_are_refused(function):
    with pytest.raises(CandleError, match=r"BTCUSDT row \d+ .* does not come after the row before"):
        function(make_candles(20).sample(frac=1, random_state=0))


@pytest.mark.parametrize(
    ("interval", "closes"),
    [("1h", "2024-02-01 01:00"), ("1d", "2024-02-02"), ("1w", "2024-02-12"), ("1M", "2024-03-01")],
)
def test_close_time_is_the_next_open(interval, closes):
    candles = make_candles(1, interval=interval, start="2024-02-01")
    assert c.close_time(candles).tolist() == [pd.Timestamp(closes, tz="UTC")]
    assert c.close_time(candles).dtype == candles["open_time"].dtype


def test_one_bar_has_no_return():
    assert c.log_return(make_candles(1)).isna().all()
