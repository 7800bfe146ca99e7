"""Dense softmax attention: every query against every key. Slow, short, and the oracle of all the others."""

# ruff: noqa: F722
from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def dense_attention(
    query: Float[Tensor, "batch heads len_q head_dim"],
    key: Float[Tensor, "batch heads len_k head_dim"],
    value: Float[Tensor, "batch heads len_k value_dim"],
    *,
    mask: Bool[Tensor, "#batch #heads #len_q #len_k"] | None = None,
    causal: bool = False,
    scale: float | None = None,
    return_weights: bool = False,
) -> (
    Float[Tensor, "batch heads len_q value_dim"]
    | tuple[Float[Tensor, "batch heads len_q value_dim"], Float[Tensor, "batch heads len_q len_k"]]
):
    """Exact softmax attention, ``softmax(query @ key.T * scale) @ value``, one row of weights for each query.

    Time and memory grow with ``len_q * len_k``. Half-precision inputs are computed in float32 and rounded once,
    at the end.

    Args:
        mask: True = may attend; broadcastable to ``(batch, heads, len_q, len_k)``. A row that may attend to
            nothing returns zeros, and no gradient flows through it.
        causal: query ``i`` sees keys up to ``i``. With different lengths the *last* rows align: query ``i`` sees
            keys up to ``i + len_k - len_q``, as when new queries are asked against a longer past.
        scale: multiplies the scores; ``1 / sqrt(head_dim)`` unless given.
        return_weights: also return the weights; each row sums to 1, or to 0 where nothing may be seen.

    Returns:
        The weighted means of the values, in the dtype of ``query``; with ``return_weights`` a pair.

    Raises:
        ValueError: the three tensors disagree in shape or dtype, or ``mask`` is not boolean or does not broadcast.

    Vaswani et al. (2017), section 3.2.1. Taught in :doc:`/notebooks/attention/one_equation`.
    """
    _check(query, key, value, mask)
    wide = torch.promote_types(query.dtype, torch.float32)
    if scale is None:
        scale = query.shape[-1] ** -0.5
    scores = (query.to(wide) * scale) @ key.to(wide).transpose(-2, -1)

    may_attend = mask
    if causal:
        len_q, len_k = scores.shape[-2:]
        past = torch.ones(len_q, len_k, dtype=torch.bool, device=query.device).tril(len_k - len_q)
        may_attend = past if mask is None else past & mask
    weights = _softmax(scores) if may_attend is None else _masked_softmax(scores, may_attend)

    output = (weights @ value.to(wide)).to(query.dtype)
    return (output, weights.to(query.dtype)) if return_weights else output


def _masked_softmax(
    scores: Float[Tensor, "*batch len_q len_k"], may_attend: Bool[Tensor, "*#batch #len_q #len_k"]
) -> Float[Tensor, "*batch len_q len_k"]:
    """Softmax over the cells that are open; a row without any is zero, and so is its gradient."""
    sees_nothing = ~may_attend.any(dim=-1, keepdim=True)
    scores = scores.masked_fill(~may_attend, -torch.inf)
    # a row of -inf has no softmax, and its gradient is NaN: give it zeros to work on, then take the weights away
    weights = _softmax(scores.masked_fill(sees_nothing, 0.0))
    return weights.masked_fill(sees_nothing, 0.0)


def _softmax(scores: Float[Tensor, "*batch len_q len_k"]) -> Float[Tensor, "*batch len_q len_k"]:
    return torch.softmax(scores, dim=-1)


def _check(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if not query.ndim == key.ndim == value.ndim == 4:
        raise ValueError(f"query, key and value must have 4 axes (batch, heads, length, head_dim), got {shapes}")
    if not query.shape[:2] == key.shape[:2] == value.shape[:2]:
        raise ValueError(f"query, key and value must agree in batch and heads (the first two axes), got {shapes}")
    if query.shape[3] != key.shape[3]:
        raise ValueError(f"query and key must agree in head_dim (the last axis), got {shapes}")
    if key.shape[2] != value.shape[2]:
        raise ValueError(f"key and value must agree in length (the third axis), got {shapes}")
    dtypes = [x.dtype for x in (query, key, value)]
    if len(set(dtypes)) > 1 or not query.is_floating_point():
        raise ValueError(f"query, key and value must share one floating-point dtype, got {', '.join(map(str, dtypes))}")
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise ValueError(f"mask must be boolean, True = may attend, got {mask.dtype}; compare it first (mask > 0)")
    full = (*query.shape[:3], key.shape[2])
    if mask.ndim > 4 or any(m not in (1, f) for m, f in zip(mask.shape[::-1], full[::-1], strict=False)):
        raise ValueError(f"mask of shape {tuple(mask.shape)} does not broadcast to (batch, heads, len_q, len_k) {full}")
