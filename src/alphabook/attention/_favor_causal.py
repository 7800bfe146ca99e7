"""The fast form of causal FAVOR+: blocks of rows, a running sum over earlier blocks, a backward that recomputes.

Row ``t`` weighs the keys of its own block pair by pair, ``A_t @ B_j`` for ``j <= t``, and those of all earlier blocks
at once, ``A_t @ sum_j B_j v_j``. ``A`` is a softmax over features, so a query of any length is safe; ``B`` is the
plain feature, because whatever is subtracted from its logarithm for other keys' sake could see the future. Values
carry a last column of ones, so the last column of a numerator is its denominator.
"""
# ruff: noqa: F722

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from ._favor_parts import WORKING_SET, differentiate, feature_weights, half_square

_BLOCK = 32  # rows compared pair by pair: a quarter more arithmetic at 128 features, and products still run fast


class Causal(torch.autograd.Function):
    """``apply(query, key, value, projection, real, readable)`` -> output and ``trusted`` (batch, heads, length).

    A row is not trusted, and is zero, where its denominator is so small beside the mass of the keys that numbers
    rounded to zero may have mattered. That depends on this row and earlier ones only. ``readable`` is the same
    function of ``(query, key, value)`` in plain operations; it is differentiated instead where a gradient of the
    gradient is asked for, or where a key's feature overflowed.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Float[Tensor, "batch heads length head_dim"],
        key: Float[Tensor, "batch heads length head_dim"],
        value: Float[Tensor, "batch heads length head_dim"],
        projection: Float[Tensor, "features head_dim"],
        real: Bool[Tensor, "batch length"] | None,
        readable: Callable[[Tensor, Tensor, Tensor], Tensor],
    ) -> tuple[Float[Tensor, "batch heads length head_dim"], Bool[Tensor, "batch heads length"]]:
        out, norms = torch.empty_like(query), half_square(key, None if real is None else real[:, None])
        denominator, mass = query.new_empty(2, *query.shape[:3]).unbind()
        work = _Work(query, projection, spaces=2)
        sums = []  # before every chunk, where backward takes them up again
        for item in range(query.shape[0]):
            earlier = work.zeros()
            for rows in work.rows:
                at = item, slice(None), rows
                if any(ctx.needs_input_grad):
                    sums.append(earlier)
                feature_query, feature_key = work.features(query[at], key[at], norms[at])
                mass[at] = work.rows_of(feature_key.sum(dim=-1, keepdim=True), rows).squeeze(-1)
                quotient, earlier = _forward_chunk(feature_query, feature_key, work.blocks(value[at], ones=1), earlier)
                quotient = work.rows_of(quotient, rows)
                denominator[at] = quotient[..., -1]
                torch.div(quotient[..., :-1], quotient[..., -1:], out=out[at])
        limits = torch.finfo(out.dtype)
        mass = mass.cumsum_(dim=-1)
        trusted = denominator > limits.tiny / limits.eps * (mass + query.shape[2] * projection.shape[0])
        inverse = denominator.reciprocal_()
        if not trusted.all():
            out.masked_fill_(~trusted.unsqueeze(-1), 0.0)
            inverse.masked_fill_(~trusted, 0.0)
        ctx.save_for_backward(query, key, value, projection, norms, out, inverse)
        ctx.readable, ctx.sums = readable, sums
        ctx.overflow = bool(sums) and not mass[..., -1].isfinite().all()
        ctx.mark_non_differentiable(trusted)
        return out, trusted

    @staticmethod
    def backward(ctx: Any, grad: Float[Tensor, "batch heads length head_dim"], _: Any) -> tuple[Tensor | None, ...]:
        query, key, value, projection, norms, out, inverse = ctx.saved_tensors
        if torch.is_grad_enabled() or ctx.overflow:
            return *differentiate(ctx.readable, (query, key, value), ctx.needs_input_grad[:3], grad), None, None, None
        grads = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        work = _Work(query, projection, spaces=4)
        for item in range(query.shape[0]):
            later = work.zeros()
            for number, rows in reversed(list(enumerate(work.rows))):
                at = item, slice(None), rows
                # in out = numerator / denominator they receive grad / denominator and -(grad @ out) / denominator
                to_numerator = grad[at] * inverse[at].unsqueeze(-1)
                to_denominator = torch.linalg.vecdot(to_numerator, out[at]).neg_().unsqueeze(-1)
                upstream = work.blocks(torch.cat([to_numerator, to_denominator], dim=-1))
                features = work.features(query[at], key[at], norms[at])
                earlier = ctx.sums[item * len(work.rows) + number]
                *log_features, grad_value, later = _backward_chunk(
                    *features, work.blocks(value[at], ones=1), upstream, earlier, later, work.spaces[2:]
                )
                log_query, log_key = (work.rows_of(x, rows) for x in log_features)
                grads[0][at] = torch.bmm(log_query, work.query_weights.mT)
                shrink = log_key.sum(dim=-1, keepdim=True).mul_(-(key.shape[-1] ** -0.5))
                grads[1][at] = torch.bmm(log_key, work.query_weights.mT).addcmul_(shrink, key[at])
                grads[2][at] = work.rows_of(grad_value, rows)
        return *grads, None, None, None


def _forward_chunk(
    query: Float[Tensor, "blocks block features"],
    key: Float[Tensor, "blocks block features"],
    value: Float[Tensor, "blocks block width"],
    earlier: Float[Tensor, "heads width features"],
) -> tuple[Float[Tensor, "blocks block width"], Float[Tensor, "heads width features"]]:
    """Numerators and denominators, and the sums over earlier keys that the next chunk starts from."""
    pairs = torch.bmm(query, key.mT).tril_()
    before, earlier = _sums_before(value, key, earlier)
    return torch.bmm(pairs, value).baddbmm_(query, before.mT), earlier


def _backward_chunk(
    query: Float[Tensor, "blocks block features"],
    key: Float[Tensor, "blocks block features"],
    value: Float[Tensor, "blocks block width"],
    upstream: Float[Tensor, "blocks block width"],
    earlier: Float[Tensor, "heads width features"],
    later: Float[Tensor, "heads width features"],
    spaces: Float[Tensor, "2 ..."],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of the log-features and of the values, and the sums over later queries for the chunk before."""
    pairs = torch.bmm(query, key.mT).tril_()
    grad_pairs = torch.bmm(upstream, value.mT).tril_()
    before, _ = _sums_before(value, key, earlier)
    after, later = _sums_before(upstream, query, later, backwards=True)
    grad_query, grad_key = (space.view_as(query) for space in spaces)
    torch.bmm(grad_pairs, key, out=grad_query).baddbmm_(upstream, before).mul_(query)
    torch.bmm(grad_pairs.mT, query, out=grad_key).baddbmm_(value, after).mul_(key)
    grad_value = torch.bmm(pairs.mT, upstream[..., :-1]).baddbmm_(key, after[:, :-1].mT)
    return grad_query, grad_key, grad_value, later


