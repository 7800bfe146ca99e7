"""Markets whose truth is known: null, momentum, lead-lag, regimes.

A null market looks like a real one (clustered volatility, fat tails, correlated assets, busy hours) and
holds nothing to find: given the past, the expected simple return of every bar is zero, so that no
strategy can expect a profit. The other kinds add one effect of known size to the same market.
Taught in :doc:`/notebooks/data/known_truth`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..candles.interval import Interval
from ..candles.table import parse_time
from .assets import Asset, as_assets
from .bars import build_sub_bars, candle_table
from .garch import Clustering
from .noise import HOURS_PER_MONTH, HOURS_PER_YEAR, Grid, activity, draw_noise
from .planted import CALM_AND_STORM, Regime, lead_lag_drift, momentum_drift, oracle_scores, regime_path
from .season import seasonal_variance, seasonal_volume

KINDS = ("null", "momentum", "lead_lag", "regimes")
DEFAULT_START = "2023-01-01"


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a simulated market knows about itself and real data never tell.

    Attributes:
        kind: which effect was planted.
        parameters: everything that fixes the market, for the record.
        expected_return: expected simple return of each bar given all bars before it (and, with regimes,
            its own state), index = open time, a column per symbol.
        volatility: standard deviation of each bar's return given all bars before it, same shape (for bars
            longer than an hour: given each hour's past, so it is known only when the bar closes).
        oracle: per symbol, the predictable share of variance ``r2`` and the annual ``sharpe`` before costs
            of trading the sign of ``expected_return``.
        edges: for lead-lag, one row per planted edge: leader, follower, lag, slope; else empty.
        regime: for regimes, the name of each bar's state; else ``None``.
    """

    kind: str
    parameters: Mapping[str, object]
    expected_return: pd.DataFrame
    volatility: pd.DataFrame
    oracle: pd.DataFrame
    edges: pd.DataFrame
    regime: pd.Series | None = None


@dataclass(frozen=True, kw_only=True)
class SimulatedMarket:
    """Candles and the truth behind them; ``finer`` holds the same market cut ``substeps`` times finer."""

    candles: pd.DataFrame
    truth: Truth
    finer: pd.DataFrame | None = field(default=None, repr=False)


