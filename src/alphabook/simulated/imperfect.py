"""Markets with known faults: outages and delistings, each with the truth of what was taken away.

Taught in :doc:`/notebooks/data/when_is_a_bar_known`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ..candles.table import interval_of, parse_time, split_symbols


def punch_gaps(
    candles: pd.DataFrame,
    *,
    outages: int = 3,
    longest: int = 12,
    seed: int | np.random.Generator,
    symbols: str | Iterable[str] | None = None,
    together: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Remove bars as an outage of the venue would; never the first or last bar of a symbol.

    Args:
        outages: how many, without overlap and at least one bar apart.
        longest: each outage lasts 1 .. ``longest`` bars.
        symbols: which symbols suffer; by default all.
        together: whether all of them miss the same bars (the venue was down) or each its own.

    Returns:
        The candles that remain, and the truth: ``symbol, first_missing, last_missing, missing`` as
        :func:`~alphabook.candles.find_gaps` would list it.

    Raises:
        ValueError: the table is too short for so many outages, or misses a symbol.
    """
    step = interval_of(candles)
    if outages < 1 or longest < 1:
        raise ValueError(f"outages and longest must be >= 1, got {outages} and {longest}")
    rng = np.random.default_rng(seed)
    chosen = _chosen(candles, symbols)
    times = {s: candles.loc[candles["symbol"] == s, "open_time"].reset_index(drop=True) for s in chosen}
    shortest = min(len(t) for t in times.values())
    room = (shortest - 2) // outages
    if room < longest + 1:
        raise ValueError(
            f"{outages} outages of up to {longest} bars do not fit into {shortest} bars; "
            f"use at most {max(1, (shortest - 2) // (longest + 1))} outages"
        )
    drop = pd.Series(False, index=candles.index)
    rows, plan = [], None
    for symbol in chosen:
        if plan is None or not together:
            lengths = rng.integers(1, longest + 1, outages)
            plan = [(1 + i * room + int(rng.integers(0, room - n)), int(n)) for i, n in enumerate(lengths)]
        for start, length in plan:
            first, last = times[symbol].iloc[start], times[symbol].iloc[start + length - 1]
            drop |= (candles["symbol"] == symbol) & candles["open_time"].between(first, last)
            count = round((last - first) / step.timedelta) + 1
            rows.append({"symbol": symbol, "first_missing": first, "last_missing": last, "missing": count})
    left = candles[~drop].reset_index(drop=True)
    left.attrs = {**candles.attrs, "source": f"{candles.attrs.get('source', 'candles')} with {outages} outages"}
    truth = pd.DataFrame(rows).sort_values(["symbol", "first_missing"]).reset_index(drop=True)
    return left, truth


def delist(candles: pd.DataFrame, symbol: str, *, at: object, tail: str = "flat") -> tuple[pd.DataFrame, pd.Series]:
    """End the trading of one symbol.

    Some venues go on reporting a delisted symbol for months: candles at the last price with no volume.
    A universe that keeps it holds an asset nobody can sell.

    Args:
        at: first bar without a trade.
        tail: ``"flat"`` keeps the later bars at the last close with zero volume; ``"none"`` drops them.

    Returns:
        The candles, and the truth: a boolean Series, aligned with them, that is True where ``symbol``
        could not be traded.

    Raises:
        ValueError: no such symbol, no bar of it before ``at``, or an unknown ``tail``.
    """
    if tail not in ("flat", "none"):
        raise ValueError(f"tail must be 'flat' or 'none', got {tail!r}")
    (name,) = _chosen(candles, [symbol])
    moment = parse_time(at, name="at")
    dead = (candles["symbol"] == name) & (candles["open_time"] >= moment)
    alive = candles[(candles["symbol"] == name) & ~dead]
    if alive.empty:
        raise ValueError(f"{name} has no bar before {moment:%Y-%m-%d %H:%M}; it would never have been listed")
    out = candles.copy()
    out.attrs = {**candles.attrs, "source": f"{candles.attrs.get('source', 'candles')}, {name} delisted"}
    if tail == "none":
        out = out[~dead].reset_index(drop=True)
        return out, pd.Series(False, index=out.index, name="dead")
    out.loc[dead, ["open", "high", "low", "close"]] = alive["close"].iloc[-1]
    out.loc[dead, ["volume", "turnover"]] = 0.0
    return out, dead.rename("dead")


def _chosen(candles: pd.DataFrame, symbols: str | Iterable[str] | None) -> list[str]:
    present = candles["symbol"].unique().tolist()
    wanted = present if symbols is None else split_symbols(symbols)
    unknown = [s for s in wanted if s not in present]
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is not in these candles; they hold {', '.join(present)}")
    return wanted
