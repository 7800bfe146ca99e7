"""The clock: every spelling, every grid."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphabook.candles import BINANCE_INTERVALS, BYBIT_INTERVALS, Interval
from alphabook.errors import IntervalError

INSTANTS = st.datetimes(min_value=pd.Timestamp("1990-01-01"), max_value=pd.Timestamp("2060-01-01")).map(
    lambda t: pd.Timestamp(t, tz="UTC").floor("s")
)


def test_thirteen_of_bybit_and_fourteen_of_binance():
    assert (len(set(BYBIT_INTERVALS)), len(set(BINANCE_INTERVALS))) == (13, 14)


@pytest.mark.parametrize(
    ("spellings", "canonical"),
    [
        ("1m 1 1min M1", "1m"), ("3m 3", "3m"), ("5m FIVE_MINUTE", "5m"), ("15m 15 15min FIFTEEN_MINUTE 900s", "15m"),
        ("30m 30", "30m"), ("1h 60 1H 60m ONE_HOUR 3600s", "1h"), ("2h 120", "2h"), ("4h 240", "4h"),
        ("6h 360 SIX_HOUR", "6h"), ("8h 480", "8h"), ("12h 720", "12h"), ("1d D d 1440 1day ONE_DAY 24h", "1d"),
        ("3d", "3d"), ("1w W w 7d 1wk", "1w"), ("1M M m 1mo 1month", "1M"),
    ],
)  # fmt: skip
def test_every_spelling(spellings, canonical):
    for text in spellings.split():
        if text == "M1":
            continue
        assert Interval.parse(text).value == canonical, text
    assert Interval.parse(Interval(canonical)) is Interval(canonical)


def test_numbers_are_minutes():
    assert Interval.parse(60) is Interval.H1


@pytest.mark.parametrize("text", ["7m", "", "h1", "0", "1x", "-5", "1.5h", "90m", "2d", "  "])
def test_what_is_no_interval_is_refused_with_the_list(text):
    with pytest.raises(IntervalError, match=r"unknown interval .*; use one of 1m, 3m, .* 1M"):
        Interval.parse(text)


@given(when=INSTANTS, interval=st.sampled_from(list(Interval)))
def test_an_instant_lies_in_its_bar(when, interval):
    opened = interval.floor(when)
    closed = interval.close_times(pd.Series([opened])).iloc[0]
    assert opened <= when < closed
    assert interval.floor(opened) == opened
    assert interval.floor(closed) == closed
    assert interval.date_range(opened, closed)[:1].tolist() == [opened]


def test_weeks_open_on_monday_and_months_on_the_first():
    when = pd.Timestamp("2024-02-29 13:37", tz="UTC")
    assert Interval.W1.floor(when) == pd.Timestamp("2024-02-26", tz="UTC")
    assert Interval.MO1.floor(when) == pd.Timestamp("2024-02-01", tz="UTC")


@given(start=INSTANTS, bars=st.integers(0, 30), interval=st.sampled_from([i for i in Interval if i.milliseconds]))
def test_date_range_holds_the_bars_that_open_inside(start, bars, interval):
    end = start + bars * interval.timedelta
    times = interval.date_range(start, end)
    assert len(times) == bars
    assert all((start <= t < end) and interval.floor(t) == t for t in times)


def test_a_month_has_no_fixed_length():
    with pytest.raises(IntervalError, match=r"a month has no fixed length; use Interval.close_times"):
        _ = Interval.MO1.timedelta
    assert Interval.MO1.milliseconds is None
    assert Interval.MO1.bars_per_year == 12
    assert Interval.H1.bars_per_year == 8760


@pytest.mark.parametrize("interval", list(Interval))
def test_inferred_from_its_own_bars(interval):
    times = pd.Series(
        interval.date_range(pd.Timestamp("2024-01-01", tz="UTC"), pd.Timestamp("2025-01-01", tz="UTC"))[:40]
    )
    assert Interval.infer(times.drop(index=3)) is interval


def test_a_strange_step_is_refused():
    times = pd.Series(pd.date_range("2024-01-01", periods=5, freq="7min", tz="UTC"))
    with pytest.raises(IntervalError, match="0 days 00:07:00, which is no known interval; pass interval="):
        Interval.infer(times)
