"""One call that hands every chapter the same table, wherever the candles come from.

Taught in :doc:`/notebooks/data/when_is_a_bar_known`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from ..errors import NoDataError, TimeRangeError
from .interval import Interval
from .market_dir import MarketDir
from .markets import Market, describe_source
from .table import as_candles, parse_range, parse_time, split_symbols

if TYPE_CHECKING:
    from ..store import CandleStore

Source = Literal["sample", "store", "live"]
MARKET_DIR_VARIABLE = "ALPHABOOK_MARKET_DIR"
STORE_VARIABLE = "ALPHABOOK_STORE"


def load_candles(
    symbols: str | Iterable[str],
    interval: str | int | Interval = "1h",
    start: object | None = None,
    end: object | None = None,
    *,
    source: Source = "sample",
    venue: str | None = None,
    store: str | Path | CandleStore | None = None,
) -> pd.DataFrame:
    """Candles with ``start <= open_time < end``, from one of three places.

    - ``"sample"``: the simulated market that comes with the package; needs nothing.
    - ``"store"``: the folder named by ``ALPHABOOK_MARKET_DIR`` when that is set, else the SQLite
      store (``store=``, else ``ALPHABOOK_STORE``, else ``data/market.sqlite``).
    - ``"live"``: fetched now from the venue (Bybit by default); needs ``start`` and a network.

    ``attrs["source"]`` says in words where the candles come from, ``attrs["venue"]`` which venue.

    Raises:
        NoDataError: a symbol is not there; the message names the command that fetches it.
        TimeRangeError: ``start`` is not before ``end``, or absent for ``"live"``.
        IntervalError: the interval is unknown.
    """
    bar, names = Interval.parse(interval), split_symbols(symbols)
    if not names:
        raise NoDataError("no symbol was named; ask for one, for example load_candles('BTCUSDT', '1h')")
    first = None if start is None else parse_time(start, name="start")
    last = None if end is None else parse_time(end, name="end")
    if first is not None and last is not None:
        parse_range(first, last)
    if source == "sample":
        return _from_sample(names, bar, first, last)
    if source == "store":
        return _from_store(names, bar, first, last, venue, store)
    if source == "live":
        return _from_venue(names, bar, first, last, venue or "bybit")
    raise ValueError(f"source must be 'sample', 'store' or 'live', got {source!r}")


def real_market_available() -> bool:
    """Whether ``source="store"`` has recorded candles to give: a market folder, or a store with candles.

    Raises:
        MarketDirError: ``ALPHABOOK_MARKET_DIR`` is set to something that is no market.
        StoreError: the store is there and cannot be read.
    """
    folder = os.environ.get(MARKET_DIR_VARIABLE)
    if folder:
        return len(MarketDir(folder).catalogue()) > 0
    path = default_store_path()
    if not path.exists():
        return False
    from ..store import CandleStore

    with CandleStore(path, read_only=True) as store:
        return len(store.series()) > 0


def default_store_path() -> Path:
    """``ALPHABOOK_STORE``, else ``data/market.sqlite`` of the book's folder, else of the current one."""
    named = os.environ.get(STORE_VARIABLE)
    if named:
        return Path(named)
    here = Path.cwd()
    book = next((d for d in (here, *here.parents) if (d / "_toc.yml").exists() and (d / "data").is_dir()), here)
    return book / "data" / "market.sqlite"


def _from_sample(names: list[str], bar: Interval, start: pd.Timestamp | None, end: pd.Timestamp | None) -> pd.DataFrame:
    from ..simulated.sample import load_sample

    return load_sample(names, bar, start, end)


def _from_store(
    names: list[str],
    bar: Interval,
    start: pd.Timestamp | None,
    end: pd.Timestamp | None,
    venue: str | None,
    store: str | Path | CandleStore | None,
) -> pd.DataFrame:
    from ..store import CandleStore

    folder = os.environ.get(MARKET_DIR_VARIABLE)
    if store is None and folder:
        return MarketDir(folder).read(names, bar, start, end, venue=venue)
    if isinstance(store, CandleStore):
        return _read_store(store, names, bar, start, end, venue)
    path = Path(store) if store is not None else default_store_path()
    if path.is_dir():
        return MarketDir(path).read(names, bar, start, end, venue=venue)
    with CandleStore(path, read_only=True) as opened:
        return _read_store(opened, names, bar, start, end, venue)


def _read_store(
    store: CandleStore,
    names: list[str],
    bar: Interval,
    start: pd.Timestamp | None,
    end: pd.Timestamp | None,
    venue: str | None,
) -> pd.DataFrame:
    out = store.read(names, bar, start, end, venue=venue)
    missing = [name for name in names if name not in set(out["symbol"])]
    if missing:
        at = f" from {venue}" if venue else ""
        span = "" if start is None else f" --start {start:%Y-%m-%d}"
        span += "" if end is None else f" --end {end:%Y-%m-%d}"
        raise NoDataError(
            f"no candles for {', '.join(missing)} {bar}{at} in {store.path}; run "
            f"`alphabook fetch --symbols {','.join(missing)} --interval {bar}{span}`, "
            f"or point {MARKET_DIR_VARIABLE} at a folder of Parquet candles"
        )
    return out


def _from_venue(
    names: list[str], bar: Interval, start: pd.Timestamp | None, end: pd.Timestamp | None, venue: str
) -> pd.DataFrame:
    from .. import venues

    clients = {"bybit": "Bybit", "binance": "BinanceFutures", "coinbase": "Coinbase", "yahoo": "Yahoo"}
    if venue not in clients:
        raise NoDataError(f"no venue {venue!r} to fetch from; use one of {', '.join(clients)}")
    if start is None:
        raise TimeRangeError("source='live' needs start=, for example start='2024-01-01'")
    stop = pd.Timestamp.now(tz="UTC") if end is None else end
    client = getattr(venues, clients[venue])()
    parts = [client.fetch_candles(name, bar, start, stop) for name in names]
    out = as_candles(pd.concat(parts, ignore_index=True), interval=bar, venue=venue)
    missing = [name for name in names if name not in set(out["symbol"])]
    if missing:
        raise NoDataError(
            f"{venue} has no {bar} candles for {', '.join(missing)} from {start:%Y-%m-%d}; try an earlier end"
        )
    out.attrs["source"] = describe_source({Market.parse(venue): names}, out, bar)
    return out
