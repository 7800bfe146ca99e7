"""How orders become trades: one frozen, validated configuration per kind of backtest.

Taught in :doc:`/notebooks/backtests/engine`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from ..errors import BacktestError


@dataclass(frozen=True, kw_only=True)
class BacktestConfig:
    """One asset: when orders fill, how much is traded, what it costs. Fractions: 0.001 is 10 basis points.

    Attributes:
        initial_capital: equity before the first bar, in units of the quote currency.
        position_size: fraction of equity put into a position (``sizing="fraction"``).
        stop_loss, take_profit: distance from the entry price at which a position is closed; ``None`` for none.
        commission: the venue's fee per unit of traded value, charged on the way in and on the way out.
        slippage: how much worse than the quoted price a market order or a stop fills; targets rest and fill exactly.
        allow_short: whether a sell signal opens a short position, or only closes a long one.
        fill: ``"next_open"`` (a signal of bar t fills at the open of t + 1) or ``"close"`` (at the close of t).
        stop_from: stops live from the ``"entry_bar"`` or from the ``"next_bar"`` on. With ``fill="close"`` the entry
            happens when the bar is over, so they live from the next bar either way.
        intrabar: stop and target inside one bar: ``"pessimistic"`` takes the stop, ``"optimistic"`` the target.
        confirmation: a signal counts only when the last so many bars all said the same.
        sizing: ``"fraction"`` of equity, ``"units"`` of the asset, or ``"volatility"``.
        units: units of the asset per position (``sizing="units"``).
        target_volatility: annual volatility a position aims at (``sizing="volatility"``), as a fraction of equity.
        volatility_window: bars behind the decision that the volatility is measured on.
        max_leverage: largest value of a position over equity; every sizing is cut to it.
        periods_per_year: bars in a year; ``None`` derives it from the interval of the candles.

    Raises:
        BacktestError: a value makes no sense; the message names it, its limits and the usual mistake.
    """

    initial_capital: float = 100_000.0
    position_size: float = 0.02
    stop_loss: float | None = 0.02
    take_profit: float | None = 0.04
    commission: float = 0.001
    slippage: float = 0.0005
    allow_short: bool = False
    fill: Literal["next_open", "close"] = "next_open"
    stop_from: Literal["entry_bar", "next_bar"] = "entry_bar"
    intrabar: Literal["pessimistic", "optimistic"] = "pessimistic"
    confirmation: int = 1
    sizing: Literal["fraction", "units", "volatility"] = "fraction"
    units: float | None = None
    target_volatility: float = 0.20
    volatility_window: int = 168
    max_leverage: float = 1.0
    periods_per_year: float | None = None

    def __post_init__(self) -> None:
        _positive("initial_capital", self.initial_capital, "an account starts with money in it")
        _finite("position_size", self.position_size)
        if not 0 < self.position_size <= 1:
            raise BacktestError(
                f"position_size is a fraction of equity in (0, 1], got {self.position_size}; "
                "2 % is 0.02, and more than all of it is max_leverage's business"
            )
        _distance("stop_loss", self.stop_loss, below_one=True)
        _distance("take_profit", self.take_profit, below_one=False)
        _cost("commission", self.commission)
        _cost("slippage", self.slippage)
        _choice("fill", self.fill, ("next_open", "close"))
        _choice("stop_from", self.stop_from, ("entry_bar", "next_bar"))
        _choice("intrabar", self.intrabar, ("pessimistic", "optimistic"))
        _choice("sizing", self.sizing, ("fraction", "units", "volatility"))
        _count("confirmation", self.confirmation, 1)
        _count("volatility_window", self.volatility_window, 2)
        _positive("max_leverage", self.max_leverage, "1 means that a position is never larger than the equity")
        _positive("target_volatility", self.target_volatility, "0.2 aims at 20 % a year")
        if self.periods_per_year is not None:
            _positive("periods_per_year", self.periods_per_year, "hourly bars of a market that never closes: 8760")
        if self.sizing == "units":
            if self.units is None:
                raise BacktestError('sizing="units" needs units, the amount of the asset per position')
            _positive("units", self.units, "the direction comes from the signal")
        elif self.units is not None:
            raise BacktestError(f'units={self.units} is used only with sizing="units", got sizing="{self.sizing}"')

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that name this configuration, the same on every machine."""
        return config_digest(self)


