"""A folder of Parquet files as a market: what it holds, what it refuses, and which file it takes."""

import os

import pandas as pd
import pytest
from candle_factory import MARKET, make_candles, needs_market, two_symbols

from alphabook.candles import MarketDir, as_candles
from alphabook.candles.markets import Market, market_of_file, preference
from alphabook.errors import CandleError, MarketDirError, NoDataError


def write(folder, name, candles, *, ts=True):
    folder.mkdir(parents=True, exist_ok=True)
    frame = candles.drop(columns="turnover")
    (frame.rename(columns={"open_time": "ts"}) if ts else frame).to_parquet(folder / f"{name}.parquet")


@pytest.fixture
def market(tmp_path):
    write(tmp_path, "bybit_linear_1h", two_symbols(48))
    write(tmp_path, "bybit_linear_1d", two_symbols(5, interval="1d"))
    write(tmp_path, "binance_um_1h", make_candles(60, seed=5, start="2023-12-31"), ts=False)
    write(tmp_path, "binance_um_ada", make_candles(48, symbol="ADAUSDT"))
    write(tmp_path, "bybit_spot_btc_15m", make_candles(20, interval="15m", seed=9))
    write(tmp_path / "more", "prices", make_candles(30, symbol="DOGEUSDT"))
    pd.DataFrame({"ts": make_candles(3)["open_time"], "symbol": "BTCUSDT", "funding_rate": 0.0}).to_parquet(
        tmp_path / "bybit_funding.parquet"
    )
    return MarketDir(tmp_path)


def test_catalogue_lists_every_symbol_of_every_file(market):
    found = market.catalogue().set_index(["file", "symbol"])
    assert len(found) == 8
    row = found.loc[("bybit_linear_1h.parquet", "ETHUSDT")]
    assert row[["venue", "kind", "interval", "bars"]].tolist() == ["bybit", "linear", "1h", 48]
    assert row["last"] == pd.Timestamp("2024-01-02 23:00", tz="UTC")
    assert found.loc[("bybit_spot_btc_15m.parquet", "BTCUSDT")]["interval"] == "15m"
    assert found.loc[("more/prices.parquet", "DOGEUSDT"), "venue"] == "unknown"


def test_files_of_other_things_are_left_aside_with_the_reason(market):
    assert market.skipped.values.tolist() == [["bybit_funding.parquet", "no column open, high, low, close, volume"]]


def test_reads_what_was_written(market):
    candles = market.read("BTCUSDT,ETHUSDT", "1h")
    expected = two_symbols(48)
    pd.testing.assert_frame_equal(candles, expected.assign(turnover=float("nan")))
    assert candles.attrs == {
        "interval": "1h", "venue": "bybit", "source": "Bybit USDT perpetuals, 1h, 2024-01-01 to 2024-01-02"
    }  # fmt: skip


def test_range_is_half_open(market):
    candles = market.read("BTCUSDT", "1h", "2024-01-01 03:00", "2024-01-01 06:00")
    assert candles["open_time"].dt.hour.tolist() == [3, 4, 5]


def test_bybit_linear_comes_first_unless_another_market_is_named(market):
    assert market.read("BTCUSDT", "1h").attrs["venue"] == "bybit"
    assert market.read("BTCUSDT", "1h", venue="binance").attrs["venue"] == "binance"
    assert market.read("BTCUSDT", "15m").attrs["venue"] == "bybit-spot"
    assert market.read("BTCUSDT", "15m", venue="bybit-spot").attrs["source"].startswith("Bybit spot, 15m")
    assert market.read("BTCUSDT", "15m", venue="bybit", kind="spot").attrs["venue"] == "bybit-spot"


def test_one_market_for_all_symbols_where_one_holds_them_all(market):
    assert market.read(["BTCUSDT", "ADAUSDT"], "1h").attrs["venue"] == "binance"
    mixed = market.read(["ETHUSDT", "ADAUSDT"], "1h")
    assert mixed.attrs["venue"] == "bybit+binance"
    assert mixed.attrs["source"].startswith(
        "Bybit USDT perpetuals (ETHUSDT) and Binance USD-M perpetuals (ADAUSDT), 1h"
    )


