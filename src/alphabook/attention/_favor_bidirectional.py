"""The fast form of bidirectional FAVOR+: chunks that stay in cache, and a backward that recomputes features.

With the keys' mass under a feature, ``s_f = sum_j B_jf``, and their mean value, ``mu_f = sum_j B_jf v_j / s_f``,
the output is ``softmax_f(a_tf + log s_f) @ mu``: attention to one landmark per feature. ``a`` and ``log B`` are the
log-features of queries and keys; nothing but ``mu`` and ``log s`` is kept of the keys.
"""
# ruff: noqa: F722

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._favor_parts import WORKING_SET, differentiate, feature_weights, half_square


class Bidirectional(torch.autograd.Function):
    """``apply(query, key, value, projection, real, readable)``; ``real`` is ``None`` or (batch, keys).

    ``readable`` is the same function of ``(query, key, value)`` in plain operations; it is differentiated
    instead where a gradient of the gradient is asked for.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Float[Tensor, "batch heads length head_dim"],
        key: Float[Tensor, "batch heads keys head_dim"],
        value: Float[Tensor, "batch heads keys head_dim"],
        projection: Float[Tensor, "features head_dim"],
        real: Bool[Tensor, "batch keys"] | None,
        readable: Callable[[Tensor, Tensor, Tensor], Tensor],
    ) -> Float[Tensor, "batch heads length head_dim"]:
        out = torch.empty_like(query)
        features, head_dim = projection.shape
        mean = query.new_empty(*query.shape[:2], head_dim, features)
        log_mass = query.new_empty(*query.shape[:2], features)
        query_weights, key_weights = feature_weights(projection)
        for at in _heads(query):
            _landmarks(key[at], value[at], key_weights, _of(real, at), out=(mean[at], log_mass[at]))
            _mix(query[at], query_weights, mean[at], log_mass[at], out=out[at])
        ctx.save_for_backward(query, key, value, projection, real, out, mean, log_mass)
        ctx.readable = readable
        return out

    @staticmethod
    def backward(ctx: Any, grad: Float[Tensor, "batch heads length head_dim"]) -> tuple[Tensor | None, ...]:
        query, key, value, projection, real, out, mean, log_mass = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *differentiate(ctx.readable, (query, key, value), ctx.needs_input_grad[:3], grad), None, None, None
        grads = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        weights = feature_weights(projection)
        for at in _heads(query):
            marks = mean[at], log_mass[at]
            grad_marks = _backward_mix(query[at], weights[0], marks, out[at], grad[at], out_grad=grads[0][at])
            grad_pair = grads[1][at], grads[2][at]
            _backward_landmarks(key[at], value[at], weights, _of(real, at), marks, grad_marks, out=grad_pair)
        return *grads, None, None, None


def _landmarks(
    key: Float[Tensor, "keys head_dim"],
    value: Float[Tensor, "keys head_dim"],
    weights: Float[Tensor, "head_dim features"],
    real: Bool[Tensor, " keys"] | None,
    *,
    out: tuple[Float[Tensor, "head_dim features"], Float[Tensor, " features"]],
) -> None:
    """``mu`` and ``log s`` of one head. Sums are relative to a running maximum, so that every ``s_f`` is >= 1."""
    mean, log_mass = out
    total, mass = torch.zeros_like(mean), torch.zeros_like(log_mass)
    top = torch.full_like(mass, torch.finfo(mass.dtype).min / 4)
    for rows, feature in _chunks(key, weights, count=1):
        torch.addmm(half_square(key[rows], None if real is None else real[rows]), key[rows], weights, out=feature)
        higher = torch.maximum(top, feature.amax(dim=0))
        feature.sub_(higher).exp2_()
        decay = (top - higher).exp2_()
        total.mul_(decay).addmm_(value[rows].mT, feature)
        mass.mul_(decay).add_(feature.sum(dim=0))
        top = higher
    empty = mass == 0  # no real key at all: every landmark is zero, and so is the output
    torch.add(mass.log(), top, alpha=math.log(2), out=log_mass).masked_fill_(empty, 0.0)
    torch.div(total, mass.masked_fill_(empty, 1.0), out=mean)


def _mix(query: Tensor, weights: Tensor, mean: Tensor, log_mass: Tensor, *, out: Tensor) -> None:
    """Softmax attention of the queries of one head to its landmarks."""
    for rows, scores, mixture in _chunks(query, weights, count=2):
        torch.addmm(log_mass, query[rows], weights, out=scores)
        torch.softmax(scores, dim=-1, out=mixture)
        torch.mm(mixture, mean.mT, out=out[rows])


def _backward_mix(
    query: Tensor, weights: Tensor, marks: tuple[Tensor, Tensor], out: Tensor, grad: Tensor, *, out_grad: Tensor
) -> tuple[Float[Tensor, "head_dim features"], Float[Tensor, " features"]]:
    """Gradients of the queries, into ``out_grad``, and of the landmarks: those of any softmax attention."""
    mean, log_mass = marks
    grad_mean, grad_log_mass = torch.zeros_like(mean), torch.zeros_like(log_mass)
    for rows, scores, mixture in _chunks(query, weights, count=2):
        torch.addmm(log_mass, query[rows], weights, out=scores)
        torch.softmax(scores, dim=-1, out=mixture)
        # through the softmax: mixture * (grad @ mean - grad @ out), the second term the same for all landmarks
        along = torch.linalg.vecdot(grad[rows], out[rows]).neg_().unsqueeze(-1)
        grad_scores = torch.addmm(along, grad[rows], mean, out=scores).mul_(mixture)
        torch.mm(grad_scores, weights.mT, out=out_grad[rows])
        grad_mean.addmm_(grad[rows].mT, mixture)
        grad_log_mass.add_(grad_scores.sum(dim=0))
    return grad_mean, grad_log_mass


def _backward_landmarks(
    key: Tensor,
    value: Tensor,
    weights: tuple[Tensor, Tensor],
    real: Tensor | None,
    marks: tuple[Tensor, Tensor],
    grad_marks: tuple[Tensor, Tensor],
    *,
    out: tuple[Tensor, Tensor],
) -> None:
    """Gradients of keys and values of one head, into ``out``, from those of its landmarks.

    A key's share of a feature, ``B_jf / s_f``, is what its value passes on of the gradient of ``mu_f``; its
    log-feature receives share times ``v_j @ d mu_f - mu_f @ d mu_f + d log s_f``.
    """
    (mean, log_mass), (grad_mean, grad_log_mass), (grad_key, grad_value) = marks, grad_marks, out
    log2_mass = log_mass / math.log(2)
    offset = grad_log_mass - torch.linalg.vecdot(grad_mean, mean, dim=0)
    for rows, share, grad_log in _chunks(key, weights[1], count=2):
        torch.addmm(half_square(key[rows], None if real is None else real[rows]), key[rows], weights[1], out=share)
        share.sub_(log2_mass).exp2_()
        torch.mm(share, grad_mean.mT, out=grad_value[rows])
        torch.addmm(offset, value[rows], grad_mean, out=grad_log).mul_(share)
        torch.mm(grad_log, weights[0].mT, out=grad_key[rows])
        grad_key[rows].addcmul_(grad_log.sum(dim=-1, keepdim=True), key[rows], value=-(key.shape[-1] ** -0.5))


def _heads(x: Tensor) -> Iterator[tuple[int, int]]:
    return itertools.product(range(x.shape[0]), range(x.shape[1]))


def _of(real: Tensor | None, at: tuple[int, int]) -> Tensor | None:
    return None if real is None else real[at[0]]


def _chunks(x: Float[Tensor, "length head_dim"], weights: Tensor, *, count: int) -> Iterator[tuple[Any, ...]]:
    """Rows, and as many work spaces of (rows, features) as asked for, the same memory for every chunk."""
    features = weights.shape[1]
    step = min(max(WORKING_SET // features, 64), x.shape[0])
    spaces = [x.new_empty(step, features) for _ in range(count)]
    for start in range(0, x.shape[0], step):
        rows = slice(start, min(start + step, x.shape[0]))
        yield rows, *(space[: rows.stop - start] for space in spaces)
