"""The data contract: what becomes a table of candles, and what is refused in which words."""

import pandas as pd
import pytest
from candle_factory import make_candles

from alphabook.candles import COLUMNS, as_candles, empty_candles, interval_of, parse_range, parse_time
from alphabook.candles.table import split_symbols
from alphabook.errors import CandleError, IntervalError, TimeRangeError


def test_a_table_of_candles_stays_as_it_is():
    candles = make_candles(5)
    again = as_candles(candles)
    pd.testing.assert_frame_equal(again, candles)
    assert again.attrs == candles.attrs
    assert tuple(again.columns) == COLUMNS


def test_ts_index_milliseconds_and_other_zones_are_understood():
    candles = make_candles(5)
    by_ts = candles.rename(columns={"open_time": "ts"})
    by_index = candles.set_index("open_time")
    by_number = candles.assign(open_time=candles["open_time"].astype("int64"))
    elsewhere = candles.assign(open_time=candles["open_time"].dt.tz_convert("Asia/Tokyo"))
    finer = candles.assign(open_time=candles["open_time"].astype("datetime64[ns, UTC]"))
    for other in (by_ts, by_index, by_number, elsewhere, finer):
        pd.testing.assert_frame_equal(as_candles(other), candles)


def test_symbol_and_turnover_may_be_absent():
    candles = make_candles(3)
    bare = as_candles(candles.drop(columns=["symbol", "turnover"]), symbol="ETHUSDT", venue="coinbase", interval=60)
    assert bare["symbol"].unique().tolist() == ["ETHUSDT"]
    assert bare["turnover"].isna().all()
    assert bare.attrs == {"interval": "1h", "venue": "coinbase"}


def test_text_numbers_of_an_exchange_are_read():
    candles = make_candles(3)
    text = candles.astype(dict.fromkeys(COLUMNS[2:], str))
    pd.testing.assert_frame_equal(as_candles(text), candles)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (make_candles(2).drop(columns=["close", "volume"]), "column close, volume missing; found open_time, symbol"),
        (make_candles(2).assign(open_time=pd.Timestamp("2024-01-01")), "open_time has no time zone; candles are UTC"),
        (make_candles(2).assign(close="dear"), "column 'close' holds something that is not a number"),
    ],
)
def test_what_is_no_table_of_candles(frame, message):
    with pytest.raises(CandleError, match=message):
        as_candles(frame)


def test_empty_has_the_right_types():
    assert empty_candles("1h").dtypes.equals(make_candles(2).dtypes)


def test_interval_given_carried_or_inferred():
    candles = make_candles(5, interval="15m")
    assert interval_of(candles, "1h").value == "1h"
    assert interval_of(candles).value == "15m"
    candles.attrs = {}
    assert interval_of(candles).value == "15m"
    with pytest.raises(IntervalError):
        interval_of(candles.iloc[:1])


def test_times_from_text_numbers_and_zones():
    noon = pd.Timestamp("2024-01-31 12:00", tz="UTC")
    for text in ("2024-01-31T12:00", "2024-01-31T12:00Z", "2024-01-31T13:00+01:00", 1_706_702_400_000, noon):
        assert parse_time(text) == noon


@pytest.mark.parametrize("text", ["yesterdayish", "2024-13-01", None, ""])
def test_what_is_no_time(text):
    with pytest.raises(
        TimeRangeError, match=r"end .* is not a time .*write it like 2024-01-31|end .* is not a time; write it like"
    ):
        parse_time(text, name="end")


def test_reversed_dates():
    with pytest.raises(TimeRangeError, match="start 2024-02-01 00:00 is not before end 2024-01-01 00:00; swap them"):
        parse_range("2024-02-01", "2024-01-01")


def test_symbols_from_text_or_lists():
    assert (
        split_symbols(" BTCUSDT,ETHUSDT, ,BTCUSDT") == split_symbols(["BTCUSDT", "ETHUSDT"]) == ["BTCUSDT", "ETHUSDT"]
    )
