"""Many parameter sets on the same candles: in this process, in others, or on other machines.

One line changes the engine: ``executor=None``, ``ProcessPoolExecutor()``, or ``Client().get_executor(pure=False)`` of
``dask.distributed``. The numbers do not change, and the digest says so. Taught in :doc:`/notebooks/backtests/trials`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from ..errors import BacktestError
from ._leaps import block_extremes, compiled_leaps, next_signals
from ._pass import compiled_stretches
from .config import BacktestConfig
from .engine import (
    bars_per_year,
    checked_funding,
    checked_prices,
    checked_signals,
    confirmed,
    loop_fractions,
    read_only,
)
from .engine import loop_settings as settings_of
from .watch import tell

COLUMNS = (
    "total_return", "annualized_return", "volatility", "sharpe_ratio", "sortino_ratio", "calmar_ratio",
    "max_drawdown", "max_drawdown_bars", "hit_rate", "profit_factor", "num_trades", "turnover", "break_even_cost",
    "exposure", "final_equity", "commission", "slippage", "funding", "ambiguous", "refused",
)  # fmt: skip
"""What a sweep reports of each parameter set; defined as in :func:`alphabook.backtest.metrics.summary`."""

CHUNK = 64  # parameter sets that one task works through
RETRIES = 3  # a task whose worker dies is sent again so many times


@dataclass(frozen=True, kw_only=True, eq=False)
class SweepResult:
    """One row of metrics per parameter set, in the order in which the sets were given, all net of costs.

    Attributes:
        configs: the parameter sets.
        metrics: a row per set, named by its digest and its number.
    """

    configs: tuple[BacktestConfig, ...]
    metrics: pd.DataFrame

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits over all numbers: equal on every executor."""
        state = hashlib.sha256("".join(config.digest for config in self.configs).encode())
        state.update(np.ascontiguousarray(self.metrics.to_numpy(dtype=float)).tobytes())
        return state.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.configs)


