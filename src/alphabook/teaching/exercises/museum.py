"""Checks of the exercises of :doc:`/notebooks/backtests/museum`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from ..checks import Wrong, exercise, one_number
from ..museum import CAPITAL, COST, audit, null_markets, sharpe

ROWS = 60


@exercise("museum.truncate", kind="implement", difficulty=3, minutes=20)
def check_truncate(answer: Callable[..., Any]) -> None:
    """A look-ahead test of your own"""
    data = pd.Series(100 * np.exp(np.random.default_rng(4).normal(0, 0.01, ROWS).cumsum()), name="close")
    clean = {
        "a past mean, empty in its first rows,": lambda s: s.rolling(5).mean(),
        "a running maximum": lambda s: s.cummax(),
    }
    for what, fn in clean.items():
        try:
            found = answer(fn, data, 30)
        except (IndexError, KeyError) as error:
            raise Wrong(
                f"on {what} your test raises {error!r}: the cut output has 30 rows, compare only those"
            ) from None
        if found is not None:
            raise Wrong(
                f"{what} is accused at row {found!r}, and it never looks ahead: NaN in both runs is no difference, "
                "and neither is a row behind the cut"
            )
    leaks: dict[str, tuple[Callable[[pd.Series], pd.Series], int]] = {
        "the next return": (lambda s: s.pct_change().shift(-1), 29),
        "a mean centred over 7 rows": (lambda s: s.rolling(7, center=True, min_periods=1).mean(), 27),
        "a score scaled by the whole sample": (lambda s: (s - s.mean()) / s.std(), 0),
    }
    for what, (fn, first) in leaks.items():
        found = answer(fn, data, 30)
        if found is None and what == "the next return":
            raise Wrong(
                "the next return goes free: in the cut run its last row is NaN, in the whole run a number. "
                "That difference counts too"
            )
        if found is None:
            raise Wrong(f"{what} goes free: run fn on data[:cut], not on all of the data, and compare the two")
        if isinstance(found, bool | np.bool_):
            raise Wrong(f"say where: return the first row that differs, not {found!r}")
        if int(found) != first:
            last = " You return the last one" if int(found) == 29 else ""
            raise Wrong(f"{what}: the first row that differs is {first}, you say {found!r}.{last}")


@exercise("museum.cash", kind="implement", difficulty=2, minutes=10)
def check_cash(answer: Callable[..., Any]) -> None:
    """The cash identity"""
    fills = [(0, 10.0, 100.0), (2, -4.0, 110.0), (3, -6.0, 90.0), (5, -3.0, 95.0)]
    last, fee = 80.0, 0.01
    paid = sum(fee * abs(units * price) for _, units, price in fills)
    flow = -sum(units * price for _, units, price in fills)
    right = 1_000.0 + flow - paid + (-3.0) * last
    got = one_number(answer(fills, 1_000.0, fee, last), "the final equity")
    if math.isclose(got, right, rel_tol=1e-9):
        return
    mistakes = {
        right + paid: "no fee is charged: every fill pays fee · |units · price|",
        right + paid - sum(fee * u * p for _, u, p in fills): "sales earn their fee back: take |units · price|",
        right + paid - sum(fee * u * p for _, u, p in fills if u > 0): "only purchases pay a fee: a sale pays one too",
        right + 3.0 * last: "what is still held at the end is missing: add the open units at the last price",
        1_000.0 - flow - paid - 3.0 * last: "buying adds cash in your account: cash falls by units · price",
    }
    for value, diagnosis in mistakes.items():
        if math.isclose(got, value, rel_tol=1e-9):
            raise Wrong(diagnosis)
    raise Wrong(
        f"the account ends at {right:.2f}, yours at {got:.2f}: start with the capital and walk through the fills"
    )


@exercise("museum.three", kind="bug", difficulty=3, minutes=25)
def check_three(answer: Callable[[pd.DataFrame], Any]) -> None:
    """Three bugs that hang in no room"""
    bars = _bars()
    held, net, ratio = answer(bars)
    held, net = pd.Series(held, bars.index, dtype=float), pd.Series(net, bars.index, dtype=float)
    if held.abs().sum() < 100:
        raise Wrong("the repaired rule still trades: yours holds almost nothing")
    if said := audit(lambda data: _story(answer, data), bars.iloc[:600]):
        raise Wrong(f"the position still looks ahead ({said}): a centred window ends in the future")
    changes = held.diff()
    changes.iloc[0] = held.iloc[0]
    gross = held * bars["close"].pct_change().fillna(0)
    charged, due = float((gross - net).sum()), float(COST * changes.abs().sum())
    if not math.isclose(charged, due, rel_tol=1e-6):
        half = math.isclose(charged, float(COST * changes.clip(lower=0).sum()), rel_tol=0.02)
        hint = "only purchases pay; a sale costs as much" if half else "every unit that changes hands pays COST"
        raise Wrong(f"costs of {charged:.3f} are charged and {due:.3f} are due: {hint}")
    right = sharpe(net)
    if not math.isclose(one_number(ratio, "the Sharpe ratio"), right, rel_tol=1e-3):
        if math.isclose(float(ratio), right * math.sqrt(252 / 8760), rel_tol=2e-3):
            raise Wrong("252 is the number of trading days of a stock exchange; these bars are hours that never close")
        if math.isclose(float(ratio), right * math.sqrt(252 * 24 / 8760), rel_tol=2e-3):
            raise Wrong("252 days of 24 hours leave out the weekends of a market that trades on them")
        raise Wrong(f"the Sharpe ratio of your own net returns is {right:.2f}, you report {float(ratio):.2f}")


@exercise("museum.markets", kind="measure", difficulty=3, minutes=15)
def check_markets(answer: float | Callable[[], float]) -> None:
    """How many null markets does the noise test need?"""
    count = one_number(answer() if callable(answer) else answer, "the number of markets")
    spread = math.sqrt(8760 / 3000)
    needed = ((3 + 0.8416) * spread / 0.5) ** 2
    if abs(count / needed - 1) <= 0.05:
        return
    if abs(count / (3 * spread / 0.5) ** 2 - 1) < 0.03:
        raise Wrong(
            "with so many markets the expected score equals 3, so that half of all tests stay silent: aim higher"
        )
    if abs(count / math.sqrt(needed) - 1) < 0.05:
        raise Wrong("the standard error falls with the square root of the number of markets: square what you have")
    if abs(count / ((3 + 0.8416) / 0.5) ** 2 - 1) < 0.03:
        raise Wrong(
            "the Sharpe ratio of one market scatters by 1 only over a whole year; 3,000 hours are about a third"
        )
    if count <= 0:
        raise Wrong(f"{count:g} markets: a test on none says nothing")
    score = 0.5 / (spread / math.sqrt(count))
    power = 0.5 * (1 + math.erf((score - 3) / math.sqrt(2)))
    raise Wrong(f"with {count:,.0f} markets the test fires with a probability of {power:.0%}, 80 % are asked for")


@cache
def _bars() -> pd.DataFrame:
    return null_markets(1, seed=77, bars=1_500)[0]["bars"]


def _story(answer: Callable[[pd.DataFrame], Any], data: pd.DataFrame) -> Any:
    from ..museum import Story

    held, net, _ = answer(data)
    equity = CAPITAL * (1 + pd.Series(net, data.index)).cumprod()
    return Story(equity, held=pd.Series(held, data.index, dtype=float))
