"""Replies recorded from the real venues, when a folder of them is at hand: they must parse as they are.

They are not part of the repository; ``ALPHABOOK_PAYLOADS_DIR`` names the folder, else ``../shared/payloads``.
"""

import json
import os
from pathlib import Path

import pytest
from exchange_double import Answer, client

from alphabook.errors import (
    BadIntervalError,
    BadRequestError,
    BannedError,
    RateLimitedError,
    RegionBlockedError,
    UnknownSymbolError,
)
from alphabook.venues import Artemis, BinanceFutures, Bybit, Coinbase, Yahoo

FOLDER = Path(os.environ.get("ALPHABOOK_PAYLOADS_DIR") or Path(__file__).parents[3] / "shared" / "payloads")
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="no folder of recorded replies; set ALPHABOOK_PAYLOADS_DIR to test against them"
)


def answer(name):
    record = json.loads((FOLDER / f"{name}.json").read_text())
    body = record.get("body", record.get("body_text"))
    return Answer(body, status=record["status"], headers={k: str(v) for k, v in record.get("headers", {}).items()})


@pytest.mark.parametrize(
    ("name", "kind", "options", "call", "bars"),
    [
        ("bybit_kline_spot_btcusdt_1h_recorded", Bybit, {"category": "spot"},
         ("BTCUSDT", "1h", "2024-05-08T10:00", "2024-05-08T15:00"), 5),
        ("bybit_kline_unaligned_start_recorded", Bybit, {"category": "spot"},
         ("BTCUSDT", "1m", 1683472800000, 1683472920000), 2),
        ("bybit_kline_inverse_doc", Bybit, {"category": "inverse"}, ("BTCUSD", "1h", 1670601600000, 1670612400000), 3),
        ("binance_fapi_klines_1h_recorded", BinanceFutures, {}, ("BTCUSDT", "1h", 1718654400000, 1718668800000), 4),
        ("binance_fapi_klines_5m_recorded", BinanceFutures, {}, ("BTCUSDT", "5m", 1616338800000, 1616339400000), 2),
        ("binance_fapi_klines_delisted_recorded", BinanceFutures, {},
         ("FTTBUSD", "1d", 1671148800000, 1671235200000), 1),
        ("binance_spot_klines_outage_20230324_raw", BinanceFutures, {},
         ("BTCUSDT", "1h", 1679655600000, 1679673600000), 4),
        ("coinbase_exchange_candles_recorded", Coinbase, {},
         ("ETH-USD", "1m", "2018-01-06T18:52", "2018-01-06T18:54"), 2),
        ("coinbase_advanced_candles_fixture", Coinbase, {"api": "advanced"},
         ("BTC-USD", "1h", 1712188800000, 1712196000000), 2),
        ("yahoo_chart_gs_1d_recorded", Yahoo, {}, ("GS", "1d", "2023-10-01", "2023-10-10"), 6),
        ("yahoo_null_rows_shape", Yahoo, {}, ("TEST", "1d", "2025-09-01", "2025-09-20"), 3),
    ],
)  # fmt: skip
def test_candles_parse(name, kind, options, call, bars):
    venue, _, _ = client(kind, answer(name), **options)
    venue._clock = lambda: 1.9e9
    got = venue.fetch_candles(*call)
    assert len(got) == bars
    assert (got["high"] >= got[["open", "close", "low"]].max(axis=1)).all()
    assert (got["low"] <= got[["open", "close"]].min(axis=1)).all()


def test_the_outage_of_march_2023_is_a_gap_and_a_short_bar():
    venue, exchange, _ = client(BinanceFutures, answer("binance_spot_klines_outage_20230324_raw"))
    venue._clock = lambda: 1.9e9
    got = venue.fetch_candles("BTCUSDT", "1h", 1679655600000, 1679673600000)
    assert got.attrs["gaps"] == [("2023-03-24T13:00:00+00:00", "2023-03-24T13:00:00+00:00", 1)]
    assert got["volume"][1] == 0
    assert len(exchange.requests) == 3


def test_yahoos_last_point_is_left_out():
    record = answer("yahoo_chart_btcusd_1h_recorded")
    venue, _, _ = client(Yahoo, record)
    venue._clock = lambda: 1.9e9
    got = venue.fetch_candles("BTC-USD", "1h", 1711846800000, 1711960000000)
    stamps = record.body["chart"]["result"][0]["timestamp"]
    assert len(got) == len(stamps) - 1
    assert (got["open_time"].dt.minute == 0).all()


