"""The stand-in as Binance USDⓈ-M futures: twelve fields, weights, strict parameters."""

from __future__ import annotations

import json

import pytest
from standin_counter import HOUR, T0, Counter, make_candles, payload, same_shape

KLINES = "/fapi/v1/klines?symbol=BTCUSDT&interval=1h"


@pytest.fixture(scope="module")
def binance() -> Counter:
    return Counter("binance")


def opens(counter: Counter, url: str) -> list[int]:
    return [row[0] for row in counter.get(url)]


def test_rows_ascend_with_twelve_fields(binance):
    rows = binance.get(f"{KLINES}&startTime={T0}&endTime={T0 + 2 * HOUR}")
    first = make_candles().query("symbol == 'BTCUSDT'").iloc[0]
    assert [r[0] for r in rows] == [T0, T0 + HOUR, T0 + 2 * HOUR]
    assert [type(x) for x in rows[0]] == [int, str, str, str, str, str, int, str, int, str, str, str]
    assert rows[0][6] == T0 + HOUR - 1
    assert [float(x) for x in rows[0][1:6]] == [first[c] for c in ("open", "high", "low", "close", "volume")]
    assert 0 < float(rows[0][9]) < float(rows[0][5])
    assert rows[0][11] == "0"


def test_prices_are_padded_to_the_tick_and_spot_to_eight_places(binance):
    row = binance.get(f"{KLINES}&limit=2")[0]
    assert all(len(text.split(".")[1]) == 2 for text in row[1:5])
    spot = binance.get("/api/v3/klines?symbol=BTCUSDT&interval=1h&limit=2")[0]
    assert all(len(text.split(".")[1]) == 8 for text in spot[1:6])


def test_time_bounds_and_limits(binance):
    assert opens(binance, f"{KLINES}&startTime={T0 + 1}&limit=2") == [T0 + HOUR, T0 + 2 * HOUR]  # not floored
    assert opens(binance, f"{KLINES}&endTime={T0 + 3 * HOUR}&limit=2") == [T0 + 2 * HOUR, T0 + 3 * HOUR]
    assert opens(binance, f"{KLINES}&startTime={T0}&endTime={T0 + 9 * HOUR}&limit=2") == [T0, T0 + HOUR]
    assert opens(binance, f"{KLINES}&limit=1") == [T0 + 399 * HOUR]
    big = Counter("binance", make_candles(1700))
    assert len(opens(big, KLINES)) == 500
    assert len(opens(big, f"{KLINES}&limit=1500")) == 1500


def test_the_last_row_is_the_open_bar_with_a_close_time_to_come(binance):
    row = binance.get(f"{KLINES}&limit=1")[0]
    assert row[6] > binance.now
    assert float(row[5]) < make_candles().query("symbol == 'BTCUSDT'")["volume"].iloc[-1]


def test_a_bar_without_trades_is_flat_and_counts_zero():
    flat = make_candles(5, symbols={"FTTUSDT": 1.5})
    flat[["open", "high", "low", "close"]] = 1.678
    flat["volume"] = 0.0
    row = Counter("binance", flat).get("/fapi/v1/klines?symbol=FTTUSDT&interval=1h&limit=2")[0]
    assert row[1:5] == ["1.678"] * 4
    assert (float(row[5]), float(row[7]), row[8]) == (0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("/fapi/v1/klines?symbol=NOSUCH&interval=1h", -1121, "Invalid symbol."),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=7m", -1120, "Invalid interval."),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=1s", -1120, "Invalid interval."),
        ("/fapi/v1/klines?symbol=BTCUSDT", -1102, "'interval' was not sent"),
        ("/fapi/v1/klines?interval=1h", -1102, "'symbol' was not sent"),
        (f"{KLINES}&start=1&end=2", -1104, "read '2' parameter(s) but was sent '4'"),
        (f"{KLINES}&limit=1501", -1130, "'limit'"),
        (f"{KLINES}&limit=many", -1130, "'limit'"),
        (f"{KLINES}&startTime=2&endTime=1", -1023, "Start time"),
        ("/fapi/v1/continuousKlines?pair=BTCUSDT&interval=1h", -1102, "'contractType'"),
        ("/fapi/v1/continuousKlines?pair=BTCUSDT&interval=1h&contractType=FOREVER", -1130, "'contractType'"),
        ("/fapi/v1/continuousKlines?pair=BTCUSDT&interval=1h&contractType=NEXT_QUARTER", -1121, "Invalid symbol"),
        ("/api/v3/klines?symbol=BTCUSDT&interval=1h&limit=1001", -1130, "'limit'"),
    ],
)
def test_errors(binance, url, code, message):
    reply = binance.reply(url)
    assert (reply.status, reply.body["code"]) == (400, code)
    assert message in reply.body["msg"]


