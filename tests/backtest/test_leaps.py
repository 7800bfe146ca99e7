"""In leaps from event to event, or bar by bar: the same trades, the same equity, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from backtest.market import random_signals, wild_candles

from alphabook.backtest import BacktestConfig
from alphabook.backtest._leaps import BLOCK, block_extremes, compiled_leaps, next_signals, run_leaps
from alphabook.backtest._loop import run_loop
from alphabook.backtest._pass import STRETCH, compiled_stretches, compiled_sums
from alphabook.backtest.engine import loop_settings


def both(seed: int, leaps) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What the two loops write, on one random market under random rules."""
    rng = np.random.default_rng(seed)
    pick = lambda *items: items[rng.integers(len(items))]  # noqa: E731
    bars = int(rng.integers(2, 40 * BLOCK)) if seed % 3 else int(rng.integers(2, 2 * BLOCK))
    candles = wild_candles(bars, seed, volatility=pick(0.001, 0.005, 0.02, 0.2))
    prices = [candles[name].to_numpy() for name in ("open", "high", "low", "close")]
    signals = random_signals(candles.index, seed, pick(0.002, 0.02, 0.2, 0.9)).to_numpy()
    config = BacktestConfig(
        stop_loss=pick(None, 0.002, 0.02, 0.1), take_profit=pick(None, 0.004, 0.04), allow_short=pick(True, False),
        fill=pick("next_open", "close"), stop_from=pick("entry_bar", "next_bar"), position_size=pick(0.02, 1.0),
        intrabar=pick("pessimistic", "optimistic"), commission=pick(0.0, 0.001), slippage=pick(0.0, 0.0005),
    )  # fmt: skip
    fractions = pick(
        np.array([config.position_size]), rng.uniform(0, 1, bars), np.where(rng.random(bars) < 0.2, 0.0, 0.5)
    )
    funding = pick(np.empty(0), rng.normal(0, 1e-4, bars))
    written = []
    for run, more in ((run_loop, ()), (leaps, (next_signals(signals), block_extremes(prices[2], prices[1])))):
        equity, whole, real = np.zeros(bars), np.zeros((4, bars), dtype=np.int64), np.zeros((10, bars))
        counts = run(
            *prices, signals, fractions, funding, *loop_settings(config), *more, equity,
            whole[0], whole[1], whole[2], *real, whole[3],
        )  # fmt: skip
        written.append([equity, whole, real, np.array(counts)])
    return written[0], written[1]


@pytest.mark.parametrize("seeds", [range(0, 150), range(150, 300)], ids=lambda seeds: f"from {seeds[0]}")
def test_leaps_give_what_the_loop_gives(seeds: range) -> None:
    trades = 0
    for seed in seeds:
        slow, fast = both(seed, run_leaps)
        trades += int(slow[3][0])
        for one, other in zip(slow, fast, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=f"seed {seed}")
    assert trades > 1_000


def test_compiled_leaps_give_it_too() -> None:
    for seed in range(0, 1_000, 10):
        slow, fast = both(seed, compiled_leaps())
        for one, other in zip(slow, fast, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=f"seed {seed}")


def test_next_signals_and_blocks_on_paper() -> None:
    assert next_signals(np.array([0, 1, 0, -1, 1, 0])).tolist() == [[1, 1, 4, 4, 4, 6], [3, 3, 3, 3, 6, 6]]
    lows, highs = np.arange(2.0 * BLOCK + 1), np.arange(2.0 * BLOCK + 1) + 5
    assert block_extremes(lows, highs).tolist() == [[0, BLOCK, 2 * BLOCK], [BLOCK + 4, 2 * BLOCK + 4, 2 * BLOCK + 5]]


@pytest.mark.parametrize("bars", [1, 2, STRETCH - 1, STRETCH, STRETCH + 1, 1_000])
@pytest.mark.parametrize("kind", ["wild", "rising", "constant", "ruined", "below nothing"])
def test_sums_by_stretches_are_the_sums_bar_by_bar(bars: int, kind: str) -> None:
    rng = np.random.default_rng(bars)
    moves = {"rising": 0.001, "constant": 0.0}.get(kind, rng.normal(0, 0.01, bars))
    equity = 1_000 * np.cumprod(1 + moves * np.ones(bars))
    if kind == "ruined":
        equity[bars // 2 :] = 0.0
    if kind == "below nothing":
        equity[bars // 2 :] -= 1_200
    space = np.empty(bars)
    slow = compiled_sums()(equity, 990.0, -np.inf, space)[:6]
    fast = compiled_stretches()(equity, 990.0, space)
    np.testing.assert_allclose(fast, slow, rtol=1e-9, atol=1e-13)
