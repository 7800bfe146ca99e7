"""The bundled sample market: two years of hourly candles of five symbols, simulated, no real price in it.

It is the null market of :func:`~alphabook.simulated.simulate_market` with a fixed seed, so every chapter
runs without network and every pattern that a chapter finds in it is known to be luck. The symbols bear
the names of real coins only so that chapters run unchanged on real candles. The last two months also
come as 15-minute bars that add up exactly to the hourly ones.

``python -m alphabook.simulated.sample --write`` makes the files anew; ``--check`` compares them with a
fresh simulation.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..candles.interval import Interval
from ..candles.table import COLUMNS, PRICE_COLUMNS, as_candles, parse_time, split_symbols
from ..errors import NoDataError
from .markets import SimulatedMarket, simulate_market

SEED = 7
START, FINE_START, END = "2023-01-01", "2024-11-01", "2025-01-01"
FILES = {"1h": "sample_1h.parquet", "15m": "sample_15m.parquet"}
MANIFEST = "manifest.json"
VERSION = 1
"""Raised whenever the simulator changes the bytes of the sample."""

REMEDY = "run `python -m alphabook.simulated.sample --write`"


def load_sample(
    symbols: str | Iterable[str] | None = None,
    interval: str | int | Interval = "1h",
    start: object = None,
    end: object = None,
) -> pd.DataFrame:
    """Candles of the sample market, ``start`` inclusive, ``end`` exclusive.

    Hourly bars span 2023 and 2024; 15-minute bars the last two months of 2024. ``attrs["source"]`` says
    that the market is simulated.

    Raises:
        NoDataError: the files are not there, or hold no such symbol, interval, or time; the message
            says what there is.
    """
    step = Interval.parse(interval)
    if step.value not in FILES:
        raise NoDataError(
            f"the sample market has {' and '.join(FILES)} bars, not {step}; "
            f"resample them: alphabook.candles.resample(load_sample(), {step.value!r})"
        )
    candles = _read(sample_dir() / FILES[step.value])
    first, last = candles["open_time"].min(), candles["open_time"].max()
    keep = pd.Series(True, index=candles.index)
    if symbols is not None:
        wanted = split_symbols(symbols)
        unknown = sorted(set(wanted) - set(candles["symbol"].unique()))
        if unknown:
            has = ", ".join(candles["symbol"].unique())
            raise NoDataError(f"the sample market has no {', '.join(unknown)}; it has {has}")
        keep &= candles["symbol"].isin(wanted)
    if start is not None:
        keep &= candles["open_time"] >= parse_time(start, name="start")
    if end is not None:
        keep &= candles["open_time"] < parse_time(end, name="end")
    out = candles[keep].reset_index(drop=True)
    if out.empty:
        raise NoDataError(
            f"the sample market has no {step} bars from {start} to {end}; they open {first:%Y-%m-%d %H:%M} .. "
            f"{last:%Y-%m-%d %H:%M} UTC"
        )
    out.attrs = {"interval": step.value, "venue": "simulated", "source": f"simulated null market (seed {SEED})"}
    return out


def sample_dir() -> Path:
    """Folder of the sample: ``ALPHABOOK_SAMPLE_DIR``, else ``data/sample`` of the checkout (or, without one, here).

    Raises:
        NoDataError: it does not hold the files.
    """
    given = os.environ.get("ALPHABOOK_SAMPLE_DIR")
    place = Path(given) if given else _checkout()
    if not all((place / name).is_file() for name in FILES.values()):
        raise NoDataError(f"the sample market is not in {place}; {REMEDY}")
    return place


def simulate_sample() -> SimulatedMarket:
    """The sample market with its truth, simulated anew (about a second)."""
    step = Interval.H1
    bars = len(step.date_range(parse_time(START), parse_time(END)))
    market = simulate_market("null", bars=bars, interval=step, start=START, seed=SEED, finer="15m")
    assert market.finer is not None
    recent = market.finer[market.finer["open_time"] >= parse_time(FINE_START)].reset_index(drop=True)
    return SimulatedMarket(candles=market.candles, truth=market.truth, finer=recent)


def digest(candles: pd.DataFrame) -> str:
    """SHA-256 of the content of a table of candles: the same for equal values, whatever file held them."""
    text = hashlib.sha256()
    text.update("|".join(COLUMNS).encode())
    text.update("|".join(candles["symbol"].unique()).encode())
    text.update(candles["open_time"].astype("int64").to_numpy().astype("<i8").tobytes())
    for column in COLUMNS[2:]:
        text.update(candles[column].to_numpy(dtype="<f8").tobytes())
    return text.hexdigest()


def write_sample(folder: Path | str | None = None) -> Path:
    """Simulate the sample and write its Parquet files and manifest; returns the folder."""
    place = Path(folder) if folder is not None else _checkout()
    place.mkdir(parents=True, exist_ok=True)
    market = simulate_sample()
    record: dict[str, object] = {
        "content": "simulated null market: no real price, nothing predictable",
        "generator": "alphabook.simulated.sample",
        "version": VERSION,
        "seed": SEED,
        "command": "python -m alphabook.simulated.sample --write",
        "licence": "MIT, as the rest of the repository",
        "units": "open_time UTC; prices and turnover in quote units, volume in base units",
        "files": {},
    }
    for interval, candles in {"1h": market.candles, "15m": market.finer}.items():
        assert candles is not None
        _write(candles, place / FILES[interval])
        record["files"][FILES[interval]] = {  # type: ignore[index]
            "interval": interval,
            "rows": len(candles),
            "symbols": candles["symbol"].unique().tolist(),
            "first": str(candles["open_time"].min()),
            "last": str(candles["open_time"].max()),
            "sha256_of_content": digest(candles),
        }
    (place / MANIFEST).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return place


def check_sample(folder: Path | str | None = None) -> list[str]:
    """What differs between the files, their manifest and a fresh simulation; empty when all agree."""
    place = Path(folder) if folder is not None else sample_dir()
    manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    market = simulate_sample()
    problems = []
    for interval, fresh in {"1h": market.candles, "15m": market.finer}.items():
        assert fresh is not None
        name = FILES[interval]
        stored, promised = _read(place / name), manifest["files"][name]["sha256_of_content"]
        if digest(stored) != promised:
            problems.append(f"{name}: content is not the one in {MANIFEST}")
        if digest(fresh) != digest(stored):
            problems.append(f"{name}: differs from a fresh simulation; {REMEDY}")
    return problems


def _read(path: Path) -> pd.DataFrame:
    return _read_once(str(path), path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read_once(path: str, _changed: int) -> pd.DataFrame:
    return as_candles(pq.read_table(path).to_pandas(), sort=False)


def _write(candles: pd.DataFrame, path: Path) -> None:
    plain = candles.rename(columns={"open_time": "ts"})
    plain.attrs = {}
    table = pa.Table.from_pandas(plain, preserve_index=False)
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        row_group_size=len(plain) // plain["symbol"].nunique(),  # a symbol each: smaller dictionaries
        use_dictionary=["symbol", *PRICE_COLUMNS],
        column_encoding={"ts": "DELTA_BINARY_PACKED", "volume": "BYTE_STREAM_SPLIT", "turnover": "BYTE_STREAM_SPLIT"},
    )


def _checkout() -> Path:
    root = Path(__file__).resolve().parents[3]
    return (root if (root / "pyproject.toml").is_file() else Path.cwd()) / "data" / "sample"


def main(arguments: list[str] | None = None) -> int:
    """Command line: ``--write [--folder DIR]`` or ``--check``."""
    parser = argparse.ArgumentParser(
        prog="python -m alphabook.simulated.sample", description="The bundled sample market."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="simulate the market and write its files")
    what.add_argument("--check", action="store_true", help="compare the files with a fresh simulation")
    parser.add_argument("--folder", type=Path, default=None, help="instead of data/sample")
    options = parser.parse_args(arguments)
    if options.write:
        place = write_sample(options.folder)
        size = sum(f.stat().st_size for f in place.glob("*.parquet"))
        print(f"wrote {', '.join(FILES.values())} to {place} ({size / 1e6:.2f} MB)")
        return 0
    problems = check_sample(options.folder)
    print("\n".join(problems) or "the sample market equals a fresh simulation")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
