"""The checks of "Markets with known truth" accept right answers and name what is wrong with the others."""

import math
from itertools import permutations

import numpy as np
from support import assert_exercise

from alphabook.simulated import conditional_variance


def test_score():
    def loop(x, y):
        top = bottom = 0.0
        for a, b in zip(x, y, strict=True):
            top, bottom = top + a * b, bottom + (a * b) ** 2
        return top / bottom**0.5

    assert_exercise(
        "truth.score",
        right=[lambda x, y: (x * y).sum() / np.sqrt(((x * y) ** 2).sum()), loop],
        wrong={
            "the sign is lost": lambda x, y: abs((x * y).sum()) / np.sqrt(((x * y) ** 2).sum()),
            "this is the t-statistic of the products: do": lambda x, y: (
                (x * y).mean() / (x * y).std(ddof=1) * np.sqrt(len(x))
            ),
            "this is the t-statistic of the products (with n)": lambda x, y: (
                (x * y).mean() / (x * y).std() * np.sqrt(len(x))
            ),
            "the denominator multiplies two sums": lambda x, y: (x @ y) / np.sqrt((x @ x) * (y @ y)),
            "a mean, the denominator a sum": lambda x, y: (x * y).mean() / np.sqrt(((x * y) ** 2).sum()),
            "the score is one number, got ndarray": lambda x, y: x * y,
            "yours is 7.0000": lambda x, y: 7,
            "not a number to go on with": lambda x, y: float("nan"),
        },
    )


def memory_loop(z, weight, rate, *, start=1.0, own=True, early=False):
    memory, out = start, []
    for shock in z:
        h = 1 - weight + weight * memory
        if not early:
            out.append(h)
        memory += rate * ((h if own else 1.0) * shock**2 - memory)
        if early:
            out.append(1 - weight + weight * memory)
    return out


def garch(z, weight, rate):
    h = [1.0]
    for shock in z[:-1]:
        h.append(rate * (1 - weight) + weight * rate * h[-1] * shock**2 + (1 - rate) * h[-1])
    return np.array(h)


def test_memory():
    assert_exercise(
        "truth.memory",
        right=[memory_loop, garch, lambda z, w, a: conditional_variance(z[:, None], weights=[w], rates=[a])],
        wrong={
            "these are standard deviations": lambda z, w, a: np.sqrt(garch(z, w, a)),
            "Write the variance down first": lambda z, w, a: memory_loop(z, w, a, early=True),
            "the squared move, h * z**2": lambda z, w, a: memory_loop(z, w, a, own=False),
            "the memory starts at one, not at zero": lambda z, w, a: memory_loop(z, w, a, start=0.0),
            "yours has 7": lambda z, w, a: [1.0, *memory_loop(z, w, a)],
            "variance 1 should be": lambda z, w, a: memory_loop(z, w, a / 2),
        },
    )


def flip_p(x, y, rng, rounds=199, *, two_sided=True, count_seen=True, one_flip=False, strict=False, shuffle=False):
    seen = (x * y).sum()
    if shuffle:
        drawn = np.array([x @ rng.permutation(y) for _ in range(rounds)])
    else:
        flips = rng.choice([-1.0, 1.0], (rounds, 1 if one_flip else len(y)))
        drawn = (flips * x * y).sum(axis=1)
    if two_sided:
        seen, drawn = abs(seen), abs(drawn)
    extreme = (drawn > seen if strict else drawn >= seen - 1e-15).sum()
    return (extreme + 1) / (rounds + 1) if count_seen else extreme / rounds


def slow_flip_p(x, y, rng, rounds=199):
    products = np.asarray(x) * y
    arrangements = [products] + [products * np.where(rng.random(len(x)) < 0.5, 1, -1) for _ in range(rounds)]
    sums = np.abs([a.sum() for a in arrangements])
    return np.mean(sums >= sums[0] - 1e-15)


def test_flips():
    assert_exercise(
        "truth.flips",
        right=[flip_p, slow_flip_p],
        wrong={
            "a strong effect of negative sign": lambda x, y, rng: flip_p(x, y, rng, two_sided=False, count_seen=False),
            "p is 0 after 199 rounds": lambda x, y, rng: flip_p(x, y, rng, count_seen=False),
            "flip each product on its own": lambda x, y, rng: flip_p(x, y, rng, one_flip=True),
            "ties count": lambda x, y, rng: flip_p(x, y, rng, strict=True),
            "of 120 null markets": lambda x, y, rng: flip_p(x, y, rng, shuffle=True),
            "p is a share between 0 and 1": lambda x, y, rng: 5.0,
        },
    )


def test_hours():
    assert_exercise(
        "truth.hours",
        right=[8_721, ((1.96 + 0.84) / 0.03) ** 2, np.float64(8_700.0)],
        wrong={
            "a power of 50 %": (1.96 / 0.03) ** 2,
            "square what you have": 2.8 / 0.03,
            "the power is 6": 6_000,
            "no test needs less than none": -1,
            "one number, got str": "many",
        },
    )


def find_leader(candles, *, threshold=4.5, lags=range(1, 7), reverse=False, shift=0):
    close = candles.pivot(index="open_time", columns="symbol", values="close")
    returns = close.pct_change().iloc[1:]
    best, found = threshold, None
    for a, b in permutations(returns.columns, 2):
        x, y = returns[a].to_numpy(), returns[b].to_numpy()
        for lag in lags:
            p = x[: len(x) - lag] * y[lag:]
            score = abs(p.sum()) / np.sqrt((p**2).sum())
            if score > best:
                best, found = score, ((b, a, lag + shift) if reverse else (a, b, lag + shift))
    return found


def leader_by_matrix(candles):
    wide = candles.pivot(index="open_time", columns="symbol", values="close").pct_change().dropna()
    names, r = list(wide.columns), wide.to_numpy()
    scores = {}
    for lag in range(1, 9):
        p = r[:-lag, :, None] * r[lag:, None, :]
        s = p.sum(axis=0) / np.sqrt((p**2).sum(axis=0))
        for i, j in permutations(range(len(names)), 2):
            scores[names[i], names[j], lag] = abs(s[i, j])
    best = max(scores, key=scores.get)
    return best if scores[best] > 4.5 else None


def test_leader():
    assert_exercise(
        "truth.leader",
        right=[find_leader, leader_by_matrix],
        wrong={
            "is the threshold too high": lambda c: find_leader(c, threshold=math.inf),
            "in a null market": lambda c: find_leader(c, threshold=0.0),
            "the leader's return comes first": lambda c: find_leader(c, reverse=True),
            "same-bar correlation": lambda c: find_leader(c, lags=range(0, 7)),
            "count the shift again": lambda c: find_leader(c, shift=-1),
            "return (leader, follower, lag) or None": lambda c: "BTCUSDT",
            "you found ('SOLUSDT', 'ETHUSDT', 1)": lambda c: ("SOLUSDT", "ETHUSDT", 1),
        },
    )
