"""The checks of "One equation" accept right answers and name what is wrong with the others."""

import math

import numpy as np
import pandas as pd
import torch
from einops import rearrange
from support import assert_exercise

from alphabook.attention import dense_attention


def softmax(scores, *, dim=1, top="row", blind="zeros"):
    if top == "row":
        scores = scores - scores.amax(dim=dim, keepdim=True).clamp(min=-1e300)
    elif top == "table":
        scores = scores - scores.max()
    grown = scores.exp()
    total = grown.sum(dim=dim, keepdim=True)
    if blind == "zeros":
        total = total.clamp(min=1e-300)
    return grown / total


def softmax_of_numpy(scores):
    out = np.zeros(tuple(scores.shape))
    for i, row in enumerate(scores.numpy()):
        seen = np.isfinite(row)
        if seen.any():
            grown = np.exp(row[seen] - row[seen].max())
            out[i, seen] = grown / grown.sum()
    return out


def softmax_in_place(scores):
    weights = softmax(scores)
    scores.fill_(0.0)
    return weights


def test_softmax():
    assert_exercise(
        "dense.softmax",
        right=[softmax, softmax_of_numpy, lambda s: s.softmax(dim=1).nan_to_num(0.0)],
        wrong={
            "your columns sum to one": lambda s: softmax(s, dim=0),
            "e^1000 is too large": lambda s: softmax(s, top=None),
            "subtract the maximum of each row": lambda s: softmax(s, top="table"),
            "-inf minus -inf": lambda s: s.softmax(dim=1),
            "listens to what it must not hear": lambda s: s.clamp(min=-1e9).softmax(dim=1),
            "changes the scores that it is given": softmax_in_place,
            "gives NaN: e^-inf is 0": lambda s: s / s.sum(dim=1, keepdim=True),
            "has the weights": lambda s: (2 * s).softmax(dim=1),
            "must have the shape": lambda s: s[0],
            "a table of numbers": lambda s: "weights",
        },
    )


def masked(query, key, value, mask, *, fill=-math.inf, blind=True):
    scores = (query @ key.T / math.sqrt(query.shape[1])).masked_fill(~mask, fill)
    weights = scores.softmax(dim=1)
    return (weights.masked_fill(~mask.any(dim=1, keepdim=True), 0.0) if blind else weights) @ value


def masked_by_package(query, key, value, mask):
    return dense_attention(query[None, None], key[None, None], value[None, None], mask=mask)[0, 0]


def masked_by_loop(query, key, value, mask):
    out = torch.zeros(len(query), value.shape[1], dtype=value.dtype)
    for i, row in enumerate(mask):
        if row.any():
            out[i] = masked(query[i : i + 1], key[row], value[row], row[None, row])[0]
    return out


def too_late(query, key, value, mask, *, divide=False):
    weights = (query @ key.T / math.sqrt(query.shape[1])).softmax(dim=1) * mask
    if divide:
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-300)
    return weights @ value


def zeroed(query, key, value, mask, *, after=True):
    weights = (query @ key.T / math.sqrt(query.shape[1]) * mask).softmax(dim=1)
    return (weights * mask if after else weights) @ value


def test_mask():
    assert_exercise(
        "dense.mask",
        right=[masked, masked_by_package, masked_by_loop],
        wrong={
            "it takes weight away": zeroed,
            "its value is heard": lambda *a: zeroed(*a, after=False),
            "they have taken their share": too_late,
            "a huge score": lambda *a: too_late(*a, divide=True),
            "answers NaN": lambda *a: masked(*a, blind=False),
            "the mean of all values": lambda *a: masked(*a, fill=-1e9, blind=False),
            "the other way round": lambda q, k, v, m: masked(q, k, v, ~m),
            "should answer": lambda q, k, v, m: masked(q * math.sqrt(3), k, v, m),
            "must have the shape": lambda q, k, v, m: masked(q, k, v, m).T,
        },
    )


