"""Bybit's wire form: strings, newest first, errors inside HTTP 200."""

import math

import pandas as pd
import pytest
from exchange_double import Answer, client

from alphabook.errors import (
    AuthenticationError,
    BadIntervalError,
    BadRequestError,
    OutageError,
    RateLimitedError,
    RegionBlockedError,
    TimeRangeError,
    UnknownSymbolError,
)
from alphabook.venues import Bybit

T0 = 1_704_067_200_000  # 2024-01-01
HOUR = 3_600_000


def reply(rows, time=T0 + 100 * HOUR, **result):
    return Answer({"retCode": 0, "retMsg": "OK", "result": {"list": rows, **result}, "retExtInfo": {}, "time": time})


def kline(i, close="101.5"):
    return [str(T0 + i * HOUR), "100", "102.25", "99.5", close, "7.5", "760.1"]


def test_rows_come_back_oldest_first_with_every_column_in_its_place():
    bybit, exchange, _ = client(Bybit, reply([kline(2), kline(1), kline(0)]))
    got = bybit.fetch_candles("btcusdt", "60", "2024-01-01", "2024-01-01T03:00")
    assert list(got["open_time"]) == list(pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC"))
    assert got.iloc[0].tolist()[1:] == ["BTCUSDT", 100, 102.25, 99.5, 101.5, 7.5, 760.1]
    assert got.attrs["interval"] == "1h"
    assert got.attrs["venue"] == "bybit"
    assert got.attrs["source"] == "bybit BTCUSDT from https://api.bybit.com"
    assert exchange.queries == [
        {
            "category": "linear", "symbol": "BTCUSDT", "interval": "60", "start": str(T0),
            "end": str(T0 + 2 * HOUR), "limit": "3",
        }
    ]  # fmt: skip


def test_inverse_contracts_count_volume_in_quote_and_the_table_does_not():
    bybit, _, _ = client(Bybit, reply([kline(0)]), category="inverse")
    got = bybit.fetch_candles("BTCUSD", "1h", "2024-01-01", "2024-01-01T01:00")
    assert (got["volume"][0], got["turnover"][0]) == (760.1, 7.5)
    assert got.attrs["venue"] == "bybit-inverse"


def test_the_open_bar_is_left_out_by_bybits_own_clock():
    bybit, _, time = client(Bybit, reply([kline(2), kline(1), kline(0)], time=T0 + 3 * HOUR - 1))
    time.now = 1.9e9  # this machine believes it is years later
    got = bybit.fetch_candles("BTCUSDT", "1h", "2024-01-01", "2024-01-01T03:00")
    assert len(got) == 2
    bybit, _, _ = client(Bybit, reply([kline(2), kline(1), kline(0)], time=T0 + 3 * HOUR))
    assert len(bybit.fetch_candles("BTCUSDT", "1h", "2024-01-01", "2024-01-01T03:00")) == 3


def test_rows_beside_the_request_are_left_out():
    bybit, _, _ = client(Bybit, reply([kline(5), kline(1), kline(0), kline(-1)]))
    got = bybit.fetch_candles("BTCUSDT", "1h", "2024-01-01", "2024-01-01T02:00")
    assert len(got) == 2


def test_an_unaligned_start_begins_with_the_next_bar():
    bybit, exchange, _ = client(Bybit, reply([kline(1)]))
    got = bybit.fetch_candles("BTCUSDT", "1h", "2024-01-01T00:00:08", "2024-01-01T02:00")
    assert got["open_time"][0] == pd.Timestamp("2024-01-01T01:00Z")
    assert exchange.queries[0]["start"] == str(T0 + HOUR)


def test_months_and_weeks_have_their_own_grid():
    rows = [[str(int(pd.Timestamp(f"2024-0{m}-01", tz="UTC").timestamp() * 1000)), *kline(0)[1:]] for m in (3, 2, 1)]
    bybit, exchange, _ = client(
        Bybit, reply(rows, time=int(pd.Timestamp("2024-03-31T23:59", tz="UTC").timestamp() * 1000))
    )
    got = bybit.fetch_candles("BTCUSDT", "1M", "2024-01-01", "2024-04-01")
    assert got["open_time"].dt.month.tolist() == [1, 2]  # March is still open
    assert exchange.queries[0]["interval"] == "M"


def test_empty_early_pages_are_passed_over():
    listing = T0 + 2500 * HOUR

    def answer(path, query):
        first, last = int(query["start"]), int(query["end"])
        times = [t for t in range(first, last + 1, HOUR) if t >= listing]
        return reply([[str(t), *kline(0)[1:]] for t in reversed(times)], time=T0 + 9000 * HOUR)

    bybit, exchange, _ = client(Bybit, answer)
    got = bybit.fetch_candles("BTCUSDT", "1h", "2024-01-01", "2024-06-29")  # 180 days, 4320 bars, 5 windows
    assert len(got) == 4320 - 2500
    assert got.attrs["gaps"][0][2] < 1000  # bars before the listing in the window that holds it: reported, not filled
    assert len(exchange.requests) <= 5 + 2


def test_what_lies_in_the_venues_future_is_not_asked_for_again_and_again():
    bybit, exchange, _ = client(Bybit, lambda p, q: reply([kline(0)] if int(q["start"]) == T0 else [], time=T0 + HOUR))
    got = bybit.fetch_candles("BTCUSDT", "1h", "2024-01-01", "2025-01-01")
    assert len(got) == 1
    assert len(exchange.requests) == 2


@pytest.mark.parametrize(
    ("code", "text", "error"),
    [
        (10001, "Not supported symbols", UnknownSymbolError),
        (10001, "params error: symbol invalid", UnknownSymbolError),
        (10029, "the requested symbol is invalid", UnknownSymbolError),
        (10001, "Invalid period!", BadIntervalError),
        (10001, "params error: limit", BadRequestError),
        (10006, "Too many visits!", RateLimitedError),
        (10018, "ip limit", RateLimitedError),
        (10016, "server error", OutageError),
        (10009, "IP", RegionBlockedError),
        (10024, "compliance rules", RegionBlockedError),
        (10003, "API key is invalid.", AuthenticationError),
        (99999, "something new", BadRequestError),
    ],
)
@pytest.mark.parametrize("result", [{}, [], {"category": "", "symbol": "", "list": []}])
def test_every_ret_code_is_one_typed_error_whatever_result_holds(code, text, error, result):
    bybit, _, _ = client(Bybit, Answer({"retCode": code, "retMsg": text, "result": result, "time": T0}), attempts=2)
    with pytest.raises(error) as caught:
        bybit.fetch_candles("NOSUCHUSDT", "1h", "2024-01-01", "2024-01-02")
    assert type(caught.value) is error
    assert caught.value.code == code
    assert caught.value.venue == "bybit"
    assert str(code) in str(caught.value)


def test_bad_input_never_reaches_the_network():
    bybit, exchange, _ = client(Bybit, reply([]))
    for call, error in (
        (("BTCUSDT", "8h", "2024-01-01", "2024-01-02"), BadIntervalError),
        (("BTCUSDT", "1h", "2024-01-02", "2024-01-01"), TimeRangeError),
        (("BTCUSDT", "1h", "yesterday-ish", "2024-01-01"), TimeRangeError),
        (("BTC/USDT", "1h", "2024-01-01", "2024-01-02"), UnknownSymbolError),
        (("", "1h", "2024-01-01", "2024-01-02"), UnknownSymbolError),
    ):
        with pytest.raises(error):
            bybit.fetch_candles(*call)
    with pytest.raises(BadRequestError, match="linear, spot and inverse"):
        Bybit(category="option")
    with pytest.raises(TimeRangeError, match="limit"):
        bybit.fetch_last("BTCUSDT", "1h", 0)
    assert exchange.requests == []


def test_fetch_last_ends_with_the_newest_closed_bar():
    now = T0 + 10 * HOUR + 5

    def answer(path, query):
        if path.endswith("time"):
            return reply([], time=now)
        first, last = int(query["start"]), int(query["end"])
        return reply([[str(t), *kline(0)[1:]] for t in range(first, last + 1, HOUR)], time=now)

    bybit, _, _ = client(Bybit, answer)
    got = bybit.fetch_last("BTCUSDT", "1h", 4)
    assert got["open_time"].iloc[-1] == pd.Timestamp(T0 + 9 * HOUR, unit="ms", tz="UTC")
    assert len(got) == 4


TICKER = {
    "symbol": "BTCUSDT", "lastPrice": "42000.5", "indexPrice": "42001", "markPrice": "42000", "prevPrice24h": "41000",
    "price24hPcnt": "0.0244", "highPrice24h": "42500", "lowPrice24h": "40500", "turnover24h": "1000000",
    "volume24h": "25.5", "openInterest": "", "fundingRate": "0.0001", "bid1Price": "42000", "bid1Size": "1.5",
    "ask1Price": "42001", "ask1Size": "0.5",
}  # fmt: skip


def test_tickers_keep_what_is_told_and_one_bad_row_does_not_cost_the_others(caplog):
    rows = [TICKER, {"symbol": "BROKEN", "lastPrice": ""}, {**TICKER, "symbol": "ETHUSDT"}]
    bybit, _, _ = client(Bybit, reply(rows))
    found = bybit.tickers()
    assert [t.symbol for t in found] == ["BTCUSDT", "ETHUSDT"]
    assert (found[0].last_price, found[0].change_24h, found[0].open_interest) == (42000.5, 0.0244, None)
    assert "BROKEN" in caplog.text
    assert [t.symbol for t in bybit.tickers(["ETHUSDT"])] == ["ETHUSDT"]
    bybit, _, _ = client(Bybit, reply([]))
    with pytest.raises(UnknownSymbolError):
        bybit.ticker("BTCUSDT")


def test_order_book_measures():
    book = {"s": "BTCUSDT", "b": [["99", "3"], ["100", "1"]], "a": [["102", "2"], ["101", "4"]], "ts": T0, "u": 1}
    bybit, exchange, _ = client(Bybit, Answer({"retCode": 0, "result": book, "time": T0}))
    got = bybit.order_book("BTCUSDT", depth=5000)
    assert exchange.queries[0]["limit"] == "1000"
    assert (got.mid, got.spread) == (100.5, 1.0)
    assert got.spread_pct == pytest.approx(100 / 100.5)
    assert got.imbalance(1) == pytest.approx((1 - 4) / 5)
    assert got.imbalance(2) == pytest.approx((4 - 6) / 10)
    with pytest.raises(ValueError, match="depth"):
        got.imbalance(0)
    empty = type(got)(symbol="X", time=None, bids=(), asks=())
    assert math.isnan(empty.mid)
    assert math.isnan(empty.imbalance())


def instrument(symbol):
    return {
        "symbol": symbol, "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": symbol[:-4],
        "quoteCoin": "USDT", "launchTime": "1585526400000", "priceFilter": {"tickSize": "0.10"},
        "lotSizeFilter": {"qtyStep": "0.001", "minOrderQty": "0.001", "minNotionalValue": "5"}, "fundingInterval": 480,
    }  # fmt: skip


def test_instruments_follow_every_cursor():
    pages = {"": ("AUSDT", "p2"), "p2": ("BUSDT", "p3"), "p3": ("CUSDT", "")}

    def answer(path, query):
        symbol, cursor = pages[query.get("cursor", "")]
        return reply([instrument(symbol)], nextPageCursor=cursor)

    bybit, exchange, _ = client(Bybit, answer)
    found = bybit.instruments()
    assert [i.symbol for i in found] == ["AUSDT", "BUSDT", "CUSDT"]
    assert len(exchange.requests) == 3
    assert found[0].funding_interval == pd.Timedelta(hours=8)
    assert found[0].tick_size == 0.1
    assert found[0].launch_time == pd.Timestamp("2020-03-30", tz="UTC")


def test_a_cursor_that_repeats_does_not_loop_for_ever():
    bybit, exchange, _ = client(Bybit, reply([instrument("AUSDT")], nextPageCursor="same"))
    assert len(bybit.instruments()) == 1
    assert len(exchange.requests) == 2


def test_funding_history_always_sends_both_ends_and_rounds_the_time():
    def answer(path, query):
        first, last = int(query["startTime"]), int(query["endTime"])
        times = [t + 5 for t in range(T0, T0 + 1000 * 8 * HOUR, 8 * HOUR) if first <= t + 5 <= last][-200:]
        rows = [{"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingRateTimestamp": str(t)} for t in reversed(times)]
        return reply(rows)

    bybit, exchange, _ = client(Bybit, answer)
    got = bybit.funding_history("BTCUSDT", "2024-01-01", "2024-07-01")  # 182 days, 546 records, 3 pages
    assert len(got) == 546
    assert got["time"].diff().dropna().eq(pd.Timedelta(hours=8)).all()
    assert got["time"][0] == pd.Timestamp("2024-01-01", tz="UTC")
    assert got.columns.tolist() == ["time", "symbol", "rate"]
    assert all({"startTime", "endTime"} <= set(q) for q in exchange.queries)


def test_testnet_and_repr():
    assert "testnet" in repr(Bybit.testnet())
