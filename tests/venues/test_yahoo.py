"""Yahoo's wire form: parallel arrays with nulls, a last point that is no bar, dates in the exchange's zone."""

import math

import pandas as pd
import pytest
from exchange_double import Answer, client

from alphabook.errors import (
    BadIntervalError,
    BadRequestError,
    MalformedReplyError,
    OutageError,
    RateLimitedError,
    UnknownSymbolError,
    VenueError,
)
from alphabook.venues import Yahoo

LATER = {"Date": "Fri, 05 Jan 2029 04:00:00 GMT"}


def chart(stamps, rows, *, adjusted=None, **meta):
    names = ("open", "high", "low", "close", "volume")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)} if rows else {}
    result = {
        "meta": {"symbol": "X", "exchangeTimezoneName": "America/New_York", "regularMarketTime": 0, **meta},
        "indicators": {"quote": [columns]},
    }
    if stamps:
        result["timestamp"] = stamps
    if adjusted:
        result["indicators"]["adjclose"] = [{"adjclose": adjusted}]
    return Answer({"chart": {"result": [result], "error": None}}, headers=LATER)


def stamp(text, zone="America/New_York"):
    return int(pd.Timestamp(text, tz=zone).timestamp())


BAR = (100.0, 102.0, 99.0, 101.0, 1000)


def test_a_day_is_the_exchanges_own_date_in_summer_and_winter():
    days = ["2023-03-10 09:30", "2023-03-13 09:30"]  # the clocks change in between: 14:30 and 13:30 UTC
    yahoo, _, _ = client(Yahoo, chart([stamp(d) for d in days], [BAR, BAR], adjusted=[95.5, 96.5]))
    got = yahoo.fetch_candles("GS", "1d", "2023-03-10", "2023-03-14")
    assert [t.isoformat() for t in got["open_time"]] == ["2023-03-10T00:00:00+00:00", "2023-03-13T00:00:00+00:00"]
    assert got["adj_close"].tolist() == [95.5, 96.5]
    tokyo = chart([stamp("2023-03-13 09:00", "Asia/Tokyo")], [BAR], exchangeTimezoneName="Asia/Tokyo")
    yahoo, _, _ = client(Yahoo, tokyo)  # 09:00 in Tokyo is 00:00 UTC: another date would follow from New York's
    assert yahoo.fetch_candles("7203.T", "1d", "2023-03-13", "2023-03-14")["open_time"][0].day == 13


def test_null_rows_are_left_out_and_are_no_gap():
    days = [stamp(f"2023-03-{d} 09:30") for d in (13, 14, 15)]
    rows = [BAR, (None,) * 5, (100.0, 102.0, 99.0, 101.0, None)]
    yahoo, exchange, _ = client(Yahoo, chart(days, rows))
    got = yahoo.fetch_candles("GS", "1d", "2023-03-13", "2023-03-16")
    assert got["open_time"].dt.day.tolist() == [13, 15]
    assert got["volume"].tolist() == [1000, 0]
    assert math.isnan(got["adj_close"][0])
    assert got.attrs["gaps"] == []
    assert len(exchange.requests) == 1


def test_the_last_point_that_is_only_the_current_price_is_left_out():
    hours = [stamp("2024-04-01 04:00", "UTC"), stamp("2024-04-01 05:00", "UTC"), stamp("2024-04-01 06:11", "UTC")]
    flat = (69269.5, 69269.5, 69269.5, 69269.5, 0)
    for meta in ({"regularMarketTime": hours[-1]}, {"regularMarketTime": 5}):
        yahoo, _, _ = client(Yahoo, chart(hours, [BAR, BAR, flat], exchangeTimezoneName="UTC", **meta))
        got = yahoo.fetch_candles("BTC-USD", "1h", "2024-04-01T04:00", "2024-04-01T09:00")
        assert got["open_time"].dt.hour.tolist() == [4, 5]


def test_the_day_that_still_trades_is_left_out():
    answer = chart([stamp("2023-03-13 09:30"), stamp("2023-03-14 09:30")], [BAR, BAR])
    answer.headers = {"Date": "Tue, 14 Mar 2023 19:00:00 GMT"}
    yahoo, _, _ = client(Yahoo, answer)
    assert len(yahoo.fetch_candles("GS", "1d", "2023-03-13", "2023-03-16")) == 1


def test_stock_hours_begin_at_half_past_and_are_kept():
    hours = [stamp(f"2023-03-13 {h}:30") for h in ("09", "10", "11")]
    yahoo, _, _ = client(Yahoo, chart(hours, [BAR] * 3))
    got = yahoo.fetch_candles("GS", "1h", "2023-03-13", "2023-03-14")
    assert got["open_time"].dt.strftime("%H:%M").tolist() == ["13:30", "14:30", "15:30"]


def test_minutes_are_asked_for_a_week_at_a_time():
    yahoo, exchange, _ = client(Yahoo, chart([], []))
    yahoo.fetch_candles("GS", "1m", "2023-03-01", "2023-03-21")
    spans = [(int(q["period2"]) - int(q["period1"])) / 86400 for q in exchange.queries]
    assert max(spans) <= 8
    assert len(spans) == 3


def test_no_bars_at_all_is_an_empty_table():
    yahoo, _, _ = client(Yahoo, chart([], []))
    assert yahoo.fetch_candles("GS", "1d", "2023-03-13", "2023-03-16").empty


def refusal(code, text):
    return {"chart": {"result": None, "error": {"code": code, "description": text}}}


NOT_FOUND = refusal("Not Found", "No data found, symbol may be delisted")
TOO_FAR = refusal("Unprocessable Entity", "1m data not available for startTime=1. Only 8 days worth are allowed.")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(NOT_FOUND, status=404), UnknownSymbolError),
        (Answer(NOT_FOUND), UnknownSymbolError),
        (Answer(TOO_FAR, status=422), BadRequestError),
        (Answer(TOO_FAR, status=400), BadRequestError),
        (Answer("Edge: Too Many Requests", status=429), RateLimitedError),
        (Answer("Too Many Requests"), RateLimitedError),
        (Answer("<html>consent</html>"), MalformedReplyError),
        (Answer({"finance": {}}), MalformedReplyError),
        (Answer("", status=502), OutageError),
        (chart([1, 2], [BAR]), MalformedReplyError),
        (chart([stamp("2023-03-13 09:30")], [(100.0, 90.0, 99.0, 101.0, 5)]), MalformedReplyError),
    ],
)
def test_every_refusal_is_one_typed_error(answer, error):
    yahoo, _, _ = client(Yahoo, answer, attempts=1)
    with pytest.raises(error) as caught:
        yahoo.fetch_candles("NOPE", "1d", "2023-03-13", "2023-03-16")
    assert type(caught.value) is error


def test_what_yahoo_does_not_offer_says_what_does():
    yahoo, _, _ = client(Yahoo, chart([], []))
    with pytest.raises(BadIntervalError, match="yahoo serves no 3m"):
        yahoo.fetch_candles("GS", "3m", "2023-03-13", "2023-03-16")
    for call in (yahoo.instruments, lambda: yahoo.order_book("GS"), lambda: yahoo.funding_history("GS", 0)):
        with pytest.raises(VenueError, match=r"yahoo offers no .* use Bybit"):
            call()


def test_ticker_is_read_from_the_head_of_the_chart():
    yahoo, _, _ = client(
        Yahoo, chart([], [], regularMarketPrice=312.5, chartPreviousClose=250.0, regularMarketTime=1_700_000_000)
    )
    found = yahoo.ticker("GS")
    assert (found.last_price, found.change_24h) == (312.5, 0.25)
