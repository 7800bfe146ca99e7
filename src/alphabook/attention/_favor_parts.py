"""What the two fast forms of FAVOR+ share: log-features as one matrix product, and gradients of gradients."""
# ruff: noqa: F722

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

# numbers per work space: a megabyte of float32 stays in a processor core's own cache, or near it
WORKING_SET = 2**18


def feature_weights(
    projection: Float[Tensor, "features head_dim"],
) -> tuple[Float[Tensor, "head_dim features"], Float[Tensor, "head_dim features"]]:
    """``query @ first`` are the log-features of a query but for a term that cancels, ``key @ second`` those of a key.

    A key's are to base two, because ``exp2`` takes a third of the time of ``exp``.
    """
    weights = (projection * projection.shape[1] ** -0.25).mT.contiguous()
    return weights, weights / math.log(2)


def half_square(key: Float[Tensor, "*rows head_dim"], real: Bool[Tensor, "*rows"] | None) -> Float[Tensor, "*rows 1"]:
    """``-|k'|^2 / 2`` to base two, the rest of a key's log-features; ``-inf`` where the key is not real."""
    scale = -(key.shape[-1] ** -0.5) / (2 * math.log(2))
    term = torch.linalg.vector_norm(key, dim=-1).square_().mul_(scale)
    return (term if real is None else term.masked_fill_(~real, -torch.inf)).unsqueeze(-1)


def differentiate(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], needed: Sequence[bool], grad: Tensor
) -> list[Tensor | None]:
    """Gradients of ``function(*inputs)`` by autograd; where gradients are enabled they can be differentiated again."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # views: were one tensor given twice, each argument would otherwise receive the sum of both gradients
        views = [x.view_as(x) if need else x.detach() for x, need in zip(inputs, needed, strict=True)]
        wanted = [view for view, need in zip(views, needed, strict=True) if need]
        found = iter(torch.autograd.grad(function(*views), wanted, grad, create_graph=again))
    return [next(found) if need else None for need in needed]
