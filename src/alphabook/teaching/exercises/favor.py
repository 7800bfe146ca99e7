"""Checks of the exercises of :doc:`/notebooks/attention/favor`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ...attention import favor_attention
from ..checks import Wrong, exercise

Features = Callable[[Tensor, Tensor], Tensor]


@exercise("favor.features", kind="implement", difficulty=2, minutes=15)
def check_features(answer: Features) -> None:
    """Features that are never negative"""
    queries, keys, rows = _normal(1, 5, 4), _normal(2, 6, 4), _normal(3, 7, 4)
    phi_q, phi_k = (_matrix(answer(x, rows), (len(x), 7)) for x in (queries, keys))
    got, right = phi_q @ phi_k.T, _positive(queries, rows) @ _positive(keys, rows).T
    if _close(got, right):
        return
    if (phi_q < 0).any():
        raise Wrong("some of your features are negative: these are not exponentials, and weights made of them may be")
    norms = (queries.square().sum(1)[:, None] + keys.square().sum(1)) / 2
    lengths = queries.norm(dim=1)[:, None] + keys.norm(dim=1)
    again = 4**-0.25
    smaller = _positive(queries * again, rows) @ _positive(keys * again, rows).T
    mistakes = (
        (right * 7, "your estimate is the sum over the features, seven times too large: the mean needs 1/sqrt(m) here"),
        (right / 7, "your estimate is divided by m twice: each side brings 1/sqrt(m), the product has 1/m"),
        (right * norms.exp(), "the term -|x|^2/2 is missing: without it the mean is exp(|q + k|^2 / 2)"),
        (right * (-norms).exp(), "you subtract |x|^2, the proof needs half of it"),
        (right * norms.exp() * (-lengths / 2).exp(), "you subtract half of |x|, the proof needs half of its square"),
        (smaller, "your x is scaled by d**-0.25 once more: the check hands it over already scaled"),
    )
    for value, diagnosis in mistakes:
        if _close(got, value):
            raise Wrong(diagnosis)
    factor = (got / right).log()
    rows_and_columns = factor[:1] + factor[:, :1] - factor[0, 0]
    if _close(factor, rows_and_columns) and torch.isfinite(factor).all():
        raise Wrong("the estimates are off by a factor per row or column: take |x|^2 of each row on its own, dim=-1")
    raise Wrong(f"for the first query and key the mean of the products is {right[0, 0]:.4f}, yours is {got[0, 0]:.4f}")


@exercise("favor.prefix", kind="implement", difficulty=3, minutes=20)
def check_prefix(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """The past in one matrix"""
    length, features, width = 256, 8, 4
    phi_q, phi_k = _normal(4, length, features).exp(), _normal(5, length, features).exp()
    value = _normal(6, length, width)
    with _LargestTensor() as largest:
        out = answer(phi_q, phi_k, value)
    got = _matrix(out, (length, width))
    weights = phi_q @ phi_k.T
    past = weights.tril()
    right = past @ value / past.sum(1, keepdim=True)
    if not _close(got, right):
        before, both = weights.tril(-1), weights @ value / weights.sum(1, keepdim=True)
        strict = before @ value / before.sum(1, keepdim=True)
        mistakes = (
            (both, "every row sees the whole sequence: add up the past only, position by position"),
            (
                past @ value,
                "the numerator is right and the denominator is missing: keep the sum of the features as well",
            ),
            (past @ value / weights.sum(1, keepdim=True), "the denominator sums over all positions, the future's too"),
            (phi_q @ (phi_k.T @ value), "this is phi_q @ (phi_k.T @ value): no past, no denominator"),
        )
        for value_, diagnosis in mistakes:
            if _close(got, value_):
                raise Wrong(diagnosis)
        if _close(got[1:], strict[1:]):
            raise Wrong("position t does not see itself: add its key to the sums before you ask its query")
        row = int((~torch.isclose(got, right).all(1)).nonzero()[0])
        raise Wrong(f"row {row} should begin with {right[row, 0]:.4f}, yours with {got[row, 0]:.4f}")
    if largest.numel >= length**2:
        raise Wrong(
            f"right, but you build a tensor of {largest.numel:,} numbers for {length} positions, as many as dense "
            "attention: keep one (m, d) sum instead of all pairs"
        )


@exercise("favor.stabiliser", kind="bug", difficulty=4, minutes=25)
def check_stabiliser(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """The maximum that saw the future"""
    query, key, value, rows = (_normal(seed, 12, 8) for seed in (7, 8, 9, 10))
    got, right = _matrix(answer(query, key, value, rows), (12, 8)), _causal(query, key, value, rows)
    scaled = key * 8**-0.25
    if not _close(got, right):
        without = _quadratic(query, key, value, rows, scaled.square().sum(1) * 0)
        double = _quadratic(query, key, value, rows, scaled.square().sum(1))
        unscaled = _quadratic(query, key, value, rows, key.square().sum(1) / 2)
        if _close(got, without):
            raise Wrong(
                "long keys weigh too much: the term -|k|^2/2 is missing (the query's cancels, the key's does not)"
            )
        if _close(got, double):
            raise Wrong("you subtract |k|^2 from the log features of the keys, not half of it")
        if _close(got, unscaled):
            raise Wrong("you subtract half of |k|^2 of the unscaled key: take k * d**-0.25 first, then square")
        row = int((~torch.isclose(got, right).all(1)).nonzero()[0])
        raise Wrong(
            f"row {row} is the first that is wrong: when the maximum rises, the sums made with the old one must be "
            "multiplied by exp(old - new)"
        )
    steep = rows.clone()
    steep[0] *= 60 / steep[0].norm()
    later = key.clone()
    later[9] = steep[0] * 8**0.25  # its log feature is |row|^2 / 2 = 1800, far above all earlier ones
    before, after = (_matrix(answer(query, k, value, steep), (12, 8))[:9] for k in (key, later))
    if not torch.isfinite(after).all() or not _close(after, before):
        raise Wrong(
            "a key at position 9 changes outputs 0 to 8"
            + ("" if torch.isfinite(after).all() else " (to NaN)")
            + ": the maximum is taken over keys that position t has not seen"
        )
    blind, far = rows.clone(), key.clone()
    blind[:, 0], far[:, 0] = 0.0, 70.0  # every log feature near -866: only a maximum brings them back
    if not _close(answer(query, far, value, blind), _causal(query, far, value, blind)):
        raise Wrong(
            "when all keys are long every feature underflows and the output is 0 / 0: keep a maximum, of the keys seen"
        )


@exercise("favor.ratio", kind="measure", difficulty=3, minutes=20)
def check_ratio(answer: float | Callable[[], float]) -> None:
    """What is a right angle worth?"""
    try:
        ratio = float(answer() if callable(answer) else answer)
    except (TypeError, ValueError):
        raise Wrong(f"the answer is one number, got {type(answer).__name__}") from None
    right = 1 - 7 * (math.e - _pair(1.0, 8)) / (math.e**2 - math.e)
    if abs(ratio - right) <= 0.04:
        return
    if not math.isfinite(ratio) or ratio <= 0:
        raise Wrong(f"a ratio of two variances is a positive number, yours is {ratio:g}")
    if abs(ratio - 1 / right) <= 0.04:
        raise Wrong("you divide the independent variance by the orthogonal one: the question asks for the inverse")
    if abs(ratio - math.sqrt(right)) <= 0.03:
        raise Wrong("this is the ratio of the standard deviations: square it")
    if abs(ratio - (1 - right)) <= 0.04:
        raise Wrong("this is the share that is saved, the question asks for the share that is left")
    if abs(ratio - 1) <= 0.03:
        raise Wrong(
            "one row alone has the same law either way: average the eight rows of a block first, then take the "
            "variance over blocks"
        )
    raise Wrong(
        f"the ratio is not {ratio:.3f}: use |q + k| = 1, scaling 'chi' and at least 20,000 blocks of eight rows"
    )


@exercise("favor.twice", kind="stretch", difficulty=4, minutes=30)
def check_twice(answer: Features) -> None:
    """Each draw used twice"""
    queries, keys, rows = _normal(11, 5, 4), _normal(12, 6, 4), _normal(13, 7, 4)
    plain, mirrored = (_positive(queries, r) @ _positive(keys, r).T for r in (rows, -rows))
    phi_q, phi_k = answer(queries, rows), answer(keys, rows)
    if isinstance(phi_q, Tensor) and phi_q.shape == (5, 7):
        raise Wrong(
            "seven draws should give fourteen features, yours are seven: a sum of exp(g x) and exp(-g x) in one "
            "feature brings cross terms, and its mean is not the kernel; put the two side by side"
        )
    phi_q, phi_k = _matrix(phi_q, (5, 14)), _matrix(phi_k, (6, 14))
    got = phi_q @ phi_k.T
    if _close(got, (plain + mirrored) / 2):
        return
    norms = (queries.square().sum(1)[:, None] + keys.square().sum(1)) / 2
    mistakes = (
        (plain + mirrored, "your estimate is twice too large: there are 2m features now, so the factor is 1/sqrt(2m)"),
        (plain, "both halves use the same direction: the second one needs -g"),
        ((plain + mirrored) / 2 * norms.exp(), "the term -|x|^2/2 is missing"),
    )
    for value, diagnosis in mistakes:
        if _close(got, value):
            raise Wrong(diagnosis)
    if (phi_q < 0).any():
        raise Wrong("a feature is negative: mirror the direction inside the exponential, not the feature itself")
    right = (plain + mirrored)[0, 0] / 2
    raise Wrong(f"for the first query and key the mean of the products is {right:.4f}, yours is {got[0, 0]:.4f}")


class _LargestTensor(TorchDispatchMode):
    """Remembers the size of the largest tensor that is made while it is on."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _positive(x: Tensor, rows: Tensor) -> Tensor:
    return (x @ rows.T - x.square().sum(-1, keepdim=True) / 2).exp() / math.sqrt(len(rows))


