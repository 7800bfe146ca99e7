"""The stand-in as Yahoo's chart endpoint: parallel arrays, nulls, the pseudo last bar, and its tempers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from standin_counter import BROWSER, HOUR, START, T0, Counter, make_candles, payload, shape

S0 = T0 // 1000
CHART = "/v8/finance/chart/BTC-USD?interval=1h"


@pytest.fixture(scope="module")
def yahoo() -> Counter:
    return Counter("yahoo")


def result(counter: Counter, url: str) -> dict:
    body = counter.get(url)["chart"]
    assert body["error"] is None
    return body["result"][0]


def test_period2_is_exclusive_and_arrays_are_parallel(yahoo):
    found = result(yahoo, f"{CHART}&period1={S0}&period2={S0 + 3 * 3600}")
    assert found["timestamp"] == [S0, S0 + 3600, S0 + 7200]
    quote = found["indicators"]["quote"][0]
    assert {len(v) for v in quote.values()} == {3}
    assert set(quote) == {"open", "high", "low", "close", "volume"}
    first = make_candles().query("symbol == 'BTCUSDT'").iloc[0]
    assert quote["close"][0] == float(np.float32(first["close"]))
    assert quote["close"][0] == pytest.approx(first["close"], rel=1e-7)
    assert "adjclose" not in found["indicators"]


def test_hourly_volume_of_coins_is_dollars_and_often_zero(yahoo):
    volume = result(yahoo, f"{CHART}&period1={S0}&period2={S0 + 200 * 3600}")["indicators"]["quote"][0]["volume"]
    candles = make_candles().query("symbol == 'BTCUSDT'")[:200]
    dollars = (candles["close"] * candles["volume"]).to_numpy()
    zeros = volume.count(0)
    assert 40 < zeros < 90
    assert all(isinstance(v, int) for v in volume)
    assert all(v == 0 or abs(v - d) <= 1 for v, d in zip(volume, dollars, strict=True))


def test_a_request_up_to_now_ends_with_a_pseudo_bar(yahoo):
    found = result(yahoo, f"{CHART}&range=5h")
    quote = found["indicators"]["quote"][0]
    now = yahoo.now // 60_000 * 60
    assert found["timestamp"][-2:] == [S0 + 399 * 3600, now]
    assert quote["open"][-1] == quote["high"][-1] == quote["low"][-1] == quote["close"][-1] == quote["close"][-2]
    assert quote["volume"][-1] == 0
    earlier = result(yahoo, f"{CHART}&period1={S0 + 390 * 3600}&period2={S0 + 399 * 3600 + 1}")
    assert earlier["timestamp"][-1] == now, "even past period2"
    past = result(yahoo, f"{CHART}&period1={S0}&period2={S0 + 10 * 3600}")
    assert past["timestamp"][-1] == S0 + 9 * 3600


def test_a_hole_in_the_market_is_a_row_of_nulls():
    holed = make_candles(30).drop(index=[10, 11]).reset_index(drop=True)
    found = result(Counter("yahoo", holed), f"{CHART}&period1={S0}&period2={S0 + 20 * 3600}")
    assert len(found["timestamp"]) == 20
    quote = found["indicators"]["quote"][0]
    assert [i for i, v in enumerate(quote["close"]) if v is None] == [10, 11]
    assert quote["volume"][10] is None


def test_stocks_are_stamped_at_the_session_open():
    days = pd.bdate_range("2024-03-06", periods=6, tz="UTC")  # the clocks of New York change on 2024-03-10
    stock = make_candles(6, freq="1D", symbols={"GS": 380.0}).assign(open_time=days)
    found = result(Counter("yahoo", stock), "/v8/finance/chart/GS?interval=1d&period1=1709000000&period2=1710288000")
    stamps = pd.to_datetime(found["timestamp"], unit="s", utc=True)
    assert list(stamps.strftime("%m-%d %H:%M")) == [
        "03-06 14:30", "03-07 14:30", "03-08 14:30", "03-11 13:30", "03-12 13:30",
    ]  # fmt: skip
    assert found["meta"]["exchangeTimezoneName"] == "America/New_York"
    assert found["meta"]["instrumentType"] == "EQUITY"
    assert found["indicators"]["adjclose"][0]["adjclose"] == found["indicators"]["quote"][0]["close"]


def test_no_bars_means_no_timestamp_key():
    holed = make_candles(60)
    hole = holed["open_time"].between(START + pd.Timedelta("10h"), START + pd.Timedelta("20h"))
    counter = Counter("yahoo", holed[~hole])
    found = result(counter, f"{CHART}&period1={S0 + 12 * 3600}&period2={S0 + 15 * 3600}")
    assert "timestamp" not in found
    assert found["indicators"] == {"quote": [{}]}


@pytest.mark.parametrize(
    ("url", "status", "code", "text"),
    [
        ("/v8/finance/chart/NOPE?interval=1d", 404, "Not Found", "may be delisted"),
        (CHART.replace("1h", "7m"), 422, "Unprocessable Entity", "interval=7m is not supported"),
        (f"/v8/finance/chart/BTC-USD?interval=1m&period1={S0 + 300 * 3600}&period2={S0 + 600 * 3600}", 422,
         "Unprocessable Entity", "Only 8 days worth of 1m granularity"),
        (f"/v8/finance/chart/BTC-USD?interval=15m&period1={S0 - 60 * 86400}&period2={S0}", 422,
         "Unprocessable Entity", "within the last 60 days"),
        (f"{CHART}&period1={S0 - 731 * 86400}&period2={S0}", 422, "Unprocessable Entity", "within the last 730 days"),
        (f"{CHART}&period1={S0 - 9000}&period2={S0 - 3600}", 400, "Bad Request", "Data doesn't exist for startDate"),
        (f"{CHART}&period1=soon", 400, "Bad Request", "unix seconds"),
    ],
)  # fmt: skip
def test_errors(yahoo, url, status, code, text):
    reply = yahoo.reply(url)
    assert (reply.status, reply.body["chart"]["result"]) == (status, None)
    assert reply.body["chart"]["error"]["code"] == code
    assert text in reply.body["chart"]["error"]["description"]


@pytest.mark.parametrize("agent", [{}, {"User-Agent": "python-requests/2.32"}])
def test_only_browsers_are_welcome(agent):
    reply = Counter("yahoo", headers=agent).reply(CHART)
    assert (reply.status, reply.text, reply.content_type) == (429, "Edge: Too Many Requests", "text/plain")
    assert Counter("yahoo", headers=BROWSER).reply(CHART).status == 200


def test_the_hourly_chart_has_the_recorded_shape(yahoo):
    theirs = payload("yahoo_chart_btcusd_1h_recorded")["body"]["chart"]["result"][0]
    ours = result(yahoo, f"{CHART}&range=30h")
    assert shape(ours) == shape(theirs)
    assert list(ours["meta"]) == list(theirs["meta"])
    assert len(ours["timestamp"]) == len(theirs["timestamp"])


def test_the_daily_chart_has_the_recorded_shape():
    theirs = payload("yahoo_chart_gs_1d_recorded")["body"]["chart"]["result"][0]
    days = pd.bdate_range("2024-03-06", periods=8, tz="UTC")
    stock = make_candles(8, freq="1D", symbols={"GS": 380.0}).assign(open_time=days)
    ours = result(Counter("yahoo", stock), "/v8/finance/chart/GS?interval=1d&period1=1709000000&period2=1710288000")
    assert shape(ours) == shape(theirs)
    assert list(ours["meta"]) == list(theirs["meta"])


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("yahoo_error_404_recorded_text", "/v8/finance/chart/NOPE"),
        ("yahoo_error_422_range", f"/v8/finance/chart/BTC-USD?interval=1m&period1={S0}&period2={S0 + 30 * 86400}"),
    ],
)
def test_errors_are_worded_as_recorded(yahoo, name, url):
    theirs = payload(name)
    reply = yahoo.reply(url)
    assert reply.status == theirs["status"]
    want = theirs["body"]["chart"]["error"]
    got = reply.body["chart"]["error"]
    assert got["code"] == want["code"]
    digits = str.maketrans("", "", "0123456789")
    assert got["description"].translate(digits) == want["description"].translate(digits)


def test_daily_coin_bars_end_at_now(yahoo):
    found = result(yahoo, f"/v8/finance/chart/BTC-USD?interval=1d&period1={S0}&period2={S0 + 60 * 86400}")
    assert found["timestamp"][0] == S0
    assert found["timestamp"][-1] == yahoo.now // 60_000 * 60
    assert found["timestamp"][-2] * 1000 <= yahoo.now - HOUR // 2
