"""The candle store beside raw ``sqlite3`` and pandas, in one process on the same candles.

    python benchmarks/store_bench.py

writes ``benchmarks/results/store.json`` and prints a table. Three jobs: write 250,000 candles into an
empty file, read one column of them back, upsert 1,500 of which half are new. The rivals do the least
that does the job: ``executemany`` of tuples zipped from the columns into a table with the same key, and
``DataFrame.to_sql`` / ``read_sql``. The store does more: it checks the table, counts what changed
and records coverage in the same transaction. Rivals and store take turns; the best of the rounds counts.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from alphabook.candles import as_candles
from alphabook.store import CandleStore

BARS = 250_000
UPSERT = 1_500
AT_MOST = 2.0  # times the rival's best: the aim that the store is held to
RESULT = Path(__file__).parent / "results" / "store.json"
COLUMNS = ("symbol", "open_time", "open", "high", "low", "close", "volume", "turnover")
_CREATE = (
    "CREATE TABLE candles (symbol TEXT, open_time INTEGER, open REAL, high REAL, low REAL, close REAL, "
    "volume REAL, turnover REAL, PRIMARY KEY (symbol, open_time))"
)
_INSERT = "INSERT OR REPLACE INTO candles VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


def minute_candles(bars: int) -> pd.DataFrame:
    """Valid one-minute candles of two symbols, ``bars`` in all."""
    rng = np.random.default_rng(7)
    half = bars // 2
    closes = np.exp(np.cumsum(rng.normal(0, 0.001, (2, half)), axis=1)) * 100
    opens = np.concatenate([closes[:, :1], closes[:, :-1]], axis=1)
    volumes = rng.uniform(1, 100, (2, half))
    frame = pd.DataFrame(
        {
            "open_time": np.tile(pd.date_range("2023-01-01", periods=half, freq="min", tz="UTC"), 2),
            "symbol": np.repeat(["BTCUSDT", "ETHUSDT"], half),
            "open": opens.ravel(),
            "high": np.maximum(opens, closes).ravel() * 1.001,
            "low": np.minimum(opens, closes).ravel() * 0.999,
            "close": closes.ravel(),
            "volume": volumes.ravel(),
            "turnover": (volumes * closes).ravel(),
        }
    )
    return as_candles(frame, interval="1m", venue="bybit")


def measure(bars: int = BARS, rounds: int = 5) -> dict:
    """Best seconds of each job for each rival, and the store's ratios to them."""
    candles = minute_candles(bars)
    batch = _batch(candles)
    plain = candles.assign(open_time=candles["open_time"].astype("int64"))[list(COLUMNS)]
    jobs: dict[str, dict[str, Callable[[Path], None]]] = {
        "write": {
            "store": lambda f: _with_store(f, lambda s: s.upsert(candles)),
            "sqlite3": lambda f: _raw_write(f, candles),
            "pandas": lambda f: _to_sql(f, plain),
        },
        "read_column": {
            "store": lambda f: _with_store(f, lambda s: s.read("BTCUSDT,ETHUSDT", "1m", columns=["close"])),
            "sqlite3": lambda f: _raw_read(f),
            "pandas": lambda f: _read_sql(f),
        },
        "upsert": {
            "store": lambda f: _with_store(f, lambda s: s.upsert(batch)),
            "sqlite3": lambda f: _raw_upsert(f, batch),
        },
    }
    best: dict[str, dict[str, float]] = {job: {} for job in jobs}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for job, rivals in jobs.items():
                for rival, run in rivals.items():
                    seconds = _time(run, Path(folder) / f"{rival}.sqlite")
                    best[job][rival] = min(seconds, best[job].get(rival, np.inf))
    ratios = {
        job: {rival: times["store"] / seconds for rival, seconds in times.items() if rival != "store"}
        for job, times in best.items()
    }
    return {"bars": bars, "upserted": len(batch), "rounds": rounds, "seconds": best, "store_over": ratios}


def _batch(candles: pd.DataFrame) -> pd.DataFrame:
    """The last 750 bars of a symbol, revised, and the 750 that follow them."""
    known = candles[candles["symbol"] == "BTCUSDT"].tail(UPSERT // 2)
    new = known.assign(open_time=known["open_time"] + pd.Timedelta(minutes=UPSERT // 2))
    return as_candles(pd.concat([known.assign(volume=known["volume"] + 1), new]), interval="1m", venue="bybit")


def _time(run: Callable[[Path], None], path: Path) -> float:
    gc.collect()
    started = time.perf_counter()
    run(path)
    return time.perf_counter() - started


def _with_store(path: Path, use: Callable[[CandleStore], object]) -> None:
    with CandleStore(path) as store:
        use(store)


def _raw_write(path: Path, candles: pd.DataFrame) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(_CREATE)
        connection.executemany(_INSERT, _tuples(candles))


def _raw_upsert(path: Path, batch: pd.DataFrame) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(_INSERT, _tuples(batch))


def _tuples(candles: pd.DataFrame) -> object:
    stamped = candles.assign(open_time=candles["open_time"].astype("int64"))
    return zip(*(stamped[c].tolist() for c in COLUMNS), strict=True)


def _raw_read(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT close FROM candles ORDER BY symbol, open_time").fetchall()
        np.array(rows, dtype="float64")


def _to_sql(path: Path, plain: pd.DataFrame) -> None:
    with closing(sqlite3.connect(path)) as connection:
        plain.to_sql("candles", connection, index=False)
        connection.execute("CREATE UNIQUE INDEX by_time ON candles (symbol, open_time)")
        connection.commit()


def _read_sql(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        pd.read_sql("SELECT close FROM candles ORDER BY symbol, open_time", connection)


def machine() -> dict:
    """The machine in words that identify no one: processor, cores, and the versions that matter."""
    import psutil

    return {
        "cpu": _cpu_model(),
        "cores": psutil.cpu_count(logical=True),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "pandas": pd.__version__,
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    """Measure, print, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=int, default=BARS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    measured = datetime.now(UTC).strftime("%Y-%m-%d")
    head = {"benchmark": "store", "machine": machine(), "measured": measured, "at_most": AT_MOST}
    result = {**head, **measure(options.bars, options.rounds)}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{'job':12} {'rival':8} {'seconds':>8} {'store is':>10}")
    for job, times in result["seconds"].items():
        for rival, seconds in times.items():
            ratio = result["store_over"][job].get(rival)
            print(f"{job:12} {rival:8} {seconds:8.3f} {f'{ratio:.2f} x' if ratio else '':>10}")


if __name__ == "__main__":
    main()
