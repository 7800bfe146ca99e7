"""The checks of "A window and a few that see all" accept right answers and name what is wrong with the others."""

import numpy as np
import torch
import torch.nn.functional as F
from support import assert_exercise


def band(length, window, *, dilation=1, causal=False):
    step = torch.arange(length)[:, None] - torch.arange(length)
    seen = (step % dilation == 0) & (step.abs() <= dilation * window)
    return seen & (step >= 0) if causal else seen


def band_by_loop(length, window, *, dilation=1, causal=False):
    mask = torch.zeros(length, length, dtype=torch.bool)
    for i in range(length):
        for step in range(-window, 1 if causal else window + 1):
            if 0 <= i + step * dilation < length:
                mask[i, i + step * dilation] = True
    return mask


def other_band(limit=lambda w, d: w * d, strict=False, gaps=True, future=False, blind=False):
    def answer(length, window, *, dilation=1, causal=False):
        step = torch.arange(length)[:, None] - torch.arange(length)
        seen = (step.abs() < limit(window, dilation)) if strict else (step.abs() <= limit(window, dilation))
        if gaps:
            seen &= step % dilation == 0
        if causal:
            seen &= step <= 0 if future else step >= 0
        return seen & (step != 0) if blind else seen

    return answer


def test_band():
    assert_exercise(
        "window.band",
        right=[band, band_by_loop],
        wrong={
            "yours is torch.float32": lambda n, w, **kw: band(n, w, **kw).float(),
            "yours is list": lambda n, w, **kw: band(n, w, **kw).tolist(),
            "yours has shape (9, 7)": lambda n, w, **kw: torch.ones(n, 2 * w + 1, dtype=torch.bool),
            "True where attention is forbidden": lambda n, w, **kw: ~band(n, w, **kw),
            "causal=True changes nothing": lambda n, w, *, dilation, causal: band(n, w, dilation=dilation),
            "rows are queries, columns are keys": other_band(future=True),
            "a bar does not see itself": other_band(blind=True),
            "w counts the keys on EACH side": other_band(limit=lambda w, d: w // 2),
            "<=, not <": other_band(strict=True),
            "dilation changes nothing": lambda n, w, *, dilation, causal: band(n, w, causal=causal),
            "only multiples of the dilation": other_band(gaps=False),
            "each as long as the dilation": other_band(limit=lambda w, d: w),
            "row 0 should see [0, 1, 2, 3], yours sees [0, 1, 2, 3, 4]": other_band(limit=lambda w, d: w * d + 1),
        },
    )


def reach(layers):
    offsets = {0}
    for window, dilation in layers:
        offsets = {o + s * dilation for o in offsets for s in range(-window, window + 1)}
    return offsets


def reach_by_convolution(layers):
    paths = np.ones(1)
    for window, dilation in layers:
        step = np.zeros(2 * window * dilation + 1)
        step[::dilation] = 1
        paths = np.convolve(paths, step)
    return np.flatnonzero(paths) - len(paths) // 2


def farthest(layers):
    return sum(w * d for w, d in layers)


def test_reach():
    assert_exercise(
        "window.reach",
        right=[reach, reach_by_convolution, lambda layers: sorted(reach(layers))],
        wrong={
            "not int": farthest,
            "not every offset below it is reached": lambda x: range(-farthest(x), farthest(x) + 1),
            "negative offsets": lambda x: {o for o in reach(x) if o >= 0},
            "positive offsets is missing": lambda x: {o for o in reach(x) if o <= 0},
            "offset 0 is missing": lambda x: reach(x) - {0},
            "only the last layer counts": lambda x: reach(x[-1:]),
            "not alternatives to each other": lambda x: set().union(*(reach([layer]) for layer in x)),
            "dilation is ignored": lambda x: reach([(w, 1) for w, _ in x]),
            "offset 3 should not be reached": lambda x: reach([(w + 1, d) for w, d in x]),
        },
    )


def padded_window(q, k, v, window, *, margin=None, size=None, mask=True, offset=0, scale=True, keep=None):
    """The seed's idea with its faults as options; as it stands, right."""
    n = q.shape[2]
    margin, size = margin or window, size or 2 * window + 1
    real = F.pad(torch.ones(n, dtype=torch.bool), (margin, margin)).unfold(0, size, 1)[:keep]
    k, v = (F.pad(x, (0, 0, margin, margin)).unfold(2, size, 1)[:, :, :keep] for x in (k, v))
    scores = torch.einsum("bhnd,bhnds->bhns", q, k) / (q.shape[-1] ** 0.5 if scale else 1)
    if mask:
        scores = scores.masked_fill(~real, -torch.inf)
    return torch.einsum("bhns,bhnds->bhnd", scores.softmax(-1), v)


def masked_dense(q, k, v, window):
    scores = (q @ k.mT) / q.shape[-1] ** 0.5
    return torch.where(band(q.shape[2], window), scores, -torch.inf).softmax(-1) @ v


def test_padding():
    seed = {"margin": 2, "size": 4}
    assert_exercise(
        "window.padding",
        right=[padded_window, masked_dense],
        wrong={
            "do not match in number": lambda q, k, v, w: padded_window(q, k, v, w, **seed, mask=False),
            "bar 5 is seen by rows [4, 5, 6, 7]": lambda q, k, v, w: padded_window(q, k, v, w, **seed, keep=10),
            "of its weight to bars that do not exist": lambda q, k, v, w: padded_window(q, k, v, w, mask=False),
            "the output has shape (1, 2, 11, 4)": lambda q, k, v, w: F.pad(padded_window(q, k, v, w), (0, 0, 0, 1)),
            "root of head_dim": lambda q, k, v, w: padded_window(q, k, v, w, scale=False),
            "add up to 2.00": lambda q, k, v, w: 2 * padded_window(q, k, v, w),
            "differs from dense attention": lambda q, k, v, w: padded_window(q, -k, v, w),
        },
    )


def one_softmax(scores, values, near, special):
    return torch.where(near | special, scores, -torch.inf).softmax(0) @ values


def two_parts(scores, values, near, special, *, once=True, mix="mass"):
    """Two softmaxes joined by their masses; the options are faults."""
    special = special & ~near if once else special
    a, b = (scores[s].softmax(0) @ values[s] for s in (near, special))
    if mix == "count":
        share = near.sum() / (near.sum() + special.sum())
    elif mix == "half":
        share = 0.5
    else:
        share = torch.sigmoid(scores[near].logsumexp(0) - scores[special].logsumexp(0))
    return share * a + (1 - share) * b


def test_union():
    assert_exercise(
        "window.union",
        right=[one_softmax, two_parts],
        wrong={
            "half of the weight": lambda *x: two_parts(*x, once=False, mix="half"),
            "the weights sum to 2": lambda *x: 2 * two_parts(*x, once=False, mix="half"),
            "by how many keys they have": lambda *x: two_parts(*x, once=False, mix="count"),
            "not seen at all": lambda s, v, near, special: one_softmax(s, v, near, near),
            "counted twice": lambda *x: two_parts(*x, once=False),
            "yours is (1,)": lambda *x: one_softmax(*x)[:1],
            "the output should be": lambda s, v, near, special: one_softmax(-s, v, near, special),
        },
    )


def spread_by_impulse(window=4, layers=16):
    paths = np.ones(1)
    for _ in range(layers):
        paths = np.convolve(paths, np.full(2 * window + 1, 1 / (2 * window + 1)))
    distance = np.arange(len(paths)) - len(paths) // 2
    return float(np.sqrt((paths * distance**2).sum()))


def test_spread():
    assert_exercise(
        "window.spread",
        right=[spread_by_impulse, 10.33, lambda: torch.tensor(10.3)],
        wrong={
            "that is the reach": 64,
            "take the root": lambda: spread_by_impulse() ** 2,
            "of one layer": lambda: spread_by_impulse(layers=1),
            "variances do": lambda: 16 * spread_by_impulse(layers=1),
            "push an impulse": 20.0,
            "got str": "far",
        },
    )


def heads_by_mask(q, k, v, window, dilations):
    masks = torch.stack([band(q.shape[2], window, dilation=d) for d in dilations])
    return torch.where(masks, q @ k.mT / q.shape[-1] ** 0.5, -torch.inf).softmax(-1) @ v


def heads_one_by_one(q, k, v, window, dilations):
    from alphabook.attention import sliding_window_attention

    parts = [
        sliding_window_attention(*(x[:, i : i + 1] for x in (q, k, v)), window=window, dilation=d)
        for i, d in enumerate(dilations)
    ]
    return torch.cat(parts, dim=1)


def test_heads():
    def narrow(q, k, v, window, dilations):
        near = band(q.shape[2], window)
        masks = torch.stack([near & band(q.shape[2], window, dilation=d) for d in dilations])
        return torch.where(masks, q @ k.mT / q.shape[-1] ** 0.5, -torch.inf).softmax(-1) @ v

    assert_exercise(
        "window.heads",
        right=[heads_by_mask, heads_one_by_one],
        wrong={
            "in the wrong order": lambda q, k, v, w, d: heads_by_mask(q, k, v, w, d[::-1]),
            "dilation is not used": lambda q, k, v, w, d: heads_by_mask(q, k, v, w, (1,) * len(d)),
            "give each its own": lambda q, k, v, w, d: heads_by_mask(q, k, v, w, (max(d),) * len(d)),
            "each as long as the dilation": narrow,
            "keep the axis of the heads": lambda *x: heads_by_mask(*x).transpose(1, 2),
            "head 0 (dilation 1) differs": lambda q, k, v, w, d: heads_by_mask(q, k, v, w, (2, *d[1:])),
        },
    )
