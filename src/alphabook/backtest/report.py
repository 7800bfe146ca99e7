"""The tear sheet: what one looks at before believing a backtest.

Six pictures of one result, in Plotly to zoom into or in Matplotlib to print: equity with its baseline, the drawdown
under water, trades on the candles, the rolling Sharpe ratio, months, and how trades ended.
Taught in :doc:`/notebooks/backtests/engine`.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ..errors import BacktestError
from .metrics import drawdown

if TYPE_CHECKING:
    from .result import BacktestResult

BLUE, ORANGE, GREEN, PLUM, SLATE = "#2f74e6", "#e2590f", "#149c66", "#a835a3", "#687180"  # the book's palette
MOST_POINTS = 4_000  # of a curve in a picture; more are thinned out, extremes kept
TITLES = (
    "Equity, net of costs",
    "Loss from the running peak",
    "Trades on the closing price",
    "Sharpe ratio of the last stretch, net",
    "Net return by month (%)",
    "How trades ended",
)


def tear_sheet(
    result: BacktestResult,
    *,
    baseline: BacktestResult | None = None,
    engine: Literal["plotly", "matplotlib"] = "plotly",
    window: int | None = None,
) -> Any:
    """Six pictures of a backtest.

    Args:
        baseline: another backtest over the same bars, drawn beside the first.
        window: bars of the rolling Sharpe ratio; ``None`` takes a twelfth of a year, at most half of the bars.

    Returns:
        A Plotly figure, or a Matplotlib one.

    Raises:
        BacktestError: an unknown engine, a window that does not fit, or a baseline over other bars.
    """
    if engine not in ("plotly", "matplotlib"):
        raise BacktestError(f"engine is 'plotly' or 'matplotlib', got {engine!r}")
    bars = len(result.equity)
    window = min(max(20, round(result.periods_per_year / 12)), bars // 2) if window is None else window
    if not 2 <= window <= bars:
        raise BacktestError(f"window is between 2 and the {bars} bars, got {window}")
    if baseline is not None and len(baseline.equity) != bars:
        raise BacktestError(f"the baseline has {len(baseline.equity)} bars, the result {bars}")
    return (_plotly if engine == "plotly" else _matplotlib)(result, baseline, window)


def rolling_sharpe(result: BacktestResult, window: int) -> pd.Series:
    """Annual Sharpe ratio of the last ``window`` bars, net of costs; NaN before so many, and without variance."""
    r = result.returns.reset_index(drop=True)
    mean, spread = r.rolling(window).mean(), r.rolling(window).std()
    return mean / spread.where(spread > 1e-12) * math.sqrt(result.periods_per_year)


def monthly_returns(result: BacktestResult) -> pd.DataFrame:
    """Net return of each month in per cent, a row per year and a column per month; empty without time stamps."""
    times = times_of(result)
    if not isinstance(times, pd.DatetimeIndex):
        return pd.DataFrame()
    months = (1 + pd.Series(result.returns.to_numpy(), index=times)).resample("MS").prod() - 1
    stamps = pd.DatetimeIndex(months.index)
    table = pd.DataFrame({"year": stamps.year, "month": stamps.month, "return": 100 * months.to_numpy()})
    return table.pivot(index="year", columns="month", values="return")


def times_of(result: BacktestResult) -> pd.Index:
    """Open times of the bars, or whatever index they have."""
    candles = result.candles
    return pd.DatetimeIndex(candles["open_time"]) if "open_time" in candles.columns else candles.index


def _thin(values: np.ndarray) -> np.ndarray:
    """Rows to draw: all of them, or the smallest and largest of each stretch."""
    if len(values) <= MOST_POINTS:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), MOST_POINTS // 2 + 1).astype(int)
    keep = {0, len(values) - 1}
    for a, b in itertools.pairwise(edges):
        part = values[a:b]
        if np.isfinite(part).any():
            keep.update((a + int(np.nanargmin(part)), a + int(np.nanargmax(part))))
    return np.array(sorted(keep))


def _curves(
    result: BacktestResult, baseline: BacktestResult | None, window: int
) -> dict[str, list[tuple[str, Any, str]]]:
    """Lines of each picture: name, values, colour."""
    capital = result.config.initial_capital
    equity = [("strategy", result.equity.to_numpy(), BLUE)]
    under = [("strategy", -100 * drawdown(result.equity.to_numpy(), capital), BLUE)]
    ratio = [("strategy", rolling_sharpe(result, window).to_numpy(), BLUE)]
    if baseline is not None:
        own = baseline.config.initial_capital
        equity.append(("baseline", baseline.equity.to_numpy() * capital / own, SLATE))
        under.append(("baseline", -100 * drawdown(baseline.equity.to_numpy(), own), SLATE))
        ratio.append(("baseline", rolling_sharpe(baseline, window).to_numpy(), SLATE))
    return {"equity": equity, "under": under, "ratio": ratio}


def _ends(result: BacktestResult) -> pd.Series:
    """Trades by exit reason; a portfolio has orders, and no reasons."""
    if "exit_reason" not in result.trades:
        return pd.Series({"orders": len(result.trades)})
    return result.trades["exit_reason"].value_counts().sort_index()


def _marks(result: BacktestResult) -> list[tuple[str, str, str, pd.DataFrame]]:
    """Fills to mark on the prices: name, colour, symbol, times and prices; none for a portfolio."""
    trades = result.trades
    if "entry_time" not in trades:
        return []
    marks = []
    for name, side, colour, symbol in (
        ("long entry", 1, BLUE, "triangle-up"),
        ("short entry", -1, ORANGE, "triangle-down"),
    ):
        some = trades[trades["direction"] == side].head(MOST_POINTS)
        marks.append((name, colour, symbol, some[["entry_time", "entry_price"]].set_axis(["time", "price"], axis=1)))
    exits = trades.head(MOST_POINTS)[["exit_time", "exit_price"]].set_axis(["time", "price"], axis=1)
    marks.append(("exit", PLUM, "x", exits))
    return [mark for mark in marks if len(mark[3])]


def _price(result: BacktestResult) -> np.ndarray:
    candles = result.candles
    return (candles["close"] if "close" in candles.columns else candles.mean(axis=1)).to_numpy(dtype=float)


def _plotly(result: BacktestResult, baseline: BacktestResult | None, window: int) -> Any:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    times = times_of(result)
    figure = make_subplots(rows=3, cols=2, subplot_titles=TITLES, vertical_spacing=0.12, horizontal_spacing=0.11)
    places = {"equity": (1, 1), "under": (1, 2), "ratio": (2, 2)}
    for part, lines in _curves(result, baseline, window).items():
        row, column = places[part]
        for name, values, colour in lines:
            rows = _thin(values)
            figure.add_scatter(
                x=times[rows], y=values[rows], name=name, legendgroup=name, showlegend=part == "equity",
                line={"color": colour, "width": 1.3}, fill="tozeroy" if part == "under" and colour == BLUE else None,
                row=row, col=column,
            )  # fmt: skip
    price = _price(result)
    rows = _thin(price)
    figure.add_scatter(x=times[rows], y=price[rows], name="close", line={"color": SLATE, "width": 1}, row=2, col=1)
    for name, colour, symbol, table in _marks(result):
        figure.add_scatter(
            x=table["time"], y=table["price"], name=name, mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 7}, row=2, col=1,
        )  # fmt: skip
    months = monthly_returns(result)
    if len(months):
        size = float(np.nanmax(np.abs(months.to_numpy()), initial=1e-9))
        figure.add_trace(
            go.Heatmap(
                z=months.to_numpy(), x=list(months.columns), y=[str(year) for year in months.index],
                zmin=-size, zmax=size, colorscale=[[0, ORANGE], [0.5, "#f4f4f4"], [1, BLUE]], showscale=False,
                texttemplate="%{z:.1f}", textfont={"color": "#1c2430"},
                hovertemplate="%{y}, month %{x}: %{z:.2f} %<extra></extra>",
            ), row=3, col=1,
        )  # fmt: skip
    ends = _ends(result)
    figure.add_bar(x=[str(x).replace("_", " ") for x in ends.index], y=ends.to_numpy(), marker={"color": BLUE},
                   showlegend=False, row=3, col=2)  # fmt: skip
    for row, column, label in (
        (1, 1, "quote currency"),
        (1, 2, "%"),
        (2, 1, "price"),
        (2, 2, "a year"),
        (3, 2, "trades"),
    ):
        figure.update_yaxes(title_text=label, row=row, col=column)
    figure.update_xaxes(title_text="month", row=3, col=1)
    figure.update_layout(
        height=900, legend={"orientation": "h", "y": 1.07}, margin={"t": 90, "l": 60, "r": 20, "b": 50}
    )
    return figure


def _matplotlib(result: BacktestResult, baseline: BacktestResult | None, window: int) -> Any:
    import matplotlib.pyplot as plt

    times = times_of(result)
    figure, axes = plt.subplots(3, 2, figsize=(11, 9.5), layout="constrained")
    for axis, title in zip(axes.flat, TITLES, strict=True):
        axis.set_title(title, fontsize=10, loc="left")
    places = {"equity": axes[0, 0], "under": axes[0, 1], "ratio": axes[1, 1]}
    for part, lines in _curves(result, baseline, window).items():
        for name, values, colour in lines:
            rows = _thin(values)
            places[part].plot(times[rows], values[rows], color=colour, linewidth=1.1, label=name)
    axes[0, 0].legend(frameon=False)
    axes[0, 0].set_ylabel("quote currency")
    axes[0, 1].set_ylabel("%")
    axes[1, 1].axhline(0, color=SLATE, linewidth=0.8)
    price = _price(result)
    rows = _thin(price)
    axes[1, 0].plot(times[rows], price[rows], color=SLATE, linewidth=0.9)
    markers = {"triangle-up": "^", "triangle-down": "v", "x": "x"}
    for name, colour, symbol, table in _marks(result):
        axes[1, 0].plot(table["time"], table["price"], markers[symbol], color=colour, markersize=4, label=name)
        axes[1, 0].legend(frameon=False, fontsize=8)
    months = monthly_returns(result)
    if len(months):
        from matplotlib.colors import LinearSegmentedColormap

        size = float(np.nanmax(np.abs(months.to_numpy()), initial=1e-9))
        shades = LinearSegmentedColormap.from_list("months", [ORANGE, "#f4f4f4", BLUE])
        axes[2, 0].imshow(months.to_numpy(), cmap=shades, vmin=-size, vmax=size, aspect="auto")
        axes[2, 0].set_xticks(range(months.shape[1]), months.columns)
        axes[2, 0].set_yticks(range(len(months)), months.index)
        axes[2, 0].grid(False)
        for (i, j), value in np.ndenumerate(months.to_numpy()):
            if np.isfinite(value):
                axes[2, 0].text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=8, color="#1c2430")
    axes[2, 0].set_xlabel("month")
    ends = _ends(result)
    axes[2, 1].bar([str(x).replace("_", " ") for x in ends.index], ends.to_numpy(), color=BLUE)
    axes[2, 1].set_ylabel("trades")
    for axis in (axes[0, 0], axes[0, 1], axes[1, 0], axes[1, 1]):
        axis.tick_params(axis="x", labelrotation=30)
    return figure
