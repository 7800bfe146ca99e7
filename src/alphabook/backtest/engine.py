"""One asset, one bar after another: signals to trades, equity and metrics.

Taught in :doc:`/notebooks/backtests/engine`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from ..candles import Interval, interval_of
from ..errors import BacktestError, IntervalError
from ._loop import REASONS, compiled, run_loop
from .config import BacktestConfig
from .result import BacktestResult
from .watch import tell

PRICES = ("open", "high", "low", "close")
_WHOLE = ("entry_bar", "exit_bar", "direction", "reason")
_REAL = (
    "size", "entry_quote", "entry_fill", "exit_quote", "exit_fill", "commission", "slippage", "funding", "mae", "mfe"
)  # fmt: skip
_ORDER = (
    "entry_bar", "exit_bar", "direction", "size", "entry_quote", "entry_fill", "exit_quote", "exit_fill",
    "commission", "slippage", "funding", "mae", "mfe", "reason",
)  # fmt: skip
PATIENCE = 100_000  # bars that the plain loop walks in one process before numba's start-up pays
_walked = 0


def backtest_signals(
    candles: pd.DataFrame,
    signals: pd.Series,
    config: BacktestConfig | None = None,
    *,
    funding: pd.Series | None = None,
    loop: Literal["auto", "plain", "compiled"] = "auto",
) -> BacktestResult:
    """Trade one asset by a series of signals.

    A signal of bar ``t`` is known at its close. It fills at the open of ``t + 1`` (``fill="next_open"``), or at the
    close of ``t`` (``fill="close"``). In each bar, in this order: the pending order fills at the open; stop and target
    are tried on low and high; funding is paid; the bar's own signal becomes the next order; equity is written down. A
    position still open at the end is closed at the last close.

    Args:
        candles: one symbol, sorted by time, with ``open``, ``high``, ``low``, ``close``; times in ``open_time`` or the
            index.
        signals: on the candles' index: 1 buy, -1 sell, 0 no opinion (whatever is held stays).
        config: sizes, stops, costs; the defaults are those of :class:`BacktestConfig`.
        funding: rate paid on the position's value in each bar by who is long, on the candles' index; see
            :func:`funding_per_bar`.
        loop: ``"plain"`` Python or ``"compiled"`` by numba, equal bit for bit; ``"auto"`` compiles once it pays.

    Raises:
        BacktestError: prices that are missing, not positive, or contradict each other; times out of order; signals of
            another length or index, or other than -1, 0, 1. The message names row and value.
    """
    config = config or BacktestConfig()
    index, prices = checked_prices(candles)
    decisions = confirmed(checked_signals(signals, candles.index), config.confirmation)
    rates = np.zeros(len(index)) if funding is None else checked_funding(funding, candles.index)
    per_year = config.periods_per_year or bars_per_year(candles)
    fractions = entry_fractions(prices["close"], config, per_year)
    fast = use_compiled(loop, len(index))
    equity, position, trades, ambiguous, refused = _run(prices, decisions, fractions, rates, config, fast)
    result = BacktestResult.from_loop(
        config=config,
        candles=candles,
        times=index,
        equity=equity,
        position=position,
        trades=trades,
        reasons=REASONS,
        ambiguous=ambiguous,
        refused=refused,
        periods_per_year=per_year,
        compiled=fast,
    )
    tell(candles, (config,), (decisions,), (result.metrics["sharpe_ratio"],), (per_year,))
    return result


def funding_per_bar(rates: pd.Series, candles: pd.DataFrame) -> pd.Series:
    """Funding rates by payment time, summed into the bars during which they were paid: (open_time, close_time].

    Args:
        rates: rate by UTC payment time, as the exchanges list them.
        candles: the bars; their interval gives the close times.

    Returns:
        One rate per bar on the candles' index, zero where nothing was due.
    """
    opens = pd.DatetimeIndex(_times(candles))
    interval = interval_of(candles) if "open_time" in candles.columns else Interval.infer(pd.Series(opens))
    closing = pd.DatetimeIndex(interval.close_times(opens))
    at = closing.searchsorted(pd.DatetimeIndex(rates.index), side="left")
    inside = (at < len(closing)) & (rates.index > opens[0])
    total = np.bincount(at[inside], weights=rates.to_numpy(dtype=float)[inside], minlength=len(closing))
    return pd.Series(total, index=candles.index, name="funding")


def checked_prices(candles: pd.DataFrame) -> tuple[pd.Index, dict[str, np.ndarray]]:
    """Times and price arrays of one symbol, or an error that names row and value."""
    missing = [c for c in PRICES if c not in candles.columns]
    if missing:
        raise BacktestError(f"candles lack {', '.join(missing)}; a backtest needs {', '.join(PRICES)}")
    if len(candles) < 2:
        raise BacktestError(
            f"{len(candles)} candles: a backtest needs at least 2, because bar 0 decides and bar 1 trades or earns"
        )
    if "symbol" in candles.columns and str(candles["symbol"].iloc[0]) != str(candles["symbol"].iloc[-1]):
        raise BacktestError(
            f"candles of {candles['symbol'].nunique()} symbols: take one, or use backtest_portfolio for many"
        )
    times = _times(candles)
    if not times.is_monotonic_increasing or times.has_duplicates:
        row = int(np.flatnonzero(times[1:] <= times[:-1])[0]) + 1
        raise BacktestError(
            f"row {row} ({times[row]}) does not come after row {row - 1} ({times[row - 1]}): sort first"
        )
    prices = {c: np.ascontiguousarray(candles[c].to_numpy(dtype=float)) for c in PRICES}
    low, high = prices["low"], prices["high"]
    good = (low > 0) & (high < np.inf)
    for name in ("open", "close"):
        good &= (prices[name] >= low) & (prices[name] <= high)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        values = ", ".join(f"{c} {prices[c][row]}" for c in PRICES)
        raise BacktestError(
            f"row {row} ({times[row]}) is not a candle: {values}. "
            "Prices are finite, above 0, and lie between low and high"
        )
    return times, prices


def checked_signals(signals: pd.Series, index: pd.Index) -> np.ndarray:
    """Signals as -1, 0, 1 on the candles' index, or an error that names row and value."""
    if not isinstance(signals, pd.Series):
        raise BacktestError(f"signals are a Series on the candles' index, got {type(signals).__name__}")
    if len(signals) != len(index):
        raise BacktestError(
            f"{len(signals)} signals for {len(index)} candles: one signal per candle, on the same index"
        )
    if not (signals.index is index or signals.index.equals(index)):
        row = int(np.flatnonzero(signals.index != index)[0])
        raise BacktestError(
            f"signals are on another index than the candles: row {row} is {signals.index[row]} against {index[row]}"
        )
    values = signals.to_numpy()
    if values.dtype == bool or not np.issubdtype(values.dtype, np.number):
        raise BacktestError(f"signals are the integers 1, -1 and 0, got values of type {values.dtype}")
    wrong = ~((values == 0) | (values == 1) | (values == -1))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise BacktestError(f"signal {row} is {values[row]}: 1 buys, -1 sells, 0 has no opinion")
    return values.astype(np.int64)


