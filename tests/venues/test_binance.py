"""Binance's wire form: twelve fields, ascending, weights, and an error of its own on every path."""

import pandas as pd
import pytest
from exchange_double import Answer, client

from alphabook.errors import (
    AuthenticationError,
    BadIntervalError,
    BadRequestError,
    BannedError,
    MalformedReplyError,
    OutageError,
    RateLimitedError,
    RegionBlockedError,
    UnknownSymbolError,
)
from alphabook.venues import BinanceFutures
from alphabook.venues.binance import kline_weight

T0 = 1_704_067_200_000  # 2024-01-01
HOUR = 3_600_000
LATER = {"Date": "Fri, 05 Jan 2024 04:00:00 GMT"}


def kline(i):
    t = T0 + i * HOUR
    return [t, "100", "102", "99", "101", "7.5", t + HOUR - 1, "750.25", 42, "3.5", "350.5", "0"]


def test_twelve_fields_and_the_turnover_is_the_eighth():
    binance, exchange, _ = client(BinanceFutures, Answer([kline(0), kline(1)], headers=LATER))
    got = binance.fetch_candles("BTCUSDT", "1h", "2024-01-01", "2024-01-01T02:00")
    assert got.iloc[1].tolist()[1:] == ["BTCUSDT", 100, 102, 99, 101, 7.5, 750.25]
    assert exchange.queries[0] == {
        "symbol": "BTCUSDT", "interval": "1h", "startTime": str(T0), "endTime": str(T0 + HOUR), "limit": "2",
    }  # fmt: skip


def test_continuous_klines_ask_for_a_pair_and_a_contract():
    binance, exchange, _ = client(BinanceFutures, Answer([kline(0)], headers=LATER), contract_type="CURRENT_QUARTER")
    got = binance.fetch_candles("BTCUSDT", "1h", "2024-01-01", "2024-01-01T01:00")
    assert "/fapi/v1/continuousKlines" in exchange.requests[0].url
    assert exchange.queries[0]["pair"] == "BTCUSDT"
    assert exchange.queries[0]["contractType"] == "CURRENT_QUARTER"
    assert got.attrs["venue"] == "binance-current_quarter"
    with pytest.raises(BadRequestError, match="PERPETUAL"):
        BinanceFutures(contract_type="WEEKLY")


def test_the_open_bar_is_left_out_by_the_date_header():
    date = {"Date": "Mon, 01 Jan 2024 01:59:59 GMT"}
    binance, _, _ = client(BinanceFutures, Answer([kline(0), kline(1)], headers=date))
    assert len(binance.fetch_candles("BTCUSDT", "1h", "2024-01-01", "2024-01-01T02:00")) == 1


def test_a_bar_that_an_outage_cut_short_is_a_bar():
    flat = [T0, "100", "100", "100", "100", "0.0", T0 + 2_381_646, "0.0", 0, "0.0", "0.0", "0"]
    binance, _, _ = client(BinanceFutures, Answer([flat], headers=LATER))
    assert binance.fetch_candles("BTCUSDT", "1h", "2024-01-01", "2024-01-01T01:00")["volume"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("limit", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10), (1500, 10)]
)
def test_weights(limit, weight):
    assert kline_weight(limit) == weight


def test_a_year_of_hours_weighs_sixty():
    def answer(path, query):
        first, last = int(query["startTime"]), int(query["endTime"])
        rows = [kline((t - T0) // HOUR) for t in range(first, last + 1, HOUR)]
        return Answer(rows, headers={"Date": "Fri, 05 Jan 2029 04:00:00 GMT"})

    binance, exchange, _ = client(BinanceFutures, answer)
    assert len(binance.fetch_candles("BTCUSDT", "1h", "2025-01-01", "2026-01-01")) == 8760
    assert len(exchange.requests) == 6
    assert binance.budget.spent == 60


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, -1121, UnknownSymbolError),
        (400, -1122, UnknownSymbolError),
        (400, -1120, BadIntervalError),
        (400, -1102, BadRequestError),
        (400, -1104, BadRequestError),
        (400, -1130, BadRequestError),
        (429, -1003, RateLimitedError),
        (400, -1003, RateLimitedError),
        (418, -1003, BannedError),
        (451, 0, RegionBlockedError),
        (503, -1000, OutageError),
        (504, -1007, OutageError),
        (408, -1007, OutageError),
        (400, -1001, OutageError),
        (500, None, OutageError),
        (401, -2015, AuthenticationError),
        (403, None, BannedError),
    ],
)
def test_every_code_is_one_typed_error(status, code, error):
    body = "<html>no</html>" if code is None else {"code": code, "msg": "as the manual says"}
    binance, _, _ = client(BinanceFutures, Answer(body, status=status), attempts=1)
    with pytest.raises(error) as caught:
        binance.fetch_candles("NOSUCH", "1h", "2024-01-01", "2024-01-02")
    assert type(caught.value) is error
    assert caught.value.status == status
    assert caught.value.code == code


