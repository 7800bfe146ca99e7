"""The stand-in as Bybit: order, ends, limits, errors and shapes of ``/v5/market``."""

from __future__ import annotations

import numpy as np
import pytest
from standin_counter import HOUR, T0, Counter, make_candles, payload, same_shape

KLINE = "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=60"


@pytest.fixture(scope="module")
def bybit() -> Counter:
    return Counter("bybit")


def opens(counter: Counter, url: str) -> list[int]:
    return [int(row[0]) for row in counter.get(url)["result"]["list"]]


def test_rows_are_strings_newest_first_and_equal_the_market(bybit):
    rows = bybit.get(f"{KLINE}&start={T0}&end={T0 + 2 * HOUR}")["result"]["list"]
    market = make_candles()
    first = market[market["symbol"] == "BTCUSDT"].iloc[0]
    assert [int(r[0]) for r in rows] == [T0 + 2 * HOUR, T0 + HOUR, T0]  # both ends inclusive: 3 bars for 2 hours
    assert all(isinstance(field, str) for row in rows for field in row)
    assert [float(x) for x in rows[-1][1:6]] == [first[c] for c in ("open", "high", "low", "close", "volume")]
    assert float(rows[-1][6]) == pytest.approx(first["close"] * first["volume"])  # the market knew no turnover


def test_every_bar_reads_back_as_the_same_float(bybit):
    rows = bybit.get(f"{KLINE}&limit=1000")["result"]["list"][1:]
    market = make_candles()
    wanted = market[market["symbol"] == "BTCUSDT"][["open", "high", "low", "close", "volume"]].to_numpy()[:-1]
    assert np.array_equal(np.array([r[1:6] for r in reversed(rows)], dtype=float), wanted)


def test_start_is_floored_to_its_bar_and_end_is_not(bybit):
    assert opens(bybit, f"{KLINE}&start={T0 + 8000}&end={T0 + HOUR + 16_000}") == [T0 + HOUR, T0]
    assert opens(bybit, f"{KLINE}&start={T0}&end={T0 + HOUR - 1}") == [T0]


def test_only_start_goes_forward_only_end_goes_back(bybit):
    assert opens(bybit, f"{KLINE}&start={T0 + 5 * HOUR}&limit=2") == [T0 + 6 * HOUR, T0 + 5 * HOUR]
    assert opens(bybit, f"{KLINE}&end={T0 + 5 * HOUR}&limit=2") == [T0 + 5 * HOUR, T0 + 4 * HOUR]
    assert opens(bybit, f"{KLINE}&start={T0}&end={T0 + 9 * HOUR}&limit=2") == [T0 + 9 * HOUR, T0 + 8 * HOUR]


def test_limit_defaults_to_200_and_stops_at_1000():
    counter = Counter("bybit", make_candles(1300))
    assert len(opens(counter, KLINE)) == 200
    assert len(opens(counter, f"{KLINE}&limit=5000")) == 1000


def test_the_newest_row_is_the_still_open_bar(bybit):
    newest, before = bybit.get(f"{KLINE}&limit=2")["result"]["list"]
    last = make_candles().query("symbol == 'BTCUSDT'").iloc[-1]
    assert int(newest[0]) == T0 + 399 * HOUR
    assert bybit.now == T0 + 399 * HOUR + HOUR // 2
    assert 0 < float(newest[5]) < last["volume"]
    assert float(newest[1]) == last["open"]
    assert last["low"] <= float(newest[3]) <= float(newest[4]) <= float(newest[2]) <= last["high"]
    closed = Counter("bybit", now=T0 + 400 * HOUR).get(f"{KLINE}&limit=1")["result"]["list"][0]
    assert [float(x) for x in closed[1:6]] == [last[c] for c in ("open", "high", "low", "close", "volume")]
    assert int(before[0]) == T0 + 398 * HOUR


def test_bars_to_come_do_not_exist():
    counter = Counter("bybit", now=T0 + 10 * HOUR)
    assert opens(counter, f"{KLINE}&start={T0 + 9 * HOUR}&end={T0 + 20 * HOUR}") == [T0 + 9 * HOUR]


