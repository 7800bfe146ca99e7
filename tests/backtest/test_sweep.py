"""A sweep equals single backtests, on every executor, a killed worker included."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from backtest.market import random_signals, wild_candles

from alphabook.backtest import BacktestConfig, backtest_signals, sweep
from alphabook.backtest.sweep import COLUMNS
from alphabook.errors import BacktestError

CANDLES = wild_candles(400, 9)
SIGNALS = random_signals(CANDLES.index, 9)
CONFIGS = [
    BacktestConfig(stop_loss=stop, take_profit=target, allow_short=short, position_size=size)
    for stop in (None, 0.01, 0.03)
    for target in (None, 0.02)
    for short in (True, False)
    for size in (0.1, 1.0)
] + [
    BacktestConfig(confirmation=2, fill="close"),
    BacktestConfig(sizing="volatility", volatility_window=24, intrabar="optimistic"),
    BacktestConfig(sizing="units", units=3.0, stop_from="next_bar"),
]


@pytest.fixture(scope="module")
def serial():
    return sweep(CANDLES, SIGNALS, CONFIGS)


def test_every_number_is_that_of_a_single_backtest(serial):
    for config, (_, row) in zip(CONFIGS, serial.metrics.iterrows(), strict=True):
        one = backtest_signals(CANDLES, SIGNALS, config, loop="plain")
        single = {**one.metrics, **one.costs, "ambiguous": one.ambiguous, "refused": one.refused}
        np.testing.assert_allclose(row[list(COLUMNS)], [single[name] for name in COLUMNS], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_the_digest_does_not_depend_on_the_chunks(serial, chunk):
    assert sweep(CANDLES, SIGNALS, CONFIGS, chunk=chunk).digest == serial.digest


def test_threads_and_processes_give_the_serial_digest(serial):
    with ThreadPoolExecutor(3) as threads:
        assert sweep(CANDLES, SIGNALS, CONFIGS, executor=threads, chunk=4).digest == serial.digest
    with ProcessPoolExecutor(2) as processes:
        assert sweep(CANDLES, SIGNALS, CONFIGS, executor=processes, chunk=4, progress=True).digest == serial.digest


def test_one_series_of_signals_per_set():
    many = [random_signals(CANDLES.index, seed) for seed in range(3)]
    configs = [BacktestConfig(allow_short=True)] * 3
    result = sweep(CANDLES, many, configs, chunk=2)
    singles = [backtest_signals(CANDLES, s, configs[0]).metrics["final_equity"] for s in many]
    np.testing.assert_allclose(result.metrics["final_equity"], singles)
    assert len(result) == 3
    assert result.digest != sweep(CANDLES, many[::-1], configs).digest


@pytest.mark.slow
def test_a_real_cluster_gives_the_serial_digest_even_when_a_worker_is_killed(serial):
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        pids = client.run(os.getpid)
        assert len(set(pids.values()) - {os.getpid()}) == 2, "two worker processes, neither of them this one"
        executor = client.get_executor(pure=False)
        assert sweep(CANDLES, SIGNALS, CONFIGS, executor=executor, chunk=4).digest == serial.digest

        victim = _kill_when_busy(client, next(iter(pids.values())))
        again = sweep(CANDLES, SIGNALS, CONFIGS * 20, executor=client.get_executor(pure=False), chunk=4)
        victim.join()
        assert again.digest == sweep(CANDLES, SIGNALS, CONFIGS * 20).digest
        assert victim.killed


def _kill_when_busy(client, pid):
    import signal
    import threading
    import time

    class Killer(threading.Thread):
        killed = False

        def run(self):
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                if any(client.processing().values()):
                    os.kill(pid, signal.SIGKILL)
                    self.killed = True
                    return
                time.sleep(0.005)

    killer = Killer(daemon=True)
    killer.start()
    return killer


@pytest.mark.parametrize(
    ("signals", "configs", "settings", "message"),
    [
        (SIGNALS, [], {}, "no parameter sets"),
        ([SIGNALS] * 2, CONFIGS[:3], {}, "2 series of signals for 3 parameter sets"),
        (SIGNALS, CONFIGS[:1], {"chunk": 0}, "at least 1, got 0"),
        (SIGNALS.iloc[:5], CONFIGS[:1], {}, "5 signals for 400 candles"),
    ],
)
def test_errors(signals, configs, settings, message):
    with pytest.raises(BacktestError, match=message):
        sweep(CANDLES, signals, configs, **settings)


def test_no_notebook_bar_is_loaded_unless_it_was_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)  # importing it now raises
    assert len(sweep(CANDLES, SIGNALS, CONFIGS[:1])) == 1
    with pytest.raises(ImportError):
        sweep(CANDLES, SIGNALS, CONFIGS[:1], progress=True)