def test_an_error_inside_http_200_is_still_an_error():
    binance, _, _ = client(BinanceFutures, Answer({"code": -1121, "msg": "Invalid symbol."}))
    with pytest.raises(UnknownSymbolError):
        binance.fetch_candles("NOSUCH", "1h", "2024-01-01", "2024-01-02")
    other = {
        "status": "ERROR",
        "code": "000002",
        "errorData": {"limit": "limit can not greater than 1000"},
        "data": None,
    }
    binance, _, _ = client(BinanceFutures, Answer(other))
    with pytest.raises(BadRequestError, match="limit can not greater"):
        binance.funding_history("BTCUSDT", "2024-01-01", "2024-01-02")


@pytest.mark.parametrize("body", [{"rows": []}, "<html></html>", None, [["soon"]]])
def test_another_shape_is_malformed(body):
    binance, _, _ = client(BinanceFutures, Answer(body), attempts=2)
    with pytest.raises(MalformedReplyError):
        binance.fetch_candles("BTCUSDT", "1h", "2024-01-01", "2024-01-02")


def test_instruments_take_the_tick_from_the_filters_not_from_the_precision():
    row = {
        "symbol": "BTCUSDT", "contractType": "PERPETUAL", "status": "TRADING", "onboardDate": 1569398400000,
        "baseAsset": "BTC", "quoteAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 3,
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
            {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
    }  # fmt: skip
    pending = {"symbol": "NEWUSDT", "contractType": "", "status": "PENDING_TRADING", "filters": []}
    binance, _, _ = client(BinanceFutures, Answer({"symbols": [row, pending]}))
    first, second = binance.instruments()
    assert (first.tick_size, first.quantity_step, first.min_notional) == (0.1, 0.001, 5)
    assert (second.kind, second.tick_size, second.launch_time) == ("", None, None)


def test_funding_prices_may_be_blank():
    rows = [
        {"symbol": "BTCUSDT", "fundingTime": T0 + 11, "fundingRate": "0.0001", "markPrice": ""},
        {"symbol": "BTCUSDT", "fundingTime": T0 + 8 * HOUR, "fundingRate": "-0.0002", "markPrice": "42000",
         "rateType": "Regular"},
    ]  # fmt: skip
    binance, _, _ = client(BinanceFutures, Answer(rows))
    got = binance.funding_history("BTCUSDT", "2024-01-01", "2024-01-02")
    assert got["rate"].tolist() == [0.0001, -0.0002]
    assert got["mark_price"].isna().tolist() == [True, False]
    assert got["time"][0] == pd.Timestamp("2024-01-01", tz="UTC")


def test_ticker_and_book():
    day = {"symbol": "BTCUSDT", "lastPrice": "101", "openPrice": "100", "priceChangePercent": "1.0", "highPrice": "103",
           "lowPrice": "99", "volume": "5", "quoteVolume": "500", "closeTime": T0}  # fmt: skip
    best = {"symbol": "BTCUSDT", "bidPrice": "100.9", "bidQty": "2", "askPrice": "101.1", "askQty": "3"}
    book = {"bids": [["100.9", "2"]], "asks": [["101.1", "3"]], "T": T0, "E": T0, "lastUpdateId": 1}

    def answer(path, query):
        many = "symbol" not in query
        return Answer(
            {"24hr": [day] if many else day, "bookTicker": [best] if many else best, "depth": book}[path.split("/")[-1]]
        )

    binance, exchange, _ = client(BinanceFutures, answer)
    assert binance.ticker("BTCUSDT").change_24h == pytest.approx(0.01)
    assert [t.bid_price for t in binance.tickers()] == [100.9]
    assert binance.order_book("BTCUSDT", depth=7).mid == pytest.approx(101.0)
    assert exchange.queries[-1]["limit"] == "10"
