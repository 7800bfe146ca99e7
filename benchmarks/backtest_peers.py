"""Backtests against other engines: the same trades, prices, profits and equity, on the semantics that they share.

Random candles on a grid of 0.01 with gaps at the open, random signals, stops and targets; each run goes through
``alphabook.backtest`` and through the peer in one process, and every trade and every bar's equity is compared. What is
known to differ is kept out by how candles and signals are made, before any engine has seen them or because ours says
where it happens (``without``), never by dropping a trade that does not match; the counts are in the result.

Runs in the peers' own environment (``requirements/peers.txt``)::

    .peers/bin/python benchmarks/backtest_peers.py [--runs 100] [--bars 1000] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from alphabook.backtest import BacktestConfig, PortfolioConfig, backtest_portfolio, backtest_signals  # noqa: E402
from alphabook.teaching.bench import machine  # noqa: E402

CAPITAL, UNITS, FEE, STOP, TARGET = 1e6, 100.0, 0.001, 0.02, 0.04
VOLATILITIES = (0.004, 0.01, 0.02)  # of a bar; at the largest, one bar may hold stop and target
WHOLE = ("entry_bar", "exit_bar", "direction")
REAL = ("entry_price", "exit_price", "units", "commission", "net_pnl")
CLOSE = 1e-9  # relative difference below which two numbers are the same


@dataclass
class Outcome:
    """What an engine says: a row per trade, equity at the close of each bar."""

    trades: pd.DataFrame
    equity: np.ndarray
    ambiguous: int = 0  # stop and target in one bar


@dataclass
class Tally:
    """What the comparisons of one mode add up to."""

    runs: int = 0
    trades: int = 0
    equal: int = 0
    by_stop_or_target: int = 0
    ambiguous: int = 0
    signals_left_out: int = 0
    bars: int = 0
    equal_bars: int = 0
    greatest: dict[str, float] = field(default_factory=dict)

    def add(self, ours: Outcome, theirs: Outcome, *, left_out: int = 0, stopped: int = 0) -> None:
        """Trades are paired in their order; a trade too many on either side equals nothing."""
        one, other = ours.trades, theirs.trades
        n = min(len(one), len(other))
        same = np.ones(n, dtype=bool)
        for name in WHOLE:
            same &= one[name].to_numpy()[:n] == other[name].to_numpy()[:n]
        for name in REAL:
            a, b = (t[name].to_numpy(dtype=float)[:n] for t in (one, other))
            scale = one["entry_price"].to_numpy()[:n] * one["units"].to_numpy()[:n] if name == "net_pnl" else np.abs(a)
            gap = np.abs(a - b) / np.where(scale > 0, scale, 1.0)
            same &= gap <= CLOSE
            self._note(name, gap)
        gap = np.abs(ours.equity - theirs.equity) / np.abs(ours.equity)
        self._note("equity", gap)
        self.runs += 1
        self.trades += max(len(one), len(other))
        self.equal += int(same.sum())
        self.by_stop_or_target += stopped
        self.ambiguous += ours.ambiguous
        self.signals_left_out += left_out
        self.bars += len(gap)
        self.equal_bars += int((gap <= CLOSE).sum())

    def _note(self, name: str, gap: np.ndarray) -> None:
        self.greatest[name] = max(self.greatest.get(name, 0.0), float(gap.max(initial=0.0)))


# --- data ------------------------------------------------------------------------------------------
def candles(bars: int, seed: int, volatility: float) -> pd.DataFrame:
    """Hourly candles on a grid of 0.01 that open away from the close before.

    A gap stays below 1.5 %, or ``backtesting`` refuses entries whose stop is beyond the last close; high and low stay
    within 5 % of the open, or a bar may open beyond the target and still reach the stop, which the peers settle as a
    stop at its level although the open came first. No open or close is a multiple of 0.25: from such a price a stop of
    2 % or a target of 4 % lies on the grid, a bar may touch it to the cent, and which side the level falls on is then
    up to the rounding of binary fractions (28 times 0.98 is 27.439999999999998, and a low of 27.44 is above it).
    """
    rng = np.random.default_rng([seed, 1])
    gap = np.clip(rng.normal(0, volatility / 2, bars), -0.015, 0.015)
    move = np.clip(rng.normal(0, volatility, bars), -0.045, 0.045)
    opened, close = np.empty(bars), np.empty(bars)
    last = 100.0
    for i in range(bars):
        opened[i] = last * (1 + gap[i])
        close[i] = last = opened[i] * (1 + move[i])
    reach = np.abs(rng.normal(0, volatility, (2, bars)))
    high = np.minimum(np.maximum(opened, close) * (1 + reach[0]), opened * 1.05)
    low = np.maximum(np.minimum(opened, close) * (1 - reach[1]), opened * 0.95)
    cents = pd.DataFrame({"open": opened, "high": high, "low": low, "close": close}).mul(100).round()
    cents[["open", "close"]] += cents[["open", "close"]] % 25 == 0
    frame = cents / 100
    frame["high"], frame["low"] = frame.max(axis=1), frame.min(axis=1)
    frame.index = pd.date_range("2024-01-01", periods=bars, freq="h")
    return frame


def opinions(bars: int, seed: int) -> np.ndarray:
    """Signals at random, a tenth to nine tenths of the bars; none in the first bar (``backtesting`` is not asked there)
    and none in the last (nothing is left to trade)."""
    rng = np.random.default_rng([seed, 2])
    share = rng.uniform(0.1, 0.9)
    signals = rng.choice([-1, 0, 1], bars, p=[share / 2, 1 - share, share / 2])
    signals[[0, -1]] = 0
    return signals


def one_more_bar(frame: pd.DataFrame) -> pd.DataFrame:
    """A bar behind the end in which nothing moves, so that a peer can close what is open at the last close."""
    last = frame["close"].iloc[-1]
    return pd.concat([frame, pd.DataFrame(last, [frame.index[-1] + pd.Timedelta("1h")], frame.columns)])


def ours(frame: pd.DataFrame, signals: np.ndarray, config: BacktestConfig) -> Outcome:
    result = backtest_signals(frame, pd.Series(signals, index=frame.index), config)
    trades = result.trades.assign(
        entry_bar=frame.index.get_indexer(result.trades["entry_time"]),
        exit_bar=frame.index.get_indexer(result.trades["exit_time"]),
    )
    return Outcome(trades, result.equity.to_numpy(), result.ambiguous)


def without(frame: pd.DataFrame, signals: np.ndarray, config: BacktestConfig, odd: Callable[..., np.ndarray]) -> int:
    """Blank, in place, the signals of the bars that ``odd`` names, until it names none; how many that took."""
    blanked = 0
    while True:
        bars = odd(frame, ours(frame, signals, config).trades)
        bars = bars[signals[bars] != 0]
        if not len(bars):
            return blanked
        signals[bars] = 0
        blanked += len(bars)


def in_the_bar_of_a_stop(frame: pd.DataFrame, trades: pd.DataFrame) -> np.ndarray:
    """``vectorbt`` does not hear the signal of a bar in which a stop or target was hit; ours does."""
    return trades.loc[trades["exit_reason"].isin(["stop_loss", "take_profit"]), "exit_bar"].to_numpy()


def before_a_stop_in_the_exit_bar(frame: pd.DataFrame, trades: pd.DataFrame) -> np.ndarray:
    """``vectorbt`` tries the stop of the whole bar before an exit that is due at its open; ours goes by the clock."""
    out = trades[(trades["exit_reason"] == "signal") & (trades["exit_bar"] > trades["entry_bar"])]
    bars, side, price = (out[c].to_numpy() for c in ("exit_bar", "direction", "entry_price"))
    low, high = frame["low"].to_numpy()[bars], frame["high"].to_numpy()[bars]
    worst, best = np.where(side > 0, low, -high), np.where(side > 0, high, -low)
    touched = (worst <= side * price * (1 - side * STOP)) | (best >= side * price * (1 + side * TARGET))
    return bars[touched] - 1


# --- peers -----------------------------------------------------------------------------------------
def vectorbt_close(frame: pd.DataFrame, signals: np.ndarray, config: BacktestConfig) -> Outcome:
    """Its default, orders at the close of the signal's bar; what is open at the end is closed at the last close."""
    last = np.arange(len(frame)) == len(frame) - 1
    return _vectorbt(frame, signals, config, last, price=frame["close"], stop_entry_price="close")


