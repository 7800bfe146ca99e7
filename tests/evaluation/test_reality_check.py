"""Reality check and SPA: arch as oracle, size under the null, power, errors that name row and strategy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import SPA

from alphabook.errors import EvaluationError
from alphabook.evaluation import RealityCheck, reality_check
from alphabook.evaluation.reality_check import long_run_variance


def noise(bars: int, strategies: int, seed: int, *, common: float = 0.5, memory: float = 0.0) -> pd.DataFrame:
    """Returns without skill: correlated through a common part, of different size, with memory if asked for."""
    rng = np.random.default_rng(seed)
    table = common * rng.normal(size=(bars, 1)) + rng.normal(size=(bars, strategies))
    for row in range(1, bars if memory else 0):
        table[row] += memory * table[row - 1]
    table *= 0.01 * rng.uniform(0.3, 3, strategies)
    return pd.DataFrame(table, columns=[f"s{i}" for i in range(strategies)])


def of_arch(gap: np.ndarray, block: int, reps: int, seed: int) -> pd.Series:
    """arch's p-values of differences, with one exceedance more on both sides of the fraction."""
    test = SPA(np.zeros(len(gap)), -gap, block_size=block, reps=reps, seed=seed)
    test.compute()
    return (1 + reps * test.pvalues) / (1 + reps)


@pytest.mark.parametrize("seed", range(6))
def test_equals_arch_on_the_same_draws(seed):
    returns = noise(150, 7, seed, memory=0.3)
    returns["s0"] -= 0.02  # a strategy that does not count against the best
    rng = np.random.default_rng(seed + 99)
    benchmark = pd.Series(rng.normal(0, 0.005, 150))
    found = reality_check(returns, benchmark, block_size=5, reps=300, seed=seed)
    gap = returns.to_numpy() - benchmark.to_numpy()[:, None]
    assert found.white == pytest.approx(of_arch(gap, 5, 300, seed)["upper"])
    studentised = gap / np.sqrt(long_run_variance(gap, 5))
    for name, value in of_arch(studentised, 5, 300, seed).items():
        assert getattr(found, name) == pytest.approx(value), name
    assert found.lower <= found.consistent <= found.upper
    assert float(found) == found.consistent


def test_arch_does_not_studentise_so_we_do():
    """The docstring's claim. Should arch change, this fails, and the docstring has to."""
    returns = noise(200, 3, 1)
    louder = [returns.assign(**{name: 100 * returns[name]}) for name in returns]
    plain = {of_arch(t.to_numpy(), 4, 200, 0)["consistent"] for t in (returns, *louder)}
    ours = {reality_check(t, block_size=4, reps=200).consistent for t in (returns, *louder)}
    assert len(plain) > 1
    assert len(ours) == 1


@pytest.mark.parametrize("block", [1, 3, 12])
def test_long_run_variance_is_the_bootstraps_own(block):
    gap = noise(120, 4, 3, memory=0.5).to_numpy()
    test = SPA(np.zeros(120), -gap, block_size=block, reps=4_000, seed=0)
    test._compute_variance()
    np.testing.assert_allclose(long_run_variance(gap, block), test._loss_diff_var, rtol=1e-10)
    means = test.bootstrap.apply(lambda x: x.mean(axis=0), reps=4_000)
    np.testing.assert_allclose(long_run_variance(gap, block), 120 * means.var(axis=0), rtol=0.12)


@pytest.mark.parametrize(("bars", "memory", "block"), [(250, 0.0, 1), (1_500, 0.3, 8)])
def test_noise_is_rejected_as_often_as_promised(bars, memory, block):
    """Markets without skill, tested at 5 % and 20 %. Three standard errors, and a little for finite samples."""
    tables = (noise(bars, 8, seed, memory=memory) for seed in range(200))
    found = [reality_check(table, block_size=block, reps=199, seed=seed) for seed, table in enumerate(tables)]
    for level in (0.05, 0.20):
        allowed = level + 3 * np.sqrt(level * (1 - level) / 200) + 0.02
        for name in ("consistent", "white"):
            share = np.mean([getattr(one, name) <= level for one in found])
            assert level / 4 < share <= allowed, (name, level, share)


