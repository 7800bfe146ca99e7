"""A planted effect is there, has the size it says, and the truth describes it."""

import numpy as np
import pandas as pd
import pytest

from alphabook.simulated import CALM_AND_STORM, PROFILES, Regime, simulate_market

BARS = 30_000


def closes(market):
    return market.candles.pivot(index="open_time", columns="symbol", values="close")


def hourly(symbol):
    return next(p for p in PROFILES if p.symbol == symbol).volatility / np.sqrt(8760)


@pytest.fixture(scope="module")
def momentum():
    return simulate_market("momentum", bars=BARS, seed=1, strength=0.1, lookback=24)


@pytest.fixture(scope="module")
def lead_lag():
    return simulate_market("lead_lag", bars=BARS, seed=2, strength=0.15, lag=3)


@pytest.fixture(scope="module")
def regimes():
    return simulate_market("regimes", bars=BARS, seed=3)


def test_momentum_follows_the_sign_of_the_past_as_the_candles_show_it(momentum):
    close = closes(momentum)["ETHUSDT"]
    past = np.sign(close.shift(1) - close.shift(25)).to_numpy()
    expected = momentum.truth.expected_return["ETHUSDT"].to_numpy()
    assert (expected[:24] == 0).all()
    same = np.isclose(expected[25:], 0.1 * hourly("ETHUSDT") * past[25:], rtol=1e-12)
    assert same.mean() > 0.995  # the rest: price changes smaller than a tick


@pytest.mark.parametrize("symbol", ["BTCUSDT", "XRPUSDT"])
def test_the_oracle_forecast_is_unbiased_and_worth_what_the_truth_says(momentum, symbol):
    r = closes(momentum)[symbol].pct_change().to_numpy()[1:]
    mu = momentum.truth.expected_return[symbol].to_numpy()[1:]
    slope = (r * mu).sum() / (mu * mu).sum()
    error = np.sqrt((mu**2 * (r - slope * mu) ** 2).sum()) / (mu * mu).sum()
    assert abs(slope - 1) < 4 * error
    assert slope > 5 * error  # and it is really there
    gain = r * np.sign(mu)
    sharpe = gain.mean() / gain.std() * np.sqrt(8760)
    promised = momentum.truth.oracle.loc[symbol, "sharpe"]
    assert abs(sharpe - promised) < 4 * np.sqrt(8760 / BARS)
    assert promised == pytest.approx(0.1 * np.sqrt(8760), rel=0.2)
    assert momentum.truth.oracle.loc[symbol, "r2"] == pytest.approx(0.01, rel=0.4)


def test_momentum_by_the_mean_is_a_linear_rule():
    market = simulate_market("momentum", bars=2_000, seed=4, strength=0.1, lookback=5, shape="mean", symbols=1)
    r = (
        closes(market)["BTCUSDT"]
        .pct_change()
        .fillna(market.candles["close"].iloc[0] / market.candles["open"].iloc[0] - 1)
    )
    expected = 0.1 / np.sqrt(5) * r.rolling(5).sum().shift(1)
    got = market.truth.expected_return["BTCUSDT"]
    assert got.iloc[5:].to_numpy() == pytest.approx(expected.iloc[5:].to_numpy(), abs=0.1 * 2e-4)  # ticks
    assert np.corrcoef(got.iloc[6:], expected.iloc[6:])[0, 1] > 0.999


def test_negative_strength_is_reversal():
    market = simulate_market("momentum", bars=BARS, seed=5, strength=-0.1, lookback=1, symbols=1)
    r = closes(market)["BTCUSDT"].pct_change().to_numpy()[1:]
    product = r[1:] * np.sign(r[:-1])
    assert product.sum() / np.sqrt((product**2).sum()) < -4