def attend(query, key, value, scale=None):
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return (query @ key.transpose(-1, -2) * scale).softmax(dim=-1) @ value


def heads_by_einops(query, key, value, heads, *, pattern="(heads dim)", scale=None):
    split = [rearrange(x, f"length {pattern} -> heads length dim", heads=heads) for x in (query, key, value)]
    return rearrange(attend(*split, scale=scale), f"heads length dim -> length {pattern}")


def heads_by_slices(query, key, value, heads):
    dim = query.shape[1] // heads
    parts = [slice(h * dim, (h + 1) * dim) for h in range(heads)]
    return torch.cat([attend(query[:, p], key[:, p], value[:, p]) for p in parts], dim=1)


def heads_along_time(query, key, value, heads):
    split = [x.reshape(heads, len(x), -1) for x in (query, key, value)]
    return attend(*split).reshape(query.shape)


def test_heads():
    assert_exercise(
        "dense.heads",
        right=[heads_by_einops, heads_by_slices],
        wrong={
            "still one head": lambda q, k, v, h: attend(q, k, v, (q.shape[1] // h) ** -0.5),
            "one head with the scale that suits it": lambda q, k, v, h: attend(q, k, v),
            "their scale is that of d_model": lambda q, k, v, h: heads_by_einops(q, k, v, h, scale=q.shape[1] ** -0.5),
            "not divided by the root of head_dim": lambda q, k, v, h: heads_by_einops(q, k, v, h, scale=1.0),
            "time and heads are mixed up": heads_along_time,
            "write (heads dim)": lambda q, k, v, h: heads_by_einops(q, k, v, h, pattern="(dim heads)"),
            "head 0 is right": lambda q, k, v, h: heads_by_slices(q, k, v, h)[:, : q.shape[1] // h].repeat(1, h),
            "must have the shape (6, 12)": lambda q, k, v, h: heads_by_slices(q, k, v, h)[:, :3],
            "column 0 of bar 0": lambda q, k, v, h: v,
        },
    )


def reach_by_weights():
    weights = 0.5 ** (np.arange(5_000) / 24)
    return 1 + int(np.argmax(weights.cumsum() / weights.sum() >= 0.95))


def test_reach():
    assert_exercise(
        "dense.reach",
        right=[104, reach_by_weights, lambda: math.ceil(24 * math.log(0.05) / math.log(0.5))],
        wrong={
            "hold 50.00% of the weight": 24,
            "hold 94.89%": 103,
            "fewer are enough": 105,
            "counted in whole numbers": 24 * math.log2(20),
            "hold no weight": 0,
            "a number of bars, got str": "about four half-lives",
        },
    )


def clock(query_open, query_length, key_open, key_length, *, bars=2, asked=1, strict=False):
    known = (key_open + bars * key_length).to_numpy()[None, :]
    now = (query_open + asked * query_length).to_numpy()[:, None]
    return known < now if strict else known <= now


def clock_by_loop(query_open, query_length, key_open, key_length):
    rows = [[k + 2 * key_length <= q + query_length for k in key_open] for q in query_open]
    return torch.tensor(rows)


def test_clock():
    assert_exercise(
        "dense.clock",
        right=[clock, clock_by_loop, lambda *a: pd.DataFrame(clock(*a))],
        wrong={
            "as soon as it opens": lambda *a: clock(*a, bars=0),
            "which is only beginning": lambda *a: clock(*a, bars=1),
            "compare with <=": lambda *a: clock(*a, strict=True),
            "it speaks when it closes": lambda *a: clock(*a, asked=0),
            "both clocks are one bar early": lambda *a: clock(*a, asked=0, bars=1),
            "rows are queries": lambda *a: clock(*a).T,
            "a cell for each query and key": lambda *a: clock(*a)[0],
            "a mask is boolean": lambda *a: clock(*a).astype(float),
            "every cell is the wrong way round": lambda *a: ~clock(*a),
            "you say it may not": lambda *a: clock(*a, bars=3),
        },
    )
