"""Gaps: found by arithmetic, checked against the plain walk over every bar that should be there."""

import numpy as np
import pandas as pd
import pytest
from candle_factory import MARKET, holed_candles, make_candles, needs_market, two_symbols
from hypothesis import given
from hypothesis import strategies as st

from alphabook.candles import Interval, MarketDir, empty_candles, find_gaps
from alphabook.candles.gaps import bar_number, bar_open


def gaps_by_walking(candles: pd.DataFrame, interval: str) -> list[tuple]:
    """The oracle: step from the first bar to the last and write down what is absent."""
    found = []
    for symbol, part in candles.groupby("symbol"):
        there = set(part["open_time"])
        first_missing, count = None, 0
        for time in Interval.parse(interval).date_range(min(there), max(there) + pd.Timedelta(1, unit="ms")):
            if time not in there:
                first_missing = first_missing or time
                last_missing, count = time, (1 if first_missing == time else count + 1)
            elif first_missing is not None:
                found.append((symbol, first_missing, last_missing, count))
                first_missing = None
    return found


@given(candles=holed_candles())
def test_equal_to_walking_over_every_bar(candles):
    assert list(find_gaps(candles).itertuples(index=False, name=None)) == gaps_by_walking(candles, "15m")


@pytest.mark.parametrize("interval", ["1m", "1h", "8h", "1d", "3d", "1w", "1M"])
def test_every_interval_has_its_own_calendar(interval):
    keep = np.array([True, False, True, True, False, False, True])
    candles = make_candles(7, interval=interval, start="2023-12-25", keep=keep)
    assert find_gaps(candles)["missing"].tolist() == [1, 2]
    assert list(find_gaps(candles).itertuples(index=False, name=None)) == gaps_by_walking(candles, interval)


def test_months_are_counted_not_measured():
    candles = make_candles(6, interval="1M", start="2024-01-01", keep=np.array([True, False, True, True, True, True]))
    gap = find_gaps(candles).iloc[0]
    assert (gap["first_missing"], gap["missing"]) == (pd.Timestamp("2024-02-01", tz="UTC"), 1)


def test_order_of_rows_does_not_matter():
    candles = make_candles(30, keep=np.arange(30) % 7 != 3)
    pd.testing.assert_frame_equal(find_gaps(candles), find_gaps(candles.sample(frac=1, random_state=1)))


def test_a_gap_never_spans_two_symbols():
    assert find_gaps(two_symbols(5)).empty


def test_repeated_bars_are_no_gap():
    candles = make_candles(4)
    assert find_gaps(pd.concat([candles, candles])).empty


def test_columns_are_the_same_when_there_is_nothing_to_find():
    columns = ["symbol", "first_missing", "last_missing", "missing"]
    empty, none = find_gaps(empty_candles("1h")), find_gaps(make_candles(3))
    assert list(empty.columns) == list(none.columns) == columns
    assert empty.dtypes.equals(none.dtypes)


@given(number=st.integers(-500, 30_000), interval=st.sampled_from(list(Interval)))
def test_bar_number_and_bar_open_are_inverse(number, interval):
    opened = bar_open(np.array([number]), interval)
    if opened.dt.year.iloc[0] > 0:
        assert bar_number(opened, interval).tolist() == [number]
        assert interval.floor(opened).equals(opened.astype(interval.floor(opened).dtype))


@needs_market
def test_the_recorded_outages_of_2018_to_2021():
    candles = MarketDir(MARKET).read("BTCUSDT", "1h", venue="binance-spot")
    gaps = find_gaps(candles)
    assert (len(gaps), gaps["missing"].sum()) == (26, 121)
    longest = gaps.loc[gaps["missing"].idxmax()]
    assert (longest["first_missing"], longest["missing"]) == (pd.Timestamp("2018-02-08 01:00", tz="UTC"), 33)
