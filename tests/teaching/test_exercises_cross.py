"""The checks of "Assets that watch each other" accept right answers and name what is wrong with the others."""

import numpy as np
import torch
from support import assert_exercise


def mask_by_broadcast(present, max_lag, *, own_from=0, own_past=True, others_from=1, extra=0, rows=True, columns=True):
    assets, length = present.shape
    same = torch.eye(assets, dtype=torch.bool)[:, None, :, None]
    back = (torch.arange(length)[:, None] - torch.arange(length))[None, :, None, :]
    own = same & (back >= own_from) & (back <= (max_lag if own_past else 0))
    mask = own | (~same & (back >= others_from) & (back <= max_lag + extra))
    if rows:
        mask = mask & present[:, :, None, None]
    return mask & present if columns else mask


def mask_by_loop(present, max_lag):
    assets, length = present.shape
    mask = torch.zeros(assets, length, assets, length, dtype=torch.bool)
    for i in range(assets):
        for t in range(length):
            for j in range(assets):
                for s in range(max(0, t - max_lag), t + 1):
                    if s < t or i == j:
                        mask[i, t, j, s] = present[i, t] and present[j, s]
    return mask


def test_mask():
    assert_exercise(
        "cross.mask",
        right=[mask_by_broadcast, mask_by_loop],
        wrong={
            "boolean tensor": lambda p, lags: mask_by_loop(p, lags).float(),
            "watching first, watched second": lambda p, lags: mask_by_loop(p, lags).flatten(2),
            "upside down": lambda p, lags: ~mask_by_loop(p, lags),
            "rows and columns are exchanged": lambda p, lags: mask_by_loop(p, lags).permute(2, 3, 0, 1),
            "sees a later one": lambda p, lags: mask_by_broadcast(p, lags, others_from=-1),
            "of the same time": lambda p, lags: mask_by_broadcast(p, lags, others_from=0),
            "its own bar t": lambda p, lags: mask_by_broadcast(p, lags, own_from=1),
            "more than max_lag": lambda p, lags: mask_by_broadcast(p, lags, extra=1),
            "is missing: max_lag is the last lag": lambda p, lags: mask_by_broadcast(p, lags - 1),
            "limit the columns": lambda p, lags: mask_by_broadcast(p, lags, columns=False),
            "limit the rows": lambda p, lags: mask_by_broadcast(p, lags, rows=False),
        },
    )


def without_lag_one(present, max_lag, *, own):
    """Right but for lag 1, closed to an asset itself or to the others."""
    assets, length = present.shape
    same = torch.eye(assets, dtype=torch.bool)[:, None, :, None]
    back = (torch.arange(length)[:, None] - torch.arange(length))[None, :, None, :]
    return mask_by_loop(present, max_lag) & ~((back == 1) & (same if own else ~same))


def test_mask_names_a_past_that_is_closed():
    assert_exercise(
        "cross.mask",
        right=[mask_by_broadcast, mask_by_loop],
        wrong={
            "does not see its own past": lambda p, lags: without_lag_one(p, lags, own=True),
            "is missing": lambda p, lags: mask_by_broadcast(p, lags, own_past=False),
            "should be True": lambda p, lags: without_lag_one(p, lags, own=False),
        },
    )


def p_by_list(returns, statistic, rng, rounds=99):
    seen = statistic(returns)
    luck = [statistic(returns * rng.choice([-1.0, 1.0], (len(returns), 1))) for _ in range(rounds)]
    return (1 + sum(value >= seen for value in luck)) / (1 + rounds)


def p_by_mean(returns, statistic, rng, rounds=99):
    signs = np.where(rng.random((rounds, len(returns))) < 0.5, -1, 1)
    copies = np.concatenate([returns[None], returns * signs[..., None]])
    values = np.array([statistic(copy) for copy in copies])
    return np.mean(values >= values[0])


def p_with(arrange=None, *, count_seen=True, strict=False, below=False):
    def answer(returns, statistic, rng, rounds=99):
        flip = arrange or (lambda r: r * rng.choice([-1.0, 1.0], (len(r), 1)))
        seen, luck = statistic(returns), np.array([statistic(flip(returns)) for _ in range(rounds)])
        if below:
            return (1 + (luck <= seen).sum()) / (1 + rounds)
        extreme = (luck > seen if strict else luck >= seen).sum()
        return (extreme + 1) / (rounds + 1) if count_seen else extreme / rounds

    return answer


def test_p():
    rng = np.random.default_rng(1)
    assert_exercise(
        "cross.p",
        right=[p_by_list, p_by_mean],
        wrong={
            "flipped apart": p_with(lambda r: r * rng.choice([-1.0, 1.0], r.shape)),
            "moves or resizes": p_with(lambda r: rng.permutation(r)),
            "flips all bars at once": p_with(lambda r: r * rng.choice([-1.0, 1.0])),
            "all copies equal the market": p_with(lambda r: r),
            "p is 0 after": p_with(count_seen=False),
            "ties count": p_with(strict=True),
            "count the copies whose statistic": p_with(below=True),
            "never taken of the market itself": lambda r, statistic, rng, rounds=99: np.mean(
                [statistic(r * rng.choice([-1.0, 1.0], (len(r), 1))) > 0 for _ in range(rounds)]
            ),
            "one market of shape": lambda r, statistic, rng, rounds=99: statistic(r[None]),
            "between 0 and 1": lambda r, statistic, rng, rounds=99: 7,
            "one number, got NoneType": lambda r, statistic, rng, rounds=99: print(end=""),
        },
    )


def watch_rolled(query, key, value, lag):
    key, value = (torch.roll(part, lag, dims=1) for part in (key, value))
    scores = torch.einsum("itd,jtd->tij", query, key) / query.shape[-1] ** 0.5
    output = torch.einsum("tij,jtd->itd", scores.softmax(dim=-1), value)
    output[:, :lag] = 0
    return output


