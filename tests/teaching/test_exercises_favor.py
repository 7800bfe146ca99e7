"""The checks of "Attention as an expectation" accept right answers and name what is wrong with the others."""

import math

import numpy as np
import torch
from support import assert_exercise

from alphabook.attention import draw_projection, favor_attention


def positive(x, rows, *, half=0.5, sides=0.5, again=1.0, per_row=True):
    x = x * again
    squares = (x**2).sum(-1, keepdim=True) if per_row else (x**2).sum()
    return torch.exp(x @ rows.T - half * squares) * len(rows) ** -sides


def positive_in_numpy(x, rows):
    x, rows = x.numpy(), rows.numpy()
    out = [[math.exp(w @ row - row @ row / 2) for w in rows] for row in x]
    return torch.tensor(np.array(out)) / math.sqrt(len(rows))


def test_features():
    assert_exercise(
        "favor.features",
        right=[positive, positive_in_numpy, lambda x, rows: positive(x, rows.flip(0))],
        wrong={
            "some of your features are negative": lambda x, rows: torch.cos(x @ rows.T),
            "the sum over the features": lambda x, rows: positive(x, rows, sides=0),
            "divided by m twice": lambda x, rows: positive(x, rows, sides=1),
            "the term -|x|^2/2 is missing": lambda x, rows: positive(x, rows, half=0),
            "half of it": lambda x, rows: positive(x, rows, half=1),
            "half of its square": lambda x, rows: positive(x, rows, half=0) * torch.exp(-x.norm(dim=1)[:, None] / 2),
            "scaled by d**-0.25 once more": lambda x, rows: positive(x, rows, again=x.shape[1] ** -0.25),
            "a factor per row": lambda x, rows: positive(x, rows, per_row=False),
            "should have shape (5, 7), yours has (7, 5)": lambda x, rows: positive(x, rows).T,
            "yours is 1.75": lambda x, rows: torch.full((len(x), 7), 0.5),
            "got str": lambda x, rows: "features",
        },
    )


def by_cumulative_sums(phi_q, phi_k, value):
    memory = (phi_k[:, :, None] * value[:, None, :]).cumsum(0)
    return (phi_q[:, :, None] * memory).sum(1) / (phi_q * phi_k.cumsum(0)).sum(1, keepdim=True)


def by_loop(phi_q, phi_k, value, *, after=False):
    memory, mass, out = torch.zeros(phi_k.shape[1], value.shape[1], dtype=value.dtype), 0.0, []
    for q, k, v in zip(phi_q, phi_k, value, strict=True):
        if after:
            out.append(q @ memory / (q @ (mass + 1e-300 * k)))
        memory, mass = memory + torch.outer(k, v), mass + k
        if not after:
            out.append(q @ memory / (q @ mass))
    return torch.stack(out)


def by_pairs(phi_q, phi_k, value, *, diagonal=0):
    weights = (phi_q @ phi_k.T).tril(diagonal)
    return weights @ value / weights.sum(1, keepdim=True)


def test_prefix():
    assert_exercise(
        "favor.prefix",
        right=[by_cumulative_sums, by_loop],
        wrong={
            "right, but you build a tensor of 65,536 numbers": by_pairs,
            "every row sees the whole sequence": lambda q, k, v: by_pairs(q, k, v, diagonal=len(q)),
            "the denominator is missing": lambda q, k, v: (q @ k.T).tril() @ v,
            "the future's too": lambda q, k, v: (q @ k.T).tril() @ v / (q @ k.sum(0))[:, None],
            "no past, no denominator": lambda q, k, v: q @ (k.T @ v),
            "does not see itself": lambda q, k, v: by_loop(q, k, v, after=True),
            "row 0 should begin": lambda q, k, v: by_loop(q, k, v) + 1,
            "yours has (255, 4)": lambda q, k, v: by_loop(q, k, v)[1:],
        },
    )


