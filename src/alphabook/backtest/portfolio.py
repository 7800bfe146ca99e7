"""Many assets by target weights: rebalancing, drift, costs on what is really traded.

Taught in :doc:`/notebooks/backtests/portfolio`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from ..errors import BacktestError
from .config import PortfolioConfig
from .engine import read_only, yearly_bars
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
        trades: a row per order: ``time, asset, units, price, value, cost``.
        decisions: the bars of the decisions, and the weights (decisions, assets) that were traded to, caps applied.
    """

    decisions: tuple[np.ndarray, np.ndarray]

    @cached_property
    def position(self) -> pd.DataFrame:
        """Units held at each close, a column per asset."""
        return pd.DataFrame(self._spread(), index=self.candles.index, columns=self.candles.columns, copy=False)

    @cached_property
    def weights(self) -> pd.DataFrame:
        """Share of equity in each asset at each close; what is left over is cash."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return (self.position * self.candles).div(self.equity, axis=0)

    @cached_property
    def targets(self) -> pd.DataFrame:
        """The weights that were traded to, caps applied, at the bars of the decisions; NaN elsewhere."""
        rows, chosen = self.decisions
        values = np.full(self.candles.shape, np.nan)
        values[rows] = chosen
        return pd.DataFrame(values, index=self.candles.index, columns=self.candles.columns, copy=False)


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
    fills = closes if opens is None else _checked_prices(_same_shape(opens, prices, "opens"), "opens")
    weights = _same_shape(target_weights, prices, "target_weights").to_numpy(dtype=float)
    _check_weights(weights, prices, config)
    rates = np.empty((0, 0)) if funding is None else _checked_rates(_same_shape(funding, prices, "funding"))
    per_year = config.periods_per_year or yearly_bars(prices.index)
    rows = np.arange(0, len(prices), config.rebalance_every)
    targets = weights[rows]
    kept = np.isnan(targets).any(axis=1)
    rows, targets = rows[~kept], _capped(targets[~kept], config.max_weight)
    at_close = config.fill == "close"
    fills = closes if at_close else fills
    fast = _compile(loop, closes.size)
    equity, units, traded = np.empty(len(prices)), *np.zeros((2, *targets.shape))
    walk: Any = compiled() if fast else run_weights
    funded, lent = walk(
        *map(read_only, (closes, fills, targets, rows, rates)), float(config.initial_capital),
        config.commission + config.slippage, per_bar(config.borrow, per_year), at_close, equity, units, traded,
    )  # fmt: skip
    filled = rows if at_close else rows[rows < len(prices) - 1] + 1
    orders = Orders(rows, targets, filled, fills, units[: len(filled)], traded[: len(filled)])
    result = _dress(prices, config, per_year, equity, orders, {"funding": funded, "borrow": lent}, fast)
    tell(prices, (config,), (weights,), (result.metrics["sharpe_ratio"],), (per_year,))
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
    """Walk through the rows; fill ``equity``, ``units`` held and ``traded`` value; return (funding, borrow) paid.

    ``closes``, ``fills`` and ``rates`` are (assets, rows), as pandas keeps them, ``rates`` may be empty; ``targets``,
    ``units`` and ``traded`` are (rebalances, assets); ``decided`` holds the rows of the decisions.
    """
    assets, n = closes.shape
    pays = len(rates) > 0
    cash = capital
    funded = lent = 0.0
    held = np.zeros(assets)
    k = 0  # the next rebalance
    for i in range(n):
        for step in range(2):  # orders of the row before trade first; then the row is held; then orders of its close
            if step == 1 and (pays or borrow > 0.0):
                for a in range(assets):
                    value = held[a] * closes[a, i]
                    due = value * rates[a, i] if pays else 0.0
                    funded += due
                    lent -= min(value, 0.0) * borrow
                    cash -= due - min(value, 0.0) * borrow
            if (step == 1) != at_close or k == len(decided) or decided[k] != i - 1 + step:
                continue
            worth = cash
            for a in range(assets):
                worth += held[a] * fills[a, i]
            for a in range(assets):
                wanted = targets[k, a] * max(worth, 0.0) / fills[a, i]  # a ruined account only closes
                value = (wanted - held[a]) * fills[a, i]
                cash -= value + cost * abs(value)
                held[a], units[k, a], traded[k, a] = wanted, wanted, value
            k += 1
        worth = cash
        for a in range(assets):
            worth += held[a] * closes[a, i]
        equity[i] = worth
    return funded, lent


@cache
def compiled() -> Any:
    """:func:`run_weights` compiled by numba, from its disk cache when it has been compiled before."""
    import numba

    return numba.njit(cache=True, error_model="numpy")(run_weights)


def _compile(loop: str, size: int) -> bool:
    global _walked
    if loop not in ("auto", "plain", "compiled"):
        raise BacktestError(f"loop is 'auto', 'plain' or 'compiled', got {loop!r}")
    _walked += size
    return loop == "compiled" or (loop == "auto" and _walked > PATIENCE)


class Orders(NamedTuple):
    """What was decided, and what the loop made of it: a row per rebalance, a column per asset."""

    rows: np.ndarray  # of the decisions
    targets: np.ndarray
    filled: np.ndarray  # rows of the fills; a decision in the last row has none
    fills: np.ndarray  # prices (assets, rows)
    units: np.ndarray  # held from the fill on
    traded: np.ndarray  # value bought


def _dress(
    prices: pd.DataFrame,
    config: PortfolioConfig,
    per_year: float,
    equity: np.ndarray,
    orders: Orders,
    carried: dict[str, float],
    fast: bool,
) -> PortfolioResult:
    """Frames over what the loop wrote."""
    number, columns = np.nonzero(orders.traded)
    rows, value = orders.filled[number], orders.traded[number, columns]
    size, price = np.abs(value), orders.fills[columns, rows]
    trades = pd.DataFrame(
        {
            "time": prices.index.take(rows),
            "asset": prices.columns.take(columns),
            "units": value / price,
            "price": price,
            "value": value,
            "cost": size * (config.commission + config.slippage),
        },
        copy=False,
    )
    volume = float(size.sum())
    costs = {"commission": volume * config.commission, "slippage": volume * config.slippage, **carried}
    net = float(equity[-1]) - config.initial_capital
    bars = np.diff(orders.filled, append=len(equity))
    metrics = summary(
        equity,
        config.initial_capital,
        per_year,
        traded_value=volume,
        gross_pnl=net + volume * (config.commission + config.slippage),
        net_pnl=np.empty(0),
        exposed=float(bars[orders.units.any(axis=1)].sum()) / len(equity),
        compiled=fast,
    )
    metrics["num_trades"] = float(len(trades))
    return PortfolioResult(
        config=config,
        equity=pd.Series(equity, index=prices.index, name="equity", copy=False),
        trades=trades,
        metrics=metrics,
        costs=costs,
        ambiguous=0,
        refused=0,
        periods_per_year=per_year,
        candles=prices.copy(deep=False),
        changes=(orders.filled, orders.units),
        decisions=(orders.rows, orders.targets),
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
    values = np.ascontiguousarray(prices.to_numpy(dtype=float).T)
    if not (values.min() > 0 and values.max() < np.inf):  # NaN is neither
        row, column = np.argwhere(~((values > 0) & (values < np.inf)).T)[0]
        raise BacktestError(
            f"{name}: {prices.columns[column]} is {values[column, row]} in row {row} ({index[row]}); a price is finite "
            "and above 0. Cut the table where an asset is not listed yet, or leave the asset out"
        )
    return values


def _checked_rates(funding: pd.DataFrame) -> np.ndarray:
    rates = np.ascontiguousarray(funding.to_numpy(dtype=float).T)
    if not np.isfinite(rates).all():
        row, column = np.argwhere(~np.isfinite(rates).T)[0]
        raise BacktestError(f"funding of {funding.columns[column]} in row {row} is {rates[column, row]}; none is 0")
    return rates


def _same_shape(table: pd.DataFrame, prices: pd.DataFrame, name: str) -> pd.DataFrame:
    if len(table) != len(prices) or not table.index.equals(prices.index):
        raise BacktestError(f"{name} have {len(table)} rows on another index than the {len(prices)} rows of prices")
    if not table.columns.equals(prices.columns):
        odd = sorted(set(map(str, table.columns)) ^ set(map(str, prices.columns)))
        raise BacktestError(f"{name} and prices have different columns, or another order of them: {odd or 'order'}")
    return table


def _check_weights(weights: np.ndarray, prices: pd.DataFrame, config: PortfolioConfig) -> None:
    """Every row is within the limits, or holds NaN in every column; caps are met later."""
    least, total = weights.min(axis=1), weights.sum(axis=1)
    special = np.flatnonzero(~((least >= 0) & (total <= min(config.max_gross, config.max_net) + 1e-9)))
    if len(special):  # short, beyond a limit, or NaN
        _check_rows(weights[special], special, prices, config)


def _check_rows(weights: np.ndarray, rows: np.ndarray, prices: pd.DataFrame, config: PortfolioConfig) -> None:
    """:func:`_check_weights` of some ``rows`` of the table, in every detail."""
    holes = np.isnan(weights)
    partly = holes.any(axis=1) & ~holes.all(axis=1)
    odd = (holes & partly[:, None]) | np.isinf(weights)
    if odd.any():
        row, column = np.argwhere(odd)[0]
        raise BacktestError(
            f"weight of {prices.columns[column]} in row {rows[row]} is {weights[row, column]}: 0 is no position, and "
            "a row of NaN in every column keeps what is held"
        )
    if not config.allow_short and (weights < -_SLACK).any():
        row, column = np.argwhere(weights < -_SLACK)[0]
        raise BacktestError(
            f"weight of {prices.columns[column]} in row {rows[row]} is {weights[row, column]:.6g}: negative weights "
            "are short positions and need allow_short=True"
        )
    for total, limit, name in (
        (np.abs(weights).sum(axis=1), config.max_gross, "max_gross"),
        (np.abs(weights.sum(axis=1)), config.max_net, "max_net"),
    ):
        over = total > limit + 1e-9
        if over.any():
            row = int(over.argmax())
            what = "absolute weights" if name == "max_gross" else "weights"
            raise BacktestError(
                f"{what} of row {rows[row]} ({prices.index[rows[row]]}) add up to {total[row]:.6g}, beyond "
                f"{name}={limit:g}: scale them down, or allow more"
            )


def _capped(targets: np.ndarray, cap: float) -> np.ndarray:
    """Weights (rows, assets) no larger than the cap, by projection."""
    for row in np.flatnonzero((np.abs(targets) > cap).any(axis=1)):
        if (targets[row] < 0).any():  # with shorts there is no budget to keep: the nearest point in the box
            targets[row] = np.clip(targets[row], -cap, cap)
        else:
            targets[row] = project_capped_simplex(targets[row], cap)
    return targets