def test_lead_lag_slope_is_recovered_at_its_lag_only(lead_lag):
    r = closes(lead_lag).pct_change().iloc[1:]
    lead, follow = r["BTCUSDT"].to_numpy(), r["ETHUSDT"].to_numpy()
    edge = lead_lag.truth.edges.iloc[0]
    assert (edge["leader"], edge["follower"], edge["lag"]) == ("BTCUSDT", "ETHUSDT", 3)
    assert edge["slope"] == pytest.approx(0.15 * hourly("ETHUSDT") / hourly("BTCUSDT"))
    for lag in range(1, 7):
        x, y = lead[:-lag], follow[lag:]
        slope = (x * y).sum() / (x * x).sum()
        error = np.sqrt((x**2 * (y - slope * x) ** 2).sum()) / (x * x).sum()
        target = edge["slope"] if lag == 3 else 0.0
        assert abs(slope - target) < 4.5 * error, lag
        assert (slope > 5 * error) == (lag == 3), lag


def test_lead_lag_truth_is_the_leaders_earlier_return(lead_lag):
    r = closes(lead_lag)["BTCUSDT"].pct_change().to_numpy()
    expected = lead_lag.truth.edges["slope"].iloc[0] * r[1:-3]
    got = lead_lag.truth.expected_return["ETHUSDT"].to_numpy()[4:]
    assert got == pytest.approx(expected, abs=0.19 * 5e-4)  # a tick of 5 at 20,000, twice
    assert (lead_lag.truth.expected_return.drop(columns="ETHUSDT") == 0).all().all()


def test_lead_lag_does_not_show_in_the_same_bar(lead_lag):
    null = simulate_market("null", bars=BARS, seed=2)
    planted, without = (closes(m).pct_change().corr().loc["BTCUSDT", "ETHUSDT"] for m in (lead_lag, null))
    assert abs(planted - without) < 0.02
    assert (closes(lead_lag)["BTCUSDT"] == closes(null)["BTCUSDT"]).all()


def test_lead_lag_roles_by_name():
    market = simulate_market("lead_lag", bars=50, seed=1, leader="SOLUSDT", followers=["BTCUSDT", "XRPUSDT"])
    assert market.truth.edges["follower"].tolist() == ["BTCUSDT", "XRPUSDT"]
    assert set(market.truth.edges["leader"]) == {"SOLUSDT"}


def test_regimes_have_their_volatility_drift_and_duration(regimes):
    state = regimes.truth.regime
    r = closes(regimes)["BTCUSDT"].pct_change()
    calm, storm = (r[state == n].std() for n in ("calm", "storm"))
    assert 1.7 / 0.6 * 0.65 < storm / calm < 1.7 / 0.6 * 1.5  # clustering adds its own spells
    spells = (state != state.shift()).cumsum()
    for regime in CALM_AND_STORM:
        lengths = state[state == regime.name].groupby(spells).size()
        assert abs(lengths.mean() - regime.hours) < 4 * regime.hours / np.sqrt(len(lengths))
    mu = regimes.truth.expected_return["BTCUSDT"]
    vol = next(p for p in PROFILES if p.symbol == "BTCUSDT").volatility
    for regime in CALM_AND_STORM:
        assert mu[state == regime.name].unique() == pytest.approx(regime.drift * vol / 8760)


def test_regime_volatility_averages_to_the_assets_own(regimes):
    share = np.array([r.hours for r in CALM_AND_STORM]) / sum(r.hours for r in CALM_AND_STORM)
    assert regimes.truth.regime.value_counts(normalize=True)["calm"] == pytest.approx(share[0], abs=0.12)
    three = (*CALM_AND_STORM, Regime(name="panic", volatility=4.0, drift=-5.0, hours=24))
    market = simulate_market("regimes", bars=5_000, seed=1, regimes=three, symbols=1)
    assert set(market.truth.regime) == {"calm", "storm", "panic"}


def test_a_planted_market_is_the_null_market_plus_its_drift():
    null = simulate_market("null", bars=400, seed=6)
    planted = simulate_market("momentum", bars=400, seed=6, strength=0.05, lookback=3)
    gap = closes(planted).pct_change().iloc[1:] - closes(null).pct_change().iloc[1:]
    got = planted.truth.expected_return.iloc[1:][gap.columns]
    ticks = 2 * pd.Series({p.symbol: p.price_step for p in PROFILES}) / closes(null).min()
    assert ((gap - got).abs().max() < ticks + 1e-4).all()  # the rest: products of drift and noise


def test_regime_errors():
    with pytest.raises(ValueError, match="regime 'x' needs volatility > 0"):
        Regime(name="x", volatility=0, drift=0, hours=1)
