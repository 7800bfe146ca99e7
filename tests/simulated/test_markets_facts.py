"""Stylised facts against closed forms, and the calibration bands on simulated and on real candles."""

import numpy as np
import pandas as pd
import pytest

from alphabook.candles import as_candles
from alphabook.candles.load import real_market_available
from alphabook.errors import CandleError
from alphabook.simulated import (
    CALIBRATION,
    CALIBRATION_SOURCE,
    NO_CLUSTERING,
    Asset,
    Band,
    autocorrelation,
    compare_facts,
    hill,
    simulate_market,
    stylised_facts,
)


def candles_from(returns: np.ndarray, symbol: str = "X", **columns) -> pd.DataFrame:
    close = 100 * np.cumprod(1 + returns)
    opened = np.concatenate([[100.0], close[:-1]])
    frame = pd.DataFrame(
        {
            "open_time": pd.date_range("2024-01-01", periods=len(close), freq="h", tz="UTC"),
            "symbol": symbol,
            "open": opened,
            "high": np.maximum(opened, close),
            "low": np.minimum(opened, close),
            "close": close,
            "volume": 1.0,
            **columns,
        }
    )
    return as_candles(frame, interval="1h")


# --- the formulas --------------------------------------------------------------------------------
def test_formulas_on_numbers_that_fit_on_paper():
    returns = np.array([0.0, 0.01, -0.02, 0.03, -0.01, 0.02, -0.03, 0.01, 0.00, -0.01, 0.02, 0.01])
    facts = stylised_facts(candles_from(returns), lags=(1, 2)).loc["X"]
    r = returns[1:]  # the first bar has no close before it
    d = r - r.mean()
    s2 = (d**2).mean()
    assert facts["bars"] == 12
    assert facts["annual_volatility"] == pytest.approx(np.sqrt(s2 * 8760))
    assert facts["skew"] == pytest.approx((d**3).mean() / s2**1.5)
    assert facts["excess_kurtosis"] == pytest.approx((d**4).mean() / s2**2 - 3)
    assert facts["acf_return_1"] == pytest.approx((d[1:] * d[:-1]).mean() / s2)
    q = d**2 - s2
    assert facts["acf_square_2"] == pytest.approx((q[2:] * q[:-2]).mean() / (q**2).mean())
    assert np.isnan(facts["mean_correlation"])


def test_independent_gaussian_returns_have_no_facts():
    returns = np.random.default_rng(0).normal(0, 0.01, 40_000)
    facts = stylised_facts(candles_from(returns)).loc["X"]
    assert facts["annual_volatility"] == pytest.approx(0.01 * np.sqrt(8760), rel=0.02)
    assert abs(facts["excess_kurtosis"]) < 5 * np.sqrt(24 / 40_000)
    for name in facts.index[facts.index.str.startswith("acf_")]:
        assert abs(facts[name]) < 4.5 / np.sqrt(40_000), name


def test_autocorrelation_of_an_autoregression():
    rng = np.random.default_rng(1)
    y = np.zeros(100_000)
    for t in range(1, len(y)):
        y[t] = 0.6 * y[t - 1] + rng.standard_normal()
    for lag in (1, 2, 5):
        assert autocorrelation(y, lag) == pytest.approx(0.6**lag, abs=0.02)
    assert np.isnan(autocorrelation(y[:5], 9))


@pytest.mark.parametrize("alpha", [2.0, 3.0, 5.0])
def test_hill_recovers_the_index_of_a_pareto_tail(alpha):
    rng = np.random.default_rng(2)
    pareto = (rng.pareto(alpha, 200_000) + 1) * rng.choice([-1, 1], 200_000)
    assert hill(pareto, share=0.01) == pytest.approx(alpha, rel=0.1)


def test_hill_refuses_more_than_half():
    with pytest.raises(ValueError, match=r"must lie in \(0, 0.5\], got 0.9"):
        hill(np.arange(100.0), share=0.9)


def test_leverage_is_negative_where_falls_stir_volatility():
    rng = np.random.default_rng(3)
    r, scale = [], 0.01
    for _ in range(30_000):
        r.append(scale * rng.standard_normal())
        scale = 0.01 * (1.6 if r[-1] < 0 else 0.8)
    assert stylised_facts(candles_from(np.array(r))).loc["X", "leverage"] < -0.005
    assert stylised_facts(candles_from(-np.array(r))).loc["X", "leverage"] > 0.005


def test_range_ratio_of_a_brownian_path_is_two():
    """E[range] / E|move| = sqrt(8 / pi) / sqrt(2 / pi) = 2 (Feller 1951)."""
    asset = Asset(symbol="X", price=1e6, volatility=0.6)
    market = simulate_market(symbols=[asset], bars=8_000, seed=1, clustering=NO_CLUSTERING, substeps=60)
    fact = stylised_facts(market.candles).loc["X", "range_ratio"]
    assert 2.0 < fact < 2.1  # WICKS makes bars a little taller than Brownian ones
    # sixty Brownian points alone, without the excursions between them, fall short of two
    assert fact > 1.9


def test_volume_and_zero_volume():
    returns = np.random.default_rng(4).normal(0, 0.01, 1_000)
    candles = candles_from(returns, volume=np.abs(returns) * 1e4)
    candles.loc[:99, "volume"] = 0.0
    facts = stylised_facts(candles).loc["X"]
    assert facts["zero_volume_share"] == pytest.approx(0.1)
    assert facts["volume_correlation"] > 0.7


