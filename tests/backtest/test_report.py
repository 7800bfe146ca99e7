"""The tear sheet draws what the result says, in both engines, for one asset and for many."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from backtest.market import random_signals, wild_candles

from alphabook.backtest import BacktestConfig, PortfolioConfig, backtest_portfolio, backtest_signals, equal_weight
from alphabook.backtest.report import TITLES, monthly_returns, rolling_sharpe
from alphabook.errors import BacktestError

matplotlib.use("agg")
CANDLES = wild_candles(2_000, 1, volatility=0.005)
RESULT = backtest_signals(CANDLES, random_signals(CANDLES.index, 1, share=0.05), BacktestConfig(allow_short=True))
BASELINE = backtest_signals(
    CANDLES, pd.Series(1, index=CANDLES.index), BacktestConfig(stop_loss=None, take_profit=None)
)


def test_plotly_holds_every_part():
    figure = RESULT.tear_sheet(baseline=BASELINE)
    names = {trace.name for trace in figure.data if trace.name}
    assert {"strategy", "baseline", "close", "long entry", "short entry", "exit"} <= names
    assert {a.text for a in figure.layout.annotations} >= set(TITLES)
    marks = next(t for t in figure.data if t.name == "exit")
    assert len(marks.x) == len(RESULT.trades)
    equity = next(t for t in figure.data if t.name == "strategy")
    assert min(equity.y) == RESULT.equity.min()  # thinning keeps the extremes
    assert max(equity.y) == RESULT.equity.max()


def test_matplotlib_holds_every_part():
    figure = RESULT.tear_sheet(engine="matplotlib", baseline=BASELINE)
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(TITLES)
    matplotlib.pyplot.close(figure)


def test_long_curves_are_thinned_without_losing_their_extremes():
    candles = wild_candles(30_000, 2, volatility=0.003)
    result = backtest_signals(candles, random_signals(candles.index, 2, share=0.01))
    equity = next(t for t in result.tear_sheet().data if t.name == "strategy")
    assert len(equity.y) < 5_000
    assert (min(equity.y), max(equity.y)) == (result.equity.min(), result.equity.max())


def test_a_portfolio_has_one_too():
    prices = pd.DataFrame({"A": CANDLES["close"], "B": CANDLES["open"]})
    result = backtest_portfolio(prices, equal_weight(prices), PortfolioConfig(rebalance_every=100))
    for engine in ("plotly", "matplotlib"):
        figure = result.tear_sheet(engine=engine)
        if engine == "matplotlib":
            matplotlib.pyplot.close(figure)


def test_months_compound_to_the_whole():
    table = monthly_returns(RESULT)
    total = np.nanprod(1 + table.to_numpy() / 100) - 1
    assert total == pytest.approx(RESULT.metrics["total_return"])


def test_the_rolling_ratio_is_that_of_the_stretch():
    last = RESULT.returns.iloc[-300:]
    expected = last.mean() / last.std() * np.sqrt(8760)
    assert rolling_sharpe(RESULT, 300).iloc[-1] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "excel"}, "'plotly' or 'matplotlib', got 'excel'"),
        ({"window": 1}, "between 2 and the 2000 bars, got 1"),
        ({"baseline": backtest_signals(CANDLES[:50], pd.Series(0, index=CANDLES.index[:50]))}, "has 50 bars"),
    ],
)
def test_errors(settings, message):
    with pytest.raises(BacktestError, match=message):
        RESULT.tear_sheet(**settings)


def test_a_result_reads_well():
    text = repr(RESULT)
    for words in ("2,000 from 2024-01-01", "Sharpe, Sortino, Calmar", "costs", "break-even cost", "fills"):
        assert words in text
    assert RESULT._repr_html_().startswith("<table class='ab-result'><caption>Backtest, net of costs")
    assert RESULT.to_frame().columns.tolist() == ["equity", "return", "position"]