def vectorbt_open(frame: pd.DataFrame, signals: np.ndarray, config: BacktestConfig) -> Outcome:
    """Signals moved on by a bar and filled at its open; stops start from the price paid, in the bar after."""
    longer = one_more_bar(frame)
    last = np.arange(len(longer)) == len(frame)
    moved = np.concatenate(([0], signals))
    result = _vectorbt(longer, moved, config, last, price=longer["open"], stop_entry_price="fillprice")
    return _back_inside(result, len(frame))


def _vectorbt(
    frame: pd.DataFrame, signals: np.ndarray, config: BacktestConfig, out: np.ndarray, **settings: Any
) -> Outcome:
    import vectorbt as vbt

    if config.allow_short:
        settings |= {"short_entries": signals < 0, "short_exits": out, "upon_opposite_entry": "reverse"}
    else:
        out = out | (signals < 0)
    size = (config.units, "amount") if config.sizing == "units" else (config.position_size, "percent")
    book = vbt.Portfolio.from_signals(
        frame["close"], entries=signals > 0, exits=out, open=frame["open"], high=frame["high"], low=frame["low"],
        size=size[0], size_type=size[1], fees=FEE, sl_stop=STOP, tp_stop=TARGET, init_cash=CAPITAL, freq="1h",
        **settings,
    )  # fmt: skip
    record = book.trades.records
    trades = pd.DataFrame(
        {
            "entry_bar": record["entry_idx"],
            "exit_bar": record["exit_idx"],
            "direction": np.where(record["direction"] == 0, 1, -1),
            "entry_price": record["entry_price"],
            "exit_price": record["exit_price"],
            "units": record["size"],
            "commission": record["entry_fees"] + record["exit_fees"],
            "net_pnl": record["pnl"],
        }
    )
    return Outcome(trades, book.value().to_numpy())