def _causal(query: Tensor, key: Tensor, value: Tensor, rows: Tensor) -> Tensor:
    q, k, v = (x[None, None] for x in (query, key, value))
    return favor_attention(q, k, v, projection=rows, causal=True)[0, 0]


def _quadratic(query: Tensor, key: Tensor, value: Tensor, rows: Tensor, subtracted: Tensor) -> Tensor:
    """Causal attention with any term subtracted from the log features of the keys."""
    log_q, log_k = ((x * x.shape[-1] ** -0.25) @ rows.T for x in (query, key))
    weights = (log_q.exp() @ (log_k - subtracted[:, None]).exp().T).tril()
    return weights @ value / weights.sum(1, keepdim=True)


def _pair(s: float, d: int) -> float:
    """Mean product of two features with orthogonal directions, before the norms (the chapter's theorem)."""
    total = term = 1.0
    for k in range(1, 60):
        term *= s / k * (d + k - 1) / (d + 2 * k - 2)
        total += term
    return total


def _matrix(value: Any, shape: tuple[int, int]) -> Tensor:
    try:
        matrix = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"return one tensor of shape {shape}, got {type(value).__name__}") from None
    if tuple(matrix.shape) != shape:
        raise Wrong(f"the result should have shape {shape}, yours has {tuple(matrix.shape)}")
    return matrix


def _close(left: Tensor, right: Tensor) -> bool:
    return bool(torch.allclose(left, right, rtol=1e-6, atol=1e-9))
