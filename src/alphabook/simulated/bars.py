"""From paths inside bars to candles: open, high, low, close, volume, turnover that agree with each other.

Every bar is cut into ``substeps``. A step moves the price by a factor ``1 + squash(y)``; the extremes
between the two ends of a step follow the exact law of a Brownian bridge. Finer candles are therefore
part of the same market, and they add up to the coarser ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..candles.table import as_candles
from .assets import Asset

WICKS = 1.3  # variance inside a step relative to that of the step: real bars are a little taller than Brownian ones


@dataclass(frozen=True, kw_only=True)
class SubBars:
    """The steps of one asset, every array of shape ``(bars, substeps)``."""

    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    turnover: NDArray[np.float64]

    def merged(self, asset: Asset) -> dict[str, NDArray[np.float64]]:
        """One bar per row: first open, highest high, lowest low, last close, summed volume and turnover."""
        return {
            "open": self.open[:, 0],
            "high": self.high.max(axis=1),
            "low": self.low.min(axis=1),
            "close": self.close[:, -1],
            "volume": on_grid(self.volume.sum(axis=1), asset.volume_step),
            "turnover": self.turnover.sum(axis=1),
        }

    def flat(self) -> dict[str, NDArray[np.float64]]:
        """One bar per step."""
        return {name: getattr(self, name).ravel() for name in ("open", "high", "low", "close", "volume", "turnover")}


def squash(y: NDArray) -> NDArray:
    """``y / sqrt(1 + y**2)``: a return in (-1, 1), odd in ``y``, equal to ``y`` for small moves.

    Odd keeps a symmetric shock a fair game in *simple* returns, so that the price itself is a martingale;
    above -1 keeps the price positive. Built from operations that IEEE 754 rounds alike everywhere.
    """
    return y / np.sqrt(1.0 + y * y)


def on_grid(values: NDArray, step: float) -> NDArray[np.float64]:
    """Values rounded to multiples of ``step``, as the doubles nearest to those decimals."""
    return np.round(np.round(values / step) * step, 10)


def build_sub_bars(
    steps: NDArray,
    variance: NDArray,
    asset: Asset,
    *,
    volume: NDArray,
    rng: np.random.Generator,
) -> SubBars:
    """Prices and volumes of every step of one asset.

    Args:
        steps: moves ``y`` including any drift, shape ``(bars, substeps)``.
        variance: variance that each step was drawn with, shape ``(bars, substeps)``.
        volume: base volume of each bar before rounding, shape ``(bars,)``.
        rng: draws extremes and the split of the volume; draws come bar by bar.

    Raises:
        ValueError: the price falls below its own step, or beyond all numbers; the message names bar and price.
    """
    bars, substeps = steps.shape
    extremes, split = rng.spawn(2)
    growth = np.cumprod(1.0 + squash(steps).ravel())
    close = asset.price * growth
    _check_path(close, asset, substeps)
    start = np.concatenate([[asset.price], close[:-1]]).reshape(bars, substeps)
    spread = 2.0 * WICKS * variance[..., None] * extremes.standard_exponential((bars, substeps, 2))
    top = 0.5 * (steps + np.sqrt(steps**2 + spread[..., 0]))
    bottom = 0.5 * (steps - np.sqrt(steps**2 + spread[..., 1]))

    tick, lot = asset.price_step, asset.volume_step
    price = {
        "open": start,
        "close": close.reshape(bars, substeps),
        "high": start * (1.0 + squash(top)),
        "low": start * (1.0 + squash(bottom)),
    }
    price = {k: np.maximum(on_grid(v, tick), tick) for k, v in price.items()}
    price["high"] = np.maximum(price["high"], np.maximum(price["open"], price["close"]))
    price["low"] = np.minimum(price["low"], np.minimum(price["open"], price["close"]))

    effort = 0.3 + np.abs(steps) / np.sqrt(variance)
    effort *= split.standard_gamma(6.0, (bars, substeps))
    lots = volume[:, None] * effort / effort.sum(axis=1, keepdims=True)
    lots = np.maximum(on_grid(lots, lot), lot)
    typical = (price["open"] + price["high"] + price["low"] + price["close"]) / 4.0
    # whole quote units: sums of whole numbers are exact; the clip keeps turnover / volume inside the bar
    turnover = np.clip(np.round(lots * typical), np.ceil(lots * price["low"]), np.floor(lots * price["high"]))
    turnover = np.where(np.ceil(lots * price["low"]) <= np.floor(lots * price["high"]), turnover, lots * typical)
    return SubBars(**price, volume=lots, turnover=turnover)


def _check_path(close: NDArray, asset: Asset, substeps: int) -> None:
    """A trend that feeds itself can take a price to nothing, or beyond all numbers, in some thousand bars."""
    sound = (close >= asset.price_step) & np.isfinite(close)
    if not sound.all():
        where = int(np.argmin(sound))
        raise ValueError(
            f"{asset.symbol} stands at {close[where]:g} in bar {where // substeps}, and its prices move in steps of "
            f"{asset.price_step:g}: plant a weaker effect, take fewer bars or another seed"
        )


def candle_table(columns: list[dict[str, NDArray]], assets: list[Asset], times: pd.DatetimeIndex) -> pd.DataFrame:
    """The candles of all assets in the contract's order (symbol, then time)."""
    order = sorted(range(len(assets)), key=lambda i: assets[i].symbol)
    data = {name: np.concatenate([columns[i][name] for i in order]) for name in columns[0]}
    frame = pd.DataFrame(data)
    frame.insert(0, "symbol", np.repeat([assets[i].symbol for i in order], len(times)))
    frame.insert(0, "open_time", times[np.tile(np.arange(len(times)), len(assets))])
    return as_candles(frame, sort=False)
