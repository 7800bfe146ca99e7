r"""Stylised facts: what every liquid market's returns have in common, measured.

With simple returns :math:`R_t = C_t / C_{t-1} - 1` of consecutive bars (a return across a missing bar does
not count), :math:`\bar R` their mean and :math:`x_t = R_t - \bar R`:

==========================  ==============================================================================
``bars``                    number of bars
``annual_volatility``       :math:`s \sqrt{P}`, :math:`s` the standard deviation, :math:`P` bars in 365 days
``skew``                    :math:`\overline{x^3} / s^3`
``excess_kurtosis``         :math:`\overline{x^4} / s^4 - 3`; zero for a Gaussian
``acf_return_k``            :math:`\rho_k(R)`, with :math:`\rho_k(y) = \overline{y_t y_{t-k}} / \overline{y^2}`, mean removed
``acf_square_k``            :math:`\rho_k(x^2)`
``acf_absolute_k``          :math:`\rho_k(|x|)`
``tail_index``              Hill (1975): one over the mean of :math:`\ln(a_{(i)} / a_{(m+1)})` over the :math:`m` largest :math:`|x|`
``leverage``                mean over :math:`h` up to a day of the correlation of :math:`R_t` with :math:`|R_{t+h}|`
``volume_correlation``      correlation of :math:`|R_t|` with the bar's volume
``range_ratio``             mean of :math:`\ln(H/L)` over mean of :math:`|\ln(C/C_{-1})|`; 2 for a Brownian path
``mean_correlation``        mean correlation of the symbol's returns with the other symbols'
``zero_volume_share``       share of bars without a trade
==========================  ==============================================================================

The list follows Cont (2001), *Empirical properties of asset returns: stylized facts and statistical
issues*, Quantitative Finance 1, 223-236. Taught in :doc:`/notebooks/data/known_truth`.
"""  # noqa: E501 (table)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..candles.interval import Interval
from ..candles.table import interval_of
from ..errors import CandleError

TAIL_SHARE = 0.01