def simulate_market(
    kind: str = "null",
    *,
    symbols: int | str | Iterable[str | Asset] = 5,
    bars: int = 24 * 365,
    interval: str | int | Interval = "1h",
    start: object = DEFAULT_START,
    seed: int | np.random.Generator,
    clustering: Clustering = Clustering(),  # noqa: B008 (frozen)
    seasonality: bool = True,
    strength: float = 0.1,
    lookback: int = 24,
    shape: str = "sign",
    lag: int = 1,
    leader: str | None = None,
    followers: Iterable[str] | None = None,
    regimes: tuple[Regime, ...] = CALM_AND_STORM,
    substeps: int = 4,
    finer: str | int | Interval | None = None,
) -> SimulatedMarket:
    """Simulate OHLCV candles whose truth is known.

    The same seed gives the same bytes; a longer market begins with the shorter one, and a market of
    more symbols contains the smaller one.

    Args:
        kind: ``"null"``, ``"momentum"``, ``"lead_lag"`` or ``"regimes"``.
        symbols: how many, which names, or :class:`Asset` objects.
        bars: bars per symbol.
        interval: length of a bar. Volatility is annual and memories are in hours, whatever the interval;
            longer bars are built from hours. The calibration to real candles is stated for ``"1h"``.
        start: open time of the first bar.
        seed: an integer, or a Generator (which gives a new market each time).
        clustering: GARCH memories and shocks; :data:`~alphabook.simulated.garch.NO_CLUSTERING` gives
            independent Gaussian returns.
        seasonality: busy and quiet hours of the week.
        strength: size of the planted effect: the correlation between the oracle's forecast and the
            return, for momentum and lead-lag.
        lookback: bars of past return that momentum uses.
        shape: momentum proportional to the ``"sign"`` or to the ``"mean"`` of the past return.
        lag: bars by which the leader leads.
        leader, followers: names; by default the first symbol leads the second.
        regimes: states of the market; only ``kind="regimes"`` uses them.
        substeps: steps that each bar is built from, at least; a bar of several hours has one per hour.
        finer: also return candles of this interval, which must be one step long.

    Raises:
        ValueError: an unknown kind or symbol, or a number outside its range; the message names it.
    """
    assets = as_assets(symbols)
    names = [a.symbol for a in assets]
    step = Interval.parse(interval)
    _check(kind, bars, strength, lookback, shape, lag, substeps)
    times = _times(step, start, bars)
    hours = HOURS_PER_MONTH if step.milliseconds is None else step.milliseconds / 3_600_000
    grid = Grid.of(bars, hours, substeps)
    rng = np.random.default_rng(seed)
    shared, *own = rng.spawn(1 + len(assets))
    factor_rng, regime_rng = shared.spawn(2)
    streams = [stream.spawn(3) for stream in own]

    scale = np.array([a.volatility for a in assets]) * np.sqrt(hours / HOURS_PER_YEAR)  # of a bar
    state, multiple, annual_drift = None, np.ones(bars), np.zeros(bars)
    if kind == "regimes":
        state, multiple, annual_drift = regime_path(regimes, bars, hours, regime_rng)
    clock = multiple[:, None] * np.sqrt(_season(times, grid) if seasonality else np.ones((bars, grid.blocks)))

    factor = draw_noise(factor_rng, grid, clustering)
    noise = np.empty((bars, len(assets), grid.steps))
    known, actual = np.empty((2, len(assets), bars, grid.blocks))
    for i, asset in enumerate(assets):
        alone = draw_noise(streams[i][0], grid, clustering)
        share, rest = asset.loading, 1.0 - asset.loading**2
        size = scale[i] / np.sqrt(grid.blocks) * clock
        moves = size[..., None] * (share * factor.steps + np.sqrt(rest) * alone.steps)
        noise[:, i] = moves.reshape(bars, grid.steps)
        known[i] = size**2 * (share**2 * factor.known + rest * alone.known)
        actual[i] = size**2 * (share**2 * factor.actual + rest * alone.actual)

    edges = pd.DataFrame({"leader": [], "follower": [], "lag": [], "slope": []})
    drift = annual_drift[:, None] * scale[None, :] * np.sqrt(hours / HOURS_PER_YEAR)
    if kind == "momentum":
        drift = momentum_drift(noise, scale, strength=strength, lookback=lookback, shape=shape)
    elif kind == "lead_lag":
        first, rest_of = _roles(names, leader, followers)
        drift, slopes = lead_lag_drift(noise, scale, leader=first, followers=rest_of, strength=strength, lag=lag)
        edges = pd.DataFrame(
            [{"leader": names[first], "follower": names[i], "lag": lag, "slope": slopes[i]} for i in rest_of]
        )

    busy = seasonal_volume(times, hours) if seasonality else np.ones(bars)
    built = []
    for i, asset in enumerate(assets):
        _, bar_rng, volume_rng = streams[i]
        intensity = np.sqrt((actual[i] / clock**2).sum(axis=1)) / scale[i] * multiple
        volume = asset.turnover * hours / asset.price * busy * activity(volume_rng, intensity, hours)
        moves = noise[:, i] + drift[:, [i]] / grid.steps
        per_step = np.repeat(actual[i] / grid.per_block, grid.per_block, axis=1)
        built.append(build_sub_bars(moves, per_step, asset, volume=volume, rng=bar_rng))
    variance = known.sum(axis=2).T

    label = "generator" if isinstance(seed, np.random.Generator) else int(seed)
    planted = {"strength": strength, "lookback": lookback, "shape": shape, "lag": lag}
    parameters = {"seed": label, "symbols": names, "bars": bars, "interval": step.value, **planted}
    index = times.rename("open_time")
    truth = Truth(
        kind=kind,
        parameters=parameters,
        expected_return=pd.DataFrame(drift, index=index, columns=names),
        volatility=pd.DataFrame(np.sqrt(variance), index=index, columns=names),
        oracle=oracle_scores(drift, variance, step.bars_per_year, names),
        edges=edges,
        regime=None if state is None else pd.Series([regimes[s].name for s in state], index=index, name="regime"),
    )
    coarse = candle_table([b.merged(a) for b, a in zip(built, assets, strict=True)], assets, times)
    source = f"simulated {kind} market (seed {label})"
    coarse.attrs = {"interval": step.value, "venue": "simulated", "source": source}
    fine = None
    if finer is not None:
        small = Interval.parse(finer)
        if step.milliseconds is None or small.milliseconds != step.milliseconds // grid.steps:
            raise ValueError(f"finer={small} is not a {step} bar in {grid.steps} steps; change substeps")
        fine = candle_table([b.flat() for b in built], assets, _times(small, start, bars * grid.steps))
        fine.attrs = {**coarse.attrs, "interval": small.value}
    return SimulatedMarket(candles=coarse, truth=truth, finer=fine)


