"""Many assets by target weights: rebalancing, drift, costs on what is really traded.

Taught in :doc:`/notebooks/backtests/portfolio`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..candles import Interval
from ..errors import BacktestError, IntervalError
from .config import PortfolioConfig
from .metrics import per_bar, summary
from .projection import project_capped_simplex
from .result import BacktestResult
from .watch import tell

PATIENCE = 200_000  # prices the plain loop reads in one process before numba's start-up pays
_walked = 0
_SLACK = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PortfolioResult(BacktestResult):
    """What a backtest of many assets produced.

    Attributes:
        position: units held at each close, a column per asset.
        trades: a row per order: ``time, asset, units, price, value, cost``.
        weights: share of equity in each asset at each close; what is left over is cash.
        targets: the weights that were traded to, caps applied, at the bars of the decisions.
    """

    weights: pd.DataFrame
    targets: pd.DataFrame


def backtest_portfolio(
    prices: pd.DataFrame,
    target_weights: pd.DataFrame,
    config: PortfolioConfig | None = None,
    *,
    opens: pd.DataFrame | None = None,
    funding: pd.DataFrame | None = None,
    loop: Literal["auto", "plain", "compiled"] = "auto",
) -> PortfolioResult:
    """Trade many assets to target weights every ``rebalance_every`` bars; in between, weights drift.

    The weights of row ``t`` are known at its close. They trade in row ``t + 1`` (``fill="next_bar"``), or at the price
    of row ``t`` (``fill="close"``): each asset to its weight times the equity at the fill prices. The cost is
    ``(commission + slippage)`` times the sum of the absolute traded values and is paid from cash. The first rebalance
    is decided at row 0. Weights need not sum to one; the rest is cash.

    Args:
        prices: closing prices, a row per bar, a column per asset.
        target_weights: on the same rows and columns; a row of NaN keeps what is held.
        config: rules and costs; the defaults are those of :class:`PortfolioConfig`.
        opens: opening prices to fill at, on the same rows and columns.
        funding: rate paid on the value held long through each bar (received by shorts), on the same rows and columns.

    Raises:
        BacktestError: prices that are missing or not positive, rows out of order, other rows or columns, weights that
            are negative without ``allow_short`` or beyond the gross and net limits. The message names row and value.
    """
    config = config or PortfolioConfig()
    closes = _checked_prices(prices, "prices")
    fills = closes if opens is None else _same_shape(opens, prices, "opens", _checked_prices(opens, "opens"))
    targets = _checked_weights(_same_shape(target_weights, prices, "target_weights"), prices, config)
    rates = np.zeros_like(closes)
    if funding is not None:
        rates = _same_shape(funding, prices, "funding")
        if not np.isfinite(rates).all():
            row, column = np.argwhere(~np.isfinite(rates))[0]
            raise BacktestError(f"funding of {prices.columns[column]} in row {row} is {rates[row, column]}; none is 0")
    per_year = config.periods_per_year or _bars_per_year(prices.index)
    decided = np.zeros(len(closes), dtype=np.bool_)
    decided[:: config.rebalance_every] = True
    decided &= ~np.isnan(targets).any(axis=1)
    at_close = config.fill == "close"
    fills = closes if at_close else fills
    equity, units, traded = np.empty(len(closes)), np.zeros_like(closes), np.zeros_like(closes)
    funded, lent = _loop(loop, closes.size)(
        closes, fills, np.nan_to_num(targets), decided, rates, float(config.initial_capital),
        config.commission + config.slippage, per_bar(config.borrow, per_year), at_close, equity, units, traded,
    )  # fmt: skip
    arrays = {"equity": equity, "units": units, "traded": traded, "closes": closes, "fills": fills}
    result = _dress(prices, targets, decided, config, per_year, arrays, {"funding": funded, "borrow": lent})
    tell(prices, (config,), (targets,), (result.metrics["sharpe_ratio"],), (per_year,))
    return result


def equal_weight(prices: pd.DataFrame) -> pd.DataFrame:
    """Target weights of the first baseline: the same share in every asset, at every row."""
    return pd.DataFrame(1.0 / prices.shape[1], index=prices.index, columns=prices.columns)


def buy_and_hold(prices: pd.DataFrame, asset: object | None = None) -> pd.DataFrame:
    """Target weights of the second baseline: one asset or equal shares, bought in the first row, never touched."""
    weights = pd.DataFrame(np.nan, index=prices.index, columns=prices.columns)
    weights.iloc[0] = 1.0 / prices.shape[1] if asset is None else 0.0
    if asset is not None:
        weights.loc[weights.index[0], asset] = 1.0
    return weights


def run_weights(
    closes, fills, targets, decided, rates, capital, cost, borrow, at_close, equity, units, traded
):  # fmt: skip
    """Walk through the rows; fill ``equity``, ``units``, ``traded`` (value bought); return (funding, borrow) paid."""
    n, assets = closes.shape
    cash = capital
    funded = lent = 0.0
    held = np.zeros(assets)
    for i in range(n):
        for step in range(2):  # orders of the row before trade first; then the row is held; then orders of its close
            if step == 1:
                for a in range(assets):
                    value = held[a] * closes[i, a]
                    funded += value * rates[i, a]
                    lent -= min(value, 0.0) * borrow
                    cash -= value * rates[i, a] - min(value, 0.0) * borrow
            source = i - 1 + step
            if (step == 1) != at_close or source < 0 or not decided[source]:
                continue
            worth = cash
            for a in range(assets):
                worth += held[a] * fills[i, a]
            for a in range(assets):
                wanted = targets[source, a] * max(worth, 0.0) / fills[i, a]  # a ruined account only closes
                value = (wanted - held[a]) * fills[i, a]
                cash -= value + cost * abs(value)
                held[a], traded[i, a] = wanted, value
        worth = cash
        for a in range(assets):
            worth += held[a] * closes[i, a]
            units[i, a] = held[a]
        equity[i] = worth
    return funded, lent


@cache
def compiled() -> Any:
    """:func:`run_weights` compiled by numba, from its disk cache when it has been compiled before."""
    import numba

    return numba.njit(cache=True, error_model="numpy")(run_weights)


def _loop(loop: str, size: int) -> Any:
    global _walked
    if loop not in ("auto", "plain", "compiled"):
        raise BacktestError(f"loop is 'auto', 'plain' or 'compiled', got {loop!r}")
    _walked += size
    return compiled() if loop == "compiled" or (loop == "auto" and _walked > PATIENCE) else run_weights


def _dress(
    prices: pd.DataFrame,
    targets: np.ndarray,
    decided: np.ndarray,
    config: PortfolioConfig,
    per_year: float,
    arrays: dict[str, np.ndarray],
    carried: dict[str, float],
) -> PortfolioResult:
    """Frames over what the loop wrote."""
    equity, units, traded, closes, fills = (arrays[k] for k in ("equity", "units", "traded", "closes", "fills"))
    rows, columns = np.nonzero(traded)
    value = traded[rows, columns]
    volume = float(np.abs(value).sum())
    price = fills[rows, columns]
    trades = pd.DataFrame(
        {
            "time": prices.index.take(rows),
            "asset": prices.columns.take(columns),
            "units": value / price,
            "price": price,
            "value": value,
            "cost": np.abs(value) * (config.commission + config.slippage),
        },
        copy=False,
    )
    held = units * closes
    costs = {"commission": volume * config.commission, "slippage": volume * config.slippage, **carried}
    net = float(equity[-1]) - config.initial_capital
    metrics = summary(
        equity,
        config.initial_capital,
        per_year,
        traded_value=volume,
        gross_pnl=net + volume * (config.commission + config.slippage),
        net_pnl=np.empty(0),
        exposed=float((np.abs(held).sum(axis=1) > 0).mean()),
    )
    metrics["num_trades"] = float(len(trades))
    chosen = np.where(decided[:, None], targets, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = held / equity[:, None]
    frame: dict[str, Any] = {"index": prices.index, "columns": prices.columns, "copy": False}
    return PortfolioResult(
        config=config,
        equity=pd.Series(equity, index=prices.index, name="equity", copy=False),
        position=pd.DataFrame(units, **frame),
        trades=trades,
        metrics=metrics,
        costs=costs,
        ambiguous=0,
        refused=0,
        periods_per_year=per_year,
        candles=prices,
        weights=pd.DataFrame(shares, **frame),
        targets=pd.DataFrame(chosen, **frame),
    )


def _checked_prices(prices: pd.DataFrame, name: str) -> np.ndarray:
    if not isinstance(prices, pd.DataFrame) or prices.shape[0] == 0 or prices.shape[1] == 0:
        raise BacktestError(
            f"{name} are a table with a row per bar and a column per asset, got {type(prices).__name__}"
        )
    if len(prices) < 2:
        raise BacktestError(f"{name} have {len(prices)} row: a backtest needs at least 2, to trade and to hold")
    if not prices.columns.is_unique:
        raise BacktestError(f"{name} name an asset twice: {', '.join(map(str, prices.columns))}")
    index = prices.index
    if not index.is_monotonic_increasing or index.has_duplicates:
        row = int(np.flatnonzero(index[1:] <= index[:-1])[0]) + 1
        raise BacktestError(f"{name}: row {row} ({index[row]}) does not come after row {row - 1}: sort by time first")
    values = np.ascontiguousarray(prices.to_numpy(dtype=float))
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise BacktestError(
            f"{name}: {prices.columns[column]} is {values[row, column]} in row {row} ({index[row]}); a price is finite "
            "and above 0. Cut the table where an asset is not listed yet, or leave the asset out"
        )
    return values


def _same_shape(table: pd.DataFrame, prices: pd.DataFrame, name: str, values: np.ndarray | None = None) -> np.ndarray:
    if len(table) != len(prices) or not table.index.equals(prices.index):
        raise BacktestError(f"{name} have {len(table)} rows on another index than the {len(prices)} rows of prices")
    if list(table.columns) != list(prices.columns):
        odd = sorted(set(map(str, table.columns)) ^ set(map(str, prices.columns)))
        raise BacktestError(f"{name} and prices have different columns, or another order of them: {odd or 'order'}")
    return np.ascontiguousarray(table.to_numpy(dtype=float)) if values is None else values


def _checked_weights(weights: np.ndarray, prices: pd.DataFrame, config: PortfolioConfig) -> np.ndarray:
    """Weights within the limits, capped by projection; rows with NaN stay NaN in every column."""
    out = weights.copy()
    holes = np.isnan(out)
    out[holes.any(axis=1)] = np.nan
    partly = holes.any(axis=1) & ~holes.all(axis=1)
    if partly.any() or np.isinf(out).any():
        row, column = np.argwhere((holes & partly[:, None]) | np.isinf(weights))[0]
        raise BacktestError(
            f"weight of {prices.columns[column]} in row {row} is {weights[row, column]}: 0 is no position, and a row "
            "of NaN in every column keeps what is held"
        )
    if not config.allow_short and (out < -_SLACK).any():
        row, column = np.argwhere(out < -_SLACK)[0]
        raise BacktestError(
            f"weight of {prices.columns[column]} in row {row} is {out[row, column]:.6g}: negative weights are short "
            "positions and need allow_short=True"
        )
    for total, limit, name in (
        (np.abs(out).sum(axis=1), config.max_gross, "max_gross"),
        (np.abs(out.sum(axis=1)), config.max_net, "max_net"),
    ):
        over = total > limit + 1e-9
        if over.any():
            row = int(np.flatnonzero(over)[0])
            what = "absolute weights" if name == "max_gross" else "weights"
            raise BacktestError(
                f"{what} of row {row} ({prices.index[row]}) add up to {total[row]:.6g}, beyond {name}={limit:g}: scale "
                "them down, or allow more"
            )
    for row in np.flatnonzero((np.abs(out) > config.max_weight).any(axis=1)):
        if (out[row] < 0).any():  # with shorts there is no budget to keep: the nearest point in the box
            out[row] = np.clip(out[row], -config.max_weight, config.max_weight)
        else:
            out[row] = project_capped_simplex(out[row], config.max_weight)
    return out


def _bars_per_year(index: pd.Index) -> float:
    if isinstance(index, pd.DatetimeIndex) and len(index) > 1:
        try:
            return Interval.infer(pd.Series(index)).bars_per_year
        except IntervalError:
            return float(pd.Timedelta(days=365) / (index[1:] - index[:-1]).min())
    return Interval.H1.bars_per_year
