"""A museum of broken backtests: what an exhibit says of itself, and the tests that may catch it.

An exhibit is a function from prices to a :class:`Story`. Six detectors question it: the look-ahead audit, the cash
identity, the fills, the limits, the metrics, and the noise test on many null markets. None of them reads its code.
Taught in :doc:`/notebooks/backtests/museum`.
"""

from __future__ import annotations

import inspect
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ..evaluation import audit_lookahead
from ..simulated import PROFILES, simulate_market

CAPITAL, COST, YEAR, FIT = 100_000.0, 0.0015, 8760, 1_000
"""Initial capital; cost per unit of traded value, fee and slippage together; hours in a year; rows to fit on."""
DETECTORS = ("audit", "cash", "fills", "limits", "metrics", "noise")
Prices = dict[str, pd.DataFrame]


@dataclass(eq=False)
class Story:
    """What a backtest says of itself.

    Attributes:
        equity: value of the account at each close, costs paid.
        held: share of equity held *during* each bar, a Series or a column per asset; ``None`` where fills say it.
        fills: (row, units, price) of every trade; units are negative for sales.
        sharpe: the annual Sharpe ratio that it reports.
        cap: largest weight that it promises.
    """

    equity: pd.Series
    held: pd.Series | pd.DataFrame | None = None
    fills: list[tuple[int, float, float]] | None = None
    sharpe: float | None = None
    cap: float = 1.0

    def __post_init__(self) -> None:
        if self.sharpe is None:
            self.sharpe = sharpe(net_returns(self.equity))
        self.sharpe = float(self.sharpe)


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A broken backtest, its repaired twin, and how to question both."""

    name: str
    data: str
    broken: Callable[[pd.DataFrame], Story]
    repaired: Callable[[pd.DataFrame], Story]
    source: str
    fix: Mapping[str, str]
    fit_rows: int = 0

    @property
    def lines(self) -> list[int]:
        """Numbers of the wrong lines, from 1."""
        return [k for k, line in enumerate(self.source.splitlines(), start=1) if line.strip() in self.fix]


_EXHIBITS: dict[str, Exhibit] = {}


def exhibit(name: str, *, fix: Mapping[str, str], data: str = "bars", fit_rows: int = 0) -> Callable[..., Any]:
    """Hang a broken backtest up; its repaired twin is its own text with the lines of ``fix`` exchanged.

    Raises:
        ValueError: a line to exchange does not occur exactly once.
    """

    def hang(function: Callable[[pd.DataFrame], Story]) -> Callable[[pd.DataFrame], Story]:
        source = textwrap.dedent(inspect.getsource(function))
        source = source[source.index("def ") :].rstrip()
        lines = source.splitlines()
        for wrong in fix:
            if sum(line.strip() == wrong for line in lines) != 1:
                raise ValueError(f"exhibit {name}: the line {wrong!r} must occur once in its source")
        mended = "\n".join(
            line.replace(line.strip(), fix[line.strip()]) if line.strip() in fix else line for line in lines
        )
        space = dict(function.__globals__)
        exec(compile(mended, f"<{name}, repaired>", "exec"), space)  # the text shown is the text that runs
        _EXHIBITS[name] = Exhibit(name, data, function, space[function.__name__], source, dict(fix), fit_rows)
        return function

    return hang


def exhibits() -> dict[str, Exhibit]:
    """All exhibits by name, in the order of the rooms."""
    from . import museum_rooms  # noqa: F401 (hangs them up)

    return dict(_EXHIBITS)


# --- parts that exhibits are built from ----------------------------------------------------------
def net_returns(equity: pd.Series) -> pd.Series:
    """Simple return of each bar, the first against the initial capital."""
    values = equity.to_numpy(dtype=float)
    return pd.Series(values / np.concatenate(([CAPITAL], values[:-1])) - 1, equity.index)


def sharpe(returns: pd.Series, per_year: float | None = None) -> float:
    """Mean over standard deviation times the root of the bars per year, which the index tells."""
    years = per_year or pd.Timedelta(days=365) / (returns.index[1] - returns.index[0])
    values = returns.to_numpy()
    spread = float(values.std(ddof=1))
    return float(values.mean()) / spread * math.sqrt(years) if spread > 0 else 0.0


def trend(bars: pd.DataFrame, window: int) -> pd.Series:
    """Sign of the last ``window`` bars' return, known at each close."""
    moves = bars["close"].pct_change(window).fillna(0)
    return pd.Series(np.sign(moves.to_numpy()), moves.index)


def account(prices: pd.DataFrame, held: pd.Series | pd.DataFrame, *, cap: float = 1.0) -> Story:
    """The account of who holds ``held`` during each bar and pays ``COST`` per unit that it changes."""
    return Story(_account(prices, held), held=held, cap=cap)


