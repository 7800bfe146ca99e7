"""What every simulated market keeps: reproducible, prefix-stable, valid candles at any interval."""

import hashlib
import time

import numpy as np
import pandas as pd
import pytest

from alphabook.candles import resample, validate_candles
from alphabook.candles.table import COLUMNS
from alphabook.simulated import KINDS, NO_CLUSTERING, PROFILES, Asset, simulate_market
from alphabook.simulated.assets import as_assets
from alphabook.simulated.season import seasonal_variance, seasonal_volume


def digest(candles: pd.DataFrame) -> str:
    return hashlib.sha256(pd.util.hash_pandas_object(candles, index=False).to_numpy().tobytes()).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_bytes_other_seed_other_market(kind):
    first, again, other = (simulate_market(kind, bars=300, seed=s) for s in (3, 3, 4))
    assert digest(first.candles) == digest(again.candles)
    pd.testing.assert_frame_equal(first.truth.expected_return, again.truth.expected_return, check_exact=True)
    assert digest(first.candles) != digest(other.candles)


def test_a_generator_is_a_seed_and_moves_on():
    one, two = np.random.default_rng(9), np.random.default_rng(9)
    a, b = (simulate_market(bars=50, seed=one).candles for _ in range(2))
    assert digest(a) != digest(b)
    assert digest(a) == digest(simulate_market(bars=50, seed=two).candles)
    assert digest(a) == digest(simulate_market(bars=50, seed=9).candles)


def test_the_global_random_state_is_left_alone():
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    simulate_market(bars=50, seed=1)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_market_begins_with_the_shorter_one(kind):
    short, long = (simulate_market(kind, bars=n, seed=5) for n in (200, 900))
    cut = long.candles[long.candles["open_time"] <= short.candles["open_time"].max()].reset_index(drop=True)
    pd.testing.assert_frame_equal(short.candles, cut, check_exact=True)
    pd.testing.assert_frame_equal(
        short.truth.volatility, long.truth.volatility.iloc[:200], check_exact=True, check_freq=False
    )


def test_a_larger_market_contains_the_smaller_one():
    small, large = (simulate_market(bars=200, symbols=n, seed=5).candles for n in (2, 5))
    kept = large[large["symbol"].isin(small["symbol"].unique())].reset_index(drop=True)
    pd.testing.assert_frame_equal(small, kept, check_exact=True)


@pytest.mark.parametrize("kind", KINDS)
def test_hourly_candles_pass_every_rule(kind):
    market = simulate_market(kind, bars=3_000, seed=8, finer="15m")
    report = validate_candles(market.candles, finer=market.finer)
    assert report.ok
    assert report.issues.empty, report.issues.to_string()
    assert validate_candles(market.finer).issues.empty
    assert tuple(market.candles.columns) == COLUMNS
    assert market.candles.attrs["interval"] == "1h"
    assert market.candles.attrs["venue"] == "simulated"
    assert market.candles.attrs["source"] == f"simulated {kind} market (seed 8)"


@pytest.mark.parametrize("interval", ["1m", "15m", "4h", "1d", "1w", "1M"])
def test_any_interval_is_valid_and_keeps_the_annual_volatility(interval):
    asset = Asset(symbol="X", volatility=0.6)
    bars = 200 if interval == "1M" else 1_200
    market = simulate_market(symbols=[asset], interval=interval, bars=bars, seed=2, clustering=NO_CLUSTERING)
    assert validate_candles(market.candles).issues.empty
    years = {"1m": 525_600, "15m": 35_040, "4h": 2_190, "1d": 365, "1w": 365 / 7, "1M": 12}[interval]
    returns = market.candles["close"].pct_change().dropna()
    if interval in ("1m", "15m"):  # less than a week: compare with the hours that it covers
        hours = market.candles["open_time"].iloc[1:]
        returns = returns / np.sqrt(seasonal_variance(pd.DatetimeIndex(hours), 8760 / years))
    measured = returns.std() * np.sqrt(years)
    assert abs(measured / 0.6 - 1) < 4 / np.sqrt(2 * bars) + 0.01


def test_price_path_is_consistent():
    one = simulate_market(symbols=1, bars=2_000, seed=1).candles
    assert (one["open"].iloc[1:].to_numpy() == one["close"].iloc[:-1].to_numpy()).all()
    assert (one["high"] >= one[["open", "close"]].max(axis=1)).all()
    assert (one["low"] <= one[["open", "close"]].min(axis=1)).all()
    vwap = one["turnover"] / one["volume"]
    assert ((vwap >= one["low"]) & (vwap <= one["high"])).all()
    busy = one["volume"].rank().corr((one["close"] / one["open"] - 1).abs().rank())
    assert busy > 0.2