def watch_sliced(query, key, value, lag):
    output = torch.zeros_like(value)
    for t in range(lag, query.shape[1]):
        weights = (query[:, t] @ key[:, t - lag].T / query.shape[-1] ** 0.5).softmax(dim=1)
        output[:, t] = weights @ value[:, t - lag]
    return output


def watch_with(*, roll=(False, True, True), axis=-1, zero=True, back=1):
    def answer(query, key, value, lag):
        parts = [
            torch.roll(x, back * lag, dims=1) if moved else x
            for x, moved in zip((query, key, value), roll, strict=True)
        ]
        scores = torch.einsum("itd,jtd->tij", parts[0], parts[1]) / query.shape[-1] ** 0.5
        output = torch.einsum("tij,jtd->itd", scores.softmax(dim=axis), parts[2])
        if zero:
            output[:, :lag] = 0
        return output

    return answer


def watch_nan(query, key, value, lag):
    output = watch_rolled(query, key, value, lag)
    output[:, :lag] = torch.nan
    return output


def watch_empty_at_zero(query, key, value, lag):
    output = torch.zeros_like(value)
    if lag:
        output = watch_sliced(query, key, value, lag)
    return output


def test_shift():
    assert_exercise(
        "cross.shift",
        right=[watch_rolled, watch_sliced],
        wrong={
            "two things are wrong": watch_with(roll=(True, True, True), axis=1, zero=False),
            "equal bars are compared": watch_with(roll=(True, True, True)),
            "over the wrong axis": watch_with(axis=1),
            "hear from the end of the window": watch_with(zero=False),
            "the values are not shifted": watch_with(roll=(False, True, False)),
            "the roll goes the wrong way": watch_with(back=-1),
            "nothing is shifted": watch_with(roll=(False, False, False)),
            "holds NaN": watch_nan,
            "lag 0 should be": watch_empty_at_zero,
            "has the shape of the values": lambda q, k, v, lag: v[0],
            "differs from the softmax": lambda q, k, v, lag: watch_rolled(2 * q, k, v, lag),
        },
    )


def test_cells():
    assert_exercise(
        "cross.cells",
        right=[7_473, ((3.4740 + 0.8416) / 0.05) ** 2, np.float64(7_450)],
        wrong={
            "of a single cell": ((1.96 + 0.8416) / 0.05) ** 2,
            "one side only": ((3.2905 + 0.8416) / 0.05) ** 2,
            "a power of 50 %": (3.4808 / 0.05) ** 2,
            "square what you have": 86.4,
            "raise the threshold": 747_000,
            "the power is 11%": 2_000,
            "less than none": -5,
            "got str": "many",
        },
    )


def knock_out(forecast, returns, *, ahead=1, copy=True):
    base, out = None, []
    for j in [None, *range(returns.shape[1])]:
        seen = returns.copy() if copy else returns
        if j is not None:
            seen[:, j] = 0
        error = returns[ahead:] - forecast(seen)[: len(returns) - ahead]
        power = (returns[ahead:] ** 2).sum(0)
        r2 = 1 - (error**2).sum(0) / power
        if j is None:
            base = r2
        else:
            out.append(base - r2)
    return np.array(out).T


def knock_out_by_cell(forecast, returns):
    n = returns.shape[1]
    lost = np.zeros((n, n))
    for j in range(n):
        keep = np.arange(n) != j
        with_j, without = forecast(returns)[:-1], forecast(returns * keep)[:-1]
        for i in range(n):
            y = returns[1:, i]
            lost[i, j] = (((y - without[:, i]) ** 2).sum() - ((y - with_j[:, i]) ** 2).sum()) / (y @ y)
    return lost


def knock_out_in_a_row(forecast, returns):
    def r2(seen):
        return 1 - ((returns[1:] - forecast(seen)[:-1]) ** 2).sum(0) / (returns[1:] ** 2).sum(0)

    silent, lost = returns.copy(), []
    for j in range(returns.shape[1]):
        silent[:, j] = 0
        lost.append(r2(returns) - r2(silent))
    return np.stack(lost, axis=1)


def test_knockout():
    assert_exercise(
        "cross.knockout",
        right=[knock_out, knock_out_by_cell],
        wrong={
            "rows and columns are exchanged": lambda f, r: knock_out(f, r).T,
            "the sign is turned": lambda f, r: -knock_out(f, r),
            "these are per cent": lambda f, r: 100 * knock_out(f, r),
            "not to row t": lambda f, r: knock_out(f, r, ahead=0),
            "one column at a time": knock_out_in_a_row,
            "changed the returns": lambda f, r: knock_out(f, r, copy=False),
            "matrix of shape (3, 3)": lambda f, r: knock_out(f, r)[:2],
            "should be": lambda f, r: knock_out(f, r) + 0.1,
        },
    )


def test_knockout_names_a_truth_that_was_silenced():
    def silent_truth(forecast, returns):
        def r2(seen, came):
            error = came[1:] - forecast(seen)[:-1]
            return 1 - (error**2).sum(0) / (came[1:] ** 2).sum(0).clip(1e-12)

        lost = []
        for j in range(returns.shape[1]):
            seen = returns.copy()
            seen[:, j] = 0
            lost.append(r2(returns, returns) - r2(seen, seen))
        return np.stack(lost, axis=1)

    assert_exercise(
        "cross.knockout",
        right=[knock_out, knock_out_by_cell],
        wrong={
            "the truth was silenced too": silent_truth,
            "should be": lambda f, r: np.zeros((3, 3)),
            "(3, 3)": lambda f, r: np.zeros(3),
        },
    )