def _season(times: pd.DatetimeIndex, grid: Grid) -> NDArray[np.float64]:
    shift = pd.to_timedelta(np.tile(np.arange(grid.blocks), grid.bars) * grid.block_hours, unit="h")
    blocks = times.repeat(grid.blocks) + shift
    return seasonal_variance(blocks, grid.block_hours).reshape(grid.bars, grid.blocks)


def _times(step: Interval, start: object, bars: int) -> pd.DatetimeIndex:
    first = pd.Timestamp(step.floor(parse_time(start, name="start")))  # type: ignore[arg-type]
    freq = pd.offsets.MonthBegin(1) if step.milliseconds is None else step.timedelta
    return pd.date_range(first, periods=bars, freq=freq).as_unit("ms")


def _roles(names: list[str], leader: str | None, followers: Iterable[str] | None) -> tuple[int, list[int]]:
    wanted = [leader or names[0]]
    wanted += [n for n in names if n != wanted[0]][:1] if followers is None else list(followers)
    unknown = [n for n in wanted if n not in names]
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is not in this market; it has {', '.join(names)}")
    if len(wanted) < 2 or wanted[0] in wanted[1:]:
        raise ValueError(f"lead_lag needs a leader and at least one other symbol, got {', '.join(wanted)}")
    return names.index(wanted[0]), [names.index(n) for n in wanted[1:]]


def _check(kind: str, bars: int, strength: float, lookback: int, shape: str, lag: int, substeps: int) -> None:
    if kind not in KINDS:
        raise ValueError(f"unknown kind of market {kind!r}; use one of {', '.join(KINDS)}")
    if bars < 2:
        raise ValueError(f"bars must be >= 2, got {bars}")
    if substeps < 1:
        raise ValueError(f"substeps must be >= 1, got {substeps}")
    if not 0 <= abs(strength) < 1:
        raise ValueError(f"strength is a correlation in (-1, 1), got {strength}")
    if kind == "momentum":
        if lookback < 1:
            raise ValueError(f"lookback must be >= 1 bar, got {lookback}")
        if shape not in ("sign", "mean"):
            raise ValueError(f"shape must be 'sign' or 'mean', got {shape!r}")
        if shape == "mean" and abs(strength) * np.sqrt(lookback) >= 1:
            raise ValueError(
                f"strength * sqrt(lookback) must be below 1 or prices explode, got {strength * lookback**0.5:.2f}"
            )
    if kind == "lead_lag" and not 1 <= lag < bars:
        raise ValueError(f"lag must be at least one bar and less than {bars} bars, got {lag}")