def test_a_market_that_has_nothing_in_the_range_is_passed_over(market):
    assert market.read("BTCUSDT", "1h", end="2024-01-01").attrs["venue"] == "binance"


def test_all_symbols_of_the_preferred_market(market):
    assert market.read(None, "1h")["symbol"].unique().tolist() == ["BTCUSDT", "ETHUSDT"]


def test_several_files_of_one_market_are_put_together(tmp_path):
    candles = make_candles(48)
    write(tmp_path, "bybit_linear_a", candles[:30])
    write(tmp_path, "bybit_linear_b", candles[20:])
    assert MarketDir(tmp_path).read("BTCUSDT", "1h")["close"].equals(candles["close"])
    write(tmp_path, "bybit_linear_b", candles[20:].assign(volume=1.0))
    with pytest.raises(
        CandleError, match=r"bybit_linear_a.parquet, bybit_linear_b.parquet .* contradict .* 2024-01-01 20:00"
    ):
        MarketDir(tmp_path).read("BTCUSDT", "1h")


def test_absent_candles_name_what_is_there_and_the_command(market):
    with pytest.raises(NoDataError) as caught:
        market.read("SOLUSDT", "1h", "2024-01-01", venue="bybit")
    message = str(caught.value)
    assert "no candles for SOLUSDT 1h (venue bybit) between 2024-01-01 and the last" in message
    assert "it holds ADAUSDT, BTCUSDT, DOGEUSDT, ETHUSDT" in message
    assert message.endswith("run `alphabook fetch --symbols SOLUSDT --interval 1h`")
    with pytest.raises(NoDataError, match="at 4h it holds nothing"):
        market.read("BTCUSDT", "4h")
    with pytest.raises(NoDataError, match="no candles for BTCUSDT 4h"):
        market.read(None, "4h")


def test_a_changed_file_is_read_again(tmp_path):
    write(tmp_path, "bybit_linear", make_candles(10))
    market = MarketDir(tmp_path)
    assert market.catalogue()["bars"].tolist() == [10]
    write(tmp_path, "bybit_linear", make_candles(12))
    os.utime(tmp_path / "bybit_linear.parquet", ns=(1, 1))
    assert market.catalogue()["bars"].tolist() == [12]


def test_the_catalogue_reads_no_prices(market, monkeypatch):
    import pyarrow.parquet as pq

    asked = []
    real = pq.read_table
    monkeypatch.setattr(pq, "read_table", lambda *a, **k: asked.append(k["columns"]) or real(*a, **k))
    for file in market.path.rglob("*.parquet"):
        os.utime(file, ns=(7, 7))
    market.catalogue()
    assert len(asked) == 6
    assert all(set(columns) <= {"ts", "open_time", "symbol"} for columns in asked)
    market.catalogue()
    assert len(asked) == 6


def test_a_single_bar_takes_its_interval_from_the_name(tmp_path):
    write(tmp_path, "bybit_linear_4h", make_candles(1, interval="4h"))
    assert MarketDir(tmp_path).catalogue()["interval"].tolist() == ["4h"]
    write(tmp_path, "bybit_linear_4h", make_candles(1, interval="4h"))
    (tmp_path / "bybit_linear_4h.parquet").rename(tmp_path / "what.parquet")
    with pytest.raises(
        MarketDirError, match=r"holds no candles .*the interval of BTCUSDT cannot be told from its 1 bars"
    ):
        MarketDir(tmp_path).catalogue()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda d: d / "nowhere", "nowhere does not exist; name a folder of Parquet files"),
        (lambda d: (d / "file").write_text("x") and d / "file", "file is a file, not a folder"),
    ],
)
def test_what_is_no_folder(tmp_path, prepare, message):
    with pytest.raises(MarketDirError, match=message):
        MarketDir(prepare(tmp_path))


