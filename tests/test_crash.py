"""SIGKILL during a fetch, fifty times: no committed candle is lost or torn, and going on ends at the same digest."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from alphabook.candles import as_candles
from alphabook.simulated.standin import StandIn
from alphabook.store import CandleStore
from alphabook.venues import Bybit, RateBudget, download

KILLS = 50
BARS = 24_000
START = pd.Timestamp("2020-01-01", tz="UTC")

# The child says when it is ready to fetch, so that the kill falls into the fetch and not into the imports;
# the parent forks many children from one warm process image.
CHILD = """
import os, sys
from alphabook.venues import Bybit, RateBudget, download
url, store = sys.argv[1:]
while sys.stdin.readline():
    pid = os.fork()
    if pid == 0:
        client = Bybit(base_url=url, budget=RateBudget())
        client.limit = 400
        os.write(1, b"%d\\n" % os.getpid())
        download(client, "BTCUSDT", "1h", "2020-01-01", None, store, progress=False)
        os._exit(0)
    os.waitpid(pid, 0)
    os.write(1, b"done\\n")
"""


def market():
    rng = np.random.default_rng(5)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.003, BARS))), 4)
    open_ = np.r_[100.0, close[:-1]]
    times = pd.date_range(START, periods=BARS, freq="h")
    values = {"open": open_, "high": np.maximum(open_, close), "low": np.minimum(open_, close), "close": close}
    return as_candles(pd.DataFrame({"open_time": times, "symbol": "BTCUSDT", **values, "volume": 3.5}), interval="1h")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_fifty_kills(tmp_path):
    candles, path, dice = market(), tmp_path / "s.sqlite", random.Random(11)
    truth = candles.iloc[:-1].set_index("open_time")
    with StandIn("bybit", market=candles, limits=False) as exchange:
        with CandleStore(tmp_path / "clean.sqlite") as clean:
            download(_client(exchange.url), "BTCUSDT", "1h", START, None, clean, progress=False)
            expected = clean.digest()
        took = _time_of_a_run(exchange.url, tmp_path / "timed.sqlite")
        command = [sys.executable, "-c", CHILD, exchange.url, str(path)]
        parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert parent.stdin is not None
        assert parent.stdout is not None
        kept, moments, sizes = pd.DatetimeIndex([]), [], []
        try:
            while len(moments) < KILLS:
                parent.stdin.write("go\n")
                parent.stdin.flush()
                child = int(parent.stdout.readline())
                moment = dice.uniform(0.0, 0.3 * took)
                time.sleep(moment)
                try:
                    os.kill(child, signal.SIGKILL)
                    moments.append(moment)
                except ProcessLookupError:
                    pass  # it had finished: no kill
                assert parent.stdout.readline() == "done\n"
                kept = _check(path, kept, truth)
                sizes.append(len(kept))
                if len(kept) == len(truth):  # all there: begin again
                    for file in tmp_path.glob("s.sqlite*"):
                        file.unlink()
                    kept = pd.DatetimeIndex([])
        finally:
            parent.stdin.close()
            parent.wait(timeout=10)
            parent.stdout.close()
        assert len(set(sizes)) > KILLS / 3, f"the kills did not fall into the fetch: {sizes}"
        download(_client(exchange.url), "BTCUSDT", "1h", START, None, path, progress=False)
        with CandleStore(path) as store:
            assert store.digest() == expected
            assert store.missing("BTCUSDT", "1h", START, truth.index[-1] + pd.Timedelta(hours=1), venue="bybit") == []


def _check(path, before, truth):
    """Whole windows only, every candle right, nothing lost that was there; returns the open times that are."""
    if not path.exists():
        assert len(before) == 0
        return before
    with CandleStore(path) as store:
        candles, coverage = store.read("BTCUSDT", "1h"), store.coverage()
    now = pd.DatetimeIndex(candles["open_time"])
    assert before.isin(now).all(), "a committed candle is lost"
    columns = ["open", "high", "low", "close", "volume"]
    pd.testing.assert_frame_equal(
        candles.set_index("open_time")[columns], truth.loc[now, columns], check_exact=True, check_freq=False
    )
    assert int(coverage["bars"].sum()) == len(candles), "candles and coverage disagree: a window is torn"
    for row in coverage.itertuples():
        assert row.bars == (row.end - row.start) / pd.Timedelta(hours=1)
    return now


def _time_of_a_run(url, path):
    begin = time.monotonic()
    download(_client(url), "BTCUSDT", "1h", START, None, path, progress=False)
    return time.monotonic() - begin


def _client(url):
    client = Bybit(base_url=url, budget=RateBudget())
    client.limit = 400
    return client
