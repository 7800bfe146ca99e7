"""Ten thousand random backtests: every cent is accounted for.

Final equity = initial capital + sum of the net pnl; net = gross - commission - slippage - funding; the fee is paid on
the way in and on the way out; the last point of the equity curve is the final value. And the same for portfolios.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from backtest.market import wild_candles
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alphabook.backtest import BacktestConfig, PortfolioConfig, backtest_portfolio, backtest_signals

RUNS = 10_000
EACH = 4  # markets and signals for a configuration
PORTFOLIOS = 1_000
EXACT = 1e-9  # relative to the initial capital
LONGEST = 60  # bars

MARKETS = [
    wild_candles(LONGEST, seed, volatility=volatility) for seed in range(25) for volatility in (0.002, 0.01, 0.03, 0.1)
]
CONFIGS = st.builds(
    lambda sizing, **rest: BacktestConfig(**sizing, **rest),
    sizing=st.sampled_from([{}, {"sizing": "units", "units": 0.7}, {"sizing": "volatility", "volatility_window": 5}]),
    initial_capital=st.sampled_from([1.0, 997.0, 1e5, 1e9]),
    position_size=st.floats(0.01, 1.0),
    stop_loss=st.none() | st.floats(0.001, 0.2),
    take_profit=st.none() | st.floats(0.001, 0.4),
    commission=st.sampled_from([0.0, 0.0004, 0.001, 0.02]),
    slippage=st.sampled_from([0.0, 0.0005, 0.01]),
    allow_short=st.booleans(),
    fill=st.sampled_from(["next_open", "close"]),
    stop_from=st.sampled_from(["entry_bar", "next_bar"]),
    intrabar=st.sampled_from(["pessimistic", "optimistic"]),
    confirmation=st.integers(1, 3),
    max_leverage=st.sampled_from([0.5, 1.0, 3.0]),
    periods_per_year=st.just(8760.0),  # given, for deriving it takes longer than a backtest of so few bars
)


@pytest.mark.slow
def test_ten_thousand_random_runs():
    seen = {"runs": 0, "trades": 0, "shorts": 0, "funded": 0, "both fills": set(), "reasons": set(), "sizings": set()}

    @settings(max_examples=RUNS // EACH, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(config=CONFIGS, seed=st.integers(0, 2**31), fund=st.booleans())
    def runs(config, seed, fund):
        for number in range(EACH):
            check(config, np.random.default_rng([seed, number]), fund)

    def check(config, rng, fund):
        candles = MARKETS[rng.integers(len(MARKETS))].iloc[: rng.integers(2, LONGEST + 1)]
        bars = len(candles)
        signals = pd.Series(rng.integers(-1, 2, bars), index=candles.index)
        funding = pd.Series(rng.normal(0, 1e-3, bars), index=candles.index) if fund else None
        result = backtest_signals(candles, signals, config, funding=funding, loop="compiled")

        trades, initial = result.trades, config.initial_capital
        gross, net, fees, slipped, funded, units, entry, leave = (
            trades[c].to_numpy()
            for c in (
                "gross_pnl", "net_pnl", "commission", "slippage", "funding", "units", "entry_price", "exit_price",
            )
        )  # fmt: skip
        final = float(result.equity.iloc[-1])
        largest = max(initial, abs(final), float(np.abs(gross).max(initial=0.0)))
        assert abs(final - math.fsum((initial, *net))) <= EXACT * largest
        assert np.abs(gross - fees - slipped - funded - net).max(initial=0.0) <= EXACT * largest
        both_ways = config.commission * units * (entry + leave)
        assert np.abs(fees - both_ways).max(initial=0.0) <= EXACT * largest
        assert result.metrics["final_equity"] == final
        costs = sum(result.costs.values())
        assert abs(final - (initial + math.fsum(gross) - costs)) <= EXACT * largest
        assert len(result.equity) == bars
        assert np.isfinite(result.equity.to_numpy()).all()

        seen["runs"] += 1
        seen["trades"] += len(trades)
        seen["shorts"] += int((trades["direction"] < 0).sum())
        seen["funded"] += int(np.count_nonzero(funded))
        seen["both fills"].add(config.fill)
        seen["sizings"].add(config.sizing)
        seen["reasons"].update(trades["exit_reason"])

    runs()
    assert seen["runs"] >= RUNS
    assert seen["trades"] > RUNS
    assert min(seen["shorts"], seen["funded"]) > RUNS / 10
    assert len(seen["both fills"]) == 2
    assert len(seen["sizings"]) == 3
    assert seen["reasons"] == {"signal", "stop_loss", "take_profit", "end_of_data"}


def test_a_gain_that_no_float_can_compound_is_infinite():
    """Two hourly bars that gain half the capital, 4,380 times over: found by the ten thousand runs."""
    candles = wild_candles(2, 1)
    candles.iloc[1] = [100.0, 200.0, 100.0, 200.0]
    signals = pd.Series([1, 0], index=candles.index)
    config = BacktestConfig(position_size=1.0, stop_loss=None, take_profit=None)
    metrics = backtest_signals(candles, signals, config).metrics
    assert metrics["annualized_return"] == math.inf
    assert metrics["calmar_ratio"] != metrics["calmar_ratio"]  # no drawdown to divide by


@pytest.mark.slow
def test_a_thousand_random_portfolios():
    """Final equity = capital + price moves of what was held - every cost, funding and borrowing included."""
    seen = {"runs": 0, "orders": 0, "shorts": 0}

    @settings(max_examples=PORTFOLIOS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        rows=st.integers(2, 40),
        assets=st.integers(1, 5),
        seed=st.integers(0, 2**31),
        every=st.integers(1, 9),
        fill=st.sampled_from(["next_bar", "close"]),
        short=st.booleans(),
        cap=st.sampled_from([0.3, 1.0]),
        commission=st.sampled_from([0.0, 0.001, 0.02]),
        borrow=st.sampled_from([0.0, 0.2]),
        with_opens=st.booleans(),
        fund=st.booleans(),
    )
    def runs(rows, assets, seed, every, fill, short, cap, commission, borrow, with_opens, fund):
        rng = np.random.default_rng(seed)
        index = pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC")
        names = list("ABCDE"[:assets])
        closes = pd.DataFrame(100 * np.exp(np.cumsum(rng.normal(0, 0.02, (rows, assets)), axis=0)), index, names)
        opens = closes * np.exp(rng.normal(0, 0.01, (rows, assets)))
        weights = pd.DataFrame(rng.dirichlet(np.ones(assets + 1), rows)[:, :assets], index, names)
        weights *= rng.choice([-1, 1], weights.shape) if short else 1
        weights[rng.random(rows) < 0.1] = np.nan
        funding = pd.DataFrame(rng.normal(0, 1e-4, (rows, assets)), index, names) if fund else None
        config = PortfolioConfig(
            rebalance_every=every, fill=fill, allow_short=short, max_weight=cap, commission=commission, borrow=borrow,
            periods_per_year=8760.0,
        )  # fmt: skip
        result = backtest_portfolio(
            closes, weights, config, opens=opens if with_opens else None, funding=funding, loop="compiled"
        )
        held, orders = result.position.to_numpy(), result.trades
        before = np.vstack((np.zeros(assets), held[:-1]))
        bought = held - before
        paid = opens if with_opens and fill == "next_bar" else closes
        moves = before[1:] * np.diff(closes.to_numpy(), axis=0)  # what was held through the bar
        moves = moves.sum() + (bought * (closes - paid).to_numpy()).sum()  # and what was bought in it
        final = float(result.equity.iloc[-1])
        assert final == pytest.approx(config.initial_capital + moves - sum(result.costs.values()), rel=EXACT)
        assert result.metrics["final_equity"] == final
        volume = (np.abs(bought) * paid.to_numpy()).sum()
        rate = config.commission + config.slippage
        assert orders["cost"].sum() == pytest.approx(rate * volume, rel=EXACT, abs=1e-9)
        assert result.costs["commission"] + result.costs["slippage"] == pytest.approx(orders["cost"].sum(), abs=1e-6)
        cash = result.equity.to_numpy() - (held * closes.to_numpy()).sum(axis=1)
        shares = result.weights.sum(axis=1).to_numpy() + cash / result.equity.to_numpy()
        np.testing.assert_allclose(shares, 1.0, rtol=EXACT)

        seen["runs"] += 1
        seen["orders"] += len(orders)
        seen["shorts"] += int((held < 0).sum())

    runs()
    assert seen["runs"] >= PORTFOLIOS
    assert seen["orders"] > PORTFOLIOS
    assert seen["shorts"] > 0
