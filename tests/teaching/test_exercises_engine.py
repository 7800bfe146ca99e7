"""The checks of "An engine in ten lines, then a right one" accept right answers and name what is wrong in others."""

from functools import partial

import numpy as np
from support import assert_exercise


def fill(side, level, opened, high, low, *, touch=True, gap=True, short=True, always=False, level_open=False):
    bad = low if side > 0 or not short else high
    beyond = side * (bad - level)
    if beyond > 0 or (beyond == 0 and not touch):
        return level if always else None
    if level_open:
        return opened
    if not gap:
        return level
    return side * min(side * level, side * opened)


def fill_by_cases(side, level, opened, high, low):
    if side == 1:
        if opened <= level:
            return opened
        return level if low <= level else None
    if opened >= level:
        return opened
    return level if high >= level else None


def at_the_extreme(side, level, opened, high, low):
    if fill(side, level, opened, high, low) is None:
        return None
    return (low if side > 0 else high) if side * opened < side * level else level


def test_fill():
    assert_exercise(
        "engine.fill",
        right=[fill, fill_by_cases],
        wrong={
            "return None": partial(fill, always=True),
            "tried on the high": partial(fill, short=False),
            "so the fill is 105": partial(fill, level_open=True),
            "nobody trades there any more": partial(fill, gap=False),
            "touching is enough": partial(fill, touch=False),
            "gaps to 90 and to 110": at_the_extreme,
        },
    )


def books(
    opens, closes, signals, stake=1_000.0, fee=0.001, capital=10_000.0, *, debit=1.0, way_in=1.0, way_out=1.0, late=0.0
):
    cash, units, order, equity = capital, 0.0, 0, []
    for opened, close, signal in zip(opens, closes, signals, strict=True):
        price = close if late else opened
        if order == 1 and units == 0:
            units = stake / price
            cash -= stake * (debit + fee * way_in)
        elif order == -1 and units > 0:
            cash += units * price * (1 - fee * way_out)
            units = 0.0
        order = signal
        equity.append(cash + units * close)
    return equity


def books_by_parts(opens, closes, signals, stake=1_000.0, fee=0.001, capital=10_000.0):
    paid = earned = units = 0.0
    out = np.empty(len(opens))
    for t in range(len(opens)):
        wish = signals[t - 1] if t else 0
        if wish > 0 and not units:
            units, paid = stake / opens[t], paid + stake + stake * fee
        if wish < 0 and units:
            earned, units = earned + units * opens[t] - units * opens[t] * fee, 0.0
        out[t] = capital - paid + earned + units * closes[t]
    return out


def out_of_the_stake(opens, closes, signals, stake=1_000.0, fee=0.001, capital=10_000.0):
    return books(opens, closes, signals, stake / (1 + fee), fee, capital)


def test_books():
    assert_exercise(
        "engine.books",
        right=[books, books_by_parts],
        wrong={
            "money appears": partial(books, debit=0.0, way_out=0.0),
            "money vanishes": partial(books, debit=2.0),
            "the exit is free": partial(books, way_out=0.0),
            "the entry is free": partial(books, way_in=0.0),
            "no fee is paid at all": partial(books, way_in=0.0, way_out=0.0),
            "on top of the stake": out_of_the_stake,
            "costs 20 in all, yours costs 30": partial(books, way_in=2.0),
            "on random prices": partial(books, late=1.0),
            "5 bars give 5 numbers": lambda *args, **kwargs: books(*args, **kwargs)[:-1],
        },
    )


def one_bar(opens, lows, closes, stop=0.02):
    return np.where(lows <= opens * (1 - stop), 1 - stop, closes / opens)


def one_bar_loop(opens, lows, closes, stop=0.02):
    out = []
    for o, low, c in zip(opens, lows, closes, strict=True):
        level = o - stop * o
        out.append(level / o if low <= level else c / o)
    return out


def test_foresight():
    assert_exercise(
        "engine.foresight",
        right=[one_bar, one_bar_loop],
        wrong={
            "losing bars are skipped": lambda o, low, c, stop=0.02: np.where(c / o < 1 - stop, 1.0, c / o),
            "the stop does nothing": lambda o, low, c, stop=0.02: c / o,
            "fills at the low": lambda o, low, c, stop=0.02: np.where(low <= o * (1 - stop), low / o, c / o),
            "a bar that recovered": lambda o, low, c, stop=0.02: np.maximum(c / o, 1 - stop),
            "stays above the stop": lambda o, low, c, stop=0.02: np.full(len(o), 1 - stop),
            "touching is enough": lambda o, low, c, stop=0.02: np.where(low < o * (1 - stop), 1 - stop, c / o),
            "use the argument stop": lambda o, low, c, stop=0.02: one_bar(o, low, c),
            "4 bars give 4 numbers": lambda o, low, c, stop=0.02: 1.0,
        },
    )


def silent_bars(bars=150_000, sigma=0.025, level=0.03):
    """Ambiguous trades in per cent, by a loop of its own: no engine."""
    rng = np.random.default_rng(4)
    step = rng.normal(-(sigma**2) / 2, sigma, bars)
    reach = np.sqrt(step**2 - 2 * sigma**2 * np.log(rng.random((2, bars))))
    tops, bottoms = ((step + reach[0]) / 2).tolist(), ((step - reach[1]) / 2).tolist()
    price, entry, trades, silent = 0.0, None, 0, 0
    for move, top, bottom in zip(step.tolist(), tops, bottoms, strict=True):
        entry = price if entry is None else entry
        low, high = np.log(1 - level) + entry, np.log(1 + level) + entry
        stopped, reached = price + bottom <= low, price + top >= high
        if stopped or reached:
            trades, silent, entry = trades + 1, silent + (stopped and reached), None
        price += move
    return 100 * silent / trades


def test_silent():
    assert_exercise(
        "engine.silent",
        right=[0.7, silent_bars],
        wrong={
            "is a fraction": 0.0071,
            "no ambiguous trade at all": 0,
            "the share of all bars": 0.36,
            "you found 2.80 %": 2.8,
            "one number": [1, 2],
        },
    )


def trailing(opens, highs, lows, closes, distance, *, own=False, gap=True, fixed=False, by_close=False, none=False):
    peak = opens[0]
    for bar in range(len(opens)):
        if own:
            peak = max(peak, highs[bar])
        level = peak * (1 - distance)
        if lows[bar] <= level:
            return bar, min(level, opens[bar]) if gap else level
        if not fixed:
            peak = max(peak, closes[bar] if by_close else highs[bar])
    return None if none else (len(opens) - 1, closes[-1])


def trailing_in_arrays(opens, highs, lows, closes, distance):
    peaks = np.maximum.accumulate(np.r_[opens[0], highs[:-1]])
    levels = np.array(peaks) * (1 - distance)
    hit = np.flatnonzero(np.array(lows) <= levels)
    if not len(hit):
        return len(opens) - 1, closes[-1]
    return [hit[0], np.minimum(levels, opens)[hit[0]]]


def test_trailing():
    assert_exercise(
        "engine.trailing",
        right=[trailing, trailing_in_arrays],
        wrong={
            "own high moved the stop": partial(trailing, own=True),
            "there is a gap": partial(trailing, gap=False),
            "the stop does not follow": partial(trailing, fixed=True),
            "the stop follows the closes": partial(trailing, by_close=True),
            "return (bar, price)": partial(trailing, none=True),
            "never reached": lambda o, h, low, c, d: (0, o[0]),
        },
    )
