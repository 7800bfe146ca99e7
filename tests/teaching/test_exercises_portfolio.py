"""The checks of "Many assets" accept right answers and name what is wrong with the others."""

import numpy as np
from support import assert_exercise

from alphabook.backtest import PortfolioConfig, backtest_portfolio, equal_weight, project_capped_simplex
from alphabook.simulated import simulate_market


def by_bisection(wish, cap, *, top=None, budget=None, floor=True):
    budget = wish.sum() if budget is None else budget
    if budget >= cap * len(wish):
        return np.full(len(wish), cap)
    low, high = -wish.max(), cap if top is None else top
    bottom = 0 if floor else -9
    for _ in range(100):
        shift = (low + high) / 2
        if np.clip(wish + shift, bottom, cap).sum() < budget:
            low = shift
        else:
            high = shift
    return np.clip(wish + high, bottom, cap)


def by_active_sets(wish, cap):
    """Try every split into at zero, free and at the cap; keep the nearest that is allowed."""
    n, best = len(wish), None
    if wish.sum() >= cap * n:
        return np.full(n, cap)
    for code in np.ndindex(*[3] * n):
        code = np.array(code)
        free = code == 1
        x = np.where(code == 2, cap, 0.0)
        if free.any():
            x[free] = wish[free] + (wish.sum() - x.sum() - wish[free].sum()) / free.sum()
        allowed = (x >= -1e-9).all() and (x <= cap + 1e-9).all() and abs(x.sum() - wish.sum()) < 1e-9
        if allowed and (best is None or ((x - wish) ** 2).sum() < ((best - wish) ** 2).sum()):
            best = x
    return best


def clip_and_divide(wish, cap):
    clipped = np.minimum(wish, cap)
    return clipped / clipped.sum() * wish.sum()


def in_place(wish, cap):
    wish[:] = project_capped_simplex(wish, cap)
    return wish


def by_scaling(wish, cap):
    x = wish.copy()
    for _ in range(200):
        free = x < cap
        if not free.any() or x[free].sum() == 0:
            break
        x[free] *= (wish.sum() - cap * (~free).sum()) / x[free].sum()
        x = np.minimum(x, cap)
    return x


def below_zero(wish, cap):
    return project_capped_simplex(wish, cap) - 0.3 * (np.arange(len(wish)) == len(wish) - 1)


def test_project():
    assert_exercise(
        "portfolio.project",
        right=[by_bisection, by_active_sets, project_capped_simplex],
        wrong={
            "dividing by the sum undoes the clipping": clip_and_divide,
            "too small: they should reach 1.000": lambda wish, cap: np.minimum(wish, cap),
            "your weights below the cap are scaled": by_scaling,
            "the rest is meant to stay cash": lambda wish, cap: by_bisection(wish, cap, budget=1.0),
            "you changed the wish itself": in_place,
            "push a weight below zero": below_zero,
            "the nearest weights are": lambda wish, cap: by_bisection(wish[::-1], cap),
            "expected shape (4,)": lambda wish, cap: by_bisection(wish, cap)[:-1],
            "not finite": lambda wish, cap: np.full(len(wish), np.nan),
        },
    )


def step(
    equity, weights, returns, wish, cost, cap, *, drift=True, divide=True, level=False, half=1.0, free=False, clip=""
):
    growth = 1 + weights @ returns
    drifted = weights * (1 + returns) / (growth if divide else 1.0) if drift else weights
    target = project_capped_simplex(wish, cap) if not clip else np.minimum(wish, cap)
    if clip == "divide":
        target = target / target.sum()
    if clip == "keep":
        target = target / target.sum() * wish.sum()
    turnover = half * np.abs(target - drifted).sum()
    paid = cost * (np.abs(target).sum() if level else turnover)
    return equity * growth * (1 - (0 if free else paid)), target, turnover


def step_in_money(equity, weights, returns, wish, cost, cap):
    held = equity * weights * (1 + returns)
    worth = equity * (1 - weights.sum()) + held.sum()
    target = by_bisection(wish, cap)
    traded = np.abs(target * worth - held).sum()
    return worth - cost * traded, target, traded / worth


def step_level_when_moving(equity, weights, returns, wish, cost, cap):
    money, target, turnover = step(equity, weights, returns, wish, cost, cap, free=True)
    return money * (1 - cost * target.sum() * (turnover > 0)), target, turnover


