"""Softmax attention in linear time by positive random features: FAVOR+ of the Performer.

``exp(q @ k / sqrt(d))`` is an expectation: with ``w`` standard normal, ``q' = q / d ** 0.25`` and ``k'``
likewise, it equals ``E[exp(w @ q' - |q'|^2 / 2) * exp(w @ k' - |k'|^2 / 2)]``. Averaging over ``m``
drawn ``w`` instead separates queries from keys, so the keys can be summed once for all queries.
"""
# ruff: noqa: F722

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._favor_bidirectional import Bidirectional
from ._favor_causal import Causal

_PAIR_BLOCK = 16  # causal positions compared pair by pair; (block, block, features) numbers at a time


def favor_attention(
    query: Float[Tensor, "batch heads length head_dim"],
    key: Float[Tensor, "batch heads keys head_dim"],
    value: Float[Tensor, "batch heads keys head_dim"],
    *,
    projection: Float[Tensor, "features head_dim"],
    causal: bool = False,
    key_padding_mask: Bool[Tensor, "batch keys"] | None = None,
) -> Float[Tensor, "batch heads length head_dim"]:
    """Softmax attention estimated with the random features of ``projection``.

    Time and memory grow with ``length * features``. The weights are positive and sum to one, so every
    output is a weighted mean of values. With ``causal=True`` position ``i`` sees positions ``0 .. i`` and
    no bit of its output depends on later ones. ``key_padding_mask`` is ``True`` where a key is real; a
    row that sees no real key returns zeros. Half precision is computed in float32.

    The paper keeps ``exp`` in range by subtracting from a key's log-features their maximum over all keys and
    features; under causality that maximum sees the future. Whatever is subtracted per feature cancels between keys
    and queries, so here every feature has its own maximum, over the keys already seen, and the feature that matters
    most to a query keeps a weight of one. No constant is added to the features and the quotient is finite for
    keys and queries of any length that occurs.

    Raises:
        ValueError: the tensors disagree in shape, type or device, ``causal=True`` where queries and keys
            differ in number, or the mask is not boolean of shape (batch, keys).

    Choromanski et al. (2021), section 2 and algorithm 1. Taught in :doc:`/notebooks/attention/favor`.
    """
    _check(query, key, value, projection, causal, key_padding_mask)
    if query.numel() == 0 or key.numel() == 0:
        return torch.zeros_like(query)
    compute = torch.float64 if query.dtype == torch.float64 else torch.float32
    queries, keys, values, rows = (x.to(compute) for x in (query, key, value, projection))
    real = key_padding_mask
    if real is not None:
        keys, values = (x.masked_fill(~real[:, None, :, None], 0.0) for x in (keys, values))

    def readable(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        seen = None if real is None else real[:, : k.shape[2]]
        return _readable(q, k, v, rows, causal, seen)

    with torch.autocast(query.device.type, enabled=False):
        if projection.requires_grad or (query.is_cuda and not causal):  # a GPU runs the plain operations well
            out = readable(queries, keys, values)
        elif causal:
            out = _causal_rescued(queries, keys, values, rows, real, readable)
        else:
            out = Bidirectional.apply(queries, keys, values, rows, real, readable)
    return out.to(query.dtype)


def draw_projection(
    num_features: int,
    head_dim: int,
    *,
    generator: torch.Generator,
    orthogonal: bool = True,
    scaling: Literal["chi", "sqrt_d"] = "chi",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Float[Tensor, "features head_dim"]:
    """Draw the directions ``w`` of the random features, one per row.

    ``orthogonal=True`` draws blocks of ``head_dim`` rows at right angles, each block uniform over all
    rotations; the last block may be incomplete. ``scaling="chi"`` gives rows the length of a normal
    vector, so the kernel estimate is unbiased; ``"sqrt_d"`` gives all of them length ``sqrt(head_dim)``
    (regularised, slightly biased). Numbers are drawn in float64 on the generator's device.

    Raises:
        ValueError: ``num_features`` or ``head_dim`` below one, or an unknown ``scaling``.

    Choromanski et al. (2021), sections 2.4 and 3; Yu et al. (2016) for orthogonality.
    Taught in :doc:`/notebooks/attention/favor`.
    """
    if num_features < 1:
        raise ValueError(f"num_features must be >= 1, got {num_features}; 2 to 4 times head_dim is common")
    if head_dim < 1:
        raise ValueError(f"head_dim must be >= 1, got {head_dim}")
    if scaling not in ("chi", "sqrt_d"):
        raise ValueError(f"scaling must be 'chi' (unbiased) or 'sqrt_d' (regularised), got {scaling!r}")

    def normal(rows: int) -> Tensor:
        return torch.randn(rows, head_dim, generator=generator, dtype=torch.float64, device=generator.device)

    if orthogonal:
        blocks = [_random_rotation(normal(head_dim)) for _ in range(-(-num_features // head_dim))]
        directions = torch.cat(blocks)[:num_features]
    else:
        directions = torch.nn.functional.normalize(normal(num_features), dim=-1)
    lengths = normal(num_features).norm(dim=-1, keepdim=True) if scaling == "chi" else head_dim**0.5
    return (directions * lengths).to(device=device, dtype=dtype)


def _random_rotation(gaussian: Float[Tensor, "head_dim head_dim"]) -> Float[Tensor, "head_dim head_dim"]:
    """A uniform (Haar) orthogonal matrix; QR alone prefers some because it fixes signs by convention."""
    q, r = torch.linalg.qr(gaussian)
    return q * torch.where(r.diagonal() < 0, -1.0, 1.0)


def _causal_rescued(
    query: Tensor, key: Tensor, value: Tensor, projection: Tensor, real: Tensor | None, readable: Callable[..., Tensor]
) -> Tensor:
    """The fast form, and the readable one for rows in which the fast form may have lost weights to rounding."""
    out, trusted = Causal.apply(query, key, value, projection, real, readable)
    if real is not None:
        trusted = trusted | (real.cumsum(dim=-1) == 0)[:, None]  # nothing to see: zero is right
    if trusted.all():
        return out
    last = int((~trusted).flatten(0, 1).any(dim=0).nonzero().max())
    stop = (last // _PAIR_BLOCK + 1) * _PAIR_BLOCK  # whole blocks: which rows follow must not change a bit
    exact = readable(*(x[:, :, :stop] for x in (query, key, value)))
    return torch.cat([torch.where(trusted[..., :stop, None], out[:, :, :stop], exact), out[:, :, stop:]], dim=2)


def _readable(
    query: Float[Tensor, "batch heads length head_dim"],
    key: Float[Tensor, "batch heads keys head_dim"],
    value: Float[Tensor, "batch heads keys head_dim"],
    projection: Float[Tensor, "features head_dim"],
    causal: bool,
    real: Bool[Tensor, "batch keys"] | None,
) -> Float[Tensor, "batch heads length head_dim"]:
    """What the fast forms compute, in plain operations; differentiable any number of times."""
    scale = query.shape[-1] ** -0.25
    queries, keys = query * scale, key * scale
    # without the query's |q'|^2 / 2 and without 1 / m: the quotient of attention cancels both
    log_query = queries @ projection.mT
    log_key = keys @ projection.mT - keys.square().sum(-1, keepdim=True) / 2
    mask = None if real is None else real[:, None, :, None]
    return (_causal if causal else _bidirectional)(log_query, log_key, value, mask)


def _bidirectional(log_query: Tensor, log_key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Every feature holds a weighted mean of the values; every query mixes the features by a softmax."""
    empty = None
    if mask is not None:
        empty = ~mask.any(dim=-2, keepdim=True)  # nothing to see: computed over all keys, zeroed at the end
        log_key = log_key.masked_fill(~(mask | empty), -torch.inf)
    log_mass = log_key.logsumexp(dim=-2, keepdim=True)
    feature_values = (log_key - log_mass).exp().mT @ value
    out = (log_query + log_mass).softmax(dim=-1) @ feature_values
    return out if empty is None else out.masked_fill(empty, 0.0)


def _causal(log_query: Tensor, log_key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Blocks in order. Earlier blocks are a sum per feature; keys of the same block are compared pair by pair."""
    length = value.shape[-2]
    ones = torch.ones_like(value[..., :1])
    weighted = torch.cat([value, ones], dim=-1)  # the last column sums the weights themselves
    positions = torch.arange(length, device=value.device)
    mask = ones.bool() if mask is None else mask.expand_as(ones)
    seen = mask.cumsum(dim=-2) > 0
    lowest = torch.finfo(value.dtype).min / 4
    top = log_key.new_full((*log_key.shape[:-2], 1, log_key.shape[-1]), lowest)  # running maximum of a feature
    total = log_key.new_zeros((*log_key.shape[:-2], log_key.shape[-1], weighted.shape[-1]))
    out = []
    for start in range(0, length, _PAIR_BLOCK):
        rows = slice(start, start + _PAIR_BLOCK)
        at = positions[rows]
        # a row without a real key looks at itself, so that nothing is 0 / 0, and is zeroed at the end
        visible = (at[:, None] >= at) & mask[..., rows, :].mT | (at[:, None] == at) & ~seen[..., rows, :]
        pairs = (log_query[..., rows, None, :] + log_key[..., None, rows, :]).logsumexp(dim=-1)
        pairs = pairs.masked_fill(~visible, -torch.inf)
        past = log_query[..., rows, :] + top
        stabiliser = torch.maximum(past.amax(-1, keepdim=True), pairs.amax(-1, keepdim=True)).detach()
        sums = (past - stabiliser).exp() @ total + (pairs - stabiliser).exp() @ weighted[..., rows, :]
        out.append(sums[..., :-1] / sums[..., -1:])
        real = log_key[..., rows, :].masked_fill(~mask[..., rows, :], -torch.inf)
        higher = torch.maximum(top, real.amax(dim=-2, keepdim=True)).detach()
        total = (top - higher).exp().mT * total + (real - higher).exp().mT @ weighted[..., rows, :]
        top = higher
    return torch.cat(out, dim=-2).masked_fill(~seen, 0.0)


def _check(
    query: Tensor, key: Tensor, value: Tensor, projection: Tensor, causal: bool, key_padding_mask: Tensor | None
) -> None:
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if query.dim() != 4 or key.shape != value.shape or key.dim() != 4:
        raise ValueError(
            f"query, key, value must be (batch, heads, length, head_dim), value shaped as key, got {shapes}"
        )
    if query.shape[:2] != key.shape[:2] or query.shape[3] != key.shape[3]:
        raise ValueError(f"query and key must agree in batch, heads and head_dim, got {shapes}")
    if causal and query.shape[2] != key.shape[2]:
        raise ValueError(f"causal=True needs as many queries as keys, got {query.shape[2]} and {key.shape[2]}")
    if not query.dtype == key.dtype == value.dtype or not query.is_floating_point():
        raise ValueError(
            f"query, key, value must share one floating-point type, got {query.dtype}, {key.dtype}, {value.dtype}"
        )
    if projection.dim() != 2 or projection.shape[0] == 0 or projection.shape[1] != query.shape[3]:
        raise ValueError(
            f"projection must be (features, head_dim={query.shape[3]}), got {tuple(projection.shape)}; "
            f"draw it with draw_projection(num_features, {query.shape[3]}, generator=...)"
        )
    given = [query, key, value, projection, *([] if key_padding_mask is None else [key_padding_mask])]
    devices = sorted({str(x.device) for x in given})
    if len(devices) > 1:
        raise ValueError(f"query, key, value, projection and mask must be on one device, got {devices}")
    if key_padding_mask is not None:
        if key_padding_mask.dtype != torch.bool:
            raise ValueError(f"key_padding_mask must be boolean (True = real key), got {key_padding_mask.dtype}")
        if key_padding_mask.shape != (key.shape[0], key.shape[2]):
            raise ValueError(
                f"key_padding_mask must be (batch, keys) = {(key.shape[0], key.shape[2])}, "
                f"got {tuple(key_padding_mask.shape)}"
            )
