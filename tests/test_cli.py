"""The command line as a user meets it: what it prints, what it refuses, and that a refusal writes nothing."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphabook import __version__
from alphabook.candles import as_candles
from alphabook.cli import describe, main
from alphabook.simulated.standin import StandIn
from alphabook.store import CandleStore

NAMES = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def market(bars=1500):
    parts = []
    common = np.random.default_rng(0).normal(0, 0.01, bars)
    for i, name in enumerate(NAMES):
        own = np.random.default_rng(i + 1).normal(0, 0.01, bars)
        close = np.round(100 * np.exp(np.cumsum(0.8 * common + 0.6 * own)), 2)
        open_ = np.r_[100.0, close[:-1]]
        times = pd.date_range("2024-01-01", periods=bars, freq="h", tz="UTC")
        values = {"open": open_, "high": np.maximum(open_, close), "low": np.minimum(open_, close), "close": close}
        part = pd.DataFrame({"open_time": times, "symbol": name, **values, "volume": 2.5})
        parts.append(part.drop([700, 701]) if name == "ETHUSDT" else part)
    return as_candles(pd.concat(parts), interval="1h")


MARKET = market()


@pytest.fixture
def exchange():
    with StandIn("bybit", market=MARKET, limits=False) as standin:
        yield standin


@pytest.fixture
def parquet(tmp_path):
    folder = tmp_path / "market"
    folder.mkdir()
    MARKET.rename(columns={"open_time": "ts"}).to_parquet(folder / "bybit_linear_1h.parquet")
    return folder


def files(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_fetch_prints_range_gaps_statistics_and_correlations(exchange, tmp_path, capsys):
    store = tmp_path / "s.sqlite"
    command = ["fetch", "--symbols", ",".join(NAMES), "--interval", "60", "--limit", "1000", "--venue", "bybit"]
    assert main([*command, "--base-url", exchange.url, "--store", str(store), "--quiet"]) == 0
    out = capsys.readouterr().out
    with CandleStore(store) as opened:
        candles = opened.read(NAMES, "1h")
        digest = opened.digest()
    assert digest[:16] in out
    for name in NAMES:
        part = candles[candles["symbol"] == name]
        r = np.log(part["close"]).diff()[part["open_time"].diff() == pd.Timedelta(hours=1)].dropna()
        line = next(row for row in out.splitlines() if row.strip().startswith(name))
        assert f"{len(part)}" in line
        assert f"{r.mean():+.3e}" in line
        assert f"{r.std():.3e}" in line
    assert len(candles[candles["symbol"] == "BTCUSDT"]) == 1000
    eth = next(row for row in out.splitlines() if row.strip().startswith("ETHUSDT"))
    assert eth.split()[-4:-2] == ["1", "2"]  # one gap of two bars
    wide = candles.pivot(index="open_time", columns="symbol", values="close")
    expected = np.log(wide["BTCUSDT"]).diff().corr(np.log(wide["SOLUSDT"]).diff())
    matrix = out[out.index("correlation of log returns") :]
    assert f"{expected:.3f}" in next(row for row in matrix.splitlines() if row.startswith("BTCUSDT"))


def test_fetch_counts_bars_once_and_every_request(tmp_path, capsys):
    faults = [{"kind": "server_error", "path": "kline", "on": [2]}]
    with StandIn("bybit", market=MARKET, faults=faults, limits=False) as exchange:
        command = ["fetch", "--symbols", "BTCUSDT", "--limit", "1200", "--base-url", exchange.url]
        assert main([*command, "--store", str(tmp_path / "s.sqlite"), "--quiet"]) == 0
        candle = len([c for c in exchange.calls if c.path.endswith("kline")])
        clock = len(exchange.calls) - candle
    out = capsys.readouterr().out
    row = [line.split() for line in out.splitlines() if line.split()[:1] == ["BTCUSDT"]][-1]
    assert row == ["BTCUSDT", "1200", "1200", "0", "0", "0", "3"]  # two windows that overlap, one of them sent again
    assert f"requests: {candle} for candles, {clock} for the venue's clock" in out
    assert (candle, clock) == (3, 1)


def test_a_second_fetch_changes_nothing_and_asks_for_no_candle(exchange, tmp_path, capsys):
    store = tmp_path / "s.sqlite"
    command = ["fetch", "--start", "2024-01-01", "--base-url", exchange.url, "--store", str(store), "--quiet"]
    assert main(command) == 0
    first, calls = capsys.readouterr().out, len([c for c in exchange.calls if c.path.endswith("kline")])
    assert main(command) == 0
    second = capsys.readouterr().out
    assert len([c for c in exchange.calls if c.path.endswith("kline")]) == calls
    assert first.splitlines()[-1] == second.splitlines()[-1]  # the digest


def test_all_venues_fetch(tmp_path, capsys):
    for venue, symbol in (("binance", "BTCUSDT"), ("coinbase", "BTC-USD"), ("yahoo", "BTC-USD")):
        with StandIn(venue, market=MARKET, limits=False) as exchange:
            command = ["fetch", "--venue", venue, "--symbols", symbol, "--start", "2024-01-10", "--end", "2024-01-20"]
            store = tmp_path / f"{venue}.sqlite"
            code = main([*command, "--base-url", exchange.url, "--store", str(store), "--quiet"])
        assert code == 0, capsys.readouterr().err
        with CandleStore(tmp_path / f"{venue}.sqlite") as store:
            assert len(store.read(symbol, "1h")) == 240


def test_the_books_preset_is_fetched_from_bybit(tmp_path, capsys, monkeypatch):
    from alphabook import venues

    first = venues.Slice(("BTCUSDT", "ETHUSDT"), "1h", "2024-01-05", "2024-01-08")
    small = (first, venues.Slice(("SOLUSDT",), "4h", "2024-01-05", "2024-01-08"))
    monkeypatch.setattr(venues, "BOOK_PRESET", small)
    with StandIn("bybit", market=MARKET, limits=False) as exchange:
        store = tmp_path / "s.sqlite"
        assert main(["fetch", "--preset", "book", "--base-url", exchange.url, "--store", str(store), "--quiet"]) == 0
    with CandleStore(store) as opened:
        rows = opened.series()[["symbol", "interval", "bars"]].values.tolist()
        assert rows == [["BTCUSDT", "1h", 72], ["ETHUSDT", "1h", 72], ["SOLUSDT", "4h", 18]]


BAD = [
    (["--symbols", "NOSUCHUSDT"], "Check the spelling"),
    (["--symbols", "BTCUSDT,NOSUCHUSDT"], "NOSUCHUSDT"),
    (["--symbols", "BTC/USDT"], "write it like BTCUSDT"),
    (["--symbols", ","], "no symbols given"),
    (["--interval", "7m"], "unknown interval '7m'; use one of"),
    (["--interval", "8h"], "bybit serves no 8h candles; use one of"),
    (["--start", "2024-02-01", "--end", "2024-01-01"], "is not before end"),
    (["--start", "2024-02-01", "--end", "2024-02-01"], "is not before end"),
    (["--start", "soon"], "is not a time"),
    (["--end", "2024-02-01"], "needs a --start"),
    (["--start", "2030-01-01"], "choose an earlier start"),
    (["--start", "2019-01-01", "--end", "2019-02-01"], "it was not listed then"),
    (["--limit", "0"], "number of bars >= 1"),
    (["--venue", "kraken"], "use bybit, binance, coinbase or yahoo"),
    (["--venue", "artemis"], "use bybit, binance, coinbase or yahoo"),
    (["--preset", "cover"], "there is one, book"),
    (["--category", "option"], "linear, spot and inverse"),
    (["--base-url", "nowhere"], "is not an address"),
]


@pytest.mark.parametrize(("arguments", "remedy"), BAD)
def test_bad_input_is_one_clear_line_and_nothing_is_written(arguments, remedy, exchange, tmp_path, capsys):
    command = [
        "fetch",
        "--base-url",
        exchange.url,
        "--store",
        str(tmp_path / "deep" / "s.sqlite"),
        "--quiet",
        *arguments,
    ]
    assert main(command) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("alphabook: ")
    assert shown.err.count("\n") == 1
    assert remedy in shown.err
    assert "Traceback" not in shown.err
    assert list(tmp_path.iterdir()) == []


def test_a_refusing_venue_is_one_clear_line(tmp_path, capsys):
    for kind, text in (("region", "use another venue"), ("forbidden", "stop all requests")):
        with StandIn("bybit", market=MARKET, faults=[{"kind": kind, "times": "always"}]) as exchange:
            assert main(["fetch", "--base-url", exchange.url, "--store", str(tmp_path / "s.sqlite"), "--quiet"]) == 1
        shown = capsys.readouterr().err
        assert shown.count("\n") == 1
        assert text in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", ["file in the way", "a folder", "another file"])
def test_a_store_that_cannot_be_written_is_one_clear_line(make, exchange, tmp_path, capsys):
    target = tmp_path / "s.sqlite"
    if make == "file in the way":
        (tmp_path / "f").write_text("x")
        target = tmp_path / "f" / "s.sqlite"
    elif make == "a folder":
        target.mkdir()
    else:
        target.write_text("not a database at all, but long enough to be read as one" * 20)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert main(["fetch", "--base-url", exchange.url, "--store", str(target), "--quiet"]) == 1
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert str(target) in shown
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert not [c for c in exchange.calls if c.path.endswith("kline")]


@pytest.mark.skipif(os.name == "nt", reason="permissions of folders are POSIX's")
def test_no_permission_is_one_clear_line(exchange):
    with tempfile.TemporaryDirectory() as folder:
        locked = Path(folder) / "locked"
        locked.mkdir()
        Path(folder).chmod(0o755)
        locked.chmod(0o555)
        # root may write anywhere: as root the command runs once, so that everything is imported, and then again
        # as a user whom permissions bind
        code = (
            "import os, sys; from alphabook.cli import main; *rest, warm, locked = sys.argv[1:]; "
            "os.geteuid() or main([*rest, warm]) or (os.setgid(65534), os.setuid(65534)); "
            "sys.exit(main([*rest, locked]))"
        )
        arguments = ["fetch", "--symbols", "BTCUSDT", "--base-url", exchange.url, "--quiet", "--store"]
        command = [sys.executable, "-c", code, *arguments, str(Path(folder) / "warm.sqlite"), str(locked / "s.sqlite")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        assert done.returncode == 1, done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert "no permission to write" in done.stderr
        assert list(locked.iterdir()) == []


def test_import_and_quality(parquet, tmp_path, capsys):
    store = tmp_path / "s.sqlite"
    assert main(["import", str(parquet), "--store", str(store), "--quiet"]) == 0
    assert "bybit_linear_1h.parquet" in capsys.readouterr().out
    with CandleStore(store) as opened:
        digest = opened.digest()
        assert len(opened.read(NAMES, "1h")) == len(MARKET)
    assert main(["import", str(parquet), "--store", str(store), "--quiet"]) == 0
    with CandleStore(store) as opened:
        assert opened.digest() == digest
    capsys.readouterr()
    assert main(["data", "quality", "--store", str(store)]) == 0
    from_store = capsys.readouterr().out
    assert main(["data", "quality", "--dir", str(parquet)]) == 0
    from_folder = capsys.readouterr().out
    for out in (from_store, from_folder):
        assert "3 series, 0 broken" in out
        assert "ETHUSDT" in out
    assert main(["data", "quality", "--dir", str(parquet), "--symbols", "BTCUSDT"]) == 0
    assert "1 series" in capsys.readouterr().out
    assert main(["data", "quality", "--dir", str(parquet), "--symbols", "NOPE"]) == 1
    assert "no series matches" in capsys.readouterr().err


def test_quality_is_strict_on_demand(parquet, capsys):
    broken = MARKET.rename(columns={"open_time": "ts"}).copy()
    broken.loc[5, "high"] = broken.loc[5, "low"] - 1
    broken.to_parquet(parquet / "bybit_linear_1h.parquet")
    assert main(["data", "quality", "--dir", str(parquet)]) == 0
    assert "1 broken" in capsys.readouterr().out
    assert main(["data", "quality", "--dir", str(parquet), "--strict"]) == 1
    assert "1 of 3 series" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["absent", "a file", "empty", "no candles", "corrupt", "cut short"])
@pytest.mark.parametrize("command", ["import", "quality", "standin"])
def test_a_folder_that_is_no_market_is_one_clear_line(what, command, parquet, tmp_path, capsys):
    folder = tmp_path / "bad"
    if what == "a file":
        folder.write_text("x")
    elif what != "absent":
        folder.mkdir()
    good = (parquet / "bybit_linear_1h.parquet").read_bytes()
    if what == "no candles":
        pd.DataFrame({"a": [1, 2]}).to_parquet(folder / "x.parquet")
    elif what == "corrupt":
        (folder / "x.parquet").write_bytes(b"PAR1 this is not Parquet PAR1")
    elif what == "cut short":
        (folder / "x.parquet").write_bytes(good[: len(good) // 2])
    store = tmp_path / "out" / "s.sqlite"
    arguments = {
        "import": ["import", str(folder), "--store", str(store)],
        "quality": ["data", "quality", "--dir", str(folder)],
        "standin": ["standin", "--venue", "bybit", "--market", str(folder), "--port", "0"],
    }[command]
    assert main(arguments) == 1
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1, shown
    assert str(folder) in shown
    if what in ("corrupt", "cut short"):
        assert "x.parquet" in shown
    assert not store.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["fetch", "--bogus"],
        ["nonsense"],
        ["fetch", "--limit", "many"],
        ["import"],
        ["standin", "--venue", "bybit"],
        ["data"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    assert main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"alphabook {__version__}\n"
    assert main(["--help"]) == 0
    assert "fetch" in capsys.readouterr().out


def test_ctrl_c_says_how_to_go_on(monkeypatch, capsys):
    import alphabook.venues

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(alphabook.venues, "download", stopped)
    assert main(["fetch", "--start", "2024-01-01", "--quiet"]) == 130
    assert "run the same command again" in capsys.readouterr().err


def test_help_loads_no_heavy_module():
    code = "import sys; from alphabook.cli import main; main(['--help']); "
    code += "print([m for m in ('torch', 'pandas', 'aiohttp', 'matplotlib') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip().endswith("[]")


def test_the_command_is_installed_and_speaks_one_line_on_stderr():
    command = Path(sys.executable).with_name("alphabook")
    done = subprocess.run([command, "fetch", "--interval", "7m"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("alphabook: unknown interval '7m'")


def test_standin_serves_a_folder_with_faults_until_it_is_stopped(parquet, tmp_path, capsys):
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps([{"kind": "retcode", "path": "kline"}]))
    command = [Path(sys.executable).with_name("alphabook"), "standin", "--venue", "bybit", "--market", parquet,
               "--port", "0", "--faults", faults]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        url = next(word.strip(".,;") for word in line.split() if word.startswith("http://"))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with urllib.request.urlopen(f"{url}/v5/market/time", timeout=5) as reply:
                if json.load(reply)["retCode"] == 0:
                    break
        code = main(["fetch", "--symbols", "BTCUSDT", "--limit", "50", "--base-url", url, "--store",
                     str(tmp_path / "s.sqlite"), "--quiet"])  # fmt: skip
        assert code == 0, capsys.readouterr().err
        with urllib.request.urlopen(f"{url}/__standin__/calls", timeout=5) as reply:
            calls = json.load(reply)["calls"]
        assert "retcode" in [c["fault"] for c in calls]
    finally:
        server.terminate()
        server.wait(timeout=10)
        server.stdout.close()
        server.stderr.close()


@pytest.mark.parametrize("script", ["not json", '{"kind": "gap"}', '[{"kind": "earthquake"}]'])
def test_a_fault_script_that_is_none_is_one_clear_line(script, parquet, tmp_path, capsys):
    faults = tmp_path / "faults.json"
    faults.write_text(script)
    assert main(["standin", "--venue", "bybit", "--market", str(parquet), "--port", "0", "--faults", str(faults)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_no_return_is_computed_across_a_gap():
    times = pd.to_datetime(["2024-01-01T00:00", "2024-01-01T01:00", "2024-01-01T02:00", "2024-01-02T00:00"], utc=True)
    price = np.array([100.0, 101.0, 102.0, 500.0])
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    frame = pd.DataFrame({"open_time": times, "symbol": "X", **prices, "volume": 1.0})
    text = describe(as_candles(frame, interval="1h"), "1h")
    expected = np.log([101 / 100, 102 / 101])
    assert f"{expected.mean():+.3e}" in text
    assert "21" in text  # missing bars