def tell(prices: pd.DataFrame, fills: Sequence[tuple[int, float, float]], equity: Any = None) -> Story:
    """A story of fills; without an equity of its own, the one that the fills give."""
    curve = _replay(prices, fills) if equity is None else pd.Series(equity, prices.index)
    return Story(curve, fills=list(fills))


def nearest(known: pd.DataFrame, labels: pd.Series, wanted: pd.DataFrame) -> pd.Series:
    """Label of the known row that is nearest: a model that remembers everything."""
    from scipy.spatial import cKDTree

    ok, asked = known.notna().all(axis=1) & labels.notna(), wanted.notna().all(axis=1)
    found = pd.Series(np.nan, wanted.index)
    if ok.any() and asked.any():
        found[asked] = labels[ok].to_numpy()[cKDTree(known[ok].to_numpy()).query(wanted[asked].to_numpy())[1]]
    return found


def _account(prices: pd.DataFrame, held: pd.Series | pd.DataFrame) -> pd.Series:
    weights = held.to_numpy(dtype=float).reshape(len(held), -1)
    closes = prices[["close"]] if isinstance(held, pd.Series) else prices[list(held.columns)]
    quoted = closes.ffill().to_numpy()
    moves = np.zeros_like(quoted)
    moves[1:] = np.nan_to_num(quoted[1:] / quoted[:-1] - 1)
    traded = np.abs(np.diff(weights, axis=0, prepend=0.0))
    return pd.Series(CAPITAL * np.cumprod(1 + (weights * moves - COST * traded).sum(axis=1)), held.index)


def _replay(prices: pd.DataFrame, fills: Sequence[tuple[int, float, float]]) -> pd.Series:
    flow, units = np.zeros(len(prices)), np.zeros(len(prices))
    for row, size, price in fills:
        flow[row] -= size * price + COST * abs(size * price)
        units[row] += size
    return pd.Series(CAPITAL + flow.cumsum() + units.cumsum() * prices["close"].to_numpy(), prices.index)


# --- the markets ---------------------------------------------------------------------------------
def rooms_of(candles: pd.DataFrame, seed: int = 0) -> Prices:
    """The views of one market that exhibits ask for.

    ``bars`` are the first symbol's hours, ``days`` the third one's days, ``panel`` all closes; in ``thin`` the first
    symbol trades every hour and the second prints a price in one hour out of ten.
    """
    wide = candles.pivot(index="open_time", columns="symbol", values="close")[list(candles["symbol"].unique())].dropna()
    first, second = wide.columns[:2]
    bars = candles[candles["symbol"] == first].set_index("open_time")[["open", "high", "low", "close"]]
    wild = candles[candles["symbol"] == wide.columns[min(2, wide.shape[1] - 1)]].set_index("open_time")
    days = wild.resample("1D").agg({"open": "first", "high": "max", "low": "min", "close": "last"}).dropna()
    printed = np.random.default_rng(seed).random(len(wide)) < 0.1
    thin = pd.DataFrame({"liquid": wide[first], "thin": wide[second].where(printed)})
    return {"bars": bars, "days": days, "panel": wide, "thin": thin}


def null_markets(count: int, *, seed: int, bars: int = 3_000, kind: str = "null", **planted: Any) -> list[Prices]:
    """Independent markets of five coins, whose prices move in steps too small to matter after any fall."""
    coins = [replace(coin, tick=coin.price * 1e-9) for coin in PROFILES]
    return [
        rooms_of(simulate_market(kind, symbols=coins, bars=bars, seed=seed + 1_000 * k, **planted).candles, seed + k)
        for k in range(count)
    ]


# --- the detectors: an empty text is "nothing found" ----------------------------------------------
def audit(run: Callable[[pd.DataFrame], Story], prices: pd.DataFrame, *, fit_rows: int = 0, cuts: int = 18) -> str:
    """Truncate and shock: what is held during a bar may not depend on that bar, equity not on later ones."""
    told = run(prices)

    def positions(data: pd.DataFrame) -> Any:
        return run(data).held

    def equity(data: pd.DataFrame) -> Any:
        return run(data).equity

    settings: dict[str, Any] = {"fit_rows": fit_rows, "cuts": cuts}
    if told.held is None:
        report = audit_lookahead(equity, prices, settle=1, **settings)
    else:
        report = audit_lookahead(positions, prices, horizon=-1, **settings)
    return str(report).splitlines()[1].strip() if report.found else ""


def cash(story: Story, prices: pd.DataFrame) -> str:
    """Replay positions or fills through a cash account and compare."""
    if story.fills is not None:
        right = _replay(prices, story.fills)
    else:
        right = _account(prices.loc[story.equity.index], _held(story))
    gap = float((story.equity - right).abs().max())
    if gap <= 1e-6 * CAPITAL:
        return ""
    return f"the account ends at {story.equity.iloc[-1]:,.0f}; its own trades, replayed, end at {right.iloc[-1]:,.0f}"


