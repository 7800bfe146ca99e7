"""The stand-in as a running server: life, clock, records, market folders, the blocking command."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings

import pandas as pd
import pytest
import requests
from standin_counter import HOUR, START, T0, make_candles

from alphabook.errors import MarketDirError, TimeRangeError
from alphabook.simulated.standin import StandIn, StandInError
from alphabook.simulated.standin.exchange import run
from alphabook.simulated.standin.market import Asset, parse_name

KLINE = f"/v5/market/kline?symbol=BTCUSDT&interval=60&start={T0}&end={T0 + HOUR}"


def test_it_starts_stops_and_leaves_nothing_behind():
    before = set(threading.enumerate())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            with StandIn("bybit", market=make_candles(5)) as exchange, requests.Session() as session:
                assert session.get(exchange.url + "/v5/market/time", timeout=5).status_code == 200
        gc.collect()
    assert set(threading.enumerate()) == before
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(exchange.url, timeout=1)


def test_stop_is_harmless_twice_and_start_is_not():
    exchange = StandIn("bybit", market=make_candles(5))
    exchange.stop()
    exchange.start()
    with pytest.raises(StandInError, match=f"runs already at {exchange.url}; stop it first"):
        exchange.start()
    exchange.stop()
    exchange.stop()
    exchange.start().stop()


def test_a_taken_port_is_a_clear_error():
    with StandIn("bybit", market=make_candles(5)) as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(StandInError, match=rf"cannot listen on 127.0.0.1:{port} .*choose another port, or 0"):
            StandIn("bybit", market=make_candles(5), port=port).start()


def test_unknown_venues_and_bad_arguments():
    with pytest.raises(StandInError, match="no stand-in for venue 'kraken'; use one of bybit, binance, coinbase"):
        StandIn("kraken", market=make_candles(5))
    with pytest.raises(TimeRangeError, match="now 'soon' is not a time"):
        StandIn("bybit", market=make_candles(5), now="soon")
    with pytest.raises(ValueError, match="speed is simulated seconds per real second and must be >= 0, got -1"):
        StandIn("bybit", market=make_candles(5), speed=-1)


def test_calls_are_recorded_and_keys_are_not():
    with StandIn("artemis", market=make_candles(48)) as exchange:
        requests.get(exchange.url + "/data/api/PRICE/?symbols=btc&APIKey=very-secret", timeout=5)
        requests.get(exchange.url + "/nowhere", headers={"X-API-Key": "very-secret"}, timeout=5)
        record = requests.get(exchange.url + "/__standin__/calls", timeout=5)
        first, second = exchange.calls
    assert (first.method, first.path, first.status, first.fault) == ("GET", "/data/api/PRICE/", 200, "")
    assert first.query == {"symbols": "btc", "APIKey": "***"}
    assert second.status == 404
    assert record.json()["calls"][0]["query"]["symbols"] == "btc"
    assert "very-secret" not in record.text + repr(exchange.calls)


def test_state_tells_other_processes_what_is_served():
    with StandIn("binance", market=make_candles(30), faults=[{"kind": "gap"}]) as exchange:
        state = requests.get(exchange.url + "/__standin__/state", timeout=5).json()
        assert requests.get(exchange.url + "/__standin__/other", timeout=5).status_code == 404
        assert exchange.calls == []
    assert state["venue"] == "binance"
    assert state["symbols"] == ["BTC/USD", "ETH/USD"]
    assert state["intervals"] == ["1h"]
    assert state["faults"] == ["gap"]
    assert state["now_ms"] == T0 + 29 * HOUR + HOUR // 2


def test_the_clock_stands_still_steps_and_runs():
    with StandIn("bybit", market=make_candles(48), now="2024-01-01T10:30") as exchange:
        assert exchange.now == exchange.now == START + pd.Timedelta("10h30min")
        assert exchange.advance() == START + pd.Timedelta("11h30min")
        assert exchange.advance("15m") == START + pd.Timedelta("11h45min")
        assert exchange.advance(pd.Timedelta("1min")) == START + pd.Timedelta("11h46min")
        exchange.set_now(START)
        reply = requests.get(exchange.url + "/v5/market/time", timeout=5)
        assert reply.json()["result"]["timeSecond"] == str(T0 // 1000)
        assert reply.headers["Date"] == "Mon, 01 Jan 2024 00:00:00 GMT"
    exchange.set_now(START + pd.Timedelta("1h"))
    assert exchange.now == START + pd.Timedelta("1h"), "the clock can be put while nothing runs"
    with StandIn("bybit", market=make_candles(48), now=START, speed=3600) as exchange:
        time.sleep(0.2)
        assert START + pd.Timedelta("10min") < exchange.now < START + pd.Timedelta("2h")


def test_limits_can_be_lifted():
    url = "/products/BTC-USD/candles"
    for limits, statuses in ((True, {200, 429}), (False, {200})):
        with StandIn("coinbase", market=make_candles(5), limits=limits) as exchange, requests.Session() as session:
            assert {session.get(exchange.url + url, timeout=5).status_code for _ in range(40)} == statuses


def write(folder, name: str, frame: pd.DataFrame, times: str = "ts") -> None:
    frame.rename(columns={"open_time": times}).to_parquet(folder / f"{name}.parquet")


def test_a_folder_prefers_the_venues_own_files(tmp_path):
    hours, quarters = make_candles(48, seed=1), make_candles(96, freq="15min", seed=2)
    days = make_candles(10, freq="1D", seed=4)
    write(tmp_path, "bybit_linear_1h", hours)
    write(tmp_path, "bybit_spot_15m", quarters, times="open_time")
    write(tmp_path, "binance_um_1d", days)
    funding = pd.DataFrame(
        {"ts": [START, START + pd.Timedelta("8h")], "symbol": "BTCUSDT", "funding_rate": [1e-4, -2e-4]}
    )
    funding.to_parquet(tmp_path / "binance_um_funding.parquet")
    pd.DataFrame({"ts": [START], "factor": [1.0]}).to_parquet(tmp_path / "fama_french.parquet")

    def closes(exchange: StandIn, category: str, interval: str) -> list[float]:
        url = f"/v5/market/kline?category={category}&symbol=BTCUSDT&interval={interval}&start={T0}&limit=3"
        found = requests.get(exchange.url + url, timeout=5).json()["result"]["list"]
        return [float(r[4]) for r in reversed(found)]

    def of(frame: pd.DataFrame) -> list[float]:
        return frame[frame["symbol"] == "BTCUSDT"]["close"].iloc[:3].tolist()

    with StandIn("bybit", market=tmp_path) as exchange:
        assert exchange.now == START + pd.Timedelta("47h30min")
        assert closes(exchange, "linear", "60") == of(hours)
        assert closes(exchange, "linear", "15") == of(quarters), "no finer linear file: the venue's spot one"
        in_hours = quarters[quarters["open_time"].dt.minute == 45]
        assert closes(exchange, "spot", "60") == of(in_hours)
        own_day = hours.query("symbol == 'BTCUSDT'")["close"].iloc[[23, 46]].tolist()
        assert closes(exchange, "linear", "D")[0] == own_day[0], "own hours before Binance's days"
        assert closes(exchange, "linear", "1") == []
        url = "/v5/market/funding/history?category=linear&symbol=BTCUSDT"
        rates = requests.get(exchange.url + url, timeout=5).json()["result"]["list"]
        assert [r["fundingRate"] for r in rates] == ["-0.0002", "0.0001"]
    with StandIn("binance", market=tmp_path, now=START + pd.Timedelta("3D")) as exchange:
        url = f"/fapi/v1/klines?symbol=BTCUSDT&interval=1d&startTime={T0}"
        found = requests.get(exchange.url + url, timeout=5).json()
        assert [float(r[4]) for r in found] == of(days)


def test_of_other_venues_files_the_longest_is_played(tmp_path):
    short, long = make_candles(48, seed=1), make_candles(200, seed=2)
    write(tmp_path, "binance_spot_1h", short)
    write(tmp_path, "bybit_linear_1h", long)
    write(tmp_path, "coinbase_spot_1d", make_candles(5, freq="1D"))
    url = f"/products/BTC-USD/candles?granularity=3600&start={T0 // 1000}&end={T0 // 1000 + 100 * 3600}"
    with StandIn("coinbase", market=tmp_path) as exchange:
        found = requests.get(exchange.url + url, timeout=5).json()
        assert exchange.now == START + pd.Timedelta("4D12h"), "the clock is that of the venue's own file"
    assert [r[4] for r in reversed(found)] == long[long["symbol"] == "BTCUSDT"]["close"].iloc[:101].tolist()


def test_split_files_of_one_kind_are_joined(tmp_path):
    candles = make_candles(40, symbols={"BTCUSDT": 100.0})
    write(tmp_path, "bybit_linear_1h_2023", candles[:20])
    write(tmp_path, "bybit_linear_1h_2024", candles[15:])
    with StandIn("bybit", market=str(tmp_path), now="2024-01-02T16:00") as exchange:
        url = "/v5/market/kline?symbol=BTCUSDT&interval=60&limit=1000"
        assert len(requests.get(exchange.url + url, timeout=5).json()["result"]["list"]) == 40


def test_bad_folders_are_clear_errors(tmp_path):
    with pytest.raises(MarketDirError, match=r"nowhere is not a folder; give the folder that holds the Parquet"):
        StandIn("bybit", market=tmp_path / "nowhere")
    with pytest.raises(MarketDirError, match=r"no \.parquet file in"):
        StandIn("bybit", market=tmp_path)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(MarketDirError, match=r"no candles in .*; nothing to serve"):
        StandIn("bybit", market=tmp_path)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 this is not Parquet")
    with pytest.raises(MarketDirError, match=r"broken\.parquet cannot be read as Parquet"):
        StandIn("bybit", market=tmp_path)
    with pytest.raises(MarketDirError, match=r"a market is a table of candles.*got int"):
        StandIn("bybit", market=7)
    with pytest.raises(MarketDirError, match="no candles in a table of candles"):
        StandIn("bybit", market=_empty())


def _empty() -> pd.DataFrame:
    frame = make_candles(5)[:0]
    frame.attrs["interval"] = "1h"
    return frame


@pytest.mark.parametrize(
    ("name", "asset", "quote"),
    [
        ("BTCUSDT", Asset("BTC", "USD"), "USDT"),
        ("BTC/USD", Asset("BTC", "USD"), "USD"),
        ("BTC-USD", Asset("BTC", "USD"), "USD"),
        ("1000BONKUSDT", Asset("1000BONK", "USD"), "USDT"),
        ("ETHUSDC", Asset("ETH", "USD"), "USDC"),
        ("ETH-BTC", Asset("ETH", "BTC"), "BTC"),
        ("GS", Asset("GS", ""), ""),
        ("USDT", Asset("USDT", ""), ""),
        ("SIM-A", Asset("SIM-A", ""), ""),
    ],
)
def test_names_are_read(name, asset, quote):
    assert parse_name(name) == (asset, quote)


def test_a_simulated_market_will_do():
    class Simulated:
        candles = make_candles(5)

    with StandIn("bybit", market=Simulated()) as exchange:
        assert len(requests.get(exchange.url + KLINE, timeout=5).json()["result"]["list"]) == 2


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_run_serves_until_it_is_told_to_stop(tmp_path, stop):
    write(tmp_path, "bybit_linear_1h", make_candles(48))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = f"from alphabook.simulated.standin import run; run('bybit', {str(tmp_path)!r}, {port}, None)"
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        greeting = [process.stdout.readline() for _ in range(6)]
        assert f"bybit stand-in at http://127.0.0.1:{port}" in greeting[0]
        assert "BTC/USD, ETH/USD; bars of 1h" in greeting[1]
        assert "2024-01-02 23:30:00 UTC" in greeting[2]
        assert requests.get(f"http://127.0.0.1:{port}{KLINE}", timeout=5).json()["retCode"] == 0
        process.send_signal(stop)
        assert process.wait(timeout=10) == 0
        assert process.stderr.read() == ""
        assert process.stdout.read().strip() == "stopped after 1 calls"
    finally:
        process.kill()
        process.communicate()


def test_run_reports_a_bad_folder_at_once(tmp_path):
    with pytest.raises(MarketDirError, match=r"no \.parquet file in"):
        run("bybit", tmp_path, 0, None)
