"""FAVOR+ written out as the quadratic form it estimates: the oracle of its tests."""

from __future__ import annotations

import torch
from torch import Tensor


def log_kernel(query: Tensor, key: Tensor, projection: Tensor) -> Tensor:
    """Logarithm of phi(q) @ phi(k), (batch, heads, length, keys), with every number of the definition in place."""
    scale = query.shape[-1] ** -0.25
    query, key = query * scale, key * scale
    log_query = query @ projection.T - query.square().sum(-1, keepdim=True) / 2
    log_key = key @ projection.T - key.square().sum(-1, keepdim=True) / 2
    pairs = log_query[..., :, None, :] + log_key[..., None, :, :]
    return pairs.logsumexp(-1) - torch.log(torch.tensor(float(len(projection))))


def quadratic_form(
    query: Tensor, key: Tensor, value: Tensor, projection: Tensor, causal: bool = False, real: Tensor | None = None
) -> Tensor:
    """Masked attention with the estimated kernel, every pair of positions at once; rows without a key are zero."""
    scores = log_kernel(query, key, projection)
    visible = torch.ones(scores.shape[-2:], dtype=torch.bool)
    visible = (visible.tril() if causal else visible).expand(scores.shape)
    if real is not None:
        visible = visible & real[:, None, None, :]
    nothing = ~visible.any(-1, keepdim=True)
    weights = scores.masked_fill(~(visible | nothing), -torch.inf).softmax(-1).masked_fill(nothing, 0.0)
    return weights @ value


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def of_norm(x: Tensor, norm: float) -> Tensor:
    return x * (norm / x.norm(dim=-1, keepdim=True))