def checked_funding(funding: pd.Series, index: pd.Index) -> np.ndarray:
    """Funding rates on the candles' index, or an error that names the row."""
    if len(funding) != len(index) or not funding.index.equals(index):
        raise BacktestError("funding is one rate per candle on the candles' index: use funding_per_bar(rates, candles)")
    values = funding.to_numpy(dtype=float)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise BacktestError(f"funding of row {row} is {values[row]}: 0 means that nothing was due")
    return values


def confirmed(signals: np.ndarray, confirmation: int) -> np.ndarray:
    """Keep a signal only when the last ``confirmation`` bars, itself included, all said the same."""
    if confirmation == 1:
        return signals
    changed = np.concatenate(([True], signals[1:] != signals[:-1]))
    bars = np.arange(len(signals))
    run = bars - np.maximum.accumulate(np.where(changed, bars, 0)) + 1
    return np.where(run >= confirmation, signals, 0)


def entry_fractions(closes: np.ndarray, config: BacktestConfig, per_year: float) -> np.ndarray:
    """Fraction of equity to put into a position, by the bar of the decision; zero while it is not known."""
    if config.sizing != "volatility":
        return np.full(len(closes), config.position_size)
    returns = pd.Series(closes).pct_change()
    yearly = returns.rolling(config.volatility_window).std().to_numpy() * np.sqrt(per_year)
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = config.target_volatility / yearly
    return np.where(np.isfinite(wanted), np.minimum(wanted, config.max_leverage), 0.0)


