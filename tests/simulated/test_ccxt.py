"""A client we did not write: ccxt, pointed at the stand-in, sees the market's own candles.

ccxt knows nothing of this project. That it can load markets, page through candles, read tickers, books,
funding and streams here says that the stand-in's wire format is the venues' and not only our reading of it.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from standin_counter import HOUR, T0, in_a_loop, make_candles

from alphabook.simulated.standin import StandIn

ccxt = pytest.importorskip("ccxt", reason="ccxt is in the test extra")
pro = pytest.importorskip("ccxt.pro")

CANDLES = make_candles(400)
CLIENTS = {
    "bybit": ("bybit", "BTC/USDT:USDT", 100),
    "binance": ("binanceusdm", "BTC/USDT:USDT", 150),
    "coinbase": ("coinbaseexchange", "BTC/USD", 90),
}
FIELDS = ["open", "high", "low", "close", "volume"]


def redirect(client, exchange: StandIn):
    """Every address of a ccxt client, its path kept, now leads to the stand-in."""

    def moved(urls):
        if isinstance(urls, dict):
            return {k: moved(v) for k, v in urls.items()}
        base = exchange.ws_url if urls.startswith("wss") else exchange.url
        return base + urlsplit(urls.replace("{hostname}", "host")).path

    client.urls["api"] = moved(client.urls["api"])
    if client.id == "bybit":
        client.options["fetchMarkets"]["types"] = ["linear"]
    return client


def wanted(bars: int) -> np.ndarray:
    return CANDLES[CANDLES["symbol"] == "BTCUSDT"][FIELDS].to_numpy()[:bars]


@pytest.fixture(params=CLIENTS)
def venue(request):
    name, symbol, page = CLIENTS[request.param]
    with StandIn(request.param, market=CANDLES) as exchange:
        client = redirect(getattr(ccxt, name)({"enableRateLimit": request.param == "coinbase"}), exchange)
        yield exchange, client, symbol, page


def test_markets_and_time(venue):
    exchange, client, symbol, _ = venue
    markets = client.load_markets()
    assert {symbol, symbol.replace("BTC", "ETH")} == set(markets)
    assert markets[symbol]["precision"]["price"] == pytest.approx(0.01)
    assert client.fetch_time() == int(exchange.now.timestamp() * 1000)


def test_paged_candles_are_the_markets(venue):
    _, client, symbol, page = venue
    rows: list[list[float]] = []
    while len(rows) < 399:
        found = client.fetch_ohlcv(symbol, "1h", since=T0 + len(rows) * HOUR, limit=page)
        rows += [r for r in found if r[0] >= T0 + len(rows) * HOUR][:page]
    closed = rows[:399]  # the four hundredth bar is still open
    assert [r[0] for r in closed] == [T0 + k * HOUR for k in range(399)]
    assert np.array_equal(np.array([r[1:] for r in closed]), wanted(399))


def test_ticker_and_order_book(venue):
    _, client, symbol, _ = venue
    last = client.fetch_ohlcv(symbol, "1h", since=T0 + 395 * HOUR, limit=10)[-1][4]
    assert client.fetch_ticker(symbol)["last"] == last
    book = client.fetch_order_book(symbol, limit=20)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert book["bids"][0][0] == last


def test_errors_are_understood(venue):
    exchange, client, symbol, _ = venue
    client.load_markets()
    client.markets[symbol]["id"] = "NOSUCHUSDT"
    expected = {"bybit": ("BadRequest", 200), "binance": ("BadSymbol", 400), "coinbase": ("ExchangeError", 404)}
    error, status = expected[exchange.venue.name]
    with pytest.raises(getattr(ccxt, error)):
        client.fetch_ohlcv(symbol, "1h", since=T0, limit=5)
    assert exchange.calls[-1].status == status


async def limited(main, seconds=30):
    return await asyncio.wait_for(main, seconds)


@pytest.mark.parametrize(
    ("name", "kind", "error"),
    [
        ("bybit", "retcode", "RateLimitExceeded"),
        ("bybit", "forbidden", "RateLimitExceeded"),
        ("binance", "too_many", "DDoSProtection"),
        ("binance", "banned", "DDoSProtection"),
        ("binance", "region", "ExchangeNotAvailable"),
        ("binance", "server_error", "OperationFailed"),
        ("coinbase", "too_many", "RateLimitExceeded"),
    ],
)
def test_faults_are_understood(name, kind, error):
    client_name, symbol, _ = CLIENTS[name]
    script = [{"kind": kind, "path": "kline" if name != "coinbase" else "candles"}]
    with StandIn(name, market=CANDLES, faults=script) as exchange:
        client = redirect(getattr(ccxt, client_name)({"enableRateLimit": False}), exchange)
        with pytest.raises(ccxt.OperationFailed) as raised:
            client.fetch_ohlcv(symbol, "1h", since=T0, limit=5)
        assert error in {c.__name__ for c in type(raised.value).__mro__}
        assert len(client.fetch_ohlcv(symbol, "1h", since=T0, limit=5)) == 5


@pytest.mark.parametrize("name", ["bybit", "binance"])
def test_funding(name):
    client_name, symbol, _ = CLIENTS[name]
    with StandIn(name, market=CANDLES) as exchange:
        client = redirect(getattr(ccxt, client_name)({"enableRateLimit": False}), exchange)
        history = client.fetch_funding_rate_history(symbol)
        now = client.fetch_funding_rate(symbol)
    stamps = [round(row["timestamp"] / HOUR) - T0 // HOUR for row in history]
    assert stamps == list(range(8, 393, 8))
    assert now["fundingRate"] == history[-1]["fundingRate"]
    assert now["fundingTimestamp"] == T0 + 400 * HOUR


@pytest.mark.parametrize("name", ["bybit", "binance"])
def test_watched_candles_close_as_the_markets(name):
    client_name, symbol, _ = CLIENTS[name]

    async def main(exchange: StandIn) -> list[list[float]]:
        client = redirect(getattr(pro, client_name)({"enableRateLimit": False, "newUpdates": False}), exchange)
        try:
            await client.load_markets()
            rows = await client.watch_ohlcv(symbol, "1h")
            assert len(rows) == 1
            for _ in range(3):
                await asyncio.to_thread(exchange.advance)
                while rows[-1][0] < int(exchange.now.timestamp() * 1000) // HOUR * HOUR:
                    rows = await client.watch_ohlcv(symbol, "1h")
            return [list(r) for r in rows]
        finally:
            await client.close()

    now = pd.Timestamp("2024-01-05T10:45", tz="UTC")
    with StandIn(name, market=CANDLES, now=now) as exchange:
        rows = in_a_loop(limited(main(exchange)))
    first = 4 * 24 + 10
    closed = rows[:3]
    assert [(r[0] - T0) // HOUR for r in closed] == [first, first + 1, first + 2]
    assert np.array_equal(np.array([r[1:] for r in closed]), wanted(400)[first : first + 3])
