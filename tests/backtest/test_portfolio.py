"""Portfolios: an obvious loop as oracle, caps met, cash that adds up, errors that name row and value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabook.backtest import (
    PortfolioConfig,
    backtest_portfolio,
    buy_and_hold,
    equal_weight,
    project_capped_simplex,
)
from alphabook.backtest.metrics import per_bar
from alphabook.errors import BacktestError


def market(rows: int, assets: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    index = pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC")
    columns = [f"A{i}" for i in range(assets)]
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (rows, assets)), axis=0))
    opens = closes * np.exp(rng.normal(0, 0.005, (rows, assets)))
    return pd.DataFrame(closes, index, columns), pd.DataFrame(opens, index, columns)


def obvious(prices, weights, config, opens=None, funding=None):
    """Dictionaries of holdings; a row at a time."""
    fills = prices if opens is None or config.fill == "close" else opens
    cash, held, curve = config.initial_capital, dict.fromkeys(prices.columns, 0.0), []
    rate = per_bar(config.borrow, config.periods_per_year)

    def trade(row, decided):
        nonlocal cash
        price = fills.iloc[row]
        worth = cash + sum(held[a] * price[a] for a in held)
        for a in held:
            units = weights.iloc[decided][a] * worth / price[a]
            bought = (units - held[a]) * price[a]
            cash -= bought + abs(bought) * (config.commission + config.slippage)
            held[a] = units

    def due(row):
        return row >= 0 and row % config.rebalance_every == 0 and not weights.iloc[row].isna().any()

    for row in range(len(prices)):
        if config.fill == "next_bar" and due(row - 1):
            trade(row, row - 1)
        for a in held:
            value = held[a] * prices.iloc[row][a]
            cash -= max(-value, 0) * rate + (0 if funding is None else value * funding.iloc[row][a])
        if config.fill == "close" and due(row):
            trade(row, row)
        curve.append(cash + sum(held[a] * prices.iloc[row][a] for a in held))
    return curve


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(2, 30),
    assets=st.integers(1, 5),
    every=st.integers(1, 7),
    fill=st.sampled_from(["next_bar", "close"]),
    short=st.booleans(),
    holes=st.booleans(),
    with_opens=st.booleans(),
    compiled=st.booleans(),
)
def test_equals_an_obvious_loop(seed, rows, assets, every, fill, short, holes, with_opens, compiled):
    prices, opens = market(rows, assets, seed)
    rng = np.random.default_rng(seed)
    raw = rng.dirichlet(np.ones(assets + 1), rows)[:, :assets]
    if short:
        raw *= rng.choice([-1, 1], raw.shape)
    weights = pd.DataFrame(raw, prices.index, prices.columns)
    if holes:
        weights.iloc[::3] = np.nan
    funding = pd.DataFrame(rng.normal(0, 1e-4, prices.shape), prices.index, prices.columns)
    config = PortfolioConfig(
        rebalance_every=every, fill=fill, allow_short=short, max_weight=1.0, borrow=0.1, periods_per_year=8760.0
    )
    opens = opens if with_opens else None
    result = backtest_portfolio(
        prices, weights, config, opens=opens, funding=funding, loop="compiled" if compiled else "plain"
    )
    np.testing.assert_allclose(result.equity, obvious(prices, weights, config, opens, funding), rtol=1e-11)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(2, 60), every=st.integers(1, 9))
def test_the_cash_adds_up(seed, rows, every):
    """Equity = capital + price moves of what was held - every cost; the weights and the cash share make one."""
    prices, _ = market(rows, 4, seed)
    weights = pd.DataFrame(np.random.default_rng(seed).dirichlet(np.ones(4), rows), prices.index, prices.columns)
    result = backtest_portfolio(prices, weights, PortfolioConfig(rebalance_every=every))
    moves = (result.position.shift(1) * prices.diff()).sum().sum()
    final = 100_000 + moves - sum(result.costs.values())
    assert result.equity.iloc[-1] == pytest.approx(final, abs=1e-6)
    assert result.trades["cost"].sum() == pytest.approx(result.costs["commission"] + result.costs["slippage"])


def test_weights_are_traded_a_bar_after_they_are_known():
    prices, _ = market(6, 2, 1)
    weights = equal_weight(prices)
    later = backtest_portfolio(prices, weights, PortfolioConfig(rebalance_every=1, commission=0, slippage=0))
    assert later.equity.iloc[0] == 100_000
    assert (later.position.iloc[0] == 0).all()
    now = backtest_portfolio(
        prices, weights, PortfolioConfig(rebalance_every=1, commission=0, slippage=0, fill="close")
    )
    assert (now.position.iloc[0] > 0).all()


def test_a_cap_is_a_cap():
    prices, _ = market(10, 4, 3)
    weights = pd.DataFrame([[0.8, 0.1, 0.05, 0.05]] * 10, prices.index, prices.columns)
    result = backtest_portfolio(prices, weights, PortfolioConfig(max_weight=0.3, rebalance_every=1))
    first = result.targets.iloc[0]
    assert first.max() <= 0.3
    assert first.sum() == pytest.approx(1)
    np.testing.assert_allclose(first, [0.3, 0.8 / 3, 0.65 / 3, 0.65 / 3])
    tight = backtest_portfolio(prices, weights, PortfolioConfig(max_weight=0.2, rebalance_every=1))
    np.testing.assert_allclose(tight.targets.iloc[0], 0.2)  # what the caps leave over stays cash


@settings(max_examples=200, deadline=None)
@given(
    row=st.lists(st.floats(0, 1), min_size=1, max_size=8),
    cap=st.floats(0.01, 1),
)
def test_the_projection_is_the_nearest_point(row, cap):
    row = np.array(row)
    got = project_capped_simplex(row, cap)
    budget = min(row.sum(), cap * len(row))
    assert got.min() >= 0
    assert got.max() <= cap
    assert got.sum() == pytest.approx(budget, abs=1e-9)
    # optimality: along every feasible exchange of weight between two assets the distance cannot fall
    slope = got - row
    for i in range(len(row)):
        for j in range(len(row)):
            if got[i] < cap - 1e-9 and got[j] > 1e-9:
                assert slope[i] >= slope[j] - 1e-7


def test_baselines():
    prices, _ = market(50, 3, 5)
    free = PortfolioConfig(commission=0, slippage=0, max_weight=1.0, fill="close")
    held = backtest_portfolio(prices, buy_and_hold(prices, "A1"), free)
    assert held.metrics["total_return"] == pytest.approx(prices["A1"].iloc[-1] / prices["A1"].iloc[0] - 1)
    shares = backtest_portfolio(prices, buy_and_hold(prices), free)
    assert shares.metrics["total_return"] == pytest.approx((prices.iloc[-1] / prices.iloc[0]).mean() - 1)
    assert len(shares.trades) == 3


GOOD, _ = market(8, 3, 7)
FLAT = pd.DataFrame(0.2, GOOD.index, GOOD.columns)


def changed(table, row, column, value):
    out = table.copy()
    out.iloc[row, column] = value
    return out


@pytest.mark.parametrize(
    ("prices", "weights", "message"),
    [
        (changed(GOOD, 3, 1, np.nan), FLAT, r"A1 is nan in row 3"),
        (changed(GOOD, 3, 1, 0.0), FLAT, r"A1 is 0.0 in row 3"),
        (GOOD.iloc[::-1], FLAT.iloc[::-1], r"row 1 .* does not come after row 0: sort by time"),
        (GOOD, FLAT.iloc[:5], r"target_weights have 5 rows on another index than the 8 rows of prices"),
        (GOOD, FLAT.rename(columns={"A0": "B"}), r"different columns.*'A0', 'B'"),
        (GOOD, changed(FLAT, 2, 2, -0.1), r"weight of A2 in row 2 is -0.1: negative .* allow_short=True"),
        (GOOD, changed(FLAT, 2, 2, 1.7), r"row 2 .* add up to 2.1, beyond max_gross=1"),
        (GOOD, changed(FLAT, 2, 2, np.nan), r"weight of A2 in row 2 is nan"),
        (GOOD, changed(FLAT, 2, 2, np.inf), r"weight of A2 in row 2 is inf"),
        (GOOD.iloc[:0], FLAT.iloc[:0], r"a row per bar and a column per asset"),
        (GOOD.iloc[:1], FLAT.iloc[:1], r"1 row: a backtest needs at least 2"),
        (GOOD["A0"], FLAT, r"a row per bar and a column per asset, got Series"),
    ],
)
def test_bad_input_names_row_and_value(prices, weights, message):
    with pytest.raises(BacktestError, match=message):
        backtest_portfolio(prices, weights)