def test_fifteen_minutes_add_up_to_the_hour_exactly():
    market = simulate_market(bars=500, seed=4, finer="15m")
    summed = resample(market.finer, "1h")
    for column in COLUMNS:
        assert (summed[column].to_numpy() == market.candles[column].to_numpy()).all(), column


def test_a_day_is_built_from_hours():
    market = simulate_market(bars=60, interval="1d", seed=4, finer="1h", symbols=2)
    summed = resample(market.finer, "1d")
    for column in COLUMNS:
        assert (summed[column].to_numpy() == market.candles[column].to_numpy()).all(), column


def test_five_symbols_and_four_years_of_hours_in_seconds():
    simulate_market(bars=10, seed=1)
    began = time.perf_counter()
    simulate_market(bars=35_000, seed=1)
    assert time.perf_counter() - began < 8  # about 0.7 s alone; generous on a busy machine


def test_seasons_average_to_one_and_integrate():
    week = pd.date_range("2024-01-01", periods=168, freq="h", tz="UTC")
    for profile in (seasonal_variance, seasonal_volume):
        hourly = profile(week, 1.0)
        assert hourly.mean() == pytest.approx(1.0, abs=1e-12)
        assert profile(week[::24], 24.0) == pytest.approx(hourly.reshape(7, 24).mean(axis=1), abs=1e-8)
        quarters = profile(pd.date_range("2024-01-06", periods=4, freq="15min", tz="UTC"), 0.25)
        assert quarters == pytest.approx(hourly[5 * 24], abs=1e-8)
    assert seasonal_variance(week, 1.0)[15] > 2 * seasonal_variance(week, 1.0)[5 * 24 + 4]


def test_assets_from_counts_names_and_objects():
    assert [a.symbol for a in as_assets(7)][4:] == ["BNBUSDT", "SIM06USDT", "SIM07USDT"]
    assert as_assets("ETHUSDT")[0] == PROFILES[1]
    assert as_assets("AAA, BBB")[1].volatility == PROFILES[1].volatility
    gold = Asset(symbol="GOLD", price=2_000)
    assert as_assets([gold, "BTCUSDT"])[0] is gold
    assert gold.price_step == 0.01
    candles = simulate_market(symbols=[gold], bars=100, seed=1).candles
    assert candles["close"].round(2).equals(candles["close"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "bull"}, "unknown kind of market 'bull'"),
        ({"bars": 1}, "bars must be >= 2, got 1"),
        ({"substeps": 0}, "substeps must be >= 1"),
        ({"strength": 1.2}, "strength is a correlation"),
        ({"kind": "momentum", "lookback": 0}, "lookback must be >= 1"),
        ({"kind": "momentum", "shape": "cube"}, "shape must be 'sign' or 'mean'"),
        ({"kind": "momentum", "shape": "mean", "strength": 0.5, "lookback": 9}, "prices explode, got 1.50"),
        ({"kind": "lead_lag", "lag": 0}, "lag must be at least one bar"),
        ({"kind": "lead_lag", "symbols": 1}, "needs a leader and at least one other"),
        ({"kind": "lead_lag", "leader": "DOGE"}, "DOGE is not in this market"),
        ({"kind": "lead_lag", "leader": "BTCUSDT", "followers": ["BTCUSDT"]}, "needs a leader and at least one other"),
        ({"kind": "regimes", "regimes": ()}, "at least two regimes, got 0"),
        ({"kind": "regimes", "interval": "1M"}, "must last at least one bar of 730 hours"),
        ({"finer": "5m"}, "finer=5m is not a 1h bar in 4 steps"),
        ({"symbols": []}, "at least one symbol"),
        ({"symbols": ["A", "A"]}, "symbols must differ"),
    ],
)
def test_errors_name_the_value_and_the_limit(options, message):
    with pytest.raises(ValueError, match=message):
        simulate_market(**{"bars": 30, "seed": 1, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"price": 0}, "price of X must be positive"),
        ({"volatility": 5}, r"annual, in \(0, 3\], got 5"),
        ({"loading": 1.5}, "loading of X is a correlation"),
        ({"turnover": -1}, "turnover of X must be positive"),
        ({"tick": 0.0}, "tick of X must be positive"),
    ],
)
def test_asset_errors(options, message):
    with pytest.raises(ValueError, match=message):
        Asset(symbol="X", **options)


def test_a_trend_that_takes_a_price_to_nothing_is_named():
    with pytest.raises(ValueError, match=r"SOLUSDT stands at 0\.049\d+ in bar \d+.*steps of 0\.05.*weaker effect"):
        simulate_market(kind="momentum", bars=2500, seed=1, strength=0.4)