def test_inverse_swaps_volume_and_turnover(bybit):
    linear = bybit.get(f"{KLINE}&limit=2")["result"]["list"][1]
    inverse = bybit.get("/v5/market/kline?category=inverse&symbol=BTCUSD&interval=60&limit=2")["result"]["list"][1]
    assert inverse[5:] == [linear[6], linear[5]]


def test_intervals_use_bybit_spelling_and_coarse_ones_are_aggregated(bybit):
    day = bybit.get("/v5/market/kline?symbol=BTCUSDT&interval=D&limit=3")["result"]["list"]
    hours = make_candles().query("symbol == 'BTCUSDT'").set_index("open_time").resample("D")
    want = hours.agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}).iloc[-2]
    assert [float(x) for x in day[1][1:6]] == pytest.approx(want.tolist())
    weeks = opens(bybit, "/v5/market/kline?symbol=BTCUSDT&interval=W")
    assert weeks == [T0 + 14 * 24 * HOUR, T0 + 7 * 24 * HOUR, T0]  # 2024-01-01 was a Monday


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("category=linear&symbol=NOSUCHUSDT&interval=60", "Not supported symbols"),
        ("category=linear&symbol=btcusdt&interval=60", "Not supported symbols"),
        ("category=linear&symbol=BTCUSD&interval=60", "Not supported symbols"),
        ("category=linear&symbol=BTCUSDT&interval=7", "Invalid period!"),
        ("category=linear&symbol=BTCUSDT&interval=1h", "Invalid period!"),
        ("category=futures&symbol=BTCUSDT&interval=60", "Category"),
        ("category=linear&symbol=BTCUSDT&interval=60&start=yesterday", "start"),
        (f"category=linear&symbol=BTCUSDT&interval=60&start={T0}&end={T0 - HOUR}", "start time"),
    ],
)
def test_errors_come_with_http_200_and_a_retcode(bybit, query, message):
    reply = bybit.reply(f"/v5/market/kline?{query}")
    assert reply.status == 200
    assert reply.body["retCode"] == 10001
    assert message in reply.body["retMsg"]


def test_unknown_parameters_are_ignored(bybit):
    assert opens(bybit, f"{KLINE}&startTime=1&endTime=2&limit=1") == [T0 + 399 * HOUR]


def test_unknown_path_is_404_text(bybit):
    reply = bybit.reply("/v5/market/klines")
    assert (reply.status, reply.text) == (404, "404 page not found")


def test_instruments_are_paged_by_cursor_and_spot_is_not():
    names = {f"COIN{i}USDT": 10.0 + i for i in range(7)}
    counter = Counter("bybit", make_candles(30, symbols=names))
    found, cursor, pages = [], "", 0
    while True:
        result = counter.get(f"/v5/market/instruments-info?category=linear&limit=3&cursor={cursor}")["result"]
        found += [row["symbol"] for row in result["list"]]
        cursor, pages = result["nextPageCursor"].replace("%", "%25"), pages + 1  # as requests would quote it
        if not cursor:
            break
    assert found == sorted(names)
    assert pages == 3
    spot = counter.get("/v5/market/instruments-info?category=spot&limit=3")["result"]
    assert len(spot["list"]) == 7
    assert "nextPageCursor" not in spot


def test_funding_is_newest_first_and_start_needs_end(bybit):
    url = "/v5/market/funding/history?category=linear&symbol=BTCUSDT"
    stamps = [int(r["fundingRateTimestamp"]) for r in bybit.get(f"{url}&limit=3")["result"]["list"]]
    assert stamps == sorted(stamps, reverse=True)
    assert all(s % (8 * HOUR) == 0 for s in stamps)
    assert bybit.get(f"{url}&startTime={T0}")["retCode"] == 10001
    both = bybit.get(f"{url}&startTime={T0 + 8 * HOUR}&endTime={T0 + 24 * HOUR}")["result"]["list"]
    assert [int(r["fundingRateTimestamp"]) for r in both] == [T0 + k * HOUR for k in (24, 16, 8)]
    assert bybit.get("/v5/market/funding/history?category=spot&symbol=BTCUSDT")["retCode"] == 10001