@pytest.mark.parametrize(
    ("name", "kind", "symbol", "error"),
    [
        ("bybit_error_symbol", Bybit, "NOSUCHUSDT", UnknownSymbolError),
        ("bybit_error_rate_limit", Bybit, "BTCUSDT", RateLimitedError),
        ("bybit_http_403", Bybit, "BTCUSDT", BannedError),
        ("binance_error_418", BinanceFutures, "BTCUSDT", BannedError),
        ("binance_error_429", BinanceFutures, "BTCUSDT", RateLimitedError),
        ("binance_error_451_geo", BinanceFutures, "BTCUSDT", RegionBlockedError),
        ("binance_error_invalid_interval", BinanceFutures, "BTCUSDT", BadIntervalError),
        ("binance_error_invalid_symbol", BinanceFutures, "NOSUCH", UnknownSymbolError),
        ("binance_error_missing_param", BinanceFutures, "BTCUSDT", BadRequestError),
        ("binance_error_unread_params", BinanceFutures, "BTCUSDT", BadRequestError),
        ("binance_fapi_fundingRate_limit_error_recorded", BinanceFutures, "BTCUSDT", BadRequestError),
        ("coinbase_error_not_found", Coinbase, "NO-USD", UnknownSymbolError),
        ("coinbase_error_too_many_candles", Coinbase, "BTC-USD", BadRequestError),
        ("yahoo_429", Yahoo, "GS", RateLimitedError),
        ("yahoo_error_404_recorded_text", Yahoo, "NOPE", UnknownSymbolError),
        ("yahoo_error_422_range", Yahoo, "TSLA", BadRequestError),
    ],
)
def test_refusals_are_typed(name, kind, symbol, error):
    venue, _, _ = client(kind, answer(name), attempts=1)
    with pytest.raises(error) as caught:
        venue.fetch_candles(symbol, "1d" if kind is Yahoo else "1h", "2024-01-01", "2024-01-02")
    assert type(caught.value) is error


def test_limits_tell_how_long_to_wait():
    bybit, _, _ = client(Bybit, answer("bybit_error_rate_limit"), attempts=1)
    with pytest.raises(RateLimitedError) as caught:
        bybit.server_time()
    assert caught.value.retry_after == pytest.approx(0.824)
    binance, _, _ = client(BinanceFutures, answer("binance_error_418"), attempts=1)
    with pytest.raises(BannedError) as caught:
        binance.server_time()
    assert caught.value.retry_after == 120
    assert caught.value.until.year == 2024


def test_other_replies_parse():
    bybit, _, _ = client(Bybit, answer("bybit_server_time_doc"))
    assert bybit.server_time().year == 2023
    bybit, _, _ = client(Bybit, answer("bybit_instruments_info_linear_doc"))
    assert bybit.instruments()[0].funding_interval.total_seconds() == 8 * 3600
    bybit, _, _ = client(Bybit, answer("bybit_funding_history_doc"))
    assert bybit.funding_history("ETHPERP", "2022-12-01", "2023-01-01")["rate"].tolist() == [0.0001]
    binance, _, _ = client(BinanceFutures, answer("binance_fapi_exchangeInfo_recorded_2021_trimmed"))
    found = binance.instruments()
    assert len(found) == 6
    assert found[0].tick_size == 0.01
    binance, _, _ = client(BinanceFutures, answer("binance_fapi_fundingRate_doc"))
    assert len(binance.funding_history("BTCUSDT", "2019-01-01", "2020-01-01")) == 1
    artemis, _, _ = client(Artemis, answer("artemis_metrics_shape"), api_key="k")
    got = artemis.metrics("btc,eth", "PRICE,MC,FEES", "2024-01-01", "2024-01-02")
    assert got.attrs["unavailable"] == [("btc", "FEES", "Metric not available for asset.")]
    assert len(got) == 8
    artemis, _, _ = client(Artemis, answer("artemis_asset_symbols_shape"), api_key="k")
    assert artemis.symbols()["symbol"].tolist() == ["btc", "eth"]
    artemis, _, _ = client(Artemis, answer("artemis_supported_metrics_shape"), api_key="k")
    assert artemis.supported_metrics("btc")["metric"].tolist() == ["price", "fees"]
