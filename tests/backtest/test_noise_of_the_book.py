"""Every strategy that a chapter shows, taken from the chapter itself, earns nothing gross on a thousand null markets.

Net of costs the mean is then minus the costs. The functions are read out of the notebooks, so that a chapter that
changes its rule is tested with the new one, and a chapter that drops it fails here.
"""

from __future__ import annotations

import ast

import nbformat
import numpy as np
import pandas as pd
import pytest
from toc import ROOT

from alphabook.backtest import (
    BacktestConfig,
    PortfolioConfig,
    backtest_portfolio,
    backtest_signals,
    buy_and_hold,
    equal_weight,
    sweep,
)
from alphabook.signals import WeightSignals
from alphabook.simulated import Asset, simulate_market

MARKETS, BARS = 1_000, 400
ALL_IN = BacktestConfig(position_size=1.0, stop_loss=None, take_profit=None)
pytestmark = pytest.mark.slow


def of_chapter(slug: str, *names: str) -> dict:
    """Functions and constants that a chapter of this part defines, by name."""
    notebook = nbformat.read(ROOT / "notebooks" / "backtests" / f"{slug}.ipynb", 4)
    kept = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for node in ast.parse(cell.source).body:
                targets = [getattr(t, "id", "") for t in node.targets] if isinstance(node, ast.Assign) else []
                if getattr(node, "name", None) in names or set(targets) & set(names):
                    kept.append(node)
    space = {"np": np, "pd": pd, "WeightSignals": WeightSignals}
    exec(compile(ast.Module(body=kept, type_ignores=[]), slug, "exec"), space)
    missing = [name for name in names if name not in space]
    assert not missing, f"chapter {slug} defines no {missing} any more: change this test with it"
    return space


def null_candles(seed: int) -> pd.DataFrame:
    assets = [Asset(symbol=f"M{i:04d}", loading=0.0) for i in range(MARKETS)]
    return simulate_market("null", symbols=assets, bars=BARS, seed=seed).candles


@pytest.fixture(scope="module")
def markets() -> list[pd.DataFrame]:
    return [part.reset_index(drop=True) for _, part in null_candles(31).groupby("symbol")]


def score(values: np.ndarray) -> float:
    return float(values.mean() / (values.std(ddof=1) / np.sqrt(len(values))))


def gross(result, capital: float = ALL_IN.initial_capital) -> float:
    return (result.equity.iloc[-1] + sum(result.costs.values())) / capital - 1


engine = of_chapter("engine", "sign", "averages", "crossover")
costs = of_chapter("costs", "trend")
ONE_ASSET = {
    "engine: crossing averages": (engine["crossover"], False),
    "costs: trend of 2 hours": (lambda c: costs["trend"](c, 2), True),
    "costs: trend of 48 hours": (lambda c: costs["trend"](c, 48), True),
    "museum: sign of the last day": (lambda c: np.sign(c["close"].pct_change(24).fillna(0)).astype(int), True),
    "buy and hold": (lambda c: pd.Series(1, index=c.index), False),
}


@pytest.mark.parametrize("name", ONE_ASSET)
def test_a_rule_earns_nothing_before_costs(markets: list[pd.DataFrame], name: str) -> None:
    rule, shorts = ONE_ASSET[name]
    config = BacktestConfig(position_size=1.0, stop_loss=None, take_profit=None, allow_short=shorts)
    found = [gross(backtest_signals(c, pd.Series(rule(c), index=c.index), config, loop="compiled")) for c in markets]
    assert abs(score(np.array(found))) < 3


def test_the_sixty_eight_rules_of_the_trials_chapter_earn_nothing_before_costs(markets: list[pd.DataFrame]) -> None:
    wishes = of_chapter("trials", "PAIRS", "CHANNELS", "wishes")["wishes"]
    found = []
    for candles in markets:
        rules = wishes(candles["close"])
        signals = [pd.Series(np.where(rules[name], 1, -1)) for name in rules]
        table = sweep(candles, signals, [ALL_IN] * len(signals)).metrics
        paid = table[["commission", "slippage", "funding"]].sum(axis=1)
        found.append(((table["final_equity"] + paid) / ALL_IN.initial_capital - 1).to_numpy())
    table = np.array(found)
    assert table.shape == (MARKETS, 68)
    assert abs(score(table.mean(axis=1))) < 3
    each = [score(column) for column in table.T if column.std() > 0]
    assert np.max(np.abs(each)) < 4.5, "among 68 correlated rules one may lie beyond 3, none beyond 4.5"


@pytest.fixture(scope="module")
def baskets() -> list[pd.DataFrame]:
    """A thousand null markets of five coins each."""
    tables = []
    for seed in range(41, 46):
        wide = null_candles(seed).pivot(index="open_time", columns="symbol", values="close")
        tables += [wide.iloc[:, i : i + 5] for i in range(0, MARKETS, 5)]
    return tables


portfolio = of_chapter("portfolio", "momentum", "inverse_volatility")
MANY_ASSETS = {
    "momentum": portfolio["momentum"],
    "inverse volatility": portfolio["inverse_volatility"],
    "equal weight": equal_weight,
}


@pytest.mark.parametrize("name", MANY_ASSETS)
def test_a_portfolio_earns_nothing_more_than_holding_before_costs(baskets: list[pd.DataFrame], name: str) -> None:
    """Against holding the same coins, whose mean is zero too: the difference scatters less."""
    config = PortfolioConfig(rebalance_every=24, max_weight=0.4)
    found = [
        gross(backtest_portfolio(prices, MANY_ASSETS[name](prices), config), config.initial_capital)
        - float((prices.iloc[-1] / prices.iloc[0]).mean() - 1) * (name == "equal weight")
        for prices in baskets
    ]
    assert abs(score(np.array(found))) < 3
    assert len(found) == 1_000


def test_buying_and_holding_a_basket_earns_nothing_before_costs(baskets: list[pd.DataFrame]) -> None:
    found = [gross(backtest_portfolio(prices, buy_and_hold(prices))) for prices in baskets]
    assert abs(score(np.array(found))) < 3
