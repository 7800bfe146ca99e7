"""Where nothing can be known a strategy loses what it costs; one that looks ahead seems to win."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from alphabook.backtest import BacktestConfig, backtest_signals
from alphabook.simulated import Asset, simulate_market

MARKETS, BARS = 1_000, 240


@pytest.fixture(scope="module")
def markets():
    """A thousand null markets, independent of one another."""
    assets = [Asset(symbol=f"M{i:04d}", loading=0.0) for i in range(MARKETS)]
    candles = simulate_market("null", symbols=assets, bars=BARS, seed=20).candles
    return [part.reset_index(drop=True) for _, part in candles.groupby("symbol")]


@pytest.fixture(scope="module")
def continuous():
    """A thousand markets whose price is a continuous martingale, with the exact law of each bar's extremes.

    Only on a continuous path is a stop at its level a fair trade. The bars of the null market are taller than Brownian
    ones, as real bars are: there a level that was touched is more often left again, and stops lose a little more.
    """
    rng, sigma = np.random.default_rng(21), 0.006
    log = np.cumsum(rng.normal(-(sigma**2) / 2, sigma, (MARKETS, BARS)), axis=1)
    before = np.concatenate([np.zeros((MARKETS, 1)), log[:, :-1]], axis=1)
    reach = -2 * sigma**2 * np.log(rng.random((2, MARKETS, BARS)))
    middle, span = (log + before) / 2, (log - before) ** 2
    high, low = middle + np.sqrt(span + reach[0]) / 2, middle - np.sqrt(span + reach[1]) / 2
    times = pd.date_range("2024-01-01", periods=BARS, freq="h", tz="UTC")
    columns = {"open": before, "high": high, "low": low, "close": log}
    return [
        pd.DataFrame({"open_time": times, **{k: 100 * np.exp(v[i]) for k, v in columns.items()}})
        for i in range(MARKETS)
    ]


def momentum(c):
    return np.sign(c["close"].pct_change(12)).fillna(0)


def reversal(c):
    return -np.sign(c["close"].pct_change()).fillna(0)


def breakout(c):
    high, low = c["high"].rolling(24).max().shift(1), c["low"].rolling(24).min().shift(1)
    return (c["close"] > high).astype(int) - (c["close"] < low).astype(int)


def quiet(c):
    calm = c["close"].pct_change().rolling(24).std() < c["close"].pct_change().rolling(96).std()
    return np.sign(c["close"].diff(3)).where(calm, 0).fillna(0)


STRATEGIES = {"momentum": momentum, "reversal": reversal, "breakout": breakout, "quiet": quiet}
CONFIGS = {
    "no stops": BacktestConfig(position_size=1.0, allow_short=True, stop_loss=None, take_profit=None),
    "stops": BacktestConfig(position_size=1.0, allow_short=True, stop_loss=0.02, take_profit=0.04),
    "at the close": BacktestConfig(position_size=1.0, allow_short=True, stop_loss=None, take_profit=None, fill="close"),
}


def gross_returns(markets, strategy, config):
    """Net profit plus costs, as a share of the capital, market by market."""
    found = []
    for candles in markets:
        result = backtest_signals(candles, strategy(candles).astype(int), config, loop="compiled")
        found.append((result.equity.iloc[-1] + sum(result.costs.values())) / config.initial_capital - 1)
    return np.array(found)


def score(values):
    return values.mean() / (values.std(ddof=1) / np.sqrt(len(values)))


@pytest.mark.parametrize("settings", CONFIGS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_the_mean_net_return_is_minus_the_costs(markets, continuous, name, settings):
    where = continuous if settings == "stops" else markets
    assert abs(score(gross_returns(where, STRATEGIES[name], CONFIGS[settings]))) < 3


BUGS = {
    "signal of the next bar": lambda c: np.sign(c["close"].shift(-1) - c["close"]).fillna(0),
    "signal of the bar after the fill": lambda c: np.sign(c["close"].shift(-1) - c["open"].shift(-1)).fillna(0),
    "centred mean": lambda c: np.sign(c["close"].rolling(5, center=True).mean() - c["close"]).fillna(0),
    "z-score of the whole sample": lambda c: -np.sign(c["close"] - c["close"].mean()),
    "range of the whole sample": lambda c: (
        (c["close"] < c["low"].quantile(0.2)).astype(int) - (c["close"] > c["high"].quantile(0.8)).astype(int)
    ),
    "detrended by the last price": lambda c: np.sign(
        np.linspace(c["close"].iloc[0], c["close"].iloc[-1], len(c)) - c["close"]
    ),
    "pivots before they are known": lambda c: (
        (c["low"] == c["low"].rolling(7, center=True).min()).astype(int)
        - (c["high"] == c["high"].rolling(7, center=True).max()).astype(int)
    ),
    "filter in both directions": lambda c: np.sign(
        c["close"].ewm(span=5).mean()[::-1].ewm(span=5).mean()[::-1].diff().fillna(0)
    ),
    "day's close on every hour": lambda c: np.sign(
        c.groupby(c["open_time"].dt.floor("D"))["close"].transform("last") - c["close"]
    ),
    "direction of the whole history": lambda c: pd.Series(np.sign(c["close"].iloc[-1] - c["close"].iloc[0]), c.index),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_look_ahead_does_not_pass(markets, name):
    assert score(gross_returns(markets[:200], BUGS[name], CONFIGS["no stops"])) > 3