def sweep(
    candles: pd.DataFrame,
    signals: pd.Series | Sequence[pd.Series],
    configs: Sequence[BacktestConfig],
    *,
    executor: Executor | None = None,
    funding: pd.Series | None = None,
    progress: bool = False,
    chunk: int = CHUNK,
) -> SweepResult:
    """Backtest many parameter sets on one asset; every number equals that of :func:`backtest_signals`.

    Args:
        signals: one Series for all sets, or one per set.
        executor: where the work is done; ``None`` uses the threads of this process (compiled code runs side by side).
        progress: show a progress bar.
        chunk: parameter sets per task; without an executor and a bar every thread takes its share at once.

    Raises:
        BacktestError: no sets, as many signals as there are sets is not given, or bad candles or signals.
    """
    configs = tuple(configs)
    if not configs:
        raise BacktestError("no parameter sets: a sweep needs at least one BacktestConfig")
    series = [signals] if isinstance(signals, pd.Series) else list(signals)
    if len(series) not in (1, len(configs)):
        raise BacktestError(
            f"{len(series)} series of signals for {len(configs)} parameter sets: give one, or one per set"
        )
    if chunk < 1:
        raise BacktestError(f"chunk is the number of sets per task, at least 1, got {chunk}")
    _, prices = checked_prices(candles)
    decisions = [checked_signals(s, candles.index) for s in series]
    rates = np.empty(0) if funding is None else checked_funding(funding, candles.index)
    yearly = bars_per_year(candles)
    if executor is None and not progress:  # a thread comes back to Python, and waits for its turn there, only once
        chunk = -(-len(configs) // (os.cpu_count() or 1))
    jobs = list(_jobs(configs, decisions, chunk))
    with _bar(len(configs), progress) as bar, ThreadPoolExecutor(os.cpu_count()) as threads:
        names = threads.submit(lambda: [f"{config.digest}-{number}" for number, config in enumerate(configs)])
        parts = _gather(executor or threads, jobs, prices, rates, yearly, bar)
    index = pd.Index(names.result(), name="config")
    metrics = pd.DataFrame(np.vstack(parts), index=index, columns=list(COLUMNS))
    per_year = [config.periods_per_year or yearly for config in configs]
    tell(candles, configs, decisions, metrics["sharpe_ratio"].tolist(), per_year)
    return SweepResult(configs=configs, metrics=metrics)


def run_chunk(
    prices: dict[str, np.ndarray],
    decisions: list[np.ndarray],
    rates: np.ndarray,
    configs: Sequence[BacktestConfig],
    yearly: float,
) -> np.ndarray:
    """The metrics (sets, columns) of some parameter sets: a function of its arguments alone, for any process."""
    walk, blocks = _kernel(), block_extremes(prices["low"], prices["high"])
    space, out = np.empty((2, len(prices["close"]))), np.empty((len(configs), len(COLUMNS)))
    years = np.array([config.periods_per_year or yearly for config in configs])
    settings = np.array([settings_of(config) for config in configs], dtype=float)

    def alike(row: int) -> tuple[int, int, int]:  # sets on the same signals go through compiled code together
        config = configs[row]
        return min(row, len(decisions) - 1), config.confirmation, row if config.sizing == "volatility" else -1

    for (number, confirmation, _), group in groupby(range(len(configs)), key=alike):
        rows = list(group)
        some = slice(rows[0], rows[-1] + 1)
        signals = confirmed(decisions[number], confirmation)
        most = int(np.count_nonzero(signals))
        fractions = np.stack([loop_fractions(prices["close"], configs[row], years[row]) for row in rows])
        given = (*prices.values(), signals, fractions, rates, next_signals(signals), blocks)
        series = [read_only(values) for values in given]
        record = np.empty((4, most), dtype=np.int64), np.empty((10, most))
        walk(*series, settings[some], space, *record, years[some], out[some])
    return out


@cache
def _kernel() -> Any:
    import numba

    run_leaps = compiled_leaps()
    sums = compiled_stretches()

    @numba.njit(nogil=True, error_model="numpy")
    def kernel(  # type: ignore[no-untyped-def]
        opens, highs, lows, closes, signals, fractions, rates,
        capital, units, stop, target, commission, slippage, short, at_close, entry_stops, optimistic, leverage,
        nexts, blocks, space, whole, real, per_year, out,
    ):  # fmt: skip
        """One backtest and its metrics; no frame, no Python."""
        equity, lowest = space[0], space[1]
        trades, ambiguous, refused = run_leaps(
            opens, highs, lows, closes, signals, fractions, rates,
            capital, units, stop, target, commission, slippage, short, at_close, entry_stops, optimistic, leverage,
            nexts, blocks, equity,
            whole[0], whole[1], whole[2], real[0], real[1], real[2], real[3], real[4],
            real[5], real[6], real[7], real[8], real[9], whole[3],
        )  # fmt: skip
        mean, spread, downside, deepest, longest, average = sums(equity, capital, lowest)
        n = len(equity)
        gains = losses = volume = gross = fees = slips = funds = 0.0
        hits = held = 0
        for k in range(trades):
            size = real[0, k]
            profit = size * whole[2, k] * (real[3, k] - real[1, k])
            net = profit - real[5, k] - real[6, k] - real[7, k]
            gross += profit
            held += whole[1, k] - whole[0, k]
            volume += size * (real[2, k] + real[4, k])
            fees, slips, funds = fees + real[5, k], slips + real[6, k], funds + real[7, k]
            if net > 0.0:
                gains += net
                hits += 1
            elif net < 0.0:
                losses -= net
        root, years = per_year**0.5, n / per_year
        growth = equity[n - 1] / capital
        yearly = growth ** (1.0 / years) - 1.0 if growth > 0.0 else -1.0
        nan = np.nan
        out[0], out[1], out[2] = growth - 1.0, yearly, spread * root
        out[3] = mean / spread * root if spread > 1e-14 else nan
        out[4] = mean / downside * root if downside > 0.0 else nan
        out[5] = yearly / deepest if deepest > 0.0 else nan
        out[6], out[7] = deepest, longest
        out[8] = hits / trades if trades else nan
        out[9] = gains / losses if losses > 0.0 else (np.inf if gains > 0.0 else nan)
        out[10] = trades
        out[11] = volume / average / years if average > 0.0 else nan
        out[12] = gross / volume if volume > 0.0 else nan
        out[13], out[14] = held / n, equity[n - 1]
        out[15], out[16], out[17], out[18], out[19] = fees, slips, funds, ambiguous, refused

    @numba.njit(nogil=True, error_model="numpy")
    def walk(  # type: ignore[no-untyped-def]
        opens, highs, lows, closes, signals, fractions, rates, nexts, blocks, settings,
        space, whole, real, per_year, out,
    ):  # fmt: skip
        for k in range(len(settings)):
            s = settings[k]
            kernel(
                opens, highs, lows, closes, signals, fractions[k], rates,
                s[0], s[1], s[2], s[3], s[4], s[5], s[6] != 0.0, s[7] != 0.0, s[8] != 0.0, s[9] != 0.0, s[10],
                nexts, blocks, space, whole, real, per_year[k], out[k],
            )  # fmt: skip

    return walk


def _jobs(
    configs: Sequence[BacktestConfig], decisions: list[np.ndarray], chunk: int
) -> Iterator[tuple[Sequence[BacktestConfig], list[np.ndarray]]]:
    for first in range(0, len(configs), chunk):
        some = slice(first, first + chunk)
        yield configs[some], decisions if len(decisions) == 1 else decisions[some]


def _gather(executor: Executor, jobs: list[Any], prices: Any, rates: np.ndarray, yearly: float, bar: Any) -> list[Any]:
    """Results in the order of the jobs, in whatever order they end; a task whose worker died is sent again."""

    def send(number: int) -> Future[np.ndarray]:
        configs, decisions = jobs[number]
        return executor.submit(run_chunk, prices, decisions, rates, configs, yearly)

    parts: list[Any] = [None] * len(jobs)
    pending = {send(number): (number, 0) for number in range(len(jobs))}
    while pending:
        done, _ = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            number, tries = pending.pop(future)
            try:
                parts[number] = future.result()
            except BacktestError:
                raise
            except Exception:
                if tries >= RETRIES:
                    raise
                pending[send(number)] = (number, tries + 1)
                continue
            bar.update(len(jobs[number][0]))
    return parts


def _bar(total: int, progress: bool) -> Any:
    if progress:  # this import warns where a notebook has no widgets
        from tqdm.auto import tqdm as shown

        return shown(total=total, desc="sweep", unit="set")
    from tqdm import tqdm

    return tqdm(total=total, disable=True)