def test_continuous_klines_equal_klines_of_the_perpetual(binance):
    same = binance.get("/fapi/v1/continuousKlines?pair=BTCUSDT&contractType=PERPETUAL&interval=1h&limit=3")
    assert same == binance.get(f"{KLINES}&limit=3")


def test_weight_grows_with_the_limit_and_shows_in_the_header(binance):
    counter = Counter("binance")
    used = []
    for limit in (99, 100, 499, 500, 1000, 1001):
        assert counter.venue.throttle(counter.ask(f"{KLINES}&limit={limit}"), 0.0) is None
        used.append(int(counter.venue.extra_headers()["X-MBX-USED-WEIGHT-1M"]))
    assert [b - a for a, b in zip([0, *used], used, strict=False)] == [1, 2, 2, 5, 5, 10]


def test_2400_per_minute_then_429_then_418():
    counter = Counter("binance")
    ask = counter.ask(f"{KLINES}&limit=1500")
    assert all(counter.venue.throttle(ask, 1.0) is None for _ in range(240))
    refused = counter.venue.throttle(ask, 31.0)
    assert (refused.status, refused.body["code"], refused.headers["Retry-After"]) == (429, -1003, "30")
    assert "2400 requests per minute" in refused.body["msg"]
    for _ in range(4):
        assert counter.venue.throttle(ask, 31.5).status == 429
    banned = counter.venue.throttle(ask, 31.5)
    assert (banned.status, banned.headers["Retry-After"]) == (418, "120")
    assert "banned until" in banned.body["msg"]
    assert counter.venue.throttle(ask, 100.0).status == 418
    assert counter.venue.throttle(ask, 152.0) is None


def test_waiting_for_retry_after_is_rewarded():
    counter = Counter("binance")
    ask = counter.ask(f"{KLINES}&limit=1500")
    for _ in range(241):
        counter.venue.throttle(ask, 0.0)
    assert counter.venue.throttle(ask, 60.0) is None


