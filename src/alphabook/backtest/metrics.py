"""What an equity curve and its trades say, in numbers with one definition each.

Every function takes net simple returns per bar and the number of bars in a year. The definitions, and where
well-known libraries differ from them, are in :ref:`notation-metrics`. Taught in :doc:`/notebooks/backtests/engine`.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BacktestError
from ._pass import compiled_sums

Floats = NDArray[np.float64]


def equity_returns(equity: ArrayLike, initial_capital: float) -> Floats:
    """Simple return of each bar; the first is measured against the capital before the first bar."""
    values = np.asarray(equity, dtype=float)
    before = np.empty_like(values)
    before[:1], before[1:] = initial_capital, values[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before > 0, values / before - 1, 0.0)


def total_return(returns: ArrayLike) -> float:
    """Growth over all bars, as a fraction."""
    return float(np.prod(1 + _checked(returns)) - 1)


def annualized_return(returns: ArrayLike, periods_per_year: float) -> float:
    """Compound growth per year, from the number of bars: (final / initial) ** (P / n) - 1."""
    r = _checked(returns)
    growth = float(np.prod(1 + r))
    return compounded(growth, periods_per_year / len(r))


def compounded(growth: float, times: float) -> float:
    """The return after a growth factor has acted ``times`` times; infinite where it is beyond what a float holds."""
    if growth <= 0:
        return -1.0
    try:
        return growth**times - 1
    except OverflowError:
        return math.inf


def volatility(returns: ArrayLike, periods_per_year: float) -> float:
    """Standard deviation (n - 1) of the returns, times the root of the bars per year."""
    r = _checked(returns)
    return float(r.std(ddof=1) * math.sqrt(periods_per_year)) if len(r) > 1 else math.nan


def sharpe_ratio(returns: ArrayLike, periods_per_year: float, *, risk_free: float = 0.0) -> float:
    """Mean over standard deviation (n - 1) of the excess returns, times the root of the bars per year.

    ``risk_free`` is annual (0.03 is 3 % a year) and is brought to one bar by de-compounding. Constant returns have no
    Sharpe ratio: NaN, with a warning. Sharpe (1994).
    """
    excess = _checked(returns) - per_bar(risk_free, periods_per_year)
    spread = float(excess.std(ddof=1)) if len(excess) > 1 else 0.0
    if spread <= 1e-14 * max(1.0, float(np.abs(excess).max(initial=0.0))):
        warnings.warn("the returns are constant: a Sharpe ratio is not defined, NaN is returned", stacklevel=2)
        return math.nan
    return float(excess.mean()) / spread * math.sqrt(periods_per_year)


def sortino_ratio(returns: ArrayLike, periods_per_year: float, *, acceptable: float = 0.0) -> float:
    """Mean excess over the downside deviation about ``acceptable`` (a return per bar), over *all* bars; annualised.

    NaN when no bar lies below: there is no downside to divide by. Sortino and Price (1994).
    """
    excess = _checked(returns) - acceptable
    downside = math.sqrt(float(np.mean(np.minimum(excess, 0.0) ** 2)))
    return float(excess.mean()) / downside * math.sqrt(periods_per_year) if downside > 0 else math.nan


def drawdown(equity: ArrayLike, initial_capital: float) -> Floats:
    """Loss from the running peak at each bar, as a fraction >= 0; the peak starts at the initial capital."""
    values = np.asarray(equity, dtype=float)
    return 1 - values / np.maximum(np.maximum.accumulate(values), initial_capital)


def longest_drawdown(equity: ArrayLike, initial_capital: float) -> int:
    """Bars of the longest stretch below an earlier peak."""
    below = np.concatenate(([False], drawdown(equity, initial_capital) > 0, [False]))
    edges = np.flatnonzero(below[1:] != below[:-1])
    return int((edges[1::2] - edges[::2]).max(initial=0))


def value_at_risk(returns: ArrayLike, level: float = 0.95) -> float:
    """The (1 - level) quantile of the returns themselves, linear between neighbours; negative is a loss."""
    return float(np.quantile(_checked(returns), 1 - _level(level)))


def expected_shortfall(returns: ArrayLike, level: float = 0.95) -> float:
    """Mean of the returns at or below :func:`value_at_risk` (CVaR)."""
    r = _checked(returns)
    return float(r[r <= np.quantile(r, 1 - _level(level))].mean())


def profit_factor(pnl: ArrayLike) -> float:
    """Sum of the net gains over the sum of the net losses; infinite without a loss, NaN without trades."""
    p = np.asarray(pnl, dtype=float)
    gains, losses = float(np.maximum(p, 0).sum()), float(-np.minimum(p, 0).sum())
    if losses > 0:
        return gains / losses
    return math.inf if gains > 0 else math.nan


def per_bar(annual: float, periods_per_year: float) -> float:
    """An annual rate brought to one bar by de-compounding."""
    return math.expm1(math.log1p(annual) / periods_per_year)


def summary(
    equity: ArrayLike,
    initial_capital: float,
    periods_per_year: float,
    *,
    traded_value: float,
    gross_pnl: float,
    net_pnl: ArrayLike,
    exposed: float,
    compiled: bool = False,
) -> dict[str, float]:
    """All metrics of one backtest by name; ``exposed`` is the share of bars with a position.

    ``turnover`` is the traded value per year over the mean equity, buys and sells both counted;
    ``break_even_cost`` the cost per unit of traded value that eats up the gross profit. ``compiled`` walks through
    the curve once in compiled code instead of several times in whole arrays.
    """
    values = np.asarray(equity, dtype=float)
    pnl = np.asarray(net_pnl, dtype=float)
    mean, spread, downside, deepest, longest, average, lowest = _sums(values, float(initial_capital), compiled)
    root, years = math.sqrt(periods_per_year), len(values) / periods_per_year
    growth = float(values[-1]) / initial_capital
    yearly = compounded(growth, 1 / years)
    moves = spread > 1e-14
    quantile, shortfall = tail(lowest, len(values))
    return {
        "total_return": growth - 1,
        "annualized_return": yearly,
        "volatility": spread * root,
        "sharpe_ratio": mean / spread * root if moves else math.nan,
        "sortino_ratio": mean / downside * root if downside > 0 else math.nan,
        "calmar_ratio": yearly / deepest if deepest > 0 else math.nan,
        "cagr_over_volatility": yearly / (spread * root) if moves else math.nan,
        "max_drawdown": deepest,
        "max_drawdown_bars": float(longest),
        "var_95": quantile,
        "cvar_95": shortfall,
        "hit_rate": float(np.count_nonzero(pnl > 0) / len(pnl)) if len(pnl) else math.nan,
        "profit_factor": profit_factor(pnl),
        "num_trades": float(len(pnl)),
        "turnover": traded_value / average / years if average > 0 else math.nan,
        "break_even_cost": gross_pnl / traded_value if traded_value > 0 else math.nan,
        "exposure": exposed,
        "final_equity": float(values[-1]),
    }


def tail(lowest: Floats, bars: int, level: float = 0.95) -> tuple[float, float]:
    """Value at risk and expected shortfall of ``bars`` returns, from the ``lowest`` of them, by a partial sort."""
    position = (1 - level) * (bars - 1)
    below = math.floor(position)
    above = min(below + 1, bars - 1)
    ordered = np.partition(lowest, above)
    low, high = float(ordered[: below + 1].max()), float(ordered[above])
    quantile = low + (high - low) * (position - below)
    return quantile, float(lowest[lowest <= quantile].mean())


def _sums(values: Floats, initial: float, compiled: bool) -> tuple[float, float, float, float, int, float, Floats]:
    """The sums of :func:`alphabook.backtest._pass.curve_sums`, and enough of the lowest returns for :func:`tail`."""
    bounds, needed = (_sampled_bound(values), math.inf), 0.05 * len(values) + 1
    if not compiled:
        *sums, returns = _numpy_sums(values, initial)
        lowest = returns[returns <= bounds[0]]
        return *sums, lowest if len(lowest) > needed else returns  # type: ignore[return-value]
    space = np.empty(len(values))
    for bound in bounds:
        *sums, count = compiled_sums()(values, initial, bound, space)
        if count > needed:
            break
    return *sums, space[:count]  # type: ignore[return-value]


def _sampled_bound(values: Floats) -> float:
    """A number that a little more than the lowest twentieth of the returns do not exceed, from some of them."""
    step = len(values) // (1_024 if len(values) < 100_000 else 4_096)
    if step < 2:
        return math.inf
    after = values[1::step]
    with np.errstate(divide="ignore", invalid="ignore"):
        sample = after / values[::step][: len(after)] - 1
    rank = int(len(sample) * (0.05 + 1 / math.sqrt(len(sample))))  # more than four standard errors further
    return float(np.partition(sample, rank)[rank])


def _numpy_sums(values: Floats, initial: float) -> tuple[float, float, float, float, int, float, Floats]:
    """:func:`alphabook.backtest._pass.curve_sums` in whole arrays, and all returns."""
    returns = equity_returns(values, initial)
    mean = float(returns.mean())
    around = returns - mean
    spread = math.sqrt(float(around @ around) / (len(values) - 1)) if len(values) > 1 else math.nan
    losses = np.minimum(returns, 0.0)
    peaks = np.maximum(np.maximum.accumulate(values), initial)
    deepest = 1 - float((values / peaks).min())
    at_peak = np.concatenate(([-1], np.flatnonzero(values == peaks), [len(values)]))
    longest = int(np.diff(at_peak).max()) - 1
    downside = math.sqrt(float(losses @ losses) / len(values))
    return mean, spread, downside, deepest, longest, float(values.mean()), returns


def _checked(returns: ArrayLike) -> Floats:
    r = np.asarray(returns, dtype=float)
    if r.ndim != 1 or len(r) == 0:
        raise BacktestError(f"returns are one number per bar, at least one bar; got an array of shape {r.shape}")
    if not np.isfinite(r).all():
        row = int(np.flatnonzero(~np.isfinite(r))[0])
        raise BacktestError(
            f"return {row} is {r[row]}: a metric of a curve with holes means nothing; drop or repair them"
        )
    return r


def _level(level: float) -> float:
    if not 0 < level < 1:
        raise BacktestError(f"level is a probability in (0, 1), got {level}; 95 % is 0.95")
    return level