@dataclass(frozen=True, kw_only=True)
class PortfolioConfig:
    """Many assets: when target weights are traded, what that costs, how far they may go.

    Attributes:
        initial_capital: equity before the first bar, in units of the quote currency.
        rebalance_every: bars from one rebalance to the next; between them the weights drift.
        commission, slippage: cost per unit of traded value, buys and sells both counted.
        max_weight: largest absolute weight of one asset; targets beyond it are projected onto the capped simplex.
        allow_short: whether negative target weights are traded or an error.
        max_gross, max_net: limits on the sum of absolute weights and on the absolute sum of weights; targets beyond
            them are an error.
        borrow: annual rate paid on the value of short positions.
        fill: ``"next_bar"`` (weights of row t trade in row t + 1: at its open where ``opens`` are given, else at its
            price) or ``"close"`` (at the price of row t itself).
        periods_per_year: bars in a year; ``None`` derives it from the time stamps.

    Raises:
        BacktestError: a value makes no sense.
    """

    initial_capital: float = 100_000.0
    rebalance_every: int = 24
    commission: float = 0.001
    slippage: float = 0.0005
    max_weight: float = 0.5
    allow_short: bool = False
    max_gross: float = 1.0
    max_net: float = 1.0
    borrow: float = 0.0
    fill: Literal["next_bar", "close"] = "next_bar"
    periods_per_year: float | None = None

    def __post_init__(self) -> None:
        _positive("initial_capital", self.initial_capital, "an account starts with money in it")
        _count("rebalance_every", self.rebalance_every, 1)
        _cost("commission", self.commission)
        _cost("slippage", self.slippage)
        _cost("borrow", self.borrow)
        _positive("max_weight", self.max_weight, "0.3 means that no asset is ever bought beyond 30 % of equity")
        _positive("max_gross", self.max_gross, "1 means no leverage")
        _positive("max_net", self.max_net, "1 means no leverage")
        _choice("fill", self.fill, ("next_bar", "close"))
        if self.periods_per_year is not None:
            _positive("periods_per_year", self.periods_per_year, "hourly bars of a market that never closes: 8760")

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that name this configuration, the same on every machine."""
        return config_digest(self)


@lru_cache(maxsize=65_536)
def config_digest(config: BacktestConfig | PortfolioConfig) -> str:
    """First twelve hexadecimal digits of the SHA-256 of kind and values; equal configurations have equal ones."""
    values = [repr(float(v)) if isinstance(v, int | float) else repr(v) for v in vars(config).values()]
    return hashlib.sha256(" ".join([type(config).__name__, *values]).encode()).hexdigest()[:12]


def _finite(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BacktestError(f"{name} must be a finite number, got {value!r}")


def _positive(name: str, value: float, why: str) -> None:
    _finite(name, value)
    if value <= 0:
        raise BacktestError(f"{name} must be above 0, got {value}: {why}")


def _cost(name: str, value: float) -> None:
    _finite(name, value)
    if not 0 <= value < 1:
        raise BacktestError(f"{name} is a fraction in [0, 1), got {value}; 10 basis points are 0.001")


def _distance(name: str, value: float | None, *, below_one: bool) -> None:
    if value is None:
        return
    _finite(name, value)
    if value <= 0 or (below_one and value >= 1):
        limits = "(0, 1)" if below_one else "(0, inf)"
        raise BacktestError(f"{name} is a fraction of the entry price in {limits}, got {value}; None switches it off")


def _count(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise BacktestError(f"{name} is a whole number of bars, at least {least}, got {value!r}")


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BacktestError(f"{name} is one of {', '.join(map(repr, choices))}, got {value!r}")