def test_a_folder_without_parquet(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(MarketDirError, match="holds no Parquet file"):
        MarketDir(tmp_path).catalogue()


@pytest.mark.parametrize("content", [b"", b"PAR1 but not really PAR1", b"x" * 5000])
def test_a_damaged_file_is_named(tmp_path, content):
    write(tmp_path, "bybit_linear_good", make_candles(5))
    (tmp_path / "broken.parquet").write_bytes(content)
    with pytest.raises(
        MarketDirError, match=r"broken.parquet is not a readable Parquet file \(.*\); replace it or move it"
    ):
        MarketDir(tmp_path).read("BTCUSDT", "1h")


def test_a_file_cut_short_is_named(tmp_path):
    write(tmp_path, "bybit_linear", make_candles(500))
    path = tmp_path / "bybit_linear.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MarketDirError, match=r"bybit_linear.parquet is not a readable Parquet file"):
        MarketDir(tmp_path).catalogue()


def test_damage_inside_the_columns_is_named_too(tmp_path):
    write(tmp_path, "bybit_linear", make_candles(500))
    path = tmp_path / "bybit_linear.parquet"
    content = bytearray(path.read_bytes())
    content[4:2000] = bytes(1996)
    path.write_bytes(bytes(content))
    with pytest.raises(MarketDirError, match=r"bybit_linear.parquet is not a readable Parquet file"):
        MarketDir(tmp_path).catalogue()


def test_naive_times_are_left_aside_with_the_reason(tmp_path):
    write(tmp_path, "bybit_linear", make_candles(5))
    naive = make_candles(5).assign(open_time=lambda c: c["open_time"].dt.tz_localize(None))
    naive.to_parquet(tmp_path / "naive.parquet")
    assert MarketDir(tmp_path).skipped["reason"].tolist() == ["open_time has no time zone, candles are UTC"]


def test_hidden_folders_are_not_read(tmp_path):
    write(tmp_path, "bybit_linear", make_candles(5))
    write(tmp_path / ".cache", "bybit_linear", make_candles(50))
    assert MarketDir(tmp_path).catalogue()["bars"].tolist() == [5]


@pytest.mark.parametrize(
    ("name", "market", "key"),
    [
        ("bybit_linear_1h_5sym.parquet", Market("bybit", "linear"), "bybit"),
        ("binance_um_15m.parquet", Market("binance", "um"), "binance"),
        ("binance_spot_x.parquet", Market("binance", "spot"), "binance-spot"),
        ("Coinbase-spot-1d.parquet", Market("coinbase", "spot"), "coinbase"),
        ("bybit_BTCUSDT.parquet", Market("bybit", "linear"), "bybit"),
        ("prices.parquet", Market("unknown", "unknown"), "unknown"),
    ],
)
def test_market_of_a_file_name(name, market, key):
    assert market_of_file(name) == market
    assert market.key == key
    assert Market.parse(key) == market


def test_order_of_preference():
    keys = ["zeta", "binance-spot", "coinbase", "bybit-spot", "binance", "bybit", "unknown", "yahoo"]
    ordered = sorted((Market.parse(k) for k in keys), key=preference)
    assert [m.key for m in ordered] == [
        "bybit", "binance", "coinbase", "yahoo", "bybit-spot", "binance-spot", "unknown", "zeta"
    ]  # fmt: skip


@needs_market
def test_the_recorded_folder():
    market = MarketDir(MARKET)
    found = market.catalogue().groupby("file")["bars"].agg(["size", "sum"])
    assert found.loc["bybit_linear_1h_5sym.parquet"].tolist() == [5, 165_958]
    assert found.loc["binance_um_1d_panel.parquet"].tolist() == [60, 65_748]
    assert "binance_um_funding.parquet" in market.skipped["file"].tolist()
    candles = market.read("BTCUSDT,ETHUSDT,SOLUSDT,XRPUSDT,BNBUSDT", "1h", "2021-10-15", "2025-01-01")
    assert candles.attrs["source"] == "Bybit USDT perpetuals, 1h, 2021-10-15 to 2024-12-31"
    assert candles.groupby("symbol").size().nunique() == 1
    assert as_candles(candles).equals(candles)
