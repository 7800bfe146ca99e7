"""Backtests beside other engines: one run, a thousand parameter sets, a portfolio, overfitting, ten million candles.

    python benchmarks/backtest_speed.py                 # all parts, some minutes; writes results/backtest_speed.json
    python benchmarks/backtest_speed.py --quick         # short series, few rounds, nothing is written
    python benchmarks/backtest_speed.py --parts single  # one part; the others keep what they measured

Runs in the peers' environment (``requirements/peers.txt``), or in the book's, where it says which peers are missing and
times ours alone. Ours and the peers take turns in one process; medians over the rounds are compared; every peer's
trades, equity or logits are compared with ours before anything is timed. All start from a pandas table and are warm:
compiled code is compiled. Ours is timed to the trade table, the equity and all metrics. The peers are given their best
form: times without a time zone (with one, ``vectorbt`` is several times slower), the fewest results (records of the
trades and equity, no metrics) and no wrapping. What more they take for a few metrics is in rows of its own.

Semantics are those on which the engines agree trade by trade (``backtest_peers.py``): fixed units, orders at the close,
both directions, commission 0.1 %, stop 2 %, target 4 %, no slippage. Candles move 0.6 % an hour, and one bar in
fifty has an opinion. A signal in the very bar of a stop or target, which ``vectorbt`` does not hear, is left out; among
a thousand parameter sets that cannot be done for all at once: the sets that meet no such signal must agree.
``purgedcv`` needs most of a minute for 16 blocks and is called once.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from alphabook.backtest import (  # noqa: E402
    BacktestConfig,
    PortfolioConfig,
    backtest_portfolio,
    backtest_signals,
    sweep,
)
from alphabook.evaluation import probability_of_backtest_overfitting  # noqa: E402
from alphabook.teaching.bench import bench, machine  # noqa: E402

OURS, PLAIN, VECTORBT, METRICS, BACKTESTING = (
    "alphabook", "alphabook, plain Python loop", "vectorbt", "vectorbt, with metrics", "backtesting"
)  # fmt: skip
PURGED = "purgedcv"
CAPITAL, UNITS, FEE, STOP, TARGET = 1e6, 1.0, 0.001, 0.02, 0.04
CONFIG = BacktestConfig(
    initial_capital=CAPITAL, sizing="units", units=UNITS, commission=FEE, slippage=0.0, stop_loss=STOP,
    take_profit=TARGET, allow_short=True, fill="close",
)  # fmt: skip
RESULT = Path(__file__).parent / "results" / "backtest_speed.json"
Work = dict[str, Callable[[], Any]]


# --- data ------------------------------------------------------------------------------------------
def market(bars: int, seed: int = 1) -> tuple[pd.DataFrame, pd.Series]:
    """Hourly candles on a grid of 0.01 that stay within 100 to 10,000, and signals in one bar of fifty.

    No open or close is a multiple of 0.25, from which a stop of 2 % lies on the grid, where rounding decides.
    """
    rng = np.random.default_rng(seed)
    log = np.cumsum(rng.normal(0, 0.006, bars))
    wide = math.log(10)
    close = 1_000 * np.exp(wide - np.abs((log + wide) % (4 * wide) - 2 * wide))  # reflected at both ends
    opened = np.concatenate(([1_000.0], close[:-1])) * np.exp(rng.normal(0, 0.001, bars))
    reach = np.abs(rng.normal(0, 0.003, (2, bars)))
    high, low = np.maximum(opened, close) * (1 + reach[0]), np.minimum(opened, close) * (1 - reach[1])
    cents = np.round(100 * np.stack((opened, high, low, close)))
    cents[[0, 3]] += cents[[0, 3]] % 25 == 0
    cents[1], cents[2] = cents.max(axis=0), cents.min(axis=0)
    index = pd.date_range("1800-01-01", periods=bars, freq="min")
    frame = pd.DataFrame(dict(zip(("open", "high", "low", "close"), cents / 100, strict=True)), index=index)
    signals = rng.choice([-1, 0, 1], bars, p=[0.01, 0.98, 0.01])
    signals[[0, -1]] = 0
    return frame, pd.Series(signals, index=index)


def unheard(frame: pd.DataFrame, signals: pd.Series) -> pd.Series:
    """Signals without those in the bar of a stop or target, which ``vectorbt`` does not hear; counted in no timing."""
    signals = signals.copy()
    while True:
        stopped = in_a_stop(backtest_signals(frame, signals, CONFIG), signals)
        if not len(stopped):
            return signals
        signals.loc[stopped] = 0


def in_a_stop(result: Any, signals: pd.Series) -> pd.Index:
    """Times of signals in the bar of a stop or target."""
    trades = result.trades
    times = pd.Index(trades.loc[trades["exit_reason"].isin(["stop_loss", "take_profit"]), "exit_time"])
    return times[signals.loc[times].to_numpy() != 0]


# --- peers -----------------------------------------------------------------------------------------
def missing(*names: str) -> dict[str, str]:
    """Name to the reason why a peer cannot be imported."""
    found = {}
    for name in names:
        try:
            with warnings.catch_warnings(), contextlib.redirect_stderr(None):
                warnings.simplefilter("ignore")
                importlib.import_module(name)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return found


def vectorbt_run(frame: pd.DataFrame, signals: pd.Series, stop: Any = STOP, target: Any = TARGET) -> Any:
    import vectorbt as vbt

    last = pd.Series(frame.index == frame.index[-1], index=frame.index)  # what is open is closed at the end
    return vbt.Portfolio.from_signals(
        frame["close"], entries=signals > 0, exits=last, short_entries=signals < 0, short_exits=last,
        open=frame["open"], high=frame["high"], low=frame["low"], price=frame["close"], stop_entry_price="close",
        upon_opposite_entry="reverse", size=UNITS, size_type="amount", fees=FEE, sl_stop=stop, tp_stop=target,
        init_cash=CAPITAL, freq="1h",
    )  # fmt: skip


def vectorbt_metrics(book: Any) -> list[Any]:
    return [book.total_return(), book.sharpe_ratio(), book.max_drawdown(), book.trades.count(), book.trades.win_rate()]


def backtesting_run(frame: pd.DataFrame, signals: pd.Series) -> Any:
    """``backtesting`` with ``trade_on_close=True``: one order that closes and opens."""
    import backtesting

    values, n = signals.to_numpy(), len(signals)

    class Follow(backtesting.Strategy):  # type: ignore[misc,name-defined]
        def init(self) -> None:
            pass

        def next(self) -> None:
            bar = len(self.data) - 1
            wanted = values[bar] if bar < n - 1 else 0
            if wanted == 0:
                return
            held = np.sign(self.position.size)
            if wanted == held:
                return
            for trade in self.trades:  # close() would fill at the open; an opposite order fills at the close
                trade.sl = trade.tp = None
            fill = self.data.Close[-1]
            order = self.buy if wanted > 0 else self.sell
            order(size=UNITS * (1 + abs(held)), sl=fill * (1 - wanted * STOP), tp=fill * (1 + wanted * TARGET))

    backtesting.backtesting._tqdm = lambda items, **_: items  # no bars of progress
    data = frame.rename(columns=str.title)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return backtesting.Backtest(
            data, Follow, cash=CAPITAL, commission=FEE, trade_on_close=True, finalize_trades=True
        ).run()


# --- the parts ---------------------------------------------------------------------------------------
def single(quick: bool) -> tuple[dict[str, Any], list[dict]]:
    """One backtest with stops."""
    bars = 2_000 if quick else 10_000
    frame, signals = market(bars)
    signals = unheard(frame, signals)
    absent = missing("vectorbt", "backtesting")
    result = backtest_signals(frame, signals, CONFIG, loop="compiled")
    checks: dict[str, float] = {}
    work: Work = {
        OURS: lambda: backtest_signals(frame, signals, CONFIG, loop="compiled"),
        PLAIN: lambda: backtest_signals(frame, signals, CONFIG, loop="plain"),
    }
    if "vectorbt" not in absent:
        checks |= _vectorbt_differences(frame, signals, result)

        def minimal() -> Any:
            book = vectorbt_run(frame, signals)
            return book.trades.records, book.value()

        def measured() -> Any:
            book = vectorbt_run(frame, signals)
            return book.trades.records, book.value(), vectorbt_metrics(book)

        work |= {VECTORBT: minimal, METRICS: measured}
    if "backtesting" not in absent:
        checks |= _backtesting_differences(frame, signals, result)
        work[BACKTESTING] = lambda: backtesting_run(frame, signals)
    table, ms = race(work, 5 if quick else 15)
    rows = [] if quick else [target("10,000 candles, our milliseconds", ms[OURS])]
    fastest = min((ms[p] for p in (VECTORBT, BACKTESTING) if p in ms), default=None)
    if fastest:
        rows += [
            target("10,000 candles: fastest peer / ours", fastest / ms[OURS], at_least=6),
            target("10,000 candles: fastest peer / our plain Python loop", fastest / ms[PLAIN], at_least=2),
        ]
    if BACKTESTING in ms:
        rows.append(target("10,000 candles: backtesting / ours", ms[BACKTESTING] / ms[OURS], at_least=60))
    return part(table, absent, {"candles": bars, "trades": len(result.trades)}, checks), rows


def million(quick: bool) -> tuple[dict[str, Any], list[dict]]:
    """One backtest of a million candles."""
    bars = 20_000 if quick else 1_000_000
    frame, signals = market(bars, seed=2)
    signals = unheard(frame, signals)
    absent = missing("vectorbt")
    result = backtest_signals(frame, signals, CONFIG, loop="compiled")
    checks: dict[str, float] = {}
    work: Work = {OURS: lambda: backtest_signals(frame, signals, CONFIG, loop="compiled")}
    if not absent:
        checks = _vectorbt_differences(frame, signals, result)

        def minimal() -> Any:
            book = vectorbt_run(frame, signals)
            return book.trades.records, book.value()

        work[VECTORBT] = minimal
    table, ms = race(work, 3 if quick else 9)
    rows = [target("1,000,000 candles: fastest peer / ours", ms[VECTORBT] / ms[OURS], at_least=7)] if not absent else []
    return part(table, absent, {"candles": bars, "trades": len(result.trades)}, checks), rows


def sets(quick: bool) -> tuple[dict[str, Any], list[dict]]:
    """A thousand pairs of stop and target on the same candles, ours by the default executor, threads."""
    bars, side = (2_000, 4) if quick else (10_000, 32)
    frame, signals = market(bars)
    pairs = [(float(s), float(t)) for s in np.linspace(0.005, 0.05, side) for t in np.linspace(0.01, 0.1, side)][:1_000]
    state = {k: v for k, v in vars(CONFIG).items() if k not in ("stop_loss", "take_profit")}
    configs = [BacktestConfig(**state, stop_loss=s, take_profit=t) for s, t in pairs]
    stops, targets = (np.array(column)[None, :] for column in zip(*pairs, strict=True))
    absent = missing("vectorbt")
    ours = sweep(frame, signals, configs).metrics
    work: Work = {OURS: lambda: sweep(frame, signals, configs)}
    checks: dict[str, float] = {}
    if not absent:

        def minimal() -> Any:
            book = vectorbt_run(frame, signals, stops, targets)
            record = book.trades.values
            return np.bincount(record["col"], weights=record["pnl"], minlength=len(pairs)) / CAPITAL

        same = np.isclose(minimal(), ours["total_return"], rtol=0, atol=1e-9)
        heard = np.array([not len(in_a_stop(backtest_signals(frame, signals, c), signals)) for c in configs])
        checks = {"sets_that_both_must_agree_on": float(heard.sum()), "of_them_equal": float((same & heard).sum())}
        if not heard.any() or not same[heard].all():
            raise AssertionError(f"vectorbt computes something else ({checks}): timing it says nothing")
        work["vectorbt, total return alone"] = minimal
    table, ms = race(work, 3 if quick else 5)
    rows = []
    if not absent:
        for _ in range(2):  # the first call compiles
            begin = time.perf_counter()
            vectorbt_metrics(vectorbt_run(frame, signals, stops, targets))
            took = 1e3 * (time.perf_counter() - begin)
        table.append({"name": METRICS + ", one call", "ms": round(took, 2), "times_ours": round(took / ms[OURS], 2)})
        rows = [
            target(
                f"{len(pairs):,} sets: vectorbt, total return alone / ours",
                ms["vectorbt, total return alone"] / ms[OURS],
                at_least=35,
            ),
            target(f"{len(pairs):,} sets: vectorbt with metrics / ours", took / ms[OURS], at_least=35),
        ]
    return part(table, absent, {"candles": bars, "sets": len(pairs)}, checks), rows


def portfolio(quick: bool) -> tuple[dict[str, Any], list[dict]]:
    """Target weights, traded every twenty bars at the close."""
    bars, assets = (1_000, 5) if quick else (10_000, 100)
    rng = np.random.default_rng(3)
    index = pd.date_range("2020-01-01", periods=bars, freq="h")
    names = [f"A{i:03d}" for i in range(assets)]
    prices = pd.DataFrame(100 * np.exp(np.cumsum(rng.normal(0, 0.005, (bars, assets)), axis=0)), index, names)
    weights = pd.DataFrame(rng.dirichlet(np.ones(assets), bars) * 0.95, index, names)
    config = PortfolioConfig(
        rebalance_every=20, commission=FEE, slippage=0.0, max_weight=1.0, fill="close", initial_capital=CAPITAL
    )
    absent = missing("vectorbt")
    ours = backtest_portfolio(prices, weights, config, loop="compiled")
    work: Work = {OURS: lambda: backtest_portfolio(prices, weights, config, loop="compiled")}
    checks: dict[str, float] = {}
    if not absent:
        import vectorbt as vbt

        def peer() -> Any:
            size = np.full(prices.shape, np.nan)
            size[::20] = weights.to_numpy()[::20]
            book = vbt.Portfolio.from_orders(
                prices, size=size, size_type="targetpercent", group_by=True, cash_sharing=True, call_seq="auto",
                fees=FEE, init_cash=CAPITAL, freq="1h",
            )  # fmt: skip
            return book.orders.records, book.value()

        orders, value = peer()
        checks["largest_relative_difference_of_equity"] = _apart(value.to_numpy(), ours.equity.to_numpy())
        if len(orders) != len(ours.trades) or not checks["largest_relative_difference_of_equity"] < 1e-8:
            raise AssertionError(f"vectorbt computes something else ({checks}): timing it says nothing")
        work[VECTORBT] = peer
    table, ms = race(work, 3 if quick else 9)
    rows = (
        [target(f"portfolio {bars:,} x {assets}: vectorbt / ours", ms[VECTORBT] / ms[OURS], at_least=25)]
        if not absent
        else []
    )
    return part(table, absent, {"bars": bars, "assets": assets, "orders": len(ours.trades)}, checks), rows


def overfitting(quick: bool) -> tuple[dict[str, Any], list[dict]]:
    """The probability of backtest overfitting of 20 strategies of noise over 1,280 bars."""
    blocks = 8 if quick else 16
    returns = np.random.default_rng(4).normal(0, 0.01, (1_280, 20))
    absent = missing(PURGED)
    ours = probability_of_backtest_overfitting(returns, num_blocks=blocks)
    work: Work = {OURS: lambda: probability_of_backtest_overfitting(returns, num_blocks=blocks)}
    checks: dict[str, float] = {}
    if not absent:
        from purgedcv import probability_of_backtest_overfitting as theirs

        strategies = np.ascontiguousarray(returns.T)  # its tables have a row per strategy
        begin = time.perf_counter()
        found = theirs(strategies, blocks)
        took = 1e3 * (time.perf_counter() - begin)
        logits = found.logits[::-1]  # it names a split by the half out of sample
        checks["largest_difference_of_logits"] = float(np.abs(logits - ours.logits).max())
        if not checks["largest_difference_of_logits"] < 1e-9:
            raise AssertionError(f"purgedcv computes something else ({checks}): timing it says nothing")
    table, ms = race(work, 15)
    rows = []
    if not absent:
        table.append({"name": PURGED + ", one call", "ms": round(took, 2), "times_ours": round(took / ms[OURS], 1)})
        rows = [target(f"{blocks} blocks: purgedcv / ours", took / ms[OURS], at_least=100)]
    return part(table, absent, {"bars": 1_280, "strategies": 20, "blocks": blocks}, checks), rows


def growth(quick: bool) -> tuple[dict[str, Any], list[dict]]:
    """Processor time of ours against the number of candles."""
    lengths = [10_000, 30_000, 100_000] if quick else [100_000, 300_000, 1_000_000, 3_000_000, 10_000_000]
    seconds = []
    for length in lengths:
        frame, signals = market(length, seed=5)
        took = []
        for _ in range(3 if length > 2_000_000 else 7):
            begin = time.process_time()
            backtest_signals(frame, signals, CONFIG, loop="compiled")
            took.append(time.process_time() - begin)
        seconds.append(statistics.median(took[1:]))
    logs = [[math.log(x) for x in values] for values in (lengths, seconds)]
    slope = statistics.linear_regression(*logs).slope
    result = {
        "lengths": lengths,
        "processor_seconds": [round(s, 4) for s in seconds],
        "nanoseconds_a_candle": [round(1e9 * s / n, 1) for s, n in zip(seconds, lengths, strict=True)],
    }
    print(f"\ngrowth: {result}")
    return result, [target(f"slope of the time, {lengths[0]:,} to {lengths[-1]:,} candles", slope, at_most=1.1)]


PARTS: dict[str, Callable[[bool], tuple[dict[str, Any], list[dict]]]] = {
    "single": single,
    "million": million,
    "sets": sets,
    "portfolio": portfolio,
    "overfitting": overfitting,
    "growth": growth,
}


# --- checks ------------------------------------------------------------------------------------------
def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float((np.abs(one - other) / np.abs(other)).max())


def _vectorbt_differences(frame: pd.DataFrame, signals: pd.Series, result: Any) -> dict[str, float]:
    book = vectorbt_run(frame, signals)
    record, ours = book.trades.values, result.trades
    if len(record) != len(ours):
        raise AssertionError(f"vectorbt makes {len(record)} trades, ours {len(ours)}: timing it says nothing")
    gaps = {
        "vectorbt_bars": float((frame.index[record["exit_idx"]] != ours["exit_time"].to_numpy()).sum()),
        "vectorbt_prices": _apart(record["exit_price"], ours["exit_price"].to_numpy()),
        "vectorbt_equity": _apart(book.value().to_numpy(), result.equity.to_numpy()),
    }
    return _small(gaps, "vectorbt")


def _backtesting_differences(frame: pd.DataFrame, signals: pd.Series, result: Any) -> dict[str, float]:
    stats, ours = backtesting_run(frame, signals), result.trades
    theirs = stats["_trades"].sort_values(["EntryBar", "ExitBar"], kind="stable")
    if len(theirs) != len(ours):
        raise AssertionError(f"backtesting makes {len(theirs)} trades, ours {len(ours)}: timing it says nothing")
    whole = slice(None, -1)  # the last is closed at the end, where it settles at another price
    gaps = {
        "backtesting_prices": _apart(theirs["ExitPrice"].to_numpy()[whole], ours["exit_price"].to_numpy()[whole]),
        "backtesting_profits": float(
            np.abs(theirs["PnL"].to_numpy() - ours["net_pnl"].to_numpy())[whole].max() / CAPITAL
        ),
    }
    return _small(gaps, "backtesting")


def _small(gaps: dict[str, float], name: str) -> dict[str, float]:
    if not max(gaps.values()) < 1e-9:
        raise AssertionError(f"{name} computes something else ({gaps}): timing it says nothing")
    return gaps


# --- tables ------------------------------------------------------------------------------------------
def race(work: Work, rounds: int) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Rows for the table, and median milliseconds by name."""
    found = bench(work, repeat=rounds, warmup=1, shortest=0.02)
    ms = {str(name): float(value) for name, value in found["median_ms"].items()}
    rows = [
        {
            "name": name,
            "ms": round(value, 3),
            "best_ms": round(float(found["best_ms"][name]), 3),
            "times_ours": round(value / ms[OURS], 2),
            "spread": round(float(found["spread"][name]), 3),
        }
        for name, value in ms.items()
    ]
    return rows, ms


