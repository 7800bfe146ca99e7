"""The null market holds nothing to find, by statistics whose distribution is known.

For a martingale difference ``r`` and any ``x`` known before it, ``sum(r x) / sqrt(sum((r x)**2))`` is
standard normal in the limit, whatever the clustering and the tails: no assumption of equal variance.
Each check is also run on a market with a planted effect, where it must fail.
"""

import numpy as np
import pandas as pd
import pytest

from alphabook.simulated import Clustering, conditional_variance, simulate_market
from alphabook.simulated.bars import squash
from alphabook.simulated.garch import long_run_variance, mixing

MARKETS, BARS = 80, 1_200
LIMIT = 4.5  # standard errors: one false alarm in 150,000 checks


def self_normalised(product: np.ndarray) -> float:
    return float(product.sum() / np.sqrt((product**2).sum()))


def returns_of(market) -> pd.DataFrame:
    return market.candles.pivot(index="open_time", columns="symbol", values="close").pct_change().iloc[1:]


@pytest.fixture(scope="module")
def nulls():
    return [returns_of(simulate_market(bars=BARS, seed=seed)) for seed in range(MARKETS)]


@pytest.fixture(scope="module")
def planted():
    return [
        returns_of(simulate_market("momentum", bars=BARS, seed=s, strength=0.1, lookback=1)) for s in range(MARKETS)
    ]


def scores(markets, first, second, lag):
    return np.array([self_normalised(r[first].to_numpy()[lag:] * r[second].to_numpy()[:-lag]) for r in markets])


@pytest.mark.parametrize("lag", [1, 2, 24])
@pytest.mark.parametrize("symbol", ["BTCUSDT", "SOLUSDT"])
def test_no_autocorrelation(nulls, symbol, lag):
    z = scores(nulls, symbol, symbol, lag)
    assert abs(z.mean()) < LIMIT / np.sqrt(MARKETS)
    assert 0.7 < z.std() < 1.3


@pytest.mark.parametrize(("later", "earlier"), [("ETHUSDT", "BTCUSDT"), ("BTCUSDT", "ETHUSDT"), ("BNBUSDT", "XRPUSDT")])
def test_no_lagged_cross_correlation(nulls, later, earlier):
    assert abs(scores(nulls, later, earlier, 1).mean()) < LIMIT / np.sqrt(MARKETS)


def test_share_of_false_alarms_is_the_promised_one(nulls):
    z = np.array([scores(nulls, s, s, 1) for s in ("BTCUSDT", "SOLUSDT", "XRPUSDT")])
    alarms, checks = (np.abs(z) > 1.96).sum(), z.size
    # the three symbols are correlated: a third of the checks counts as independent
    assert abs(alarms / checks - 0.05) < LIMIT * np.sqrt(0.05 * 0.95 / (checks / 3))


def sign_agreement(markets, symbol, lag=1):
    agree = total = 0
    for r in markets:
        s = np.sign(r[symbol].to_numpy())
        pair = s[lag:] * s[:-lag]
        agree, total = agree + (pair > 0).sum(), total + (pair != 0).sum()
    return agree, total


@pytest.mark.parametrize("lag", [1, 5])
def test_the_last_sign_says_nothing_about_the_next(nulls, lag):
    agree, total = sign_agreement(nulls, "ETHUSDT", lag)
    assert abs(agree - total / 2) < LIMIT * np.sqrt(total / 4)


def test_prices_are_martingales(nulls):
    for symbol in ("BTCUSDT", "XRPUSDT"):
        z = np.array([self_normalised(r[symbol].to_numpy()) for r in nulls])
        assert abs(z.mean()) < LIMIT / np.sqrt(MARKETS)


def test_nothing_in_a_candle_predicts_the_next():
    sums = {name: [] for name in ("close in range", "volume", "height", "hour")}
    for seed in range(40):
        one = simulate_market(symbols=1, bars=BARS, seed=1_000 + seed).candles
        r = one["close"].pct_change().to_numpy()[1:]
        height = (one["high"] - one["low"]).clip(lower=1e-9)
        known = {
            "close in range": (one["close"] - one["low"]) / height - 0.5,
            "volume": np.log(one["volume"]).diff().fillna(0.0),
            "height": height / one["close"] - (height / one["close"]).mean(),
            "hour": (one["open_time"].dt.hour >= 12) - 0.5,
        }
        for name, x in known.items():
            sums[name].append(self_normalised(r * x.to_numpy()[:-1]))
    for name, z in sums.items():
        assert abs(np.mean(z)) < LIMIT / np.sqrt(40), name


def test_quarter_hours_are_martingale_differences_too():
    z = []
    for seed in range(30):
        fine = simulate_market(symbols=1, bars=600, seed=seed, finer="15m").finer
        r = fine["close"].pct_change().to_numpy()[1:]
        z.append(self_normalised(r[1:] * r[:-1]))
    assert abs(np.mean(z)) < LIMIT / np.sqrt(30)