def too_rich(equity, weights, returns, *rest):
    money, target, turnover = step(equity, weights, returns, *rest)
    return money + returns.sum(), target, turnover


def test_step():
    assert_exercise(
        "portfolio.step",
        right=[step, step_in_money],
        wrong={
            "nothing moved and nothing was traded": lambda *given: step(*given, level=True),
            "spends the cash": lambda *given: step(*given, clip="divide"),
            "project, do not clip and divide": lambda *given: step(*given, clip="keep"),
            "nearest to [0.6, 0.2]": lambda *given: step(*given, clip="only"),
            "compared with yesterday's weights": lambda *given: step(*given, drift=False),
            "not divided by the growth": lambda *given: step(*given, divide=False),
            "the turnover is halved": lambda *given: step(*given, half=0.5),
            "the trades are free": lambda *given: step(*given, free=True),
            "the cost is charged on the weights themselves": step_level_when_moving,
            "should be worth": too_rich,
            "return three things": lambda *given: step(*given)[0],
        },
    )


def measured_factor(*, first=False, bars=20_000):
    prices = simulate_market("null", bars=bars, seed=11).candles.pivot(
        index="open_time", columns="symbol", values="close"
    )
    traded = []
    for every in (6, 96):
        result = backtest_portfolio(prices, equal_weight(prices), PortfolioConfig(rebalance_every=every))
        orders = result.trades if first else result.trades[result.trades["time"] > result.trades["time"].iloc[0]]
        traded.append(orders["value"].abs().div(result.equity.reindex(orders["time"]).to_numpy()).sum())
    return traded[0] / traded[1]


def test_rarer():
    assert_exercise(
        "portfolio.rarer",
        right=[4.0, measured_factor, np.float64(3.9)],
        wrong={
            "count the first purchase": 2.9,
            "asks for the inverse": 0.25,
            "each of them has more to trade": 16,
            "not 8.00": 8.0,
            "a positive number": -4,
            "one number, got str": "less",
        },
    )


def band(prices, wish, band, cost, *, capital=1.0, edge=False, relative=False, free=False, late=False, always=False):
    cash, held, equity, trades = capital, np.zeros(prices.shape[1]), [], 0
    for t, price in enumerate(prices):
        seen = prices[max(t - 1, 0)] if late else price
        weights = held * seen / (cash + (held * seen).sum())
        gap = abs(weights - wish) / wish if relative else abs(weights - wish)
        if t == 0 or always or (gap > band).any():
            goal = np.clip(weights, wish - band, wish + band) if edge and t > 0 else wish
            units = goal * (cash + held @ price) / price
            cash -= ((units - held) * price).sum() + (0 if free else cost) * abs((units - held) * price).sum()
            held, trades = units, trades + 1
        equity.append(cash + held @ price)
    return np.array(equity), trades


def band_in_weights(prices, wish, band, cost):
    """The same with weights that drift."""
    worth, weights, equity, trades = 1.0, np.zeros(prices.shape[1]), [], 0
    for t in range(len(prices)):
        if t > 0:
            returns = prices[t] / prices[t - 1] - 1
            growth = 1 + weights @ returns
            worth, weights = worth * growth, weights * (1 + returns) / growth
        if t == 0 or np.max(np.abs(weights - wish)) > band:
            paid = cost * np.abs(wish - weights).sum()
            worth, weights, trades = worth * (1 - paid), wish / (1 - paid), trades + 1
        equity.append(worth)
    return equity, trades


def test_band():
    assert_exercise(
        "portfolio.band",
        right=[band, band_in_weights],
        wrong={
            "you stop at the edge": lambda *given: band(*given, edge=True),
            "relative to the wish": lambda *given: band(*given, relative=True),
            "the trades are free": lambda *given: band(*given, free=True),
            "one bar too late": lambda *given: band(*given, late=True),
            "does not start at 1": lambda *given: band(*given, capital=100.0),
            "you trade at every bar": lambda *given: band(*given, always=True),
            "the first included; you count": lambda *given: (band(*given)[0], band(*given)[1] - 1),
            "the equity of bar 0 should be": lambda *given: (band(*given)[0] + 1, 3),
            "return two things": lambda *given: band(*given)[0],
        },
    )
