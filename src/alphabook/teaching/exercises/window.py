"""Checks of the exercises of :doc:`/notebooks/attention/sliding_window`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ..checks import Wrong, exercise


@exercise("window.band", kind="implement", difficulty=2, minutes=15)
def check_band(answer: Callable[..., Tensor]) -> None:
    """The mask of a dilated window"""
    for length, window, dilation, causal in ((9, 3, 1, False), (9, 3, 1, True), (16, 3, 3, False), (16, 3, 3, True)):
        got = answer(length, window, dilation=dilation, causal=causal)
        case = f"length {length}, window {window}, dilation {dilation}, causal {causal}"
        if not isinstance(got, Tensor) or got.dtype != torch.bool:
            kind = str(got.dtype) if isinstance(got, Tensor) else type(got).__name__
            raise Wrong(f"a mask is a boolean tensor, True = may attend, yours is {kind}")
        if tuple(got.shape) != (length, length):
            raise Wrong(
                f"a mask of {length} bars has a row for each query and a column for each key, yours has shape "
                f"{tuple(got.shape)}"
            )
        right = _band(length, window, dilation, causal)
        if torch.equal(got, right):
            continue
        if torch.equal(got, ~right):
            raise Wrong("True means may attend: yours is True where attention is forbidden")
        if causal and torch.equal(got, _band(length, window, dilation, False)):
            raise Wrong("causal=True changes nothing: row i still sees keys after i")
        if causal and torch.equal(got, right.mT):
            raise Wrong("row i sees the future and not the past: rows are queries, columns are keys")
        if not bool(got.diagonal().all()):
            raise Wrong("a bar does not see itself: step 0 belongs to the window")
        offset = _offsets(length)
        past = offset <= 0 if causal else torch.ones_like(right)
        if torch.equal(got, past & (offset.abs() <= window // 2) & (offset % dilation == 0)):
            raise Wrong("the window is split over both sides: w counts the keys on EACH side, the span is 2w + 1")
        if torch.equal(got, past & (offset.abs() < window * dilation) & (offset % dilation == 0)):
            raise Wrong("the outermost key is missing: distance w is still inside (<=, not <)")
        if torch.equal(got, past & (offset.abs() <= window)):
            raise Wrong(f"dilation changes nothing ({case}): the steps are {dilation} bars long")
        if torch.equal(got, past & (offset.abs() <= window * dilation)):
            raise Wrong("the bars between two steps are seen too: only multiples of the dilation belong to the window")
        if torch.equal(got, past & (offset.abs() <= window) & (offset % dilation == 0)):
            raise Wrong("the window ends w bars away: it has w steps on each side, each as long as the dilation")
        row = int((got != right).any(dim=1).nonzero()[0])
        raise Wrong(f"{case}: row {row} should see {_where(right[row])}, yours sees {_where(got[row])}")


@exercise("window.reach", kind="implement", difficulty=3, minutes=20)
def check_reach(answer: Callable[[list[tuple[int, int]]], Iterable[int]]) -> None:
    """How far does a stack see?"""
    for layers in ([(2, 1)], [(2, 1), (1, 7)], [(2, 1)] * 3, [(1, 1), (1, 3), (1, 9)], [(1, 4), (3, 4)]):
        got = _integers(answer(list(layers)))
        right = _reach(layers)
        if got == right:
            continue
        far = sum(w * d for w, d in layers)
        said = f"layers {layers}"
        if got == set(range(-far, far + 1)):
            raise Wrong(
                f"{said}: the farthest offset is right, but not every offset below it is reached. "
                "Take the steps one layer at a time"
            )
        if got == {o for o in right if o >= 0}:
            raise Wrong(f"{said}: the window has two sides, negative offsets are reached as well")
        if got == {o for o in right if o <= 0} or got == right - {0}:
            raise Wrong(f"{said}: {'offset 0' if got == right - {0} else 'the side of positive offsets'} is missing")
        if len(layers) > 1 and got == _reach(layers[-1:]):
            raise Wrong(f"{said}: only the last layer counts. Each layer adds its steps to what is reached already")
        if len(layers) > 1 and got == set().union(*(_reach([layer]) for layer in layers)):
            raise Wrong(f"{said}: the steps of the layers add up, they are not alternatives to each other")
        if got == _reach([(w, 1) for w, _ in layers]):
            raise Wrong(f"{said}: dilation is ignored; layer (w, dilation) steps by multiples of its dilation")
        wrong = sorted(got ^ right, key=abs)[0]
        raise Wrong(f"{said}: offset {wrong} should{'' if wrong in right else ' not'} be reached")


@exercise("window.padding", kind="bug", difficulty=3, minutes=25)
def check_padding(answer: Callable[..., Tensor]) -> None:
    """One window too many, and zeros that vote"""
    length, window = 10, 2
    draw = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(1, 2, length, 4, generator=draw, dtype=torch.float64) for _ in range(3))
    try:
        got = answer(query, key, value, window)
    except RuntimeError as error:
        if "match" not in str(error) and "size" not in str(error) and "subscript" not in str(error):
            raise
        raise Wrong(
            f"the windows and the queries do not match in number ({str(error).splitlines()[0]}). A sequence of "
            "n + p bars holds n + p - s + 1 windows of size s: choose p and s so that this is n"
        ) from None
    if tuple(got.shape) != tuple(value.shape):
        raise Wrong(
            f"the output has shape {tuple(got.shape)}, one row for each of the {length} queries is wanted: "
            f"{tuple(value.shape)}"
        )
    zeros, ones = torch.zeros_like(query), torch.ones_like(value)
    mass = answer(zeros, zeros, ones, window)[0, 0, :, 0]
    if float(mass.max()) > 1 + 1e-9:
        raise Wrong(f"the weights of row {int(mass.argmax())} add up to {float(mass.max()):.2f}: more than one softmax")
    inner = torch.zeros(1, 2, length, 4, dtype=torch.float64)
    inner[:, :, length // 2] = 1.0
    seen = answer(zeros, zeros, inner, window)[0, 0, :, 0] > 0
    rows = [int(i) for i in seen.nonzero()]
    middle = length // 2
    if rows != list(range(middle - window, middle + window + 1)):
        raise Wrong(
            f"bar {middle} is seen by rows {rows}, it should be by {middle - window} to {middle + window}: "
            "a window with w bars on each side and one in the middle has 2w + 1"
        )
    if float(mass.min()) < 1 - 1e-9:
        row = int(mass.argmin())
        raise Wrong(
            f"row {row} gives {1 - float(mass[row]):.0%} of its weight to bars that do not exist: "
            "a zero key has score 0, not none; set the scores of the padding to -inf before the softmax"
        )
    right = _dense(query, key, value, _band(length, window, 1, False))
    if not torch.allclose(got, right):
        if torch.allclose(got, _dense(query * 2, key, value, _band(length, window, 1, False))):
            raise Wrong("the scores are not divided by the root of head_dim")
        row = int((got - right).abs().amax(dim=(0, 1, 3)).argmax())
        raise Wrong(f"row {row} differs from dense attention under the same mask: compare the two weight by weight")


@exercise("window.union", kind="bug", difficulty=3, minutes=15)
def check_union(answer: Callable[..., Tensor]) -> None:
    """Half of the weight to whom?"""
    draw = torch.Generator().manual_seed(4)
    scores = torch.randn(8, generator=draw, dtype=torch.float64)
    values = torch.randn(8, 3, generator=draw, dtype=torch.float64)
    near = torch.tensor([0, 0, 1, 1, 1, 1, 0, 0], dtype=torch.bool)
    apart = torch.tensor([1, 0, 0, 0, 0, 0, 0, 1], dtype=torch.bool)
    overlapping = torch.tensor([1, 0, 0, 1, 0, 0, 0, 0], dtype=torch.bool)
    for special in (apart, overlapping):
        got = answer(scores, values, near, special)
        if not isinstance(got, Tensor) or got.numel() != values.shape[1]:
            shape = tuple(got.shape) if isinstance(got, Tensor) else type(got).__name__
            raise Wrong(f"one query gives one output of {values.shape[1]} numbers, yours is {shape}")
        got = got.reshape(-1)
        if torch.allclose(got, _one(scores, values, near | special)):
            continue
        a, b = _one(scores, values, near), _one(scores, values, special)
        if torch.allclose(got, (a + b) / 2):
            raise Wrong(
                "each part gets half of the weight, however badly its keys match the query: put all scores "
                "into ONE softmax"
            )
        if torch.allclose(got, a + b):
            raise Wrong("two softmaxes are added: the weights sum to 2")
        share = float(near.sum() / (near.sum() + special.sum()))
        if torch.allclose(got, share * a + (1 - share) * b):
            raise Wrong("the parts are mixed by how many keys they have; what counts is the sum of exp(score) in each")
        if torch.allclose(got, a):
            raise Wrong("the global columns are not seen at all")
        if bool((near & special).any()):
            twice = torch.cat([near.nonzero(), special.nonzero()])[:, 0]
            if torch.allclose(got, scores[twice].softmax(0) @ values[twice]):
                raise Wrong("a global bar inside the window is counted twice: take the union of the two sets")
        raise Wrong(f"the output should be {_list(_one(scores, values, near | special))}, yours is {_list(got)}")


@exercise("window.spread", kind="measure", difficulty=3, minutes=15)
def check_spread(answer: float | Callable[[], float]) -> None:
    """Reached, but heard?"""
    value = answer() if callable(answer) else answer
    try:
        bars = float(value)
    except (TypeError, ValueError):
        raise Wrong(f"the spread is one number of bars, got {type(value).__name__}") from None
    window, layers = 4, 16
    one = window * (window + 1) / 3  # variance of a uniform step of -w .. w
    right = math.sqrt(layers * one)
    if abs(bars / right - 1) <= 0.03:
        return
    mistakes = {
        window * layers: "that is the reach, the farthest input with any weight: weigh the distances",
        layers * one: "that is the variance, in squared bars: take the root",
        math.sqrt(one): "that is the spread of one layer: apply the layer sixteen times",
        layers * math.sqrt(one): "spreads do not add up over layers, variances do",
    }
    for wrong, diagnosis in mistakes.items():
        if abs(bars / wrong - 1) < 0.02:
            raise Wrong(diagnosis)
    raise Wrong(
        f"{bars:.4g} bars: push an impulse through the stack, far from both ends, and take the root of the "
        "weighted mean of squared distances"
    )


@exercise("window.heads", kind="stretch", difficulty=4, minutes=30)
def check_heads(answer: Callable[..., Tensor]) -> None:
    """A dilation for every head"""
    draw = torch.Generator().manual_seed(5)
    for length, window, dilations in ((14, 2, (1, 2, 3)), (11, 1, (1, 4)), (9, 2, (3, 1, 1, 2))):
        shape = (2, len(dilations), length, 4)
        q, k, v = (torch.randn(shape, generator=draw, dtype=torch.float64) for _ in range(3))
        got = answer(q, k, v, window, dilations)
        if not isinstance(got, Tensor) or tuple(got.shape) != shape:
            said = tuple(got.shape) if isinstance(got, Tensor) else type(got).__name__
            raise Wrong(
                f"the output is shaped like the query, {shape}; yours is {said}: keep the axis of the heads "
                "at its place"
            )

        def heads(each: tuple[int, ...], window: int = window, length: int = length) -> Tensor:
            masks = torch.stack([_band(length, window, dilation, False) for dilation in each])
            return _dense(q, k, v, masks)  # noqa: B023 (used before the next draw)

        if torch.allclose(got, heads(dilations)):
            continue
        if torch.allclose(got, heads(dilations[::-1])):
            raise Wrong("the heads are in the wrong order: head i has dilations[i]")
        if torch.allclose(got, heads((1,) * len(dilations))):
            raise Wrong("dilation is not used: all heads see the same bars")
        if any(torch.allclose(got, heads((d,) * len(dilations))) for d in dilations):
            raise Wrong("all heads have the same dilation: give each its own")
        narrow = [_band(length, window, d, False) & (_offsets(length).abs() <= window) for d in dilations]
        if torch.allclose(got, _dense(q, k, v, torch.stack(narrow))):
            raise Wrong("the window ends w bars away: it has w steps on each side, each as long as the dilation")
        bad = (got - heads(dilations)).abs().amax(dim=(0, 2, 3))
        raise Wrong(
            f"head {int(bad.argmax())} (dilation {dilations[int(bad.argmax())]}) differs from dense attention "
            f"under its mask by {float(bad.max()):.2g}"
        )


# --- right answers, the slow way -------------------------------------------------------------------
def _offsets(length: int) -> Tensor:
    """Key position minus query position, shape (length, length)."""
    return torch.arange(length) - torch.arange(length)[:, None]


def _band(length: int, window: int, dilation: int, causal: bool) -> Tensor:
    offset = _offsets(length)
    seen = (offset.abs() <= window * dilation) & (offset % dilation == 0)
    return seen & (offset <= 0) if causal else seen


def _dense(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    return scores.masked_fill(~mask, -torch.inf).softmax(dim=-1) @ value


def _one(scores: Tensor, values: Tensor, seen: Tensor) -> Tensor:
    return scores[seen].softmax(dim=0) @ values[seen]


def _reach(layers: Iterable[tuple[int, int]]) -> set[int]:
    reached = {0}
    for window, dilation in layers:
        reached = {o + dilation * step for o in reached for step in range(-window, window + 1)}
    return reached


def _integers(value: Any) -> set[int]:
    try:
        return {int(v) for v in value}
    except TypeError:
        raise Wrong(
            f"return the set of offsets that are reached, not {type(value).__name__}: the farthest one alone "
            "does not say which bars lie in the gaps"
        ) from None


def _where(row: Tensor) -> list[int]:
    return [int(i) for i in row.nonzero()]


def _list(values: Tensor) -> list[float]:
    return [round(float(v), 3) for v in values]
