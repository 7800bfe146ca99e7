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
from .garch import Clustering, conditional_variance, mixing
from .planted import CALM_AND_STORM, Regime, lead_lag_drift, momentum_drift, oracle_scores, regime_path
from .season import seasonal_variance, seasonal_volume

KINDS = ("null", "momentum", "lead_lag", "regimes")
HOURS_PER_YEAR = 24 * 365
DEFAULT_START = "2023-01-01"


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a simulated market knows about itself and real data never tell.

    Attributes:
        kind: which effect was planted.
        parameters: everything that fixes the market, for the record.
        expected_return: expected simple return of each bar given all bars before it (and, with regimes,
            its own state), index = open time, a column per symbol.
        volatility: standard deviation of each bar's return given all bars before it, same shape.
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
            the calibration to real candles is stated for ``"1h"``.
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
        substeps: steps that each bar is built from.
        finer: also return candles of this interval, which must be ``interval / substeps``.

    Raises:
        ValueError: an unknown kind or symbol, or a number outside its range; the message names it.
    """
    assets = as_assets(symbols)
    names = [a.symbol for a in assets]
    step = Interval.parse(interval)
    _check(kind, bars, strength, lookback, shape, lag, substeps)
    times = _times(step, start, bars)
    hours = 730.0 if step.milliseconds is None else step.milliseconds / 3_600_000
    rng = np.random.default_rng(seed)
    shared, *own = rng.spawn(1 + len(assets))
    factor_rng, regime_rng = shared.spawn(2)

    scale = np.array([a.volatility for a in assets]) * np.sqrt(hours / HOURS_PER_YEAR)
    multiple, annual_drift, state = np.ones(bars), np.zeros(bars), None
    if kind == "regimes":
        state, multiple, annual_drift = regime_path(regimes, bars, hours, regime_rng)
    season = seasonal_variance(times, hours) if seasonality else np.ones(bars)
    clock = multiple * np.sqrt(season)

    factor = _noise(factor_rng, bars, substeps, clustering, hours)
    noise = np.empty((bars, len(assets), substeps))
    known = np.empty((bars, len(assets)))  # variance given the past
    actual = np.empty((bars, len(assets)))  # variance given the past and the size of this bar's shock
    streams = []
    for i, (asset, stream) in enumerate(zip(assets, own, strict=True)):
        shock_rng, bar_rng, volume_rng = stream.spawn(3)
        streams.append((bar_rng, volume_rng))
        alone = _noise(shock_rng, bars, substeps, clustering, hours)
        rest = 1.0 - asset.loading**2
        size = scale[i] * clock
        noise[:, i] = size[:, None] * (asset.loading * factor.steps + np.sqrt(rest) * alone.steps)
        known[:, i] = size**2 * (asset.loading**2 * factor.known + rest * alone.known)
        actual[:, i] = size**2 * (asset.loading**2 * factor.actual + rest * alone.actual)

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
        bar_rng, volume_rng = streams[i]
        intensity = np.sqrt(actual[:, i] / scale[i] ** 2 / clock**2)
        base = asset.turnover * hours / asset.price * busy
        volume = base * _activity(volume_rng, intensity * multiple, hours)
        built.append(
            build_sub_bars(noise[:, i] + drift[:, [i]] / substeps, actual[:, i], asset, volume=volume, rng=bar_rng)
        )

    parameters = {"seed": seed if isinstance(seed, int) else "generator", "symbols": names, "bars": bars,
                  "interval": step.value, "strength": strength, "lookback": lookback, "shape": shape, "lag": lag}  # fmt: skip
    index = times.rename("open_time")
    truth = Truth(
        kind=kind,
        parameters=parameters,
        expected_return=pd.DataFrame(drift, index=index, columns=names),
        volatility=pd.DataFrame(np.sqrt(known), index=index, columns=names),
        oracle=oracle_scores(drift, known, step.bars_per_year, names),
        edges=edges,
        regime=None if state is None else pd.Series([regimes[s].name for s in state], index=index, name="regime"),
    )
    coarse = candle_table([b.merged(a) for b, a in zip(built, assets, strict=True)], assets, times)
    source = f"simulated {kind} market (seed {parameters['seed']})"
    coarse.attrs = {"interval": step.value, "venue": "simulated", "source": source}
    fine = None
    if finer is not None:
        small = Interval.parse(finer)
        if (
            step.milliseconds is None
            or small.milliseconds is None
            or small.milliseconds * substeps != step.milliseconds
        ):
            raise ValueError(f"finer={small} is not {step} / {substeps} substeps")
        fine = candle_table([b.flat() for b in built], assets, _times(small, start, bars * substeps))
        fine.attrs = {**coarse.attrs, "interval": small.value}
    return SimulatedMarket(candles=coarse, truth=truth, finer=fine)


@dataclass(frozen=True)
class _Noise:
    """Steps of variance ``1 / substeps`` on average, with the variance known before and after the size is drawn."""

    steps: NDArray
    known: NDArray
    actual: NDArray


def _noise(rng: np.random.Generator, bars: int, substeps: int, clustering: Clustering, hours: float) -> _Noise:
    normal_rng, mixing_rng = rng.spawn(2)
    normal = normal_rng.standard_normal((bars, substeps)) / np.sqrt(substeps)
    size = mixing(mixing_rng, bars, clustering.degrees)
    shock = normal.sum(axis=1) * np.sqrt(size)
    known = conditional_variance(
        shock[:, None],
        weights=clustering.weights,
        rates=clustering.rates(hours),
        leverage=clustering.leverage,
        ceiling=clustering.ceiling,
    )[:, 0]
    actual = known * size
    return _Noise(steps=normal * np.sqrt(actual)[:, None], known=known, actual=actual)


def _activity(rng: np.random.Generator, intensity: NDArray, hours: float) -> NDArray:
    """Volume relative to its level: rises with the size of the bar's moves, wanders slowly, and is noisy."""
    keep = 0.5 ** (hours / 150.0)
    kick = np.sqrt(1.0 - keep * keep)
    level, wander = 0.0, []
    for e in rng.standard_normal((len(intensity), 2)).tolist():
        level = keep * level + kick * e[0]
        wander.append(0.55 * level + 0.30 * e[1])
    return intensity * np.exp(np.array(wander) - 0.5 * (0.55**2 + 0.30**2))


def _times(step: Interval, start: object, bars: int) -> pd.DatetimeIndex:
    first = step.floor(parse_time(start, name="start"))
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
