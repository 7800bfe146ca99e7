"""Shared by the stand-in's tests: a small market, requests without sockets, payloads to compare with."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pandas as pd
import pytest

from alphabook.simulated.standin.exchange import VENUES
from alphabook.simulated.standin.market import Market
from alphabook.simulated.standin.wire import Ask, Reply

START = pd.Timestamp("2024-01-01", tz="UTC")
HOUR = 3_600_000
T0 = 1_704_067_200_000  # START in milliseconds
BROWSER = {"User-Agent": "Mozilla/5.0"}


def make_candles(
    bars: int = 400, *, freq: str = "1h", symbols: dict[str, float] | None = None, seed: int = 3
) -> pd.DataFrame:
    """Random walks with prices of two and volumes of three decimals."""
    rng = np.random.default_rng(seed)
    times = pd.date_range(START, periods=bars, freq=freq, tz="UTC")
    parts = []
    for symbol, price in (symbols or {"BTCUSDT": 42_000.0, "ETHUSDT": 2_300.0}).items():
        close = np.round(price * np.exp(np.cumsum(rng.normal(0, 0.004, bars))), 2)
        opens = np.r_[price, close[:-1]]
        high = np.round(np.maximum(opens, close) * (1 + rng.uniform(0, 0.002, bars)), 2)
        low = np.round(np.minimum(opens, close) * (1 - rng.uniform(0, 0.002, bars)), 2)
        volume = np.round(rng.uniform(1, 100, bars), 3)
        columns = {"open": opens, "high": high, "low": low, "close": close, "volume": volume}
        parts.append(pd.DataFrame({"open_time": times, "symbol": symbol, **columns}))
    return pd.concat(parts, ignore_index=True)


class Counter:
    """One venue's counter: ``counter.get("/v5/market/time")`` answers as the server would, without a socket."""

    def __init__(self, venue: str, candles: Any = None, *, now: int | None = None, headers: Any = None) -> None:
        self.market = Market(make_candles() if candles is None else candles, venue=venue)
        self.venue = VENUES[venue](self.market)
        self.now = self.market.default_now() if now is None else now
        self.headers = BROWSER if headers is None else headers

    def ask(self, url: str) -> Ask:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return Ask(path=parts.path, query=query, headers=self.headers, now_ms=self.now)

    def reply(self, url: str) -> Reply:
        return self.venue.answer(self.ask(url))

    def get(self, url: str) -> Any:
        reply = self.reply(url)
        assert reply.text is None, reply.text
        return json.loads(reply.payload())


def payload(name: str) -> dict[str, Any]:
    """A recorded or official reply from the folder of payloads, or skip the test."""
    folder = os.environ.get("ALPHABOOK_PAYLOADS_DIR")
    root = Path(folder) if folder else Path(__file__).parents[2].parent / "shared" / "payloads"
    file = root / f"{name}.json"
    if not file.is_file():
        pytest.skip(f"{name}.json is not here; set ALPHABOOK_PAYLOADS_DIR to the folder of recorded replies")
    return json.loads(file.read_text(encoding="utf-8"))


def shape(value: Any) -> Any:
    """What a reply is made of: keys in order, types, and for lists the shapes that occur in them."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        if value and not any(isinstance(v, (dict, list)) for v in value):
            kinds = [shape(v) for v in value]
            return kinds if len(set(kinds)) > 1 else [kinds[0]]
        unique: list[Any] = []
        for v in value:
            if shape(v) not in unique:
                unique.append(shape(v))
        return unique
    if value is None or isinstance(value, bool):
        return "null" if value is None else "bool"
    return "text" if isinstance(value, str) else "number"


def same_shape(ours: Any, theirs: Any, *, key_order: bool = True) -> None:
    """Assert that two replies have the same keys (in the same order), types and nesting."""
    a, b = shape(ours), shape(theirs)
    assert a == b
    if key_order:
        assert json.dumps(a) == json.dumps(b), "same keys and types, but in another order"


def in_a_loop(main: Coroutine[Any, Any, Any]) -> Any:
    """``asyncio.run`` in a thread of its own: a browser test may have left an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, main).result()
