"""The exhibits of the bug museum: backtests that are wrong on purpose, each with the lines that repair it.

Nothing in this file is to be used. An exhibit takes prices and returns a :class:`~alphabook.teaching.museum.Story`;
its repaired twin is the same text with the lines exchanged that are given to the decorator.
Shown in :doc:`/notebooks/backtests/museum`.
"""

# mypy: ignore-errors
# (shown to readers as they are, so without the casts that pandas' types would want)

from __future__ import annotations

import numpy as np
import pandas as pd

from .museum import CAPITAL, COST, FIT, YEAR, Story, account, exhibit, nearest, sharpe, tell, trend


# --- Knowing too early ---------------------------------------------------------------------------
@exhibit("own-bar", fix={"held = signal.fillna(0)": "held = signal.shift(1).fillna(0)"})
def own_bar(bars: pd.DataFrame) -> Story:
    change = bars["close"].pct_change()
    signal = np.sign(change.rolling(6).mean())
    held = signal.fillna(0)
    return account(bars, held)


@exhibit("day-by-name", fix={"growth = last.pct_change()": "growth = last.pct_change().shift(1)"})
def day_by_name(bars: pd.DataFrame) -> Story:
    day = bars.index.floor("D")
    last = bars["close"].groupby(day).last()
    growth = last.pct_change()
    signal = pd.Series(np.sign(growth).loc[day].to_numpy(), bars.index)
    held = signal.shift(1).fillna(0)
    return account(bars, held)


@exhibit("whole-scale", fix={"seen = price": "seen = price.expanding(240)"})
def whole_scale(bars: pd.DataFrame) -> Story:
    price = np.log(bars["close"])
    seen = price
    score = (price - seen.mean()) / seen.std()
    signal = -score.clip(-1, 1)
    held = signal.shift(1).fillna(0)
    return account(bars, held)


# --- Money from nowhere --------------------------------------------------------------------------
@exhibit("kind-stop", data="days", fix={"price = top * (1 - stop)": "price = close"})
def kind_stop(days: pd.DataFrame, stop: float = 0.02) -> Story:
    fills, units, top = [], 0.0, 0.0
    for row, close in enumerate(days["close"]):
        if units == 0:
            units, top = 0.5 * CAPITAL / close, close
            fills.append((row, units, close))
        elif close <= top * (1 - stop):
            price = top * (1 - stop)
            fills.append((row, -units, price))
            units = 0.0
        top = max(top, close)
    return tell(days, fills)


@exhibit("generous-close", fix={"cash -= units * close * COST": "cash -= units * close * (1 + COST)"})
def generous_close(bars: pd.DataFrame) -> Story:
    cash, units, equity, fills = CAPITAL, 0.0, [], []
    for row, (close, wish) in enumerate(zip(bars["close"], trend(bars, 48), strict=True)):
        if wish > 0 and units == 0:
            units = 0.1 * cash / close
            cash -= units * close * COST
            fills.append((row, units, close))
        elif wish < 0 and units > 0:
            fills.append((row, -units, close))
            cash, units = cash + units * close * (1 - COST), 0.0
        equity.append(cash + units * close)
    return tell(bars, fills, equity)


@exhibit("fee-per-trade", fix={"fees = COST * (held.diff() != 0)": "fees = COST * held.diff().abs().fillna(0)"})
def fee_per_trade(bars: pd.DataFrame) -> Story:
    change = bars["close"].pct_change().fillna(0)
    held = trend(bars, 24).shift(1).fillna(0)
    fees = COST * (held.diff() != 0)
    equity = CAPITAL * (1 + held * change - fees).cumprod()
    return Story(equity, held=held)


@exhibit(
    "cap",
    data="panel",
    fix={"shares = kept.div(kept.sum(axis=1), axis=0)": "shares = kept  # what was cut stays cash"},
)
def cap(prices: pd.DataFrame) -> Story:
    strength = prices.pct_change(168).clip(lower=0)
    weights = strength.div(strength.sum(axis=1), axis=0)
    kept = weights.clip(upper=0.3)
    shares = kept.div(kept.sum(axis=1), axis=0)
    weekly = shares.iloc[::168].reindex(prices.index).ffill()
    held = weekly.shift(1).fillna(0)
    return account(prices, held, cap=0.3)