def test_the_same_checks_fail_where_an_effect_is_planted(planted):
    assert scores(planted, "BTCUSDT", "BTCUSDT", 1).mean() > 2 * LIMIT / np.sqrt(MARKETS)
    agree, total = sign_agreement(planted, "ETHUSDT")
    assert abs(agree - total / 2) > LIMIT * np.sqrt(total / 4)


def test_the_truth_says_so():
    truth = simulate_market(bars=100, seed=1).truth
    assert (truth.expected_return == 0).all().all()
    assert (truth.oracle == 0).all().all()
    assert truth.regime is None
    assert truth.edges.empty


def test_known_volatility_standardises_the_returns():
    market = simulate_market(bars=20_000, seed=3)
    z = returns_of(market)["BTCUSDT"] / market.truth.volatility["BTCUSDT"].iloc[1:]
    assert 0.93 < z.std() < 1.07
    squares = np.minimum(z.to_numpy() ** 2, 9.0)  # bounded: heavy tails would drown the autocorrelation
    squares -= squares.mean()
    assert abs((squares[1:] * squares[:-1]).mean() / squares.var()) < LIMIT / np.sqrt(20_000)


# --- the pieces ----------------------------------------------------------------------------------
def test_one_memory_is_garch_1_1():
    rng = np.random.default_rng(0)
    z = rng.standard_normal(500)
    weight, rate = 0.9, 0.1
    got = conditional_variance(z[:, None], weights=[weight], rates=[rate])[:, 0]
    # h' = omega + alpha * e**2 + beta * h with alpha = weight * rate, beta = 1 - rate, omega = rate * (1 - weight)
    h, expected = 1.0, []
    for shock in z:
        expected.append(h)
        h = rate * (1 - weight) + weight * rate * h * shock**2 + (1 - rate) * h
    assert got == pytest.approx(expected, rel=1e-12)


def test_the_unrolled_recursion_equals_the_general_one():
    z = np.random.default_rng(1).standard_normal((300, 2))
    two = conditional_variance(z, weights=[0.4, 0.5], rates=[0.5, 0.02], leverage=0.3, ceiling=2.0)
    three = conditional_variance(z, weights=[0.4, 0.5, 0.0], rates=[0.5, 0.02, 0.1], leverage=0.3, ceiling=2.0)
    assert two == pytest.approx(three, rel=1e-12)
    assert two.max() == 2.0


def test_variance_does_not_see_its_own_or_later_shocks():
    z = np.random.default_rng(2).standard_normal((200, 1))
    changed = z.copy()
    changed[100:] = 5.0
    same = [conditional_variance(x, weights=[0.4, 0.5], rates=[0.5, 0.02])[:101] for x in (z, changed)]
    assert (same[0] == same[1]).all()


def test_leverage_remembers_falls_more_than_rises():
    rise, fall = (
        conditional_variance([[z], [0.0]], weights=[0.5], rates=[0.5], leverage=0.5)[1, 0] for z in (2.0, -2.0)
    )
    assert fall > rise


def test_shocks_have_the_moments_of_a_student_t():
    rng = np.random.default_rng(3)
    z = rng.standard_normal(400_000) * np.sqrt(mixing(rng, 400_000, 8.0))
    assert z.var() == pytest.approx(1.0, abs=0.01)
    assert (z**4).mean() == pytest.approx(3 + 6 / (8 - 4), rel=0.06)
    assert (mixing(rng, 5, np.inf) == 1).all()


def test_long_run_variance_is_one_without_a_ceiling():
    gentle = Clustering(weights=(0.3,), half_lives=(10.0,), degrees=8.0, ceiling=1e9)
    assert long_run_variance(gentle, 1.0) == pytest.approx(1.0, abs=0.03)
    assert 0.6 < long_run_variance(Clustering(), 1.0) < 0.95


def test_squash_is_odd_and_keeps_prices_positive():
    y = np.array([-50.0, -1.0, -1e-4, 0.0, 1e-4, 1.0, 50.0])
    assert (squash(y) == -squash(-y)).all()
    assert squash(y).min() > -1
    assert squash(np.array([1e-3]))[0] == pytest.approx(1e-3, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": (0.5,)}, "one half-life per weight, got 1 and 2"),
        ({"weights": (0.6, 0.4)}, "sum to less than 1"),
        ({"half_lives": (0.0, 1.0)}, "half_lives are hours > 0"),
        ({"degrees": 2.0}, "degrees must exceed 2"),
        ({"leverage": 2.0}, "leverage must lie in"),
        ({"ceiling": 0.5}, "ceiling is a multiple"),
    ],
)
def test_clustering_errors(options, message):
    with pytest.raises(ValueError, match=message):
        Clustering(**options)
