"""One symbol's bars of one interval, and what of them can be seen at a given instant.

A :class:`Series` holds final bars. What a client may see at ``now`` is :meth:`Series.window`: every bar
whose open time lies before ``now``, the last of them still open and therefore incomplete.

The incomplete bar is invented, but always the same way: inside a bar the price walks in straight lines
``open -> low -> high -> close`` when it ends higher than it began (``open -> high -> low -> close``
otherwise), a third of the bar each, and volume accrues evenly. When the series was built from finer
bars, those are used instead. At the close time nothing is invented: the final bar stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...candles.interval import DAY_MS, Interval

MAX_DECIMALS = 8


class Bar(NamedTuple):
    """One bar on the wire's side: times in epoch milliseconds, ``close_ms`` exclusive."""

    open_ms: int
    close_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover: float
    closed: bool = True


@dataclass(frozen=True, eq=False)
class Series:
    """Final bars of one symbol, ascending and unique in open time.

    Attributes:
        open_ms: open times, shape ``(bars,)``.
        close_ms: first instant after each bar, shape ``(bars,)``.
        values: open, high, low, close, volume, turnover; shape ``(bars, 6)``.
        finer: the series this one was aggregated from, if any.
    """

    interval: Interval
    open_ms: np.ndarray
    close_ms: np.ndarray
    values: np.ndarray
    price_decimals: int
    volume_decimals: int
    finer: Series | None = field(default=None, repr=False)

    @classmethod
    def from_candles(cls, candles: pd.DataFrame, interval: Interval) -> Series:
        """From the rows of one symbol; repeated open times keep the last row.

        A missing turnover becomes close times volume.
        """
        rows = candles.drop_duplicates("open_time", keep="last").sort_values("open_time")
        values = rows[["open", "high", "low", "close", "volume", "turnover"]].to_numpy("float64", copy=True)
        price_decimals = decimals_of(values[:, :4])
        volume_decimals = decimals_of(values[:, 4])
        places = min(price_decimals + volume_decimals, MAX_DECIMALS)
        unknown = np.isnan(values[:, 5])
        values[unknown, 5] = np.round(values[unknown, 3] * values[unknown, 4], places)
        times = pd.DatetimeIndex(rows["open_time"])
        return cls(
            interval=interval,
            open_ms=_epoch_ms(times),
            close_ms=_epoch_ms(interval.close_times(times)),
            values=values,
            price_decimals=price_decimals,
            volume_decimals=volume_decimals,
        )

    def aggregated(self, interval: Interval) -> Series:
        """The coarser series: first open, highest high, lowest low, last close, sums."""
        opens = _epoch_ms(interval.floor(_index(self.open_ms)))
        starts = np.flatnonzero(np.r_[True, np.diff(opens) != 0])
        v = self.values
        last = np.r_[starts[1:], len(opens)] - 1
        values = np.column_stack(
            [
                v[starts, 0],
                np.maximum.reduceat(v[:, 1], starts),
                np.minimum.reduceat(v[:, 2], starts),
                v[last, 3],
                np.round(np.add.reduceat(v[:, 4], starts), MAX_DECIMALS),
                np.round(np.add.reduceat(v[:, 5], starts), MAX_DECIMALS),
            ]
        )
        close_ms = _epoch_ms(interval.close_times(_index(opens[starts])))
        return Series(
            interval, opens[starts], close_ms, values, self.price_decimals, self.volume_decimals, finer=self
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.open_ms)

    def floor(self, when_ms: int) -> int:
        """Open time of the bar that contains an instant, whether or not the bar exists."""
        step = self.interval.milliseconds
        if step is not None and DAY_MS % step == 0:
            return when_ms - when_ms % step
        return int(_epoch_ms(self.interval.floor(_index(np.array([when_ms]))))[0])

    def window(self, first_ms: int | None, last_ms: int | None, now_ms: int) -> list[Bar]:
        """Bars with ``first_ms <= open <= last_ms`` (both inclusive), as far as ``now_ms`` lets one see."""
        low, high = self.span(first_ms, last_ms, now_ms)
        return self.take(low, high, now_ms)

    def span(self, first_ms: int | None, last_ms: int | None, now_ms: int) -> tuple[int, int]:
        """Positions of :meth:`window`'s bars, end exclusive."""
        low = 0 if first_ms is None else int(np.searchsorted(self.open_ms, first_ms, side="left"))
        high = int(np.searchsorted(self.open_ms, now_ms, side="left"))
        if last_ms is not None:
            high = min(high, int(np.searchsorted(self.open_ms, last_ms, side="right")))
        return low, max(low, high)

    def take(self, low: int, high: int, now_ms: int) -> list[Bar]:
        """Bars at positions ``low .. high - 1``; one that is open at ``now_ms`` is shown incomplete."""
        return [self.seen(i, now_ms) for i in range(low, high)]

    def after(self, bar: Bar) -> Bar:
        """The bar after ``bar`` as it looked half-way, flat at the last price if there is none."""
        after_ms, last_price = bar.close_ms, bar.close
        close_ms = int(_epoch_ms(self.interval.close_times(_index(np.array([after_ms]))))[0])
        i = int(np.searchsorted(self.open_ms, after_ms))
        if i < len(self) and self.open_ms[i] == after_ms:
            return self.seen(i, (after_ms + close_ms) // 2)
        return Bar(after_ms, close_ms, last_price, last_price, last_price, last_price, 0.0, 0.0, False)

    def position(self, when_ms: int) -> int:
        """Position of the first bar that closes after an instant."""
        return int(np.searchsorted(self.close_ms, when_ms, side="right"))

    def bounds(self, i: int) -> tuple[int, int]:
        """Open and close time of the bar at a position."""
        return int(self.open_ms[i]), int(self.close_ms[i])

    def seen(self, i: int, now_ms: int) -> Bar:
        """The bar at a position as it stands at ``now_ms``, which must not lie before its open."""
        start, stop = self.bounds(i)
        if now_ms >= stop:
            o, h, lo, c, volume, turnover = (float(x) for x in self.values[i])
            return Bar(start, stop, o, h, lo, c, volume, turnover)
        if self.finer is not None:
            return self._merged(self.finer.window(start, stop - 1, now_ms), start, stop)
        done = max(0.0, (now_ms - start) / (stop - start))
        o, h, lo, c, volume, turnover = map(float, self.values[i])
        price, high, low = _walk(o, h, lo, c, done)
        price, high, low = (round(x, self.price_decimals) for x in (price, high, low))
        return Bar(
            start, stop, o, max(high, o, price), min(low, o, price), price,
            round(volume * done, self.volume_decimals), round(turnover * done, MAX_DECIMALS), False,
        )  # fmt: skip

    def _merged(self, parts: list[Bar], start: int, stop: int) -> Bar:
        return Bar(
            start, stop, parts[0].open, max(p.high for p in parts), min(p.low for p in parts), parts[-1].close,
            round(sum(p.volume for p in parts), MAX_DECIMALS), round(sum(p.turnover for p in parts), MAX_DECIMALS),
            False,
        )  # fmt: skip


def stale(bar: Bar) -> Bar:
    """A bar as it looked before its last trades: another close, less volume."""
    return bar._replace(
        close=round((bar.open + 3 * bar.low) / 4, 8) if bar.close != bar.low else bar.high,
        volume=round(bar.volume * 0.75, 8),
        turnover=round(bar.turnover * 0.75, 8),
    )


def number(value: float, decimals: int | None = None) -> str:
    """A float as plain decimal text that reads back as the same float.

    With ``decimals`` the text is padded to that many places, as long as that loses nothing.
    """
    if decimals is not None:
        text = f"{value:.{decimals}f}"
        if float(text) == value:
            return text
    return np.format_float_positional(value, trim="-")


def decimals_of(values: np.ndarray) -> int:
    """Decimal places needed to write every value, at most 8."""
    finite = values[np.isfinite(values)]
    for places in range(MAX_DECIMALS):
        if np.allclose(np.round(finite, places), finite, rtol=1e-12, atol=1e-12):
            return places
    return MAX_DECIMALS


def _walk(o: float, h: float, low: float, c: float, done: float) -> tuple[float, float, float]:
    """Price, highest and lowest so far after the fraction ``done`` of a bar."""
    corners = (o, low, h, c) if c >= o else (o, h, low, c)
    leg = min(int(done * 3), 2)
    price = corners[leg] + (corners[leg + 1] - corners[leg]) * (done * 3 - leg)
    seen = (*corners[: leg + 1], price)
    return price, max(seen), min(seen)


def _index(ms: np.ndarray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(ms, unit="ms", utc=True))


def _epoch_ms(times: Any) -> np.ndarray:
    return pd.DatetimeIndex(times).as_unit("ms").asi8.copy()


def unit(decimals: int) -> str:
    """The smallest step at so many decimal places, as text: ``0.01``."""
    return f"{10.0**-decimals:.{decimals}f}"