def test_order_book_is_sorted_one_tick_wide_around_the_last_price(bybit):
    book = bybit.get("/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=5")["result"]
    bids, asks = ([float(p) for p, _ in book[side]] for side in ("b", "a"))
    last = float(bybit.get(f"{KLINE}&limit=1")["result"]["list"][0][4])
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert asks[0] - bids[0] == pytest.approx(0.01)
    assert bids[0] == last
    assert len(bybit.get("/v5/market/orderbook?category=spot&symbol=BTCUSDT")["result"]["b"]) == 1
    assert len(bybit.get("/v5/market/orderbook?category=linear&symbol=BTCUSDT")["result"]["b"]) == 25


def test_ticker_covers_the_last_24_hours(bybit):
    row = bybit.get("/v5/market/tickers?category=linear&symbol=BTCUSDT")["result"]["list"][0]
    day = make_candles().query("symbol == 'BTCUSDT'").iloc[-24:]
    assert float(row["highPrice24h"]) == pytest.approx(day["high"].max(), rel=0.01)
    assert float(row["volume24h"]) == pytest.approx(day["volume"].sum(), rel=0.1)
    assert len(bybit.get("/v5/market/tickers?category=spot")["result"]["list"]) == 2


@pytest.mark.parametrize(
    ("name", "url", "key_order"),
    [
        ("bybit_kline_spot_btcusdt_1h_recorded", KLINE.replace("linear", "spot") + "&limit=5", True),
        ("bybit_kline_unaligned_start_recorded", f"{KLINE}&start={T0 + 8000}&end={T0 + HOUR}", True),
        ("bybit_kline_inverse_doc", "/v5/market/kline?category=inverse&symbol=BTCUSD&interval=60&limit=3", False),
        ("bybit_error_symbol", "/v5/market/kline?category=linear&symbol=NOSUCHUSDT&interval=60", True),
        ("bybit_funding_history_doc", "/v5/market/funding/history?category=linear&symbol=ETHUSDT&limit=1", True),
        ("bybit_instruments_info_linear_doc", "/v5/market/instruments-info?category=linear&symbol=BTCUSDT", True),
        ("bybit_server_time_doc", "/v5/market/time", True),
    ],
)
def test_replies_have_the_shape_of_recorded_ones(bybit, name, url, key_order):
    theirs = payload(name)
    reply = bybit.reply(url)
    assert reply.status == theirs["status"]
    same_shape(reply.body, theirs["body"], key_order=key_order)
    for header in theirs["headers"]:
        assert header in {"Content-Type"} | set(reply.headers)


def test_600_requests_in_five_seconds_then_403_text():
    counter = Counter("bybit")
    ask = counter.ask(KLINE)
    assert all(counter.venue.throttle(ask, 1.0) is None for _ in range(600))
    refused = counter.venue.throttle(ask, 5.9)
    assert (refused.status, refused.text, refused.content_type) == (403, "access too frequent", "text/plain")
    assert counter.venue.throttle(ask, 6.0) is None, "the window slides: the first six hundred are forgotten"


def test_kline_reply_to_the_letter():
    """The form written out, so that it is checked without any payload file."""
    flat = make_candles(3, symbols={"BTCUSDT": 62_000.0})
    flat[["open", "high", "low", "close"]] = [62439.82, 62512.3, 62130.0, 62245.79]
    flat["volume"] = 423.5
    counter = Counter("bybit", flat)
    text = counter.reply(f"/v5/market/kline?category=spot&symbol=BTCUSDT&interval=60&end={T0}").payload().decode()
    assert text == (
        '{"retCode":0,"retMsg":"OK","result":{"category":"spot","symbol":"BTCUSDT","list":[["1704067200000",'
        '"62439.82","62512.3","62130","62245.79","423.5","26361092.065"]]},"retExtInfo":{},"time":1704076200000}'
    )
