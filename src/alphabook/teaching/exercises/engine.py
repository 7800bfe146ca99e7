"""Checks of the exercises of :doc:`/notebooks/backtests/engine`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..checks import Wrong, exercise

SILENT, OF_ALL_BARS = 0.71, 0.364  # per cent of the trades, and of the bars, that are ambiguous: from a million bars


@exercise("engine.fill", kind="implement", difficulty=2, minutes=15)
def check_fill(answer: Callable[[int, float, float, float, float], float | None]) -> None:
    """Where does a stop fill?"""
    if answer(1, 95.0, 98.0, 99.0, 96.0) is not None or answer(-1, 105.0, 102.0, 104.0, 101.0) is not None:
        raise Wrong("a bar that stays away from the level fills nothing: return None")
    got = answer(-1, 105.0, 102.0, 106.0, 101.0)
    if got is None:
        raise Wrong("a short position loses when the price rises: its stop lies above and is tried on the high")
    if _differs(answer(1, 95.0, 98.0, 99.0, 94.0), 95.0) or _differs(got, 105.0):
        raise Wrong(
            f"level 105, bar from 102 up to 106: the price passed through the level, so the fill is 105, "
            f"yours is {got:g}. "
            "The open comes in only when there is a gap"
        )
    gap, above = answer(1, 95.0, 90.0, 97.0, 88.0), answer(-1, 105.0, 110.0, 112.0, 103.0)
    if gap == 95.0 or above == 105.0:
        raise Wrong("the bar opens beyond the level, and nobody trades there any more: the fill is the open")
    if _differs(gap, 90.0) or _differs(above, 110.0):
        raise Wrong(f"gaps to 90 and to 110 fill at these opens, yours fill at {gap} and {above}")
    if answer(1, 95.0, 98.0, 99.0, 95.0) is None or answer(-1, 105.0, 102.0, 105.0, 101.0) is None:
        raise Wrong("touching is enough: a low that equals the level reached it (<=, not <)")


@exercise("engine.books", kind="bug", difficulty=3, minutes=20)
def check_books(answer: Callable[..., Sequence[float]]) -> None:
    """Money from nowhere"""
    flat, signals = [100.0] * 5, [1, 0, -1, 0, 0]
    free = _curve(answer(flat, flat, signals, fee=0.0), 5)
    if np.max(free) > 10_000 + 1e-6:
        raise Wrong(
            f"money appears: at a constant price and no fees the account shows {np.max(free):,.0f} instead of 10,000. "
            "Buying turns cash into units; the cash must go"
        )
    if np.min(free) < 10_000 - 1e-6:
        raise Wrong(
            f"money vanishes: at a constant price and no fees the account shows {np.min(free):,.0f} instead of 10,000"
        )
    paid = 10_000 - _curve(answer(flat, flat, signals, fee=0.01), 5)
    if math.isclose(paid[-1], 10.0):
        side = "exit" if math.isclose(paid[1], 10.0) else "entry"
        raise Wrong(f"the {side} is free: a round trip of 1,000 at 1 % costs 10 on the way in and 10 on the way out")
    if abs(paid[-1]) < 1e-6:
        raise Wrong("no fee is paid at all: 1 % of 1,000 on the way in, and again on the way out")
    if paid[-1] < 20 - 1e-6 and abs(paid[-1] - 20) < 0.5:
        raise Wrong(f"a round trip costs {paid[-1]:.2f} instead of 20: the entry fee is paid on top of the stake")
    if not math.isclose(paid[-1], 20.0):
        raise Wrong(f"a round trip of 1,000 at 1 % costs 20 in all, yours costs {paid[-1]:.2f}")
    rng = np.random.default_rng(5)
    opens, closes = (100 * np.exp(rng.normal(0, 0.05, 60).cumsum()) for _ in "oc")
    noise = rng.choice([-1, 0, 1], 60).tolist()
    got, right = _curve(answer(opens.tolist(), closes.tolist(), noise), 60), _books(opens, closes, noise)
    if not np.allclose(got, right, rtol=1e-9):
        row = int(np.argmax(~np.isclose(got, right, rtol=1e-9)))
        raise Wrong(f"on random prices bar {row} should show {right[row]:,.2f}, yours shows {got[row]:,.2f}")


@exercise("engine.foresight", kind="bug", difficulty=3, minutes=20)
def check_foresight(answer: Callable[..., Any]) -> None:
    """A stop with foresight"""
    cases = {
        "falls": (100.0, 97.0, 97.5),
        "back": (100.0, 97.0, 101.0),
        "calm": (100.0, 98.5, 99.0),
        "touch": (100.0, 98.0, 99.0),
    }
    opens, lows, closes = (np.array(column) for column in zip(*cases.values(), strict=True))
    got = dict(zip(cases, _curve(answer(opens, lows, closes), 4), strict=True))
    if math.isclose(got["falls"], 1.0):
        raise Wrong(
            "losing bars are skipped: a bar from 100 down to 97.5 with a stop of 2 % grows by 1 in your code. "
            "The close cannot undo an entry; the trade lost 2 %"
        )
    if math.isclose(got["falls"], 0.975):
        raise Wrong("the stop does nothing: from 100 down to 97.5 the trade was out at 98")
    if math.isclose(got["falls"], 0.97):
        raise Wrong("the stop fills at the low, the worst price of the bar: it fills at its level, 98, on the way down")
    if not math.isclose(got["calm"], 0.99):
        raise Wrong(f"a bar that stays above the stop earns its close over its open, 0.99, yours is {got['calm']:.4g}")
    if math.isclose(got["back"], 1.01):
        raise Wrong("a bar that recovered counts as a gain: the low went through the stop, and that ended the trade")
    if math.isclose(got["touch"], 0.99):
        raise Wrong("touching is enough: a low that equals the level reached it (<=, not <)")
    for name in ("falls", "back", "touch"):
        if not math.isclose(got[name], 0.98):
            raise Wrong(f"a bar that is stopped grows by 0.98, yours by {got[name]:.4g}")
    if not math.isclose(_curve(answer(opens, lows, closes, 0.025), 4)[1], 0.975):
        raise Wrong("with a stop of 2.5 % the bar with a low of 97 is out at 97.5: use the argument stop")


@exercise("engine.silent", kind="measure", difficulty=2, minutes=15)
def check_silent(answer: float | Callable[[], float]) -> None:
    """How often do the candles keep silent?"""
    try:
        share = float(answer() if callable(answer) else answer)
    except TypeError:
        raise Wrong("the share is one number, in per cent") from None
    if abs(share - SILENT) <= 0.13:
        return
    if abs(100 * share - SILENT) <= 0.13:
        raise Wrong(f"{share:.4f} is a fraction: the question asks for per cent")
    if share == 0:
        raise Wrong("no ambiguous trade at all: are stop and target both 3 % away, and the bars 2.5 % wide?")
    if abs(share - OF_ALL_BARS) <= 0.08:
        raise Wrong(f"{share:.2f} % is the share of all bars: divide by the number of trades")
    raise Wrong(f"about {SILENT:.2f} % of the trades are ambiguous, you found {share:.2f} %: check bars and levels")


@exercise("engine.trailing", kind="stretch", difficulty=4, minutes=30)
def check_trailing(answer: Callable[..., Any]) -> None:
    """A stop that follows"""
    calm = [[100.0, 101.0], [101.0, 103.0], [99.5, 100.5], [101.0, 102.0]]
    if _exit(answer(*calm, 0.05)) != (1, 102.0):
        raise Wrong("a stop that is never reached ends the position in the last bar, at its close: (1, 102) here")
    lifted = [
        [100.0, 100.0],
        [110.0, 110.0],
        [99.0, 103.0],
        [100.0, 104.0],
    ]  # see the high of bar 0
    got = _exit(answer(*lifted, 0.05))
    if got[0] == 0:
        raise Wrong(
            "bar 0 opens at 100, and its low of 99 is above the stop of 95. The bar's own high moved the stop: "
            "it may have come after the low"
        )
    jump = [[100.0, 108.0, 90.0], [109.0, 112.0, 95.0], [99.0, 107.0, 88.0], [108.0, 110.0, 92.0]]
    got = _exit(answer(*jump, 0.05))
    if got[0] == 2 and math.isclose(got[1], 112 * 0.95):
        raise Wrong("there is a gap: bar 2 opens at 90, below the stop of 106.4, so the fill is the open")
    if got == (2, 90.0):
        walk = [[100.0, 108.0, 107.0], [109.0, 112.0, 108.0], [99.0, 107.0, 104.0], [108.0, 110.0, 105.0]]
        exit_at = _exit(answer(*walk, 0.05))
        if exit_at == (2, 105.0):
            raise Wrong("the stop does not follow: after a high of 112 it lies at 106.4, and the low of bar 2 is 104")
        if exit_at[0] == 2 and math.isclose(exit_at[1], 110 * 0.95):
            raise Wrong("the stop follows the closes: it follows the highest price, 112, and lies at 106.4")
    rng = np.random.default_rng(9)
    for _ in range(200):
        close = 100 * np.exp(rng.normal(0, 0.02, 30).cumsum())
        opened = np.r_[100.0, close[:-1] * np.exp(rng.normal(0, 0.01, 29))]
        high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, 0.01, 30)))
        low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, 0.01, 30)))
        bars = opened.tolist(), high.tolist(), low.tolist(), close.tolist()
        distance = float(rng.uniform(0.01, 0.1))
        right, got = _trailing(*bars, distance), _exit(answer(*bars, distance))
        if right[0] != got[0] or not math.isclose(right[1], got[1], rel_tol=1e-9):
            raise Wrong(
                f"on a random path the exit is in bar {right[0]} at {right[1]:.4f}, "
                f"yours is in bar {got[0]} at {got[1]:.4f}"
            )


def _books(opens: Sequence[float], closes: Sequence[float], signals: Sequence[int]) -> list[float]:
    cash, units, order, equity = 10_000.0, 0.0, 0, []
    for opened, close, signal in zip(opens, closes, signals, strict=True):
        if order == 1 and units == 0:
            units, cash = 1_000 / opened, cash - 1_001
        elif order == -1 and units > 0:
            units, cash = 0.0, cash + units * opened * 0.999
        order = signal
        equity.append(cash + units * close)
    return equity


def _trailing(
    opens: Sequence[float], highs: Sequence[float], lows: Sequence[float], closes: Sequence[float], distance: float
) -> tuple[int, float]:
    peak = opens[0]
    for bar in range(len(opens)):
        level = peak * (1 - distance)
        if lows[bar] <= level:
            return bar, min(level, opens[bar])
        peak = max(peak, highs[bar])
    return len(opens) - 1, closes[-1]


def _exit(value: Any) -> tuple[int, float]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise Wrong(f"return (bar, price) of the exit, not {value!r}")
    return int(value[0]), float(value[1])


def _curve(value: Any, length: int) -> np.ndarray:
    curve = np.asarray(value, dtype=float).ravel()
    if len(curve) != length:
        raise Wrong(f"{length} bars give {length} numbers, yours has {len(curve)}")
    return curve


def _differs(got: Any, right: float) -> bool:
    return got is None or not math.isclose(float(got), right, rel_tol=1e-12)