@exhibit(
    "stale-price",
    data="thin",
    fix={"held = wish.fillna(0)": 'held = wish.where(prices["thin"].shift(1).notna()).ffill().fillna(0)'},
)
def stale_price(prices: pd.DataFrame) -> Story:
    filled = prices.ffill()
    lead = np.sign(filled["liquid"].pct_change(24))
    wish = lead.shift(1)
    held = wish.fillna(0)
    return account(prices[["thin"]], held.to_frame("thin"))


# --- Choosing afterwards -------------------------------------------------------------------------
@exhibit(
    "todays-list",
    data="panel",
    fix={"grown = prices.iloc[-1] / prices.iloc[0]": "grown = prices.iloc[168] / prices.iloc[0]"},
)
def todays_list(prices: pd.DataFrame) -> Story:
    grown = prices.iloc[-1] / prices.iloc[0]
    leader, laggard = grown.idxmax(), grown.idxmin()
    held = prices * 0.0
    held.loc[prices.index[169:], [leader, laggard]] = [0.5, -0.5]
    return account(prices, held)


@exhibit(
    "shuffled-split",
    fit_rows=FIT,
    fix={
        "train = np.random.default_rng(0).random(len(bars)) < 0.7": "train = np.arange(len(bars)) < FIT - 24",
        "test = ~train": "test = np.arange(len(bars)) >= FIT",
    },
)
def shuffled_split(bars: pd.DataFrame) -> Story:
    price = np.log(bars["close"])
    features = pd.concat([price.rolling(n).mean() for n in (100, 300)], axis=1)
    label = price.shift(-24) - price
    train = np.random.default_rng(0).random(len(bars)) < 0.7
    test = ~train
    forecast = nearest(features[train], label[train], features)
    held = np.sign(forecast).where(test).ffill().shift(1).fillna(0)
    return account(bars, held)


@exhibit("best-window", fit_rows=FIT, fix={"judged = bars.iloc[FIT:]": "judged = bars.iloc[:FIT]"})
def best_window(bars: pd.DataFrame) -> Story:
    windows = [*range(-720, 0, 120), *range(120, 721, 120)]
    tried = {n: np.sign(n) * trend(bars, abs(n)).shift(1).fillna(0) for n in windows}
    judged = bars.iloc[FIT:]
    scores = {n: account(judged, tried[n].loc[judged.index]).sharpe for n in windows}
    held = tried[max(scores, key=scores.get)]
    return account(bars.iloc[FIT:], held.iloc[FIT:])


# --- Measuring wrongly ---------------------------------------------------------------------------
@exhibit("gross-sharpe", fix={"ratio = sharpe(gross)": "ratio = sharpe(net)"})
def gross_sharpe(bars: pd.DataFrame) -> Story:
    held = trend(bars, 24).shift(1).fillna(0)
    gross = held * bars["close"].pct_change().fillna(0)
    net = gross - COST * held.diff().abs().fillna(0)
    equity = CAPITAL * (1 + net).cumprod()
    ratio = sharpe(gross)
    return Story(equity, held=held, sharpe=ratio)


@exhibit("closed-only", fix={"equity.append(cash + units * entry)": "equity.append(cash + units * close)"})
def closed_only(bars: pd.DataFrame, target: float = 0.02) -> Story:
    cash, units, entry, equity, fills = CAPITAL, 0.0, 0.0, [], []
    for row, close in enumerate(bars["close"]):
        if units == 0:
            units, entry = 0.5 * cash / close, close
            cash -= units * close * (1 + COST)
            fills.append((row, units, close))
        elif close > entry * (1 + target):
            fills.append((row, -units, close))
            cash, units = cash + units * close * (1 - COST), 0.0
        equity.append(cash + units * entry)
    return tell(bars, fills, equity)


@exhibit(
    "trade-years",
    fix={
        "ratio = per_trade.mean() / per_trade.std() * np.sqrt(YEAR)": "ratio = net.mean() / net.std() * np.sqrt(YEAR)"
    },
)
def trade_years(bars: pd.DataFrame) -> Story:
    held = trend(bars, 48).shift(1).fillna(0)
    net = held * bars["close"].pct_change().fillna(0) - COST * held.diff().abs().fillna(0)
    per_trade = net.groupby(held.diff().ne(0).cumsum()).sum()
    ratio = per_trade.mean() / per_trade.std() * np.sqrt(YEAR)
    return Story(CAPITAL * (1 + net).cumprod(), held=held, sharpe=ratio)