def test_returns_across_a_gap_do_not_count():
    returns = np.random.default_rng(5).normal(0, 0.001, 400)
    returns[200] = 0.5  # a jump while the venue was away
    whole = candles_from(returns)
    holed = whole.drop(index=[199, 200]).reset_index(drop=True)
    holed.attrs = whole.attrs
    assert stylised_facts(whole).loc["X", "excess_kurtosis"] > 100
    assert stylised_facts(holed).loc["X", "excess_kurtosis"] < 3


def test_mean_correlation_is_with_the_others():
    rng = np.random.default_rng(6)
    common = rng.normal(0, 0.01, 20_000)
    parts = [candles_from(common + rng.normal(0, 0.01, 20_000), s) for s in "AB"]
    table = pd.concat([*parts, candles_from(rng.normal(0, 0.01, 20_000), "C")], ignore_index=True)
    table.attrs["interval"] = "1h"
    facts = stylised_facts(table)["mean_correlation"]
    assert facts["A"] == pytest.approx(0.25, abs=0.02)  # 0.5 with B, 0 with C
    assert facts["C"] == pytest.approx(0.0, abs=0.02)


def test_daily_bars_use_days_and_weeks():
    facts = stylised_facts(simulate_market(bars=400, interval="1d", seed=1).candles)
    assert {"acf_square_1", "acf_square_7"} <= set(facts.columns)
    assert "acf_square_24" not in facts.columns


def test_too_few_bars():
    with pytest.raises(CandleError, match="X has 5 bars; stylised facts need at least 11"):
        stylised_facts(candles_from(np.full(5, 0.01)))


# --- the bands -----------------------------------------------------------------------------------
def test_every_band_holds_the_range_of_the_real_symbols():
    assert "2021-10-15 .. 2024-12-31" in CALIBRATION_SOURCE
    for fact, band in CALIBRATION.items():
        assert band.low < band.high, fact
        assert band.real_low <= band.real_high, fact
        assert band.low <= band.real_low, fact
        assert band.low <= (band.real_low + band.real_high) / 2 <= band.high, fact


@pytest.mark.parametrize("seed", [0, 30, 60])
def test_simulated_markets_lie_in_the_bands(seed):
    """Three histories at a time: a single one leaves a band or two about once in four times."""
    facts = pd.concat([stylised_facts(simulate_market(bars=17_544, seed=seed + k).candles) for k in range(3)])
    table = compare_facts({"simulated": facts})
    assert len(table) == len(CALIBRATION)
    assert table["inside"].all(), table[~table["inside"]].to_string()


def test_the_bands_can_fail():
    """Independent Gaussian returns, the usual null, miss every fact that makes a market hard."""
    facts = stylised_facts(simulate_market(bars=17_544, seed=0, clustering=NO_CLUSTERING, seasonality=False).candles)
    outside = set(compare_facts({"gaussian": facts}).query("not inside")["fact"])
    assert {"excess_kurtosis", "acf_square_1", "acf_absolute_24", "acf_absolute_168", "tail_index"} <= outside


def test_correlations_are_those_of_the_real_pairs():
    """Pairwise correlations of the five real perpetuals (see CALIBRATION_SOURCE), to two digits."""
    real = {
        ("BTCUSDT", "ETHUSDT"): 0.86, ("BTCUSDT", "BNBUSDT"): 0.74, ("BTCUSDT", "SOLUSDT"): 0.70,
        ("BTCUSDT", "XRPUSDT"): 0.61, ("BNBUSDT", "ETHUSDT"): 0.77, ("ETHUSDT", "SOLUSDT"): 0.72,
        ("ETHUSDT", "XRPUSDT"): 0.63, ("BNBUSDT", "SOLUSDT"): 0.67, ("BNBUSDT", "XRPUSDT"): 0.60,
        ("SOLUSDT", "XRPUSDT"): 0.56,
    }  # fmt: skip
    tables = []
    for seed in range(6):
        close = simulate_market(bars=8_000, seed=seed).candles.pivot(
            index="open_time", columns="symbol", values="close"
        )
        tables.append(close.pct_change().corr())
    mean = sum(tables) / len(tables)
    for (a, b), value in real.items():
        assert mean.loc[a, b] == pytest.approx(value, abs=0.1), (a, b)


def test_compare_facts_takes_candles_or_facts_and_keeps_the_order_of_the_bands():
    candles = simulate_market(bars=500, seed=1, symbols=2).candles
    bands = {"tail_index": Band(0, 1, 0, 1), "annual_volatility": Band(0, 9, 0, 9)}
    table = compare_facts({"one": candles, "two": stylised_facts(candles)}, bands=bands)
    assert table["fact"].tolist() == ["tail_index", "tail_index", "annual_volatility", "annual_volatility"]
    assert table["inside"].tolist() == [False, False, True, True]
    one, two = (table[table["market"] == m].drop(columns="market").reset_index(drop=True) for m in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)


def test_real_candles_lie_in_the_bands_and_show_the_published_ranges():
    if not real_market_available():
        pytest.skip("ALPHABOOK_MARKET_DIR is not set: there are no real candles to measure")
    from alphabook.candles import load_candles

    names = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT"]
    real = load_candles(names, "1h", "2021-10-15", "2025-01-01", source="store", venue="bybit")
    facts = stylised_facts(real)
    assert facts["bars"].min() == facts["bars"].max() == 28_176
    table = compare_facts({"real": facts}).set_index("fact")
    assert table["inside"].all(), table[~table["inside"]].to_string()
    for fact, band in CALIBRATION.items():
        assert table.loc[fact, "low"] == pytest.approx(band.real_low, rel=5e-3, abs=6e-4), fact
        assert table.loc[fact, "high"] == pytest.approx(band.real_high, rel=5e-3, abs=6e-4), fact