def stabilised(query, key, value, rows, *, norm=0.5, future=False, rescale=True, maximum=True, unscaled=False):
    q, k = (x * x.shape[-1] ** -0.25 for x in (query, key))
    size = key if unscaled else k
    log_q, log_k = q @ rows.T, k @ rows.T - norm * (size**2).sum(-1, keepdim=True)
    top = log_k.max() if future else torch.tensor(-math.inf)
    memory, mass, out = torch.zeros(rows.shape[0], value.shape[1]).to(value), torch.zeros(rows.shape[0]).to(value), []
    for t in range(len(key)):
        new = torch.maximum(top, log_k[t].max()) if maximum else torch.tensor(0.0)
        fade = (top - new).exp() if rescale and maximum else torch.tensor(1.0)
        phi_k, phi_q = (log_k[t] - new).exp(), (log_q[t] - log_q[t].max()).exp()
        memory, mass, top = memory * fade + torch.outer(phi_k, value[t]), mass * fade + phi_k, new
        out.append(phi_q @ memory / (phi_q @ mass))
    return torch.stack(out)


def in_log_space(query, key, value, rows):
    q, k = (x * x.shape[-1] ** -0.25 for x in (query, key))
    log_q, log_k = q @ rows.T, k @ rows.T - (k**2).sum(-1, keepdim=True) / 2
    scores = (log_q[:, None, :] + log_k[None, :, :]).logsumexp(-1)
    future = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(-1) @ value


def test_stabiliser():
    assert_exercise(
        "favor.stabiliser",
        right=[
            stabilised,
            in_log_space,
            lambda q, k, v, rows: favor_attention(*(x[None, None] for x in (q, k, v)), projection=rows, causal=True)[
                0, 0
            ],
        ],
        wrong={
            "the term -|k|^2/2 is missing": lambda *given: stabilised(*given, norm=0, future=True),
            "not half of it": lambda *given: stabilised(*given, norm=1),
            "of the unscaled key": lambda *given: stabilised(*given, unscaled=True),
            "(to NaN): the maximum is taken over keys": lambda *given: stabilised(*given, future=True),
            "multiplied by exp(old - new)": lambda *given: stabilised(*given, rescale=False),
            "every feature underflows": lambda *given: stabilised(*given, maximum=False),
            "should have shape (12, 8)": lambda *given: stabilised(*given)[:-1],
        },
    )


def measured_ratio(d=8, blocks=40_000, seed=5):
    generator = torch.Generator().manual_seed(seed)
    variance = {}
    for orthogonal in (True, False):
        rows = draw_projection(blocks * d, d, generator=generator, orthogonal=orthogonal, dtype=torch.float64)
        variance[orthogonal] = rows[:, 0].exp().reshape(blocks, d).mean(1).var()
    return variance[True] / variance[False]


def test_ratio():
    assert_exercise(
        "favor.ratio",
        right=[0.83, measured_ratio, np.float64(0.82)],
        wrong={
            "asks for the inverse": 1.21,
            "ratio of the standard deviations": 0.91,
            "the share that is saved": 0.17,
            "one row alone has the same law": 1.0,
            "the ratio is not 0.600": 0.6,
            "a positive number": -1,
            "one number, got str": "less",
        },
    )


def mirrored(x, rows, *, sign=-1.0, count=2):
    return torch.cat([positive(x, rows), positive(x, sign * rows)], dim=1) / math.sqrt(count)


def by_stacking(x, rows):
    return positive(x, torch.cat([rows, -rows]))


def test_twice():
    assert_exercise(
        "favor.twice",
        right=[mirrored, by_stacking],
        wrong={
            "put the two side by side": lambda x, rows: (positive(x, rows) + positive(x, -rows)) / math.sqrt(2),
            "twice too large": lambda x, rows: mirrored(x, rows, count=1),
            "the second one needs -g": lambda x, rows: mirrored(x, rows, sign=1.0),
            "the term -|x|^2/2 is missing": lambda x, rows: (
                mirrored(x, rows) * torch.exp((x**2).sum(1, keepdim=True) / 2)
            ),
            "not the feature itself": lambda x, rows: (
                torch.cat([positive(x, rows), -positive(x, rows)], 1) / math.sqrt(3)
            ),
            "yours is 3.5": lambda x, rows: torch.full((len(x), 14), 0.5),
            "should have shape (5, 14)": lambda x, rows: mirrored(x, rows).T,
        },
    )
