"""The law of :mod:`alphabook.backtest._loop` for many parameter sets: from one event to the next, in leaps.

Between two events a position earns what the price does and nothing is decided. The next event is the first signal
that asks for something else, or the first bar that touches a level. Signals are looked up in :func:`next_signals`;
levels are compared with the extremes of whole blocks of bars (:func:`block_extremes`), and only inside the block that
touches one bar by bar. Both are computed once for all sets on the same signals. What happens *at* an event is
:func:`~alphabook.backtest._loop.run_loop` word by word, and the tests hold the two equal bit for bit.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ._loop import END_OF_DATA, SIGNAL, STOP_LOSS, TAKE_PROFIT

BLOCK = 32  # bars


def next_signals(signals: np.ndarray) -> np.ndarray:
    """First bar from each bar on that says buy, and first that says sell, shape (2, bars); ``bars`` where none does."""
    n = len(signals)
    bars = np.arange(n)
    rows = (np.where(signals == wanted, bars, n) for wanted in (1, -1))
    return np.stack([np.minimum.accumulate(row[::-1])[::-1] for row in rows])


def block_extremes(lows: np.ndarray, highs: np.ndarray) -> np.ndarray:
    """Lowest low and highest high of each block, shape (2, blocks)."""
    starts = np.arange(0, len(lows), BLOCK)
    return np.stack([np.minimum.reduceat(lows, starts), np.maximum.reduceat(highs, starts)])


def run_leaps(
    opens, highs, lows, closes, signals, fractions, funding,
    capital, units, stop_loss, take_profit, commission, slippage, allow_short, at_close, entry_bar_stops, optimistic,
    max_leverage, nexts, blocks,
    equity,
    entry_bar, exit_bar, direction, size, entry_quote, entry_fill, exit_quote, exit_fill,
    paid_commission, paid_slippage, paid_funding, worst, best, reason,
):  # fmt: skip
    """As :func:`~alphabook.backtest._loop.run_loop`; ``nexts`` and ``blocks`` are what the two functions above give."""
    last = len(closes) - 1
    varied, pays = len(fractions) > 1, len(funding) > 0
    side, held, signed = 0, 0.0, 0.0
    realised = cash = capital
    quote = fill = lowest = highest = floor = roof = 0.0
    fee = slipped = funded = 0.0
    begin = 0
    wish, wish_bar = 0, 0
    trades = ambiguous = refused = 0

    i = 0
    while i <= last:
        if wish == 0:  # nothing fills: on to the next event
            until = min(last, nexts[1, i] if side > 0 or (side == 0 and allow_short) else last)
            until = min(until, nexts[0, i] if side <= 0 else last)
            if side == 0:
                equity[i:until] = realised
            else:
                j = i
                while j < until:
                    if j % BLOCK == 0 and j + BLOCK <= until:
                        low, high = blocks[0, j // BLOCK], blocks[1, j // BLOCK]
                        step = BLOCK
                    else:
                        low, high = lows[j], highs[j]
                        step = 1
                    if low <= floor or high >= roof:
                        if step == 1:
                            break
                        for k in range(j, j + BLOCK):  # the block that touches a level, bar by bar
                            if lows[k] <= floor or highs[k] >= roof:
                                break
                            lowest, highest = min(lowest, lows[k]), max(highest, highs[k])
                            j += 1
                        break
                    lowest, highest = min(lowest, low), max(highest, high)
                    j += step
                until = j
                if pays:
                    for k in range(i, until):
                        funded += signed * closes[k] * funding[k]
                        cash -= signed * closes[k] * funding[k]
                        equity[k] = cash + signed * closes[k]
                else:
                    part, price_part = equity[i:until], closes[i:until]
                    for k in range(len(part)):
                        part[k] = cash + signed * price_part[k]
            i = until
        signal = signals[i]

        for step in range(0 if wish != 0 else 1, 4):
            order, price, decided, why, worse = 0, 0.0, i, -1, True
            if step == 0:  # an order of the bar before fills at the open
                order, price, decided, wish = wish, opens[i], wish_bar, 0
            elif step == 1:  # stops and targets, on the extremes of the bar
                if side == 0:
                    continue
                low, high, first = lows[i], highs[i], opens[i]
                live = begin < i or entry_bar_stops
                fell, rose = live and low <= floor, live and high >= roof
                if fell and rose:
                    if floor < first < roof:  # the bar does not say which came first
                        ambiguous += 1
                        fell = (side > 0) != optimistic
                    else:
                        fell = first <= floor
                if fell or rose:  # at the level, or at the open where that is beyond it already
                    price = min(floor, first) if fell else max(roof, first)
                    worse = fell == (side > 0)  # a stop; a target rests and fills exactly
                    why = STOP_LOSS if worse else TAKE_PROFIT
                else:
                    lowest, highest = min(lowest, low), max(highest, high)
            elif step == 2:  # what is held through the bar pays funding; then this bar's signal is heard
                if pays:
                    funded += held * side * closes[i] * funding[i]
                if signal == 0 or signal == side or (signal < 0 and side == 0 and not allow_short):
                    continue
                if not at_close:
                    wish, wish_bar = signal, i
                    continue
                order, price = signal, closes[i]
            elif i == last:
                price, why = closes[i], END_OF_DATA

            if order != 0 and side == -order:
                why = SIGNAL
            if why >= 0 and side != 0:  # close the position
                paid = price * (1.0 - side * slippage) if worse else price
                fee += held * paid * commission
                slipped += held * side * (price - paid)
                realised += held * side * (price - quote) - fee - slipped - funded
                lowest, highest = min(lowest, price), max(highest, price)
                bad, good = (lowest, highest) if side > 0 else (highest, lowest)
                entry_bar[trades], exit_bar[trades], direction[trades], size[trades] = begin, i, side, held
                entry_quote[trades], entry_fill[trades] = quote, fill
                exit_quote[trades], exit_fill[trades] = price, paid
                paid_commission[trades], paid_slippage[trades], paid_funding[trades] = fee, slipped, funded
                worst[trades], best[trades] = side * (bad / fill - 1.0), side * (good / fill - 1.0)
                reason[trades] = why
                trades += 1
                side, held, fee, slipped, funded = 0, 0.0, 0.0, 0.0, 0.0
            if order != 0 and side == 0 and (order > 0 or allow_short):  # open one
                quote, fill = price, price * (1.0 + order * slippage)
                share = fractions[decided if varied else 0]
                held = units if units >= 0.0 else share * realised / (fill * (1.0 + commission))
                held = min(held, max_leverage * realised / fill)
                if not held > 0.0:  # ruined, or no volatility known yet
                    held = 0.0
                    refused += 1
                    continue
                side, begin = order, i
                fee, slipped = held * fill * commission, held * order * (fill - quote)
                lowest = highest = quote
                stop, target = fill - side * fill * stop_loss, fill + side * fill * take_profit
                floor, roof = (stop, target) if side > 0 else (target, stop)

        signed = held * side
        cash = realised - signed * quote - fee - slipped - funded
        equity[i] = cash + signed * closes[i]
        i += 1
    return trades, ambiguous, refused


@cache
def compiled_leaps() -> Any:
    """:func:`run_leaps` compiled by numba."""
    import numba

    return numba.njit(cache=True, error_model="numpy", nogil=True)(run_leaps)