def backtesting_close(frame: pd.DataFrame, signals: np.ndarray, config: BacktestConfig) -> Outcome:
    """``trade_on_close=True``. It books a fill at the close one bar late: the fees are moved back before comparing."""
    result = _backtesting(frame, signals, at_close=True)
    trades, late = result.trades, np.zeros(len(frame))
    entries, exits = trades, trades[trades["by_order"]]
    np.add.at(late, entries["entry_bar"], FEE * entries["entry_price"] * entries["units"])
    np.add.at(late, exits["exit_bar"], FEE * exits["exit_price"] * exits["units"])
    result.equity[:-1] -= late[:-1]
    return result


def backtesting_open(frame: pd.DataFrame, signals: np.ndarray, config: BacktestConfig) -> Outcome:
    """Its default: fills at the next open, stops live at once."""
    return _backtesting(frame, signals, at_close=False)


def _backtesting(frame: pd.DataFrame, signals: np.ndarray, *, at_close: bool) -> Outcome:
    import backtesting
    from backtesting import Backtest, Strategy

    n, ordered = len(frame), set()
    prices = (frame["close"] if at_close else one_more_bar(frame)["open"].shift(-1)).to_numpy()

    class Follow(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            pass

        def next(self) -> None:
            bar = len(self.data) - 1
            held = int(np.sign(self.position.size))
            if bar >= n - 1:
                if held and bar == n - 1:
                    self._flatten(held, 0)
                return
            wanted = int(signals[bar])
            if wanted in (0, held):
                return
            fill = prices[bar]  # at the open it is not known yet; stops must be named with the order
            if held:
                self._flatten(held, wanted)
            size = UNITS * (1 + abs(held) * at_close)  # one order that closes and opens, or a close and an order
            (self.buy if wanted > 0 else self.sell)(
                size=size, sl=fill * (1 - wanted * STOP), tp=fill * (1 + wanted * TARGET)
            )

        def _flatten(self, held: int, wanted: int) -> None:
            ordered.add(len(self.data) - 1)
            if not at_close:
                return self.position.close()
            for trade in self.trades:  # close() would fill at the open; an opposite order fills at the close
                trade.sl = trade.tp = None
            if not wanted:
                (self.sell if held > 0 else self.buy)(size=UNITS)

    backtesting.backtesting._tqdm = lambda items, **_: items  # no bars of progress
    data = one_more_bar(frame).rename(columns=str.title).assign(Volume=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stats = Backtest(data, Follow, cash=CAPITAL, commission=FEE, trade_on_close=at_close).run()
    table = stats["_trades"].sort_values(["EntryBar", "ExitBar"], kind="stable").reset_index(drop=True)
    side = np.sign(table["Size"].to_numpy())
    trades = pd.DataFrame(
        {
            "entry_bar": table["EntryBar"],
            "exit_bar": table["ExitBar"],
            "direction": side.astype(int),
            "entry_price": table["EntryPrice"],
            "exit_price": table["ExitPrice"],
            "units": table["Size"].abs(),
            "commission": table["Commission"],
            "net_pnl": table["PnL"],
        }
    )
    trades["by_order"] = trades["exit_bar"].isin(ordered)
    return _back_inside(Outcome(trades, stats["_equity_curve"]["Equity"].to_numpy(dtype=float)), n)


def backtrader_open(frame: pd.DataFrame, signals: np.ndarray, config: BacktestConfig) -> Outcome:
    """Market orders at the next open; when one has filled, a stop and a limit order of which one cancels the other."""
    import backtrader as bt

    n = len(frame)
    curve: list[float] = []
    rows: list[dict[str, Any]] = []

    class Follow(bt.Strategy):  # type: ignore[misc]
        def __init__(self) -> None:
            self.entry, self.out, self.legs = None, None, []

        def notify_order(self, order: Any) -> None:
            if order.status != order.Completed:
                return
            filled, bar = order.executed, len(self) - 1
            if order == self.entry:  # notices carry copies, equal by reference number
                side = 1 if order.isbuy() else -1
                rows.append(
                    {
                        "entry_bar": bar,
                        "direction": side,
                        "entry_price": filled.price,
                        "units": abs(filled.size),
                        "commission": filled.comm,
                    }
                )
                self.entry, self.legs = None, []
            elif order == self.out or order in self.legs:
                row = rows[-1]
                row |= {"exit_bar": bar, "exit_price": filled.price, "commission": row["commission"] + filled.comm}
                row["net_pnl"] = filled.pnl - row["commission"]
                self.out, self.legs = None, []

        def next(self) -> None:
            bar = len(self) - 1
            curve.append(self.broker.getvalue())
            held = int(np.sign(self.position.size))
            wanted = int(signals[bar]) if bar < n - 1 else 0
            if held and (bar == n - 1 or wanted == -held):
                for leg in self.legs[:1]:  # and with it the other
                    self.cancel(leg)
                self.out = self.close()
            elif held and not self.legs:  # just entered; sent here, for an order sent and cancelled in one bar stays
                price, leave = rows[-1]["entry_price"], self.sell if held > 0 else self.buy
                stop = leave(size=UNITS, exectype=bt.Order.Stop, price=price * (1 - held * STOP))
                limit = leave(size=UNITS, exectype=bt.Order.Limit, price=price * (1 + held * TARGET), oco=stop)
                self.legs = [stop, limit]
            if wanted not in (0, held):
                self.entry = (self.buy if wanted > 0 else self.sell)(size=UNITS)

    engine = bt.Cerebro(stdstats=False)
    engine.broker.setcash(CAPITAL)
    engine.broker.setcommission(commission=FEE)
    engine.adddata(bt.feeds.PandasData(dataname=one_more_bar(frame).assign(volume=1.0, openinterest=0.0)))
    engine.addstrategy(Follow)
    engine.run()
    columns = [*WHOLE, *REAL]
    return _back_inside(Outcome(pd.DataFrame(rows, columns=columns), np.array(curve)), n)


def _back_inside(result: Outcome, bars: int) -> Outcome:
    """The bar behind the end becomes the close of the last one: exits are dated there, its equity is the last point."""
    result.trades["exit_bar"] = np.minimum(result.trades["exit_bar"], bars - 1)
    result.equity = np.concatenate((result.equity[: bars - 1], result.equity[-1:]))
    return result


# --- weights ---------------------------------------------------------------------------------------
def weights_run(seed: int, *, opens: bool, short: bool, rows: int = 400, assets: int = 6) -> tuple[Outcome, Outcome]:
    """Random target weights every few bars, ours and ``vectorbt``'s; a row per order instead of a trade."""
    import vectorbt as vbt

    rng = np.random.default_rng([seed, 3])
    index = pd.date_range("2024-01-01", periods=rows, freq="h")
    names = [f"A{i}" for i in range(assets)]
    close = pd.DataFrame(100 * np.exp(np.cumsum(rng.normal(0, 0.01, (rows, assets)), axis=0)), index, names).round(2)
    opened = (close.shift(1, fill_value=100.0) * np.exp(rng.normal(0, 0.003, (rows, assets)))).round(2)
    wanted = pd.DataFrame(0.95 * rng.dirichlet(np.ones(assets), rows), index, names)
    if short:
        wanted *= rng.choice([-1, 1], wanted.shape)
    every = int(rng.integers(1, 30))
    config = PortfolioConfig(
        initial_capital=CAPITAL, rebalance_every=every, commission=FEE, slippage=0.0, max_weight=1.0,
        allow_short=short, fill="next_bar" if opens else "close", periods_per_year=8760.0,
    )  # fmt: skip
    result = backtest_portfolio(close, wanted, config, opens=opened if opens else None)
    sizes = wanted.where(pd.Series(np.arange(rows) % every == 0, index), np.nan)
    prices = opened if opens else close
    book = vbt.Portfolio.from_orders(
        close, size=sizes.shift(1) if opens else sizes, size_type="targetpercent", price=prices, val_price=prices,
        fees=FEE, init_cash=CAPITAL, cash_sharing=True, group_by=True, call_seq="auto", freq="1h",
    )  # fmt: skip
    one, other = result.trades, book.orders.records
    mine = pd.DataFrame({"bar": index.get_indexer(one["time"]), "asset": [names.index(a) for a in one["asset"]]})
    mine = mine.assign(units=one["units"], price=one["price"], commission=one["cost"], net_pnl=0.0)
    sign = np.where(other["side"] == 0, 1.0, -1.0)
    theirs = pd.DataFrame({"bar": other["idx"], "asset": other["col"], "units": sign * other["size"]})
    theirs = theirs.assign(price=other["price"], commission=other["fees"], net_pnl=0.0)
    return tuple(  # type: ignore[return-value]
        Outcome(_as_trades(t), e) for t, e in ((mine, result.equity.to_numpy()), (theirs, book.value().to_numpy()))
    )


def _as_trades(orders: pd.DataFrame) -> pd.DataFrame:
    """Orders in the columns of trades: bar and asset are whole, price and units are to be equal."""
    orders = orders.sort_values(["bar", "asset"]).reset_index(drop=True)
    return pd.DataFrame(
        {
            "entry_bar": orders["bar"], "exit_bar": orders["asset"], "direction": np.sign(orders["units"]).astype(int),
            "entry_price": orders["price"], "exit_price": orders["price"], "units": orders["units"].abs(),
            "commission": orders["commission"], "net_pnl": orders["net_pnl"],
        }
    )  # fmt: skip


# --- all of it -------------------------------------------------------------------------------------
LAW: dict[str, Any] = {
    "initial_capital": CAPITAL, "commission": FEE, "slippage": 0.0, "stop_loss": STOP, "take_profit": TARGET,
    "periods_per_year": 8760.0,
}  # fmt: skip
FIXED = {**LAW, "sizing": "units", "units": UNITS, "allow_short": True}
AT_CLOSE = BacktestConfig(**FIXED, fill="close")
NEXT_OPEN = BacktestConfig(**FIXED)
NEXT_BAR = BacktestConfig(**FIXED, stop_from="next_bar")
HALF = {**LAW, "position_size": 0.5}
SIGNALS = {  # mode: peer, what it runs, our configuration, what to keep out, share of the runs
    "fill at the close: vectorbt": (vectorbt_close, AT_CLOSE, in_the_bar_of_a_stop, 1.0),
    "fill at the close: backtesting": (backtesting_close, AT_CLOSE, None, 1.0),
    "next open, stops at once: backtesting": (backtesting_open, NEXT_OPEN, None, 1.0),
    "next open, stops from the next bar: backtrader": (backtrader_open, NEXT_BAR, None, 0.5),
    "next open, stops from the next bar: vectorbt": (vectorbt_open, NEXT_BAR, before_a_stop_in_the_exit_bar, 1.0),
    "half the equity, long only, close: vectorbt": (
        vectorbt_close, BacktestConfig(**HALF, fill="close"), in_the_bar_of_a_stop, 1.0,
    ),
    "half the equity, long only, next open: vectorbt": (
        vectorbt_open, BacktestConfig(**HALF, stop_from="next_bar"), before_a_stop_in_the_exit_bar, 1.0,
    ),
}  # fmt: skip
WEIGHTS = {
    "target weights, close: vectorbt": {"opens": False, "short": False},
    "target weights, next open: vectorbt": {"opens": True, "short": False},
    "target weights, long and short: vectorbt": {"opens": False, "short": True},
}


def compare(runs: int, bars: int) -> Iterator[tuple[str, Tally]]:
    """Every mode over ``runs`` seeded markets of ``bars`` candles."""
    for mode, (peer, config, odd, share) in SIGNALS.items():
        tally = Tally()
        for seed in range(max(1, round(runs * share))):
            frame = candles(bars, seed, VOLATILITIES[seed % len(VOLATILITIES)])
            signals = opinions(bars, seed)
            left_out = without(frame, signals, config, odd) if odd else 0
            mine = ours(frame, signals, config)
            stopped = int(mine.trades["exit_reason"].isin(["stop_loss", "take_profit"]).sum())
            tally.add(mine, peer(frame, signals, config), left_out=left_out, stopped=stopped)
        yield mode, tally
    for mode, settings in WEIGHTS.items():
        tally = Tally()
        for seed in range(runs):
            tally.add(*weights_run(seed, **settings))
        yield mode, tally


def without_that_care(runs: int, bars: int) -> list[dict[str, Any]]:
    """Signals as they were drawn: how many of our trades the peer makes too, to the bar and the cent."""
    rows = []
    for mode, (peer, config, odd, _) in SIGNALS.items():
        if odd is None:
            continue
        trades = twins = 0
        for seed in range(runs):
            frame, signals = candles(bars, seed, VOLATILITIES[seed % len(VOLATILITIES)]), opinions(bars, seed)
            keys = [
                set(zip(*(t[name] for name in WHOLE), t["exit_price"].round(6), strict=True))
                for t in (ours(frame, signals, config).trades, peer(frame, signals, config).trades)
            ]
            trades += len(keys[0])
            twins += len(keys[0] & keys[1])
        rows.append({"name": mode, "trades": trades, "made_by_both": twins, "percent": 100 * twins / trades})
    return rows


def report(found: dict[str, Tally], careless: list[dict[str, Any]], runs: int, bars: int) -> dict[str, Any]:
    """The result file, in the form that the page of benchmarks reads."""
    rows, targets = [], []
    for mode, tally in found.items():
        gap = tally.greatest
        row = {"name": mode, "trades": tally.trades, "equal": tally.equal, "stop_or_target": tally.by_stop_or_target}
        row |= {"ambiguous": tally.ambiguous, "signals_left_out": tally.signals_left_out}
        row |= {"price": max(gap["entry_price"], gap["exit_price"]), "units": gap["units"], "fees": gap["commission"]}
        rows.append(row | {"net_pnl": gap["net_pnl"], "equity": gap["equity"]})
        share = min(tally.equal / tally.trades, tally.equal_bars / tally.bars)
        name = f"{mode}: equal trades, and bars of equity, %"
        targets.append({"name": name, "measured": 100 * share, "at_least": 100.0, "met": share == 1})
    peers = {name: version(name) for name in ("vectorbt", "backtesting", "backtrader", "pandas")}
    setting = {"runs a mode": runs, "candles a run": bars, "equal": f"within {CLOSE:g} of price, units, fee or value"}
    return {
        "benchmark": "backtest_peers",
        "machine": machine(),
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": ".peers/bin/python benchmarks/backtest_peers.py",
        "versions": ", ".join(f"{name} {number}" for name, number in peers.items()),
        "greatest_relative_differences": {
            "setting": setting,
            "rows_are": "Mode",
            "rows": rows,
            "targets": targets,
        },
        "without_leaving_out_signals": {
            "rows_are": "Mode",
            "rows": careless,
            "reasons": {
                "at the close": "vectorbt does not hear the signal of a bar that hit a stop or target; ours does.",
                "at the open": "vectorbt tries the stops of a bar before an exit that is due at its open.",
            },
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--bars", type=int, default=1_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "backtest_peers.json")
    settings = parser.parse_args()
    found = {}
    for mode, tally in compare(settings.runs, settings.bars):
        found[mode] = tally
        gaps = ", ".join(f"{name} {gap:.1e}" for name, gap in tally.greatest.items())
        print(
            f"{mode:<48} {tally.equal:>7,} of {tally.trades:>7,} trades, {tally.equal_bars:,} of {tally.bars:,} bars; "
            f"{tally.signals_left_out:,} signals left out; {gaps}",
            flush=True,
        )
    careless = without_that_care(max(1, settings.runs // 5), settings.bars)
    for row in careless:
        print("no signals left out: {name:<48} {made_by_both:>7,} of {trades:>7,} trades".format(**row))
    result = report(found, careless, settings.runs, settings.bars)
    settings.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if all(t.equal == t.trades and t.equal_bars == t.bars for t in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