def part(rows: list[dict], absent: dict[str, str], setting: dict[str, Any], checks: dict[str, float]) -> dict[str, Any]:
    """One part of the file, printed on the way."""
    print(f"\n{setting}")
    for row in rows:
        print(f"  {row['name']:<34} {row['ms']:>10.3f} ms  {row['times_ours']:>9.2f} x ours")
    for name, reason in absent.items():
        print(f"  {name:<34} missing: {reason}")
    return {"setting": setting, "rows": rows, "checked_before_timing": checks, "missing": absent}


def target(name: str, measured: float, *, at_most: float | None = None, at_least: float | None = None) -> dict:
    """One row of the table of targets."""
    met = (at_most is None or measured <= at_most) and (at_least is None or measured >= at_least)
    bound = {k: v for k, v in (("at_most", at_most), ("at_least", at_least)) if v is not None}
    return {"name": name, "measured": round(measured, 3), **bound, "met": met}


def save(name: str, result: dict[str, Any]) -> None:
    """Put one part into the file, beside machine and versions."""
    old = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    versions = {"pandas": pd.__version__, "numpy": np.__version__}
    for peer in ("numba", "vectorbt", "backtesting", "purgedcv"):
        with contextlib.suppress(ImportError):
            versions[peer] = version(peer)
    head = {
        "machine": machine(),
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()),
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": ".peers/bin/python benchmarks/backtest_speed.py",
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({**old, **head, name: result}, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short series, few rounds; writes nothing")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    options = parser.parse_args()
    targets = []
    for name in options.parts:
        result, rows = PARTS[name](options.quick)
        targets += rows
        if not options.quick:
            save(name, {**result, "targets": rows})
    print("\nthe targets are stated for the full sizes, not for these" if options.quick else "")
    for row in targets:
        bound = f"<= {row['at_most']:g}" if "at_most" in row else f">= {row.get('at_least', 0):g}"
        print(f"{'met   ' if row['met'] else 'MISSED'}  {row['name']:<66} {row['measured']:>10.3f}  {bound}")


if __name__ == "__main__":
    main()
