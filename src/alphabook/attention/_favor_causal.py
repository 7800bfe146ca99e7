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
from jaxtyping import Bool, Float, Shaped
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
        work = _Work(query, projection)
        q, k, v = (work.whole_chunks(x) for x in (query, key, value))
        norms = half_square(k, None if real is None else work.whole_chunks(real[:, None, :, None]).squeeze(-1))
        out = torch.empty_like(q)
        denominator, mass = q.new_empty(2, *q.shape[:3]).unbind()
        sums = []  # before every chunk, where backward takes them up again
        for item in range(len(q)):
            earlier = work.zeros()
            for parts in work.split(q[item], k[item], norms[item], v[item], out[item], denominator[item], mass[item]):
                sums.append(earlier)
                earlier = _forward_chunk(work, earlier, *parts)
        length, limits = query.shape[2], torch.finfo(q.dtype)
        lost = limits.tiny / limits.eps * (mass.cumsum(dim=-1) + length * len(projection))
        trusted = denominator > lost  # not where either is infinite or no number
        inverse = denominator.reciprocal_()
        if not trusted.all():
            out.masked_fill_(~trusted.unsqueeze(-1), 0.0)
            inverse.masked_fill_(~trusted, 0.0)
        ctx.save_for_backward(query, key, value, projection, norms, out, inverse)
        ctx.readable, ctx.sums, ctx.overflow = readable, sums, not lost[..., -1].isfinite().all()
        ctx.mark_non_differentiable(trusted)
        return out[:, :, :length], trusted[..., :length]

    @staticmethod
    def backward(ctx: Any, grad: Float[Tensor, "batch heads length head_dim"], _: Any) -> tuple[Tensor | None, ...]:
        query, key, value, projection, norms, out, inverse = ctx.saved_tensors
        if torch.is_grad_enabled() or ctx.overflow:
            return *differentiate(ctx.readable, (query, key, value), ctx.needs_input_grad[:3], grad), None, None, None
        work = _Work(query, projection, spaces=4)
        q, k, v, grad = (work.whole_chunks(x) for x in (query, key, value, grad))
        grads = [torch.empty_like(x) for x in (q, k, v)]
        earlier = reversed(ctx.sums)
        for item in reversed(range(len(q))):
            later = work.zeros()
            given = (q, k, norms, v, grad, out, inverse, *grads)
            for parts in reversed(work.split(*(x[item] for x in given))):
                later = _backward_chunk(work, next(earlier), later, *parts)
        return *(x[:, :, : query.shape[2]] for x in grads), None, None, None


def _forward_chunk(
    work: _Work,
    earlier: Float[Tensor, "heads width features"],
    query: Float[Tensor, "heads rows head_dim"],
    key: Float[Tensor, "heads rows head_dim"],
    norms: Float[Tensor, "heads rows 1"],
    value: Float[Tensor, "heads rows head_dim"],
    out: Float[Tensor, "heads rows head_dim"],
    denominator: Float[Tensor, "heads rows"],
    mass: Float[Tensor, "heads rows"],
) -> Float[Tensor, "heads width features"]:
    """Fill the last three; give the sums over earlier keys that the next chunk starts from."""
    a, b = work.features(query, key, norms)
    v = work.blocks(pad(value, (0, 1), value=1.0))
    torch.sum(b.view(*mass.shape, -1), dim=-1, out=mass)
    pairs = torch.bmm(a, b.mT).tril_()
    before, following = _sums_before(v, b, earlier)
    # transposed: 33 columns would fill three vectors of the processor, 32 fill two
    sums = torch.bmm(v.mT, pairs.mT).baddbmm_(before, a.mT).view(len(out), -1, v.shape[2], _BLOCK)
    denominator.copy_(sums[:, :, -1].flatten(1))
    torch.div(sums[:, :, :-1], sums[:, :, -1:], out=out.unflatten(1, (-1, _BLOCK)).mT)
    return following


