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
    equity,
    entry_bar, exit_bar, direction, size, entry_quote, entry_fill, exit_quote, exit_fill,
    paid_commission, paid_slippage, paid_funding, worst, best, reason,
):  # fmt: skip
    """Walk through the bars; fill the output containers; return (trades, ambiguous bars, refused entries).

    ``fractions`` of equity, by bar of the decision, or a single one for all; ``funding`` by bar, or empty for none.
    ``stop_loss`` and ``take_profit`` are fractions, infinite when switched off; ``units`` is negative when
    ``fractions`` decides. From ``equity`` on, arguments are written to.
    """
    last = len(closes) - 1
    varied, pays = len(fractions) > 1, len(funding) > 0
    side, held, signed = 0, 0.0, 0.0  # +1 long, -1 short, 0 flat; units of the asset; both in one
    realised = cash = capital  # what all closed trades have left; the same without the price of what is held
    quote = fill = lowest = highest = 0.0  # entry, quoted and paid; extremes of the price since
    floor, roof = (
        0.0,
        0.0,
    )  # prices at which the position is left: stop and target of a long, target and stop of a short
    fee = slipped = funded = 0.0  # costs of the open position so far
    begin = 0
    nothing_new = 0 if allow_short else -1  # the signal that asks for what is held anyway, or for what is not allowed
    wish, wish_bar = 0, 0  # pending order: direction wanted, bar of the decision
    trades = ambiguous = refused = 0

    for i in range(last + 1):
        signal = signals[i]
        if (signal == 0 or signal == nothing_new) and wish == 0 and i < last:  # most bars: nothing fills
            if side == 0:
                equity[i] = realised
                continue
            low, high = lows[i], highs[i]
            if low > floor and high < roof:
                if low < lowest:
                    lowest = low
                if high > highest:
                    highest = high
                if pays:
                    funded += signed * closes[i] * funding[i]
                    cash -= signed * closes[i] * funding[i]
                equity[i] = cash + signed * closes[i]
                continue

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
        nothing_new = side if side != 0 or allow_short else -1
    return trades, ambiguous, refused


@cache
def compiled() -> Any:
    """:func:`run_loop` compiled by numba, from its disk cache when it has been compiled before."""
    import numba

    return numba.njit(cache=True, error_model="numpy", nogil=True)(run_loop)