def fills(story: Story, prices: pd.DataFrame) -> str:
    """Every fill needs a bar that traded, at a price inside it."""
    if story.fills is not None:
        if "low" not in prices:
            return ""
        low, high = prices["low"].to_numpy(), prices["high"].to_numpy()
        bad = sum(not low[row] * (1 - 1e-9) <= price <= high[row] * (1 + 1e-9) for row, _, price in story.fills)
        return f"{bad} of {len(story.fills)} fills lie outside their bar" if bad else ""
    held = _held(story)
    quoted = prices.loc[held.index, ["close"] if isinstance(story.held, pd.Series) else list(held.columns)]
    traded = held.diff().fillna(held).to_numpy() != 0
    bad = int((traded[1:] & quoted.isna().to_numpy()[:-1]).sum())
    return f"{bad} of {int(traded.sum())} trades happen at a price that nobody quoted" if bad else ""


def limits(story: Story, prices: pd.DataFrame) -> str:
    """Weights keep the promised cap, and together do not exceed the account."""
    if story.held is None:
        return ""
    sizes = _held(story).abs()
    largest, gross = float(sizes.max().max()), float(sizes.sum(axis=1).max())
    if largest > story.cap + 1e-9:
        return f"a weight of {largest:.2f} under a cap of {story.cap:.2f}"
    return f"weights add up to {gross:.2f}" if gross > 1 + 1e-9 else ""


def metrics(story: Story, prices: pd.DataFrame) -> str:
    """The reported Sharpe ratio is the one of the reported equity."""
    right = sharpe(net_returns(story.equity))
    assert story.sharpe is not None
    if abs(story.sharpe - right) <= 0.02 + 1e-3 * abs(right):
        return ""
    return f"reports a Sharpe ratio of {story.sharpe:.2f}; its own equity has {right:.2f}"


def noise(ratios: Sequence[float]) -> str:
    """On null markets nobody earns: is the mean of the reported Sharpe ratios three standard errors above zero?"""
    values = np.asarray(ratios, dtype=float)
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    if values.mean() <= 3 * error:
        return ""
    return f"a mean Sharpe ratio of {values.mean():.2f} ± {error:.2f} on {len(values)} markets in which nobody can earn"


def _held(story: Story) -> pd.DataFrame:
    held = story.held
    assert held is not None
    return held.to_frame("close") if isinstance(held, pd.Series) else held


# --- a visit -------------------------------------------------------------------------------------
@dataclass(eq=False)
class Tour:
    """Every exhibit, broken and repaired, on the same null markets.

    Attributes:
        reported, repaired: Sharpe ratios, a row per market and a column per exhibit.
        found: what each detector says of each exhibit; empty text where it is silent.
        acquitted: the same of the repaired twins.
    """

    markets: list[Prices]
    reported: pd.DataFrame = field(init=False)
    repaired: pd.DataFrame = field(init=False)
    found: pd.DataFrame = field(init=False)
    acquitted: pd.DataFrame = field(init=False)

    def __post_init__(self) -> None:
        ratios: tuple[dict[str, list[float]], dict[str, list[float]]] = ({}, {})
        texts: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})
        for name, item in exhibits().items():
            for k, run in enumerate((item.broken, item.repaired)):
                ratios[k][name] = [float(run(market[item.data]).sharpe or 0.0) for market in self.markets]
                texts[k][name] = question(run, self.markets[0][item.data], ratios[k][name], fit_rows=item.fit_rows)
        self.reported, self.repaired = (pd.DataFrame(r) for r in ratios)
        self.found, self.acquitted = (pd.DataFrame(t, index=list(DETECTORS)) for t in texts)

    def visit(self, name: str, guess: int | None = None) -> None:
        """Show an exhibit's code; below it, folded, the wrong line, what catches it, and what it was worth."""
        from ._museum_page import display_exhibit

        caught = {str(d): str(text) for d, text in self.found[name].items() if text}
        means = float(self.reported[name].mean()), float(self.repaired[name].mean())
        display_exhibit(exhibits()[name], caught, means, guess)


def question(
    run: Callable[[pd.DataFrame], Story], prices: pd.DataFrame, ratios: Sequence[float], *, fit_rows: int = 0
) -> list[str]:
    """What each of the six detectors says of one backtest."""
    story = run(prices)
    head = prices.iloc[: max(450, fit_rows + 300)]  # the audit runs it many times
    told = [test(story, prices) for test in (cash, fills, limits, metrics)]
    cuts = 5 if fit_rows else 18  # who reads a whole test period is seen at any cut, who reads one bar at some
    return [audit(run, head, fit_rows=fit_rows, cuts=cuts), *told, noise(ratios)]
