"""The law of one bar after another: the event loop of :func:`alphabook.backtest.backtest_signals`.

One function, two speeds. As it stands it runs over lists; ``numba`` compiles the same source for long series, and
the tests hold the two equal bit for bit. Nothing in it can see a later bar: bar ``i`` is read when its turn comes.
Taught in :doc:`/notebooks/backtests/engine`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

SIGNAL, STOP_LOSS, TAKE_PROFIT, END_OF_DATA = 0, 1, 2, 3
REASONS = ("signal", "stop_loss", "take_profit", "end_of_data")
"""Exit reasons, by code."""


def run_loop(
    opens, highs, lows, closes, signals, fractions, funding,
    capital, units, stop_loss, take_profit, commission, slippage, allow_short, at_close, entry_bar_stops, optimistic,
    max_leverage,
    equity, position,
    entry_bar, exit_bar, direction, size, entry_quote, entry_fill, exit_quote, exit_fill,
    paid_commission, paid_slippage, paid_funding, worst, best, reason,
):  # fmt: skip
    """Walk through the bars; fill the output containers; return (trades, ambiguous bars, refused entries).

    ``stop_loss`` and ``take_profit`` are fractions, infinite when switched off; ``units`` is negative when
    ``fractions`` decides (fraction of equity, by bar of the decision). From ``equity`` on, arguments are written to.
    """
    last = len(closes) - 1
    realised = capital  # equity when flat: what all closed trades have left
    side, held = 0, 0.0  # +1 long, -1 short, 0 flat; units of the asset
    quote = fill = deepest = highest = 0.0  # entry, quoted and paid; worst and best price since
    stop, target = 0.0, 0.0  # levels, multiplied by side: a stop is hit from above, whatever the side
    fee = slipped = funded = 0.0
    begin = 0
    wish, wish_bar = 0, 0  # pending order: direction wanted, bar of the decision
    trades = ambiguous = refused = 0

    for i in range(last + 1):
        signal = signals[i]
        news = signal != 0 and signal != side and (signal > 0 or side > 0 or allow_short)
        bad, good = (lows[i], highs[i]) if side >= 0 else (-highs[i], -lows[i])  # times side: bad <= good
        if wish == 0 and not news and i < last:  # most bars: nothing fills
            if side == 0:
                equity[i] = realised
                continue
            if bad > stop and good < target:
                deepest, highest = min(deepest, bad), max(highest, good)
                funded += held * side * closes[i] * funding[i]
                equity[i] = realised + held * side * (closes[i] - quote) - fee - slipped - funded
                position[i] = held * side
                continue

        for step in range(4):
            order, price, decided, why, worse = 0, 0.0, i, -1, True
            if step == 0:  # an order of the bar before fills at the open
                if wish == 0:
                    continue
                order, price, decided, wish = wish, opens[i], wish_bar, 0
            elif step == 1:  # stops and targets, on the extremes of the bar
                if side == 0:
                    continue
                bad, good, first = (lows[i], highs[i], opens[i]) if side > 0 else (-highs[i], -lows[i], -opens[i])
                live = begin < i or entry_bar_stops
                stopped, reached = live and bad <= stop, live and good >= target
                if stopped and reached:
                    if first > stop and first < target:  # the bar does not say which came first
                        ambiguous += 1
                        stopped = not optimistic
                    else:
                        stopped = first <= stop
                if stopped:
                    price, why = side * min(stop, first), STOP_LOSS
                elif reached:
                    price, why, worse = side * max(target, first), TAKE_PROFIT, False
                else:
                    deepest, highest = min(deepest, bad), max(highest, good)
            elif step == 2:  # what is held through the bar pays funding; then this bar's signal is heard
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
                deepest, highest = min(deepest, side * price), max(highest, side * price)
                entry_bar[trades], exit_bar[trades], direction[trades], size[trades] = begin, i, side, held
                entry_quote[trades], entry_fill[trades] = quote, fill
                exit_quote[trades], exit_fill[trades] = price, paid
                paid_commission[trades], paid_slippage[trades], paid_funding[trades] = fee, slipped, funded
                worst[trades], best[trades] = deepest / fill - side, highest / fill - side
                reason[trades] = why
                trades += 1
                side, held = 0, 0.0
            if order != 0 and side == 0 and (order > 0 or allow_short):  # open one
                quote, fill = price, price * (1.0 + order * slippage)
                held = units if units >= 0.0 else fractions[decided] * realised / (fill * (1.0 + commission))
                held = min(held, max_leverage * realised / fill)
                if not held > 0.0:  # ruined, or no volatility known yet
                    held = 0.0
                    refused += 1
                    continue
                side, begin = order, i
                fee, slipped, funded = held * fill * commission, held * order * (fill - quote), 0.0
                deepest = highest = side * quote
                stop = side * fill - fill * stop_loss
                target = side * fill + fill * take_profit

        equity[i] = realised
        if side != 0:
            equity[i] = realised + held * side * (closes[i] - quote) - fee - slipped - funded
            position[i] = held * side
    return trades, ambiguous, refused


@cache
def compiled() -> Any:
    """:func:`run_loop` compiled by numba, from its disk cache when it has been compiled before."""
    import numba

    return numba.njit(cache=True, error_model="numpy")(run_loop)