def _backward_chunk(
    work: _Work,
    earlier: Float[Tensor, "heads width features"],
    later: Float[Tensor, "heads width features"],
    query: Float[Tensor, "heads rows head_dim"],
    key: Float[Tensor, "heads rows head_dim"],
    norms: Float[Tensor, "heads rows 1"],
    value: Float[Tensor, "heads rows head_dim"],
    grad: Float[Tensor, "heads rows head_dim"],
    out: Float[Tensor, "heads rows head_dim"],
    inverse: Float[Tensor, "heads rows"],
    grad_query: Float[Tensor, "heads rows head_dim"],
    grad_key: Float[Tensor, "heads rows head_dim"],
    grad_value: Float[Tensor, "heads rows head_dim"],
) -> Float[Tensor, "heads width features"]:
    """Fill the last three; give the sums over later queries that the chunk before starts from."""
    # in out = numerator / denominator they receive grad / denominator and -(grad @ out) / denominator
    to_numerator = grad * inverse.unsqueeze(-1)
    to_denominator = torch.linalg.vecdot(to_numerator, out).neg_().unsqueeze(-1)
    up, v = work.blocks(torch.cat([to_numerator, to_denominator], dim=-1)), work.blocks(pad(value, (0, 1), value=1.0))
    a, b = work.features(query, key, norms)
    grad_a, grad_b = (space.view_as(a) for space in work.spaces[2:])
    pairs, grad_pairs = torch.bmm(a, b.mT).tril_(), torch.bmm(up, v.mT).tril_()
    sums, _ = _sums_before(v, b, earlier)
    torch.bmm(grad_pairs, b, out=grad_a).baddbmm_(up, sums).mul_(a)
    sums, following = _sums_before(up, a, later, backwards=True)
    torch.bmm(grad_pairs.mT, a, out=grad_b).baddbmm_(v, sums).mul_(b)
    grad_v = torch.bmm(pairs.mT, up[..., :-1]).baddbmm_(b, sums[:, :-1].mT)
    grad_value.copy_(grad_v.view(grad_value.shape))
    grad_a, grad_b = (x.view(work.spaces.shape[1:]) for x in (grad_a, grad_b))
    torch.bmm(grad_a, work.query_weights.mT, out=grad_query)
    torch.bmm(grad_b, work.query_weights.mT, out=grad_key)
    grad_key.addcmul_(grad_b.sum(dim=-1, keepdim=True), key, value=-(key.shape[-1] ** -0.5))
    return following


def _sums_before(
    left: Float[Tensor, "blocks block width"],
    right: Float[Tensor, "blocks block features"],
    total: Float[Tensor, "heads width features"],
    *,
    backwards: bool = False,
) -> tuple[Float[Tensor, "blocks width features"], Float[Tensor, "heads width features"]]:
    """For every block ``total`` plus ``left.T @ right`` of the blocks before it (after it), and that of all blocks."""
    sums = torch.bmm(left.mT, right)
    of_blocks = sums.view(len(total), -1, *total.shape[1:]).unbind(dim=1)
    for of_block in reversed(of_blocks) if backwards else of_blocks:
        following = total + of_block
        of_block.copy_(total)
        total = following
    return sums, total


class _Work:
    """Rows a few blocks at a time, all heads together, and the memory that every such chunk uses again."""

    def __init__(self, query: Float[Tensor, "batch heads length head_dim"], projection: Tensor, *, spaces: int = 2):
        _, heads, length, self.head_dim = query.shape
        blocks, numbers = math.ceil(length / _BLOCK), _BLOCK * heads * len(projection)
        chunks = math.ceil(blocks * numbers / WORKING_SET)
        self.step = math.ceil(blocks / chunks) * _BLOCK
        self.spaces = query.new_empty(spaces, heads, self.step, len(projection))
        self.query_weights, self.key_weights = (w.expand(heads, -1, -1) for w in feature_weights(projection))

    def whole_chunks(self, x: Shaped[Tensor, "batch *heads length _"]) -> Shaped[Tensor, "batch *heads padded _"]:
        """Zeros at the end: later than every row, so that no row sees them."""
        missing = -x.shape[2] % self.step
        return pad(x, (0, 0, 0, missing)) if missing else x

    def split(self, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
        """Chunk by chunk of tensors (heads, padded, ...)."""
        return list(zip(*(x.split(self.step, dim=1) for x in tensors), strict=True))

    def zeros(self) -> Float[Tensor, "heads width features"]:
        return self.spaces.new_zeros(self.spaces.shape[1], self.head_dim + 1, self.spaces.shape[3])

    def features(self, query: Tensor, key: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
        """Features of a chunk's queries and keys, (blocks, block, features), in the first two work spaces."""
        a, b = self.spaces[0], self.spaces[1]
        torch.softmax(torch.bmm(query, self.query_weights, out=b), dim=-1, out=a)
        torch.baddbmm(norms, key, self.key_weights, out=b).exp2_()
        return self.blocks(a), self.blocks(b)

    @staticmethod
    def blocks(x: Float[Tensor, "heads rows width"]) -> Float[Tensor, "blocks block width"]:
        return x.view(-1, _BLOCK, x.shape[-1])
