"""One asset, one bar after another: signals to trades, equity and metrics.

Taught in :doc:`/notebooks/backtests/engine`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from ..candles import Interval, interval_of
from ..errors import BacktestError, IntervalError
from ._checks import compiled_checks, first_odd_candle, first_odd_signal
from ._loop import compiled, run_loop
from .config import BacktestConfig
from .result import BacktestResult
from .watch import tell

PRICES = ("open", "high", "low", "close")
_WHOLE = ("entry_bar", "exit_bar", "direction", "reason")
_ORDER = (
    "entry_bar", "exit_bar", "direction", "size", "entry_quote", "entry_fill", "exit_quote", "exit_fill",
    "commission", "slippage", "funding", "mae", "mfe", "reason",
)  # fmt: skip
_BY_LENGTH = {item.milliseconds: item for item in Interval if item.milliseconds is not None}
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
    fast = use_compiled(loop, len(candles))
    index, prices = checked_prices(candles, compiled=fast)
    decisions = confirmed(checked_signals(signals, candles.index, compiled=fast), config.confirmation)
    rates = np.empty(0) if funding is None else checked_funding(funding, candles.index)
    per_year = config.periods_per_year or bars_per_year(candles)
    equity, trades, ambiguous, refused = _run(prices, decisions, rates, config, per_year, fast)
    result = BacktestResult.from_loop(
        config=config,
        candles=candles,
        times=index,
        equity=equity,
        trades=trades,
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


def checked_prices(candles: pd.DataFrame, *, compiled: bool = False) -> tuple[pd.Index, dict[str, np.ndarray]]:
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
    row = (compiled_checks()[0] if compiled else first_odd_candle)(*map(read_only, prices.values()))
    if row >= 0:
        values = ", ".join(f"{c} {prices[c][row]}" for c in PRICES)
        raise BacktestError(
            f"row {row} ({times[row]}) is not a candle: {values}. "
            "Prices are finite, above 0, and lie between low and high"
        )
    return times, prices


def checked_signals(signals: pd.Series, index: pd.Index, *, compiled: bool = False) -> np.ndarray:
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
    if values.dtype == bool or values.dtype.kind not in "iuf":
        raise BacktestError(f"signals are the integers 1, -1 and 0, got values of type {values.dtype}")
    fast = compiled and values.dtype == np.int64
    values = np.ascontiguousarray(values)
    row = (compiled_checks()[1] if fast else first_odd_signal)(read_only(values))
    if row >= 0:
        raise BacktestError(f"signal {row} is {values[row]}: 1 buys, -1 sells, 0 has no opinion")
    return values.astype(np.int64, copy=False)


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


def loop_fractions(closes: np.ndarray, config: BacktestConfig, per_year: float) -> np.ndarray:
    """:func:`entry_fractions` as the loop takes them: a single one where all are the same."""
    if config.sizing != "volatility":
        return np.array([config.position_size], dtype=float)
    return entry_fractions(closes, config, per_year)


def bars_per_year(candles: pd.DataFrame) -> float:
    """Bars in a year of a market that never closes, from the interval of the candles; 8,760 for a single bar."""
    if "interval" in candles.attrs:
        return interval_of(candles).bars_per_year
    return yearly_bars(_times(candles))


def yearly_bars(times: pd.Index) -> float:
    """:func:`bars_per_year` from the usual step between times."""
    times = times[:1_000]  # the usual step shows early
    if not isinstance(times, pd.DatetimeIndex) or len(times) < 2:
        return Interval.H1.bars_per_year
    lengths, counts = np.unique(np.diff(times.as_unit("ms").asi8), return_counts=True)
    usual = int(lengths[counts.argmax()])
    if usual in _BY_LENGTH:
        return _BY_LENGTH[usual].bars_per_year
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


def read_only(values: np.ndarray) -> np.ndarray:
    """The same numbers, not to be written to: one kind of array for the compiler, whatever pandas hands out."""
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


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
    rates: np.ndarray,
    config: BacktestConfig,
    per_year: float,
    fast: bool,
) -> tuple[np.ndarray, dict[str, np.ndarray], int, int]:
    n, most = len(signals), int(np.count_nonzero(signals))
    settings = loop_settings(config)
    fractions = loop_fractions(prices["close"], config, per_year)
    series = [read_only(s) for s in (*prices.values(), signals, fractions, rates)]
    equity = np.empty(n)
    record = {name: np.empty(most, np.int64 if name in _WHOLE else float) for name in _ORDER}
    written: list[Any] = [equity, *record.values()]
    if fast:
        found = compiled()(*series, *settings, *written)
    else:  # Python reads lists fastest; what it writes goes straight into the arrays
        found = run_loop(*(s.tolist() for s in series), *settings, *(memoryview(w) for w in written))
    count, ambiguous, refused = found
    return equity, {name: values[:count] for name, values in record.items()}, ambiguous, refused


def _times(candles: pd.DataFrame) -> pd.Index:
    return pd.DatetimeIndex(candles["open_time"]) if "open_time" in candles.columns else candles.index
