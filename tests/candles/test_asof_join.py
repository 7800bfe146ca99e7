"""The join of two clocks: equal to the loop, and blind to the future."""

import numpy as np
import pandas as pd
import pytest
from candle_factory import holed_candles, make_candles, two_symbols
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabook.candles import Interval, as_candles, asof_join, close_time, empty_candles, resample
from alphabook.errors import CandleError, IntervalError


def join_by_loop(fine: pd.DataFrame, coarse: pd.DataFrame) -> list[float]:
    """The oracle: for each short bar, the close of the last long bar that was closed by then."""
    fine_known, coarse_known = close_time(fine), close_time(coarse)
    out = []
    for row in range(len(fine)):
        usable = (coarse["symbol"] == fine["symbol"].iloc[row]) & (coarse_known <= fine_known.iloc[row])
        seen = coarse[usable]
        out.append(seen.loc[seen["open_time"].idxmax(), "close"] if len(seen) else np.nan)
    return out


@settings(max_examples=40, deadline=None)
@given(fine=holed_candles(most=40), coarse=holed_candles(interval="1h", most=12))
def test_equal_to_the_loop(fine, coarse):
    np.testing.assert_array_equal(asof_join(fine, coarse)["close_1h"], join_by_loop(fine, coarse))


@settings(max_examples=40, deadline=None)
@given(
    pair=st.sampled_from([("15m", "1h"), ("15m", "4h"), ("1h", "1d"), ("1d", "1w"), ("1d", "1M"), ("1h", "1h")]),
    bars=st.integers(4, 80),
    data=st.data(),
)
def test_what_is_not_closed_yet_changes_nothing(pair, bars, data):
    fine = make_candles(bars, interval=pair[0], start="2024-01-30 00:00")
    coarse = make_candles(12, interval=pair[1], start="2024-01-01", seed=1)
    at = data.draw(st.integers(0, bars - 1))
    now = close_time(fine).iloc[at]
    future = close_time(coarse) > now
    changed = coarse.copy()
    changed.loc[future, ["open", "high", "low", "close", "volume", "turnover"]] = -1.0
    pd.testing.assert_frame_equal(asof_join(fine, coarse).iloc[: at + 1], asof_join(fine, changed).iloc[: at + 1])
    pd.testing.assert_frame_equal(
        asof_join(fine, coarse).iloc[: at + 1], asof_join(fine, coarse[~future]).iloc[: at + 1]
    )


@settings(max_examples=30, deadline=None)
@given(fine=holed_candles(), coarse=holed_candles(interval="1h", most=20))
def test_no_row_sees_a_bar_that_closes_after_it(fine, coarse):
    joined = asof_join(fine, coarse)
    seen = joined["close_time_1h"].notna()
    assert (joined["close_time_1h"][seen] <= close_time(fine)[seen]).all()
    assert (joined["close_time_1h"][seen] == joined["open_time_1h"][seen] + pd.Timedelta(hours=1)).all()


def test_the_hour_that_closes_with_the_quarter_is_seen_and_not_a_quarter_earlier():
    fine = make_candles(9, interval="15m", start="2024-01-01 10:00")
    joined = asof_join(fine, resample(fine, "1h"))
    hours = joined["open_time_1h"].dt.hour
    assert hours.isna().tolist() == [True, True, True] + [False] * 6
    assert hours[3:].tolist() == [10, 10, 10, 10, 11, 11]


def test_rows_order_and_index_of_the_fine_table_are_kept():
    fine = two_symbols(16, interval="15m").sample(frac=1, random_state=3)
    joined = asof_join(fine, resample(two_symbols(16, interval="15m"), "1h"))
    assert joined.index.equals(fine.index)
    pd.testing.assert_frame_equal(joined[fine.columns], fine)
    assert joined.attrs == fine.attrs


def test_symbols_see_only_themselves():
    fine = two_symbols(16, interval="15m")
    joined = asof_join(fine, resample(fine, "1h")[lambda c: c["symbol"] == "BTCUSDT"])
    assert joined.loc[joined["symbol"] == "ETHUSDT", "close_1h"].isna().all()


def test_own_columns_are_carried_and_the_suffix_can_be_chosen():
    fine = make_candles(8, interval="15m")
    joined = asof_join(fine, resample(fine, "1h").assign(rsi=55.0), suffix="_slow")
    assert joined["rsi_slow"].notna().sum() == 5
    assert list(joined.columns[8:10]) == ["open_time_slow", "close_time_slow"]


def test_an_old_bar_can_be_refused():
    fine = make_candles(24, interval="15m")
    coarse = resample(fine, "1h").iloc[[0]]
    assert asof_join(fine, coarse)["close_1h"].notna().sum() == 21
    assert asof_join(fine, coarse, max_age="1h")["close_1h"].notna().sum() == 5


def test_the_coarse_table_may_come_in_any_order():
    fine = make_candles(48, interval="15m")
    coarse = resample(fine, "1h")
    pd.testing.assert_frame_equal(asof_join(fine, coarse), asof_join(fine, coarse.sample(frac=1, random_state=0)))


def test_without_long_bars_nothing_is_known():
    fine = make_candles(4, interval="15m")
    assert asof_join(fine, empty_candles("1h"))["close_1h"].isna().all()
    assert asof_join(empty_candles("15m"), resample(fine, "1h")).empty


def test_swapped_arguments_are_refused():
    fine = make_candles(8, interval="15m")
    with pytest.raises(IntervalError, match="fine has 1h bars and coarse 15m; swap the arguments"):
        asof_join(resample(fine, "1h"), fine)


def test_a_long_bar_that_is_there_twice_is_refused():
    fine = make_candles(8, interval="15m")
    coarse = resample(fine, "1h")
    twice = as_candles(pd.concat([coarse, coarse.iloc[[0]]]), interval="1h")
    with pytest.raises(CandleError, match=r"coarse: BTCUSDT 2024-01-01 00:00 occurs more than once"):
        asof_join(fine, twice)


def test_months_close_when_the_next_one_begins():
    days = make_candles(60, interval="1d", start="2024-01-01")
    joined = asof_join(days, resample(days, "1M")).set_index("open_time")
    assert pd.isna(joined["close_1M"]["2024-01-30"])
    assert joined["open_time_1M"]["2024-01-31"] == pd.Timestamp("2024-01-01", tz="UTC")
    assert Interval.MO1.value == "1M"