def test_funding_ascends_and_has_its_own_limit(binance):
    url = "/fapi/v1/fundingRate?symbol=BTCUSDT"
    rows = binance.get(f"{url}&startTime={T0}&limit=4")
    times = [r["fundingTime"] for r in rows]
    assert times == sorted(times)
    assert [round(t / HOUR) - T0 // HOUR for t in times] == [8, 16, 24, 32]
    assert any(t % HOUR for t in times), "funding times come a few milliseconds late, as on the venue"
    assert all(t % HOUR < 12 for t in times)
    assert len(binance.get(url)) == len(binance.get(f"{url}&limit=1000")) == 49
    reply = binance.reply(f"{url}&limit=1001")
    assert (reply.status, reply.body["status"], reply.body["code"]) == (200, "ERROR", "000002")
    counter = Counter("binance")
    refused = [counter.venue.throttle(counter.ask(url), 0.0) for _ in range(501)]
    assert refused[499] is None
    assert refused[500].status == 429
    assert counter.venue.extra_headers() == {"X-MBX-USED-WEIGHT-1M": "0"}


def test_old_funding_has_an_empty_mark_price():
    old = make_candles(100)
    old["open_time"] -= 400 * (old["open_time"].iloc[24] - old["open_time"].iloc[0])
    assert {r["markPrice"] for r in Counter("binance", old).get("/fapi/v1/fundingRate?symbol=BTCUSDT")} == {""}


def test_depth_book_ticker_and_prices_agree(binance):
    depth = binance.get("/fapi/v1/depth?symbol=BTCUSDT&limit=5")
    best = binance.get("/fapi/v1/ticker/bookTicker?symbol=BTCUSDT")
    assert [best["bidPrice"], best["bidQty"]] == depth["bids"][0]
    assert [best["askPrice"], best["askQty"]] == depth["asks"][0]
    assert float(best["bidPrice"]) == float(binance.get("/fapi/v1/ticker/24hr?symbol=BTCUSDT")["lastPrice"])
    assert len(binance.get("/fapi/v1/ticker/24hr")) == 2
    assert binance.get("/fapi/v1/depth?symbol=BTCUSDT&limit=7")["code"] == -4021


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("binance_fapi_klines_1h_recorded", f"{KLINES}&limit=4"),
        ("binance_spot_klines_1h_raw", "/api/v3/klines?symbol=BTCUSDT&interval=1h&limit=3"),
        ("binance_fapi_fundingRate_doc", "/fapi/v1/fundingRate?symbol=BTCUSDT&limit=1"),
        ("binance_fapi_fundingRate_limit_error_recorded", "/fapi/v1/fundingRate?symbol=BTCUSDT&limit=1001"),
        ("binance_error_invalid_symbol", "/fapi/v1/klines?symbol=NOSUCH&interval=1h"),
        ("binance_error_invalid_interval", "/fapi/v1/klines?symbol=BTCUSDT&interval=7m"),
        ("binance_error_missing_param", "/fapi/v1/klines?symbol=BTCUSDT"),
        ("binance_error_unread_params", f"{KLINES}&start_time=1&end_time=2"),
    ],
)
def test_replies_have_the_shape_of_recorded_ones(binance, name, url):
    theirs = payload(name)
    reply = binance.reply(url)
    assert reply.status == theirs["status"]
    same_shape(reply.body, theirs["body"])
    if "error_" in name and "limit" not in name:
        assert reply.body == theirs["body"]


def test_exchange_info_has_the_recorded_keys(binance):
    theirs, ours = (
        payload("binance_fapi_exchangeInfo_recorded_2021_trimmed")["body"],
        binance.get("/fapi/v1/exchangeInfo"),
    )
    assert list(ours) == list(theirs)
    assert ours["rateLimits"] == theirs["rateLimits"]
    for mine, real in ((ours["symbols"][0], theirs["symbols"][0]), (ours["assets"][0], theirs["assets"][0])):
        assert list(mine) == list(real)
        assert {k: type(v) for k, v in mine.items()} == {k: type(v) for k, v in real.items()}
    assert [f["filterType"] for f in ours["symbols"][0]["filters"]] == [
        f["filterType"] for f in theirs["symbols"][0]["filters"]
    ]


def test_kline_reply_to_the_letter():
    flat = make_candles(3, symbols={"BTCUSDT": 66_000.0})
    flat[["open", "high", "low", "close"]] = [66661.4, 66746.2, 66122.3, 66376.25]
    flat["volume"] = 14150.996
    flat["turnover"] = 939449103.5838
    counter = Counter("binance", flat)
    row = json.loads(counter.reply(f"{KLINES}&startTime={T0}&limit=1").payload())[0]
    assert row[:8] == [
        T0, "66661.40", "66746.20", "66122.30", "66376.25", "14150.996", T0 + HOUR - 1, "939449103.58380",
    ]  # fmt: skip