def test_noise_gives_p_values_all_over():
    values = [reality_check(noise(250, 8, seed), block_size=1, reps=199, seed=seed).consistent for seed in range(300)]
    counts, _ = np.histogram(values, bins=5, range=(0, 1))
    assert counts.min() > 25
    assert counts.max() < 110


def test_skill_is_found_among_the_useless():
    found = []
    for seed in range(40):
        returns = noise(500, 20, seed)
        returns["s7"] += 0.25 * returns["s7"].std()  # a Sharpe ratio of 1/4 per bar
        found.append(reality_check(returns, reps=199, seed=seed))
    assert np.mean([one.consistent <= 0.05 for one in found]) > 0.9
    assert np.mean([one.strongest == "s7" for one in found]) > 0.9


def test_many_trials_make_the_same_strategy_less_surprising():
    returns = noise(400, 200, 5)
    returns["s0"] += 0.15 * returns["s0"].std() - returns["s0"].mean()
    alone, among = reality_check(returns[["s0"]]), reality_check(returns)
    assert alone.consistent < 0.02
    assert among.consistent > 5 * alone.consistent
    assert (alone.num_strategies, among.num_strategies) == (1, 200)


def test_a_strategy_that_never_trades_is_a_trial_too():
    returns = noise(100, 3, 2).assign(idle=0.0)
    found = reality_check(returns, reps=99)
    assert found.num_strategies == 4
    idle = reality_check(returns[["idle"]], reps=99)
    assert (idle.white, idle.excess, idle.statistic) == (1 / 100, 0, 0) or idle.white > 0.05


def test_says_how_to_repeat_it():
    returns = noise(300, 5, 8)
    found = reality_check(returns, seed=3)
    assert isinstance(found, RealityCheck)
    assert found == reality_check(returns, seed=3, block_size=found.block_size)
    assert found != reality_check(returns, seed=4)
    means = returns.mean()
    assert (found.best, found.excess) == (means.idxmax(), pytest.approx(means.max()))
    assert (found.num_bars, found.reps, found.seed) == (300, 1_000, 3)


GOOD = noise(30, 3, 0)


@pytest.mark.parametrize(
    ("returns", "benchmark", "settings", "message"),
    [
        (GOOD["s0"], 0.0, {}, r"a DataFrame with a column per strategy.* got Series"),
        (GOOD[[]], 0.0, {}, r"got DataFrame without columns"),
        (GOOD.iloc[:10], 0.0, {}, r"10 bars: .* at least 20"),
        (GOOD.mask(GOOD.loc[4] == GOOD), 0.0, {}, r"return of 's0' in row 4 \(4\) is nan"),
        (GOOD.set_axis(["a", "b", "b"], axis=1), 0.0, {}, r"share a name: 'b'"),
        (GOOD, pd.Series(0.0, index=range(1, 31)), {}, r"30 rows on another index"),
        (GOOD, pd.Series(np.nan, index=GOOD.index), {}, r"return of the benchmark in row 0 \(0\) is nan"),
        (GOOD, float("nan"), {}, r"return of the benchmark in row 0"),
        (GOOD, "BTC", {}, r"a Series of returns or one number, got str"),
        (GOOD, 0.0, {"block_size": 0}, r"from 1 to 29, got 0"),
        (GOOD, 0.0, {"block_size": 2.5}, r"from 1 to 29, got 2.5"),
        (GOOD, 0.0, {"reps": 0}, r"reps counts the resamples"),
        (GOOD.assign(s1=0.01), 0.0, {}, r"'s1' differs from the benchmark by 0.01 in every bar"),
    ],
)
def test_errors_name_row_and_strategy(returns, benchmark, settings, message):
    with pytest.raises(EvaluationError, match=message):
        reality_check(returns, benchmark, **settings)