def _sums_before(
    left: Float[Tensor, "blocks block width"],
    right: Float[Tensor, "blocks block features"],
    total: Float[Tensor, "heads width features"],
    *,
    backwards: bool = False,
) -> tuple[Float[Tensor, "blocks width features"], Float[Tensor, "heads width features"]]:
    """For every block: ``total`` plus ``left.T @ right`` of the blocks before it (after it); and with all of them."""
    sums = torch.bmm(left.mT, right).view(total.shape[0], -1, *total.shape[1:])
    blocks = range(sums.shape[1])
    for block in reversed(blocks) if backwards else blocks:
        total, sums[:, block] = total + sums[:, block], total
    return sums.flatten(0, 1), total


class _Work:
    """Rows a few blocks at a time, all heads together, and the memory that every such chunk uses again."""

    def __init__(self, query: Tensor, projection: Tensor, *, spaces: int) -> None:
        (_, self.heads, length, self.head_dim), self.num_features = query.shape, projection.shape[0]
        blocks = math.ceil(length / _BLOCK)
        chunks = math.ceil(blocks * _BLOCK * self.heads * self.num_features / WORKING_SET)
        step = math.ceil(blocks / chunks) * _BLOCK
        self.rows = [slice(start, min(start + step, length)) for start in range(0, length, step)]
        self.query_weights, self.key_weights = (w.expand(self.heads, -1, -1) for w in feature_weights(projection))
        self.spaces = query.new_empty(spaces, self.heads, step, self.num_features)

    def zeros(self) -> Float[Tensor, "heads width features"]:
        return self.spaces.new_zeros(self.heads, self.head_dim + 1, self.num_features)

    def features(self, query: Tensor, key: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
        """Features of a chunk's queries and keys, (blocks, block, features), in the first two work spaces."""
        feature_query, feature_key = self.spaces[0], self.spaces[1]
        torch.bmm(self._filled(query), self.query_weights, out=feature_key)
        torch.softmax(feature_key, dim=-1, out=feature_query)
        torch.baddbmm(self._filled(norms), self._filled(key), self.key_weights, out=feature_key).exp2_()
        return feature_query.view(-1, _BLOCK, self.num_features), feature_key.view(-1, _BLOCK, self.num_features)

    def blocks(self, x: Float[Tensor, "heads rows _"], *, ones: int = 0) -> Float[Tensor, "blocks block width"]:
        """Rows of all heads in blocks; with ``ones=1`` a column of ones is added."""
        return self._filled(pad(x, (0, ones), value=1.0)).reshape(-1, _BLOCK, x.shape[-1] + ones)

    def rows_of(self, x: Float[Tensor, "blocks block width"], rows: slice) -> Float[Tensor, "heads rows width"]:
        """Back from blocks, without what was filled in."""
        return x.view(self.heads, -1, x.shape[-1])[:, : rows.stop - rows.start]

    def _filled(self, x: Float[Tensor, "heads rows width"]) -> Float[Tensor, "heads step width"]:
        """Zero rows at the end of the last chunk: no row that exists sees them."""
        missing = self.spaces.shape[2] - x.shape[1]
        return pad(x, (0, 0, 0, missing)) if missing else x
