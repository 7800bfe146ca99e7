"""Coinbase's wire form: low before high, both APIs."""

import pandas as pd
import pytest
from exchange_double import Answer, client

from alphabook.errors import BadRequestError, OutageError, RateLimitedError, RegionBlockedError, UnknownSymbolError
from alphabook.venues import Coinbase

T0 = 1_704_067_200
LATER = {"Date": "Fri, 05 Jan 2029 04:00:00 GMT"}


def test_low_comes_before_high_and_open_before_close():
    rows = [[T0 + 3600, 98, 103.5, 101, 102, 6.25], [T0, 99, 104.5, 100, 101, 7.5]]
    coinbase, exchange, _ = client(Coinbase, Answer(rows, headers=LATER))
    got = coinbase.fetch_candles("BTC-USD", "1h", "2024-01-01", "2024-01-01T02:00")
    assert got.loc[0, ["open", "high", "low", "close", "volume"]].tolist() == [100, 104.5, 99, 101, 7.5]
    assert got["turnover"].isna().all()
    assert exchange.queries[0] == {
        "granularity": "3600",
        "start": "2024-01-01T00:00:00Z",
        "end": "2024-01-01T01:00:00Z",
    }


def test_the_advanced_api_names_its_fields():
    rows = [{"start": str(T0), "low": "99", "high": "104.5", "open": "100", "close": "101", "volume": "7.5"}]
    coinbase, exchange, _ = client(Coinbase, Answer({"candles": rows}, headers=LATER), api="advanced")
    got = coinbase.fetch_candles("BTC-USD", "1h", "2024-01-01", "2024-01-01T01:00")
    assert got.loc[0, ["open", "high", "low", "close", "volume"]].tolist() == [100, 104.5, 99, 101, 7.5]
    assert exchange.queries[0] == {"granularity": "ONE_HOUR", "start": str(T0), "end": str(T0), "limit": "1"}
    assert exchange.requests[0].headers["Cache-Control"] == "no-cache"


def test_an_hour_without_trades_has_no_row_is_asked_for_again_and_then_reported():
    rows = [[T0 + 7200, 99, 104.5, 100, 101, 7.5], [T0, 99, 104.5, 100, 101, 7.5]]

    def answer(path, query):
        hole = query["start"] == "2024-01-01T01:00:00Z"
        return Answer([] if hole else rows, headers=LATER)

    coinbase, exchange, _ = client(Coinbase, answer)
    got = coinbase.fetch_candles("BTC-USD", "1h", "2024-01-01", "2024-01-01T03:00")
    assert len(got) == 2
    assert got.attrs["gaps"] == [("2024-01-01T01:00:00+00:00", "2024-01-01T01:00:00+00:00", 1)]
    assert len(exchange.requests) == 3  # the window, and its hole twice


@pytest.mark.parametrize(("api", "calls"), [("exchange", 30), ("advanced", 26)])
def test_a_year_of_hours(api, calls):
    def answer(path, query):
        unit = "s" if api == "advanced" else None
        first, last = (pd.Timestamp(int(query[k]) if unit else query[k], unit=unit) for k in ("start", "end"))
        times = [int(t.timestamp()) for t in pd.date_range(first, last, freq="h")]
        assert len(times) <= (300 if api == "exchange" else 350)
        if api == "exchange":
            return Answer([[t, 99, 104.5, 100, 101, 7.5] for t in reversed(times)], headers=LATER)
        names = ("low", "high", "open", "close", "volume")
        body = [{"start": str(t), **dict(zip(names, ("99", "104", "100", "101", "1"), strict=True))} for t in times]
        return Answer({"candles": body}, headers=LATER)

    coinbase, exchange, _ = client(Coinbase, answer, api=api)
    assert len(coinbase.fetch_candles("BTC-USD", "1h", "2025-01-01", "2026-01-01")) == 8760
    assert len(exchange.requests) == calls


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (404, "NotFound", UnknownSymbolError),
        (400, "valid product_id is required", UnknownSymbolError),
        (
            400,
            "granularity too small for the requested time range. Count of aggregations requested exceeds 300",
            BadRequestError,
        ),
        (400, "Unsupported granularity", BadRequestError),
        (429, "Public rate limit exceeded", RateLimitedError),
        (451, "no", RegionBlockedError),
        (500, "Internal server error", OutageError),
    ],
)
def test_every_status_is_one_typed_error(status, text, error):
    coinbase, _, _ = client(Coinbase, Answer({"message": text}, status=status), attempts=1)
    with pytest.raises(error, match=text[:12]) as caught:
        coinbase.fetch_candles("NO-USD", "1h", "2024-01-01", "2024-01-02")
    assert type(caught.value) is error


def test_bad_input_never_reaches_the_network():
    coinbase, exchange, _ = client(Coinbase, Answer([]))
    with pytest.raises(UnknownSymbolError, match="BTC-USD"):
        coinbase.fetch_candles("BTCUSDT", "1h", "2024-01-01", "2024-01-02")
    with pytest.raises(BadRequestError, match="exchange"):
        Coinbase(api="pro")
    with pytest.raises(BadRequestError, match="name the products"):
        coinbase.tickers()
    assert exchange.requests == []


def test_products_of_the_advanced_api_come_in_pages():
    def answer(path, query):
        offset = int(query["offset"])
        names = [f"C{i}-USD" for i in range(offset, min(offset + 500, 1100))]
        names = [{"product_id": n, "base_currency_id": n[:-4], "quote_currency_id": "USD"} for n in names]
        return Answer({"products": names})

    coinbase, exchange, _ = client(Coinbase, answer, api="advanced")
    assert len(coinbase.instruments()) == 1100
    assert len(exchange.requests) == 3


def test_tickers_and_books_of_both_apis():
    exchange_book = {"bids": [["100", "2", 3]], "asks": [["101", "1", 1]], "time": "2024-01-01T00:00:00.5Z"}
    side = {"bids": [{"price": "100", "size": "2"}], "asks": [{"price": "101", "size": "1"}]}
    advanced_book = {"pricebook": {**side, "time": "2024-01-01T00:00:00Z"}}
    for api, body in (("exchange", exchange_book), ("advanced", advanced_book)):
        coinbase, _, _ = client(Coinbase, Answer(body), api=api)
        book = coinbase.order_book("BTC-USD", 10)
        assert (book.mid, book.imbalance(1)) == (100.5, pytest.approx(1 / 3))
    row = {"price": "100", "bid": "99", "ask": "101", "volume": "5", "time": "2024-01-01T00:00:00Z"}
    coinbase, _, _ = client(Coinbase, Answer(row))
    assert coinbase.ticker("BTC-USD").ask_price == 101
