"""Other people's engines make the same trades, and their metrics the same numbers where the definitions agree.

The peers live in an environment of their own (``make peers``); the comparison runs there as a subprocess. Its
interpreter is ``ALPHABOOK_PEERS_PYTHON``, else ``.peers/bin/python``; without one these tests are skipped.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphabook.backtest import backtest_signals

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
SAME = 1e-9
PYTHON = Path(
    os.environ.get("ALPHABOOK_PEERS_PYTHON")
    or ROOT / ".peers" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
)
needs_peers = pytest.mark.skipif(
    not PYTHON.exists(),
    reason=f"the peers' interpreter {PYTHON.name} is not there: make peers, or set ALPHABOOK_PEERS_PYTHON",
)
MODES = {  # trades that a short run must at least compare
    "fill at the close: vectorbt": 1_500,
    "fill at the close: backtesting": 1_500,
    "next open, stops at once: backtesting": 1_500,
    "next open, stops from the next bar: backtrader": 700,
    "next open, stops from the next bar: vectorbt": 1_500,
    "half the equity, long only, close: vectorbt": 800,
    "half the equity, long only, next open: vectorbt": 800,
    "target weights, close: vectorbt": 2_000,
    "target weights, next open: vectorbt": 2_000,
    "target weights, long and short: vectorbt": 2_000,
}


def run_there(script: str, out: Path, *arguments: str) -> dict:
    """The JSON that a benchmark writes when the peers' interpreter runs it."""
    command = [str(PYTHON), str(BENCHMARKS / script), *arguments, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert out.exists(), f"{script} wrote nothing:\n{done.stdout[-2_000:]}\n{done.stderr[-4_000:]}"
    return json.loads(out.read_text(encoding="utf-8"))


def script(name: str):
    """A benchmark as a module; the peers are imported only inside its functions."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def parity(tmp_path_factory):
    return run_there("backtest_peers.py", tmp_path_factory.mktemp("peers") / "p.json", "--runs", "18", "--bars", "500")


@needs_peers
@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_every_trade_equals_the_peers(parity, mode):
    part = parity["greatest_relative_differences"]
    row = next(row for row in part["rows"] if row["name"] == mode)
    assert row["trades"] >= MODES[mode]
    assert row["equal"] == row["trades"]
    assert max(row[name] for name in ("price", "units", "fees", "net_pnl", "equity")) < SAME
    if "weights" not in mode:
        assert row["stop_or_target"] > row["trades"] / 5
        assert row["ambiguous"] > 0
    targets = [target for target in part["targets"] if target["name"].startswith(mode)]
    assert len(targets) == 1
    assert targets[0]["measured"] == 100  # trades, and bars of equity


def test_the_comparison_sees_what_differs():
    """A fee, a price, a bar, a trade too many: each is one trade that is not equal."""
    peers = script("backtest_peers")
    frame = peers.candles(400, 5, 0.02)
    signals = peers.opinions(400, 5)
    mine = peers.ours(frame, signals, peers.NEXT_OPEN)
    n = len(mine.trades)

    def equal(change=None, **columns) -> tuple[int, int]:
        trades = mine.trades.assign(**columns)
        other = peers.Outcome(trades if change is None else change(trades), mine.equity)
        tally = peers.Tally()
        tally.add(mine, other)
        return tally.equal, tally.trades

    def nudged(column, by):
        values = mine.trades[column].to_numpy().copy()
        values[3] += by
        return values

    assert equal() == (n, n)
    assert equal(exit_bar=nudged("exit_bar", 1)) == (n - 1, n)
    assert equal(direction=nudged("direction", 1)) == (n - 1, n)
    assert equal(exit_price=nudged("exit_price", 1e-6)) == (n - 1, n)
    assert equal(commission=nudged("commission", 1e-6)) == (n - 1, n)
    assert equal(lambda t: t.iloc[:-1]) == (n - 1, n)
    assert equal(lambda t: pd.concat([t, t.iloc[:1]])) == (n, n + 1)
    tally = peers.Tally()
    tally.add(mine, peers.Outcome(mine.trades, mine.equity + np.eye(1, 400, 7)[0]))
    assert (tally.equal_bars, tally.bars) == (399, 400)


@pytest.mark.parametrize("seed", range(6))
def test_the_candles_keep_out_what_is_known_to_differ(seed):
    """What the peers settle otherwise is absent by construction, not dropped afterwards."""
    peers = script("backtest_peers")
    frame = peers.candles(1_000, seed, peers.VOLATILITIES[seed % 3])
    low, high = frame["low"], frame["high"]
    assert (frame[["open", "close"]].le(high, axis=0).all() & frame[["open", "close"]].ge(low, axis=0).all()).all()
    gap = (frame["open"] / frame["close"].shift() - 1).abs().max()
    assert peers.STOP * 0.2 < gap < peers.STOP - peers.FEE  # gaps there are; none that moves an entry beyond its stop
    assert (low / frame["open"]).min() > (1 - peers.STOP) / (1 + peers.TARGET)
    assert (high / frame["open"]).max() < (1 + peers.STOP) / (1 - peers.TARGET)
    cents = (frame[["open", "close"]] * 100).round()
    np.testing.assert_allclose(cents, frame[["open", "close"]] * 100, atol=1e-7)
    assert (cents % 25 != 0).all(axis=None)


AGREE = {  # metric: who gives our number
    "total return": "both",
    "CAGR": "both",
    "volatility": "both",
    "Sharpe ratio": "both",
    "Sharpe ratio, called without a period": "nobody",
    "Sharpe ratio, riskless rate 3 % a year": "quantstats only",
    "Sortino ratio": "both",
    "Sortino ratio, acceptable return 0.01 % a bar": "empyrical only",
    "maximum drawdown": "both",
    "maximum drawdown, 10 % lost in the first bar": "both",
    "that drawdown, given as an equity curve": "nobody",
    "Calmar ratio": "both",
    "VaR 95 %": "empyrical only",
    "CVaR 95 %": "empyrical only",
    "CVaR 95 %, historical": "both",
    "profit factor of the same list": "quantstats",
    "hit rate of the same list, a third of it zero": "nobody",
    "Sharpe ratio of constant returns": "nobody",
}


@needs_peers
def test_metrics_agree_where_the_definitions_do(tmp_path):
    part = run_there("backtest_metrics.py", tmp_path / "m.json")["one_definition_each"]
    assert {row["name"]: row["agrees"] for row in part["rows"]} == AGREE
    assert set(part["reasons"]) == {name for name, who in AGREE.items() if who == "nobody" or who.endswith("only")}
    assert part["targets"][0]["measured"] == 0  # rows that differ without a reason


def test_the_page_of_metrics_shows_what_was_measured():
    """The committed results hold the rows that the tests hold, and the page has every metric of a backtest."""
    told = json.loads((BENCHMARKS / "results" / "backtest_metrics.json").read_text(encoding="utf-8"))
    assert {row["name"]: row["agrees"] for row in told["one_definition_each"]["rows"]} == AGREE
    page = (ROOT / "book" / "metrics.md").read_text(encoding="utf-8")
    frame = pd.DataFrame(100.0, pd.date_range("2024", periods=3, freq="h"), ["open", "high", "low", "close"])
    for name in backtest_signals(frame, pd.Series(0, index=frame.index)).metrics:
        assert f"* - `{name}`" in page, name
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    try:
        benchmarks = importlib.import_module("alphabook_site.benchmarks")
    finally:
        sys.path.pop(0)
    html = benchmarks._part(told["one_definition_each"])
    assert '<th scope="col">Metric</th>' in html
    assert html.count("<strong>VaR 95 %:</strong>") == 1
    assert "Rows are" not in html


def test_the_committed_comparison_is_complete():
    told = json.loads((BENCHMARKS / "results" / "backtest_peers.json").read_text(encoding="utf-8"))
    rows = told["greatest_relative_differences"]["rows"]
    assert [row["name"] for row in rows] == list(MODES)
    assert all(row["equal"] == row["trades"] > 10 * MODES[row["name"]] for row in rows)


def test_the_package_never_imports_a_peer():
    names = ("vectorbt", "backtesting", "backtrader", "purgedcv", "empyrical", "quantstats")
    for file in (ROOT / "src" / "alphabook").rglob("*.py"):
        for line in file.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                assert words[1].split(".")[0] not in names, f"{file}: {line}"