def bars_per_year(candles: pd.DataFrame) -> float:
    """Bars in a year of a market that never closes, from the interval of the candles; 8,760 for a single bar."""
    if "interval" in candles.attrs:
        return interval_of(candles).bars_per_year
    times = _times(candles)[:1_000]  # the usual step shows early
    if not isinstance(times, pd.DatetimeIndex) or len(times) < 2:
        return Interval.H1.bars_per_year
    try:
        return Interval.infer(pd.Series(times)).bars_per_year
    except IntervalError:
        return pd.Timedelta(days=365) / (times[1:] - times[:-1]).min()


def use_compiled(loop: str, work: int) -> bool:
    """Whether to take the compiled loop: when asked to, or once this process has done enough work for it to pay."""
    global _walked
    if loop not in ("auto", "plain", "compiled"):
        raise BacktestError(f"loop is 'auto', 'plain' or 'compiled', got {loop!r}")
    _walked += work
    return loop == "compiled" or (loop == "auto" and _walked > PATIENCE)


def loop_settings(config: BacktestConfig) -> list[Any]:
    """The configuration as the plain numbers that the loop takes, in its order."""
    return [
        float(config.initial_capital),
        -1.0 if config.units is None else float(config.units),
        np.inf if config.stop_loss is None else float(config.stop_loss),
        np.inf if config.take_profit is None else float(config.take_profit),
        float(config.commission), float(config.slippage), config.allow_short,
        config.fill == "close", config.stop_from == "entry_bar", config.intrabar == "optimistic",
        float(config.max_leverage),
    ]  # fmt: skip


def _run(
    prices: dict[str, np.ndarray],
    signals: np.ndarray,
    fractions: np.ndarray,
    rates: np.ndarray,
    config: BacktestConfig,
    fast: bool,
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], int, int]:
    n, most = len(signals), int(np.count_nonzero(signals))
    settings = loop_settings(config)
    series: list[Any] = [*(prices[c] for c in PRICES), signals, fractions, rates]
    if fast:
        equity, position = np.empty(n), np.zeros(n)
        record: dict[str, Any] = {c: np.empty(most, np.int64 if c in _WHOLE else float) for c in _ORDER}
        count, ambiguous, refused = compiled()(*series, *settings, equity, position, *record.values())
        trades = {name: values[:count] for name, values in record.items()}
        return equity, position, trades, ambiguous, refused
    rows: list[Any] = [[0.0] * n, [0.0] * n]
    record = {c: [0] * most if c in _WHOLE else [0.0] * most for c in _ORDER}
    inputs: list[Any] = [s.tolist() for s in series]
    count, ambiguous, refused = run_loop(*inputs, *settings, *rows, *record.values())
    trades = {
        name: np.array(values[:count], dtype=np.int64 if name in _WHOLE else float) for name, values in record.items()
    }
    return np.array(rows[0]), np.array(rows[1]), trades, ambiguous, refused


def _times(candles: pd.DataFrame) -> pd.Index:
    return pd.DatetimeIndex(candles["open_time"]) if "open_time" in candles.columns else candles.index
