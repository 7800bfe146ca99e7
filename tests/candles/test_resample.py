"""Longer bars, held against a loop that reads like the definition."""

import numpy as np
import pandas as pd
import pytest
from candle_factory import MARKET, holed_candles, make_candles, needs_market, two_symbols
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabook.candles import Interval, MarketDir, empty_candles, resample
from alphabook.errors import CandleError, IntervalError


def resample_by_loop(candles: pd.DataFrame, short: str, long: str, keep_partial: bool) -> list[tuple]:
    """The oracle: for every long bar collect its short bars one by one."""
    step, bar, out = Interval.parse(short), Interval.parse(long), []
    for symbol, part in candles.groupby("symbol"):
        for opened in sorted(set(bar.floor(part["open_time"]))):
            closed = bar.close_times(pd.Series([opened])).iloc[0]
            inside = part[(part["open_time"] >= opened) & (part["open_time"] < closed)].sort_values("open_time")
            if not keep_partial and len(inside) < len(step.date_range(opened, closed)):
                continue
            row = (opened, symbol, inside["open"].iloc[0], inside["high"].max(), inside["low"].min())
            out.append((*row, inside["close"].iloc[-1], inside["volume"].sum(), len(inside)))
    return out


@settings(max_examples=40, deadline=None)
@given(candles=holed_candles(), long=st.sampled_from(["15m", "30m", "1h", "2h", "4h"]), keep=st.booleans())
def test_equal_to_the_loop(candles, long, keep):
    built = resample(candles, long, partial="keep" if keep else "drop")
    expected = resample_by_loop(candles, "15m", long, keep)
    columns = ["open_time", "symbol", "open", "high", "low", "close", "volume"]
    assert list(built[columns[:-1]].itertuples(index=False, name=None)) == [row[:6] for row in expected]
    np.testing.assert_allclose(built["volume"], [row[6] for row in expected], rtol=1e-12)
    if keep:
        assert built["bars"].tolist() == [row[7] for row in expected]


@pytest.mark.parametrize(
    ("short", "long", "bars"),
    [("1d", "1M", 31 + 29 + 31), ("1d", "1w", 28), ("1d", "3d", 30), ("8h", "1d", 12), ("12h", "1M", 62)],
)
def test_calendar_intervals(short, long, bars):
    candles = make_candles(bars, interval=short, start="2024-01-01")
    built = resample(candles, long)
    expected = resample_by_loop(candles, short, long, False)
    assert [row[0] for row in expected] == built["open_time"].tolist()
    assert [row[5] for row in expected] == built["close"].tolist()
    assert built.attrs["interval"] == long


def test_the_bar_still_being_built_is_left_out():
    assert len(resample(make_candles(6, interval="15m"), "1h")) == 1
    kept = resample(make_candles(6, interval="15m"), "1h", partial="keep")
    assert kept["bars"].tolist() == [4, 2]


def test_an_hour_with_a_hole_is_no_whole_hour():
    candles = make_candles(12, interval="15m", keep=np.arange(12) != 5)
    assert resample(candles, "1h")["open_time"].dt.hour.tolist() == [0, 2]


def test_in_two_steps_as_in_one():
    candles = make_candles(96 * 3, interval="15m")
    direct, staged = resample(candles, "1d"), resample(resample(candles, "4h"), "1d")
    pd.testing.assert_frame_equal(direct, staged)


def test_turnover_is_unknown_where_a_part_is():
    candles = make_candles(8, interval="15m")
    candles.loc[2, "turnover"] = np.nan
    assert resample(candles, "1h")["turnover"].isna().tolist() == [True, False]


def test_later_bars_do_not_change_earlier_ones():
    candles = make_candles(40, interval="15m")
    changed = candles.copy()
    changed.loc[20:, ["open", "high", "low", "close", "volume"]] *= 3
    before = candles["open_time"].iloc[20]
    one, two = resample(candles, "1h"), resample(changed, "1h")
    unchanged = one["open_time"] < before
    assert unchanged.sum() == 5
    pd.testing.assert_frame_equal(one[unchanged], two[unchanged])


def test_symbols_stay_apart_and_attributes_travel():
    built = resample(two_symbols(8, interval="15m"), "1h")
    assert built["symbol"].tolist() == ["BTCUSDT", "BTCUSDT", "ETHUSDT", "ETHUSDT"]
    assert built.attrs == {"interval": "1h", "venue": "bybit"}


def test_empty_stays_empty():
    assert resample(empty_candles("15m"), "1h").empty


@pytest.mark.parametrize(
    ("short", "long", "message"),
    [
        ("1h", "15m", "1h bars cannot be split into 15m bars"),
        ("1M", "1d", "1M bars cannot be split into 1d bars"),
        ("3m", "5m", "5m bars do not hold a whole number of 3m bars"),
        ("1w", "1M", "1M bars do not hold a whole number of 1w bars"),
        ("3d", "1w", "1w bars do not hold a whole number of 3d bars"),
        ("3d", "1M", "1M bars do not hold a whole number of 3d bars"),
    ],
)
def test_refuses_what_cannot_be_built(short, long, message):
    with pytest.raises(IntervalError, match=message):
        resample(make_candles(3, interval=short), long)


def test_refuses_a_bar_that_is_there_twice():
    candles = make_candles(4, interval="15m")
    with pytest.raises(CandleError, match=r"BTCUSDT 2024-01-01 00:15 occurs more than once \(1 rows too many\)"):
        resample(pd.concat([candles, candles.iloc[[1]]]), "1h")


def test_refuses_an_unknown_treatment_of_partial_bars():
    with pytest.raises(ValueError, match="partial must be 'drop' or 'keep', got 'fill'"):
        resample(make_candles(4), "4h", partial="fill")


@needs_market
def test_recorded_quarter_hours_add_up_to_recorded_hours_but_for_four():
    market = MarketDir(MARKET)
    built = resample(market.read("BTCUSDT", "15m", venue="binance"), "1h").set_index("open_time")
    hours = market.read("BTCUSDT", "1h", venue="binance", kind="um").set_index("open_time").loc[built.index]
    same = np.isclose(built["volume"], hours["volume"], rtol=1e-9)
    for column in ("open", "high", "low", "close"):
        same &= np.isclose(built[column], hours[column], rtol=1e-9)
    assert (len(built), int((~same).sum())) == (14_199, 4)
    assert sorted(set(built.index[~same].strftime("%Y-%m-%d"))) == ["2023-11-10", "2024-10-28"]