def stylised_facts(
    candles: pd.DataFrame,
    *,
    interval: str | int | Interval | None = None,
    lags: Sequence[int] | None = None,
    tail_share: float = TAIL_SHARE,
) -> pd.DataFrame:
    """Facts of each symbol, one row per symbol; the module's text gives the formulas.

    Args:
        candles: a candle table.
        lags: lags of the autocorrelations in bars; by default one bar, one day, one week.
        tail_share: share of the returns, largest in size, that the tail index uses.

    Raises:
        CandleError: a symbol has fewer than ten returns.
    """
    step = interval_of(candles, interval)
    day = max(1, round(step.bars_per_year / 365))
    wanted = tuple(dict.fromkeys((1, day, 7 * day))) if lags is None else tuple(lags)
    returns = {s: _returns(one, step) for s, one in candles.groupby("symbol", sort=True)}
    wide = pd.DataFrame(returns)
    together = wide.corr()
    rows = {}
    for symbol, one in candles.groupby("symbol", sort=True):
        x = returns[symbol].to_numpy()
        if np.isfinite(x).sum() < 10:
            raise CandleError(f"{symbol} has {len(one)} bars; stylised facts need at least 11 consecutive ones")
        on_grid = one.set_index("open_time").reindex(returns[symbol].index)
        others = together[symbol].drop(symbol)
        rows[symbol] = {
            **_moments(x, len(one), step.bars_per_year),
            **{f"acf_return_{k}": autocorrelation(x, k) for k in wanted[:1]},
            **{f"acf_square_{k}": autocorrelation((x - np.nanmean(x)) ** 2, k) for k in wanted},
            **{f"acf_absolute_{k}": autocorrelation(np.abs(x - np.nanmean(x)), k) for k in wanted},
            "tail_index": hill(x, share=tail_share),
            "leverage": float(np.mean([_correlation(x[:-h], np.abs(x[h:])) for h in range(1, max(day, 1) + 1)])),
            "volume_correlation": _correlation(np.abs(x), on_grid["volume"].to_numpy()),
            "range_ratio": float(np.mean(np.log(one["high"] / one["low"])) / np.nanmean(np.abs(np.log1p(x)))),
            "mean_correlation": float(others.mean()) if len(others) else np.nan,
            "zero_volume_share": float((one["volume"] == 0).mean()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("symbol")


def compare_facts(markets: Mapping[str, pd.DataFrame], *, bands: Mapping[str, Band] | None = None) -> pd.DataFrame:
    """Facts of several markets side by side, with the calibration bands.

    Args:
        markets: name of each market and its candles, or its :func:`stylised_facts`.
        bands: by default :data:`CALIBRATION`, which is stated for hourly bars.

    Returns:
        One row per fact and market: ``low``, ``median`` and ``high`` over the symbols, the band, and
        whether the median lies ``inside``.
    """
    limits = CALIBRATION if bands is None else bands
    rows = []
    for name, table in markets.items():
        facts = stylised_facts(table) if "open_time" in table.columns else table
        for fact, band in limits.items():
            if fact in facts.columns:
                values = facts[fact].dropna()
                middle = float(values.median())
                rows.append(
                    {"fact": fact, "market": name, "low": values.min(), "median": middle, "high": values.max(),
                     "band_low": band.low, "band_high": band.high, "inside": band.low <= middle <= band.high}
                )  # fmt: skip
    table = pd.DataFrame(rows)
    order = {fact: i for i, fact in enumerate(limits)}
    return table.sort_values("fact", key=lambda f: f.map(order), kind="stable").reset_index(drop=True)


@dataclass(frozen=True)
class Band:
    """Limits for the median over the symbols of a market, and the range that real symbols showed."""

    low: float
    high: float
    real_low: float
    real_high: float


CALIBRATION_SOURCE = (
    "Bybit USDT perpetuals BTC ETH SOL XRP BNB, 1h, 2021-10-15 .. 2024-12-31, 28,176 bars each; "
    "aggregated statistics, measured with alphabook.simulated.stylised_facts"
)
"""Where the ranges of :data:`CALIBRATION` were measured."""

CALIBRATION: Mapping[str, Band] = MappingProxyType(
    {
        "annual_volatility": Band(0.40, 0.90, 0.543, 1.087),
        "excess_kurtosis": Band(6.0, 120.0, 12.86, 56.74),
        "acf_return_1": Band(-0.06, 0.06, -0.015, -0.003),
        "acf_square_1": Band(0.10, 0.35, 0.157, 0.247),
        "acf_square_24": Band(0.02, 0.16, 0.035, 0.142),
        "acf_square_168": Band(0.005, 0.12, 0.007, 0.049),
        "acf_absolute_1": Band(0.20, 0.42, 0.267, 0.330),
        "acf_absolute_24": Band(0.08, 0.29, 0.155, 0.199),
        "acf_absolute_168": Band(0.04, 0.20, 0.076, 0.123),
        "tail_index": Band(2.2, 4.0, 2.807, 3.478),
        "leverage": Band(-0.05, 0.03, -0.021, 0.011),
        "volume_correlation": Band(0.30, 0.70, 0.474, 0.640),
        "range_ratio": Band(2.0, 2.25, 2.061, 2.190),
        "mean_correlation": Band(0.50, 0.85, 0.594, 0.741),
        "zero_volume_share": Band(0.0, 0.01, 0.0, 0.0),
    }
)
"""What a calibrated hourly market must show: limits for the median over its symbols, in two years or more.

The limits are wider than the range of the five real symbols because one history of heavy-tailed,
clustered returns says little about its own kurtosis or squares. Even so about one simulated history in
four leaves a band or two; the median over the symbols of three histories keeps inside all of them.
Skewness has no band for the same reason.
"""


def autocorrelation(values: NDArray, lag: int) -> float:
    """``mean(y[t] * y[t - lag]) / mean(y**2)`` of the values less their mean; missing values are left out."""
    y = values - np.nanmean(values)
    if lag >= len(y):
        return float("nan")
    return float(np.nanmean(y[lag:] * y[: len(y) - lag]) / np.nanmean(y * y))


def hill(values: NDArray, *, share: float = TAIL_SHARE) -> float:
    """Tail index of ``|values - mean|`` by Hill's estimator over the largest ``share`` of them (at least five).

    Raises:
        ValueError: ``share`` is not in (0, 0.5].
    """
    if not 0 < share <= 0.5:
        raise ValueError(f"share of returns in the tail must lie in (0, 0.5], got {share}")
    finite = values[np.isfinite(values)]
    size = np.sort(np.abs(finite - finite.mean()))[::-1]
    count = max(5, int(share * len(size)))
    return float(1.0 / np.mean(np.log(size[:count] / size[count])))


def _returns(one: pd.DataFrame, step: Interval) -> pd.Series:
    close = one.set_index("open_time")["close"]
    grid = step.date_range(close.index.min(), close.index.max() + pd.Timedelta(1, unit="ms"))
    return close.reindex(grid).pct_change(fill_method=None).iloc[1:]


def _moments(x: NDArray, bars: int, bars_per_year: float) -> dict[str, float]:
    d = x - np.nanmean(x)
    s = np.sqrt(np.nanmean(d * d))
    return {
        "bars": bars,
        "annual_volatility": float(s * np.sqrt(bars_per_year)),
        "skew": float(np.nanmean(d**3) / s**3),
        "excess_kurtosis": float(np.nanmean(d**4) / s**4 - 3.0),
    }


def _correlation(a: NDArray, b: NDArray) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        return float("nan")
    a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
    norm = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / norm) if norm > 0 else float("nan")
