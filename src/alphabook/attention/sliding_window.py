"""Sliding-window attention with global positions (Longformer): exact, linear in length in time and in memory.

Reads top-down: the public function, then its three ideas. (1) A dilated window is a plain window inside each
residue class. (2) A band of the score matrix is cut into blocks of queries, each against the one stretch of keys
that any of them may see. (3) Two softmaxes over disjoint sets of keys join into one by their log-sum-exps, which is
how global columns enter the softmax of a local row.
"""

# ruff: noqa: F722
from __future__ import annotations

from numbers import Integral
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from ._window_kernel import Band, banded_attention


def sliding_window_attention(
    query: Float[Tensor, "batch heads length head_dim"],
    key: Float[Tensor, "batch heads length head_dim"],
    value: Float[Tensor, "batch heads length head_dim"],
    *,
    window: int,
    causal: bool = False,
    dilation: int = 1,
    key_padding_mask: Bool[Tensor, "batch length"] | None = None,
    global_mask: Bool[Tensor, "batch length"] | Bool[Tensor, " length"] | None = None,
    global_qkv: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Float[Tensor, "batch heads length head_dim"]:
    """Exact softmax attention in which position ``i`` sees positions ``i - window .. i + window``.

    Time and memory grow with ``length * window`` instead of ``length ** 2``. Half-precision inputs are computed in
    float32 and rounded once, at the end.

    Args:
        window: positions seen on each side; the span is ``2 * window + 1``, or ``window + 1`` when causal.
        causal: close the right half of the window; global rows and columns obey causality too.
        dilation: see every ``dilation``-th position only: ``i + dilation * s`` for ``s`` in ``-window .. window``.
        key_padding_mask: True = a real key. Nobody sees a padded key, global or not. A row that may see nothing
            returns zeros, and no gradient flows through it.
        global_mask: True = a global position. Every row sees it, in one softmax with the row's window, and its own
            row sees every real key. The cost is linear in length for a fixed number of global positions.
        global_qkv: projections of their own for the global rows, each shaped like ``query``: a global row asks with
            the first of them against the other two. The local rows never use them.

    Raises:
        ValueError: ``window`` is negative, ``dilation`` below 1, the tensors disagree in shape or dtype, or a mask is
            not boolean or has the wrong shape.

    Beltagy et al. (2020), section 3.1. Taught in :doc:`/notebooks/attention/sliding_window`.
    """
    _check(query, key, value, window, dilation, global_qkv)
    _check_mask("key_padding_mask", key_padding_mask, [(query.shape[0], query.shape[2])])
    _check_mask("global_mask", global_mask, [(query.shape[0], query.shape[2]), (query.shape[2],)])
    dtype, wide = query.dtype, torch.promote_types(query.dtype, torch.float32)
    query, key, value = query.to(wide), _real(key.to(wide), key_padding_mask), _real(value.to(wide), key_padding_mask)

    if global_mask is None:
        return _window(query, key, value, window, causal, dilation, key_padding_mask)[0].to(dtype)

    is_global = global_mask.expand(query.shape[0], query.shape[2])
    real = torch.ones_like(is_global) if key_padding_mask is None else key_padding_mask
    local = _window(query, key, value, window, causal, dilation, real & ~is_global, with_lse=True)
    positions, exists = _positions(is_global)
    columns = _columns(query, key, value, positions, exists & real.gather(1, positions), causal)
    output = _one_softmax(local, columns)

    if global_qkv is not None:
        query, key, value = (x.to(wide) for x in global_qkv)
        key, value = _real(key, key_padding_mask), _real(value, key_padding_mask)
    rows = _rows(query, key, value, positions, real, causal)
    return _put_rows(output, rows, positions, exists).to(dtype)


def _real(x: Tensor, key_padding_mask: Tensor | None) -> Tensor:
    """Zeros in place of padded keys: whatever they hold, NaN too, is not multiplied by a weight of zero."""
    return x if key_padding_mask is None else x.masked_fill(~key_padding_mask[:, None, :, None], 0.0)


# --- the window ------------------------------------------------------------------------------------
def _window(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    window: int,
    causal: bool,
    dilation: int,
    may_be_seen: Tensor | None,
    with_lse: bool = False,
) -> tuple[Tensor, Any]:
    """Attention inside the window: the output and, if asked for, the log-sum-exp of each row's scores."""
    batch, _, length, dim = query.shape
    dilation = max(1, min(dilation, length))
    window = min(window, -(-length // dilation))
    band = Band(window, 0 if causal else window, dim**-0.5)
    if dilation == 1:
        return _banded(query, key, value, band, may_be_seen, with_lse)

    # positions i, i + dilation, i + 2 dilation, ... see only each other: a plain window in a sequence of their own
    gap = -length % dilation
    if gap and may_be_seen is None:
        may_be_seen = torch.ones(batch, length, dtype=torch.bool, device=query.device)
    query, key, value = (
        rearrange(pad(x, (0, 0, 0, gap)), "b h (n r) d -> (b r) h n d", r=dilation) for x in (query, key, value)
    )
    if may_be_seen is not None:
        may_be_seen = rearrange(pad(may_be_seen, (0, gap)), "b (n r) -> (b r) n", r=dilation)
    output, lse = _banded(query, key, value, band, may_be_seen, with_lse)
    output = rearrange(output, "(b r) h n d -> b h (n r) d", r=dilation)[:, :, :length]
    return output, lse if lse is None else rearrange(lse, "(b r) h n -> b h (n r)", r=dilation)[:, :, :length]


def _banded(
    query: Tensor, key: Tensor, value: Tensor, band: Band, may_be_seen: Tensor | None, with_lse: bool
) -> tuple[Tensor, Any]:
    """The band in its fast form on a CPU, else in its readable form; the two are equal."""
    if query.device.type == "cpu":
        return banded_attention(query, key, value, band, may_be_seen, with_lse=with_lse, readable=_band)
    return _band(query, key, value, band, may_be_seen)


def _band(
    query: Float[Tensor, "batch heads length head_dim"],
    key: Float[Tensor, "batch heads length head_dim"],
    value: Float[Tensor, "batch heads length head_dim"],
    band: Band,
    may_be_seen: Bool[Tensor, "batch length"] | None,
) -> tuple[Tensor, Tensor]:
    """Row ``i`` against keys ``i - left .. i + right``, in blocks of queries against one stretch of keys each."""
    left, right, scale = band
    batch, _, length, _ = query.shape
    size = max(1, left + right)
    blocks = -(-length // size)
    span = size + left + right
    tail = blocks * size - length
    if may_be_seen is None:
        may_be_seen = torch.ones(batch, length, dtype=torch.bool, device=query.device)

    asked = rearrange(pad(query * scale, (0, 0, 0, tail)), "b h (c s) d -> b h c s d", s=size)
    # unfold makes views: the keys of neighbouring blocks overlap in memory
    keys, values = (pad(x, (0, 0, left, right + tail)).unfold(2, span, size) for x in (key, value))
    open_keys = pad(may_be_seen, (left, right + tail)).unfold(1, span, size)

    row, column = torch.arange(size, device=query.device)[:, None], torch.arange(span, device=query.device)
    in_band = (column >= row) & (column <= row + left + right)
    may_attend = in_band & open_keys[:, None, :, None, :]
    output, lse = _attend(asked, keys, values.transpose(-2, -1), may_attend)
    return output.flatten(2, 3)[:, :, :length], lse.flatten(2, 3)[:, :, :length]


# --- global positions ------------------------------------------------------------------------------
def _positions(is_global: Bool[Tensor, "batch length"]) -> tuple[Tensor, Tensor]:
    """Indices of the global positions, ``(batch, most)``, and which of those places are filled."""
    counts = is_global.sum(dim=1)
    most = int(counts.max()) if counts.numel() else 0
    positions = is_global.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :most]
    return positions, torch.arange(most, device=is_global.device) < counts[:, None]


def _columns(
    query: Tensor, key: Tensor, value: Tensor, positions: Tensor, exists: Tensor, causal: bool
) -> tuple[Tensor, Tensor]:
    """Every row against the global columns."""
    may_attend = exists[:, None, None, :]
    if causal:
        now = torch.arange(query.shape[2], device=query.device)
        may_attend = may_attend & (positions[:, None, None, :] <= now[:, None])
    keys = _take(key, positions) * query.shape[3] ** -0.5
    return _attend(query, keys.transpose(-2, -1), _take(value, positions), may_attend)


def _rows(query: Tensor, key: Tensor, value: Tensor, positions: Tensor, real: Tensor, causal: bool) -> Tensor:
    """The global rows against every real key."""
    may_attend = real[:, None, None, :]
    if causal:
        now = torch.arange(key.shape[2], device=key.device)
        may_attend = may_attend & (now <= positions[:, None, :, None])
    asked = _take(query, positions) * query.shape[3] ** -0.5
    return _attend(asked, key.transpose(-2, -1), value, may_attend)[0]


def _take(x: Float[Tensor, "batch heads length head_dim"], positions: Tensor) -> Tensor:
    index = positions[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3])
    return x.gather(2, index)


def _put_rows(output: Tensor, rows: Tensor, positions: Tensor, exists: Tensor) -> Tensor:
    """``output`` with the global rows in their places."""
    index = positions[:, None, :, None].expand_as(rows)
    kept = torch.where(exists[:, None, :, None], rows, output.gather(2, index))
    return output.scatter(2, index, kept)


# --- softmax in parts ------------------------------------------------------------------------------
def _attend(query: Tensor, keys: Tensor, values: Tensor, may_attend: Tensor) -> tuple[Tensor, Tensor]:
    """Masked softmax attention and the log-sum-exp of each row; ``keys`` come transposed."""
    scores = (query @ keys).masked_fill(~may_attend, -torch.inf)
    peak = scores.detach().amax(dim=-1, keepdim=True) if scores.shape[-1] else scores.new_zeros(*scores.shape[:-1], 1)
    peak = peak.masked_fill(peak == -torch.inf, 0.0)
    weights = (scores - peak).exp()
    total = weights.sum(dim=-1, keepdim=True)
    empty = total == 0
    total = total.masked_fill(empty, 1.0)
    lse = (peak + total.log()).masked_fill(empty, -torch.inf)
    return (weights @ values) / total, lse.squeeze(-1)


def _one_softmax(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    """Join two softmaxes over disjoint keys into the one over their union: each counts with its share of the mass."""
    (output_a, lse_a), (output_b, lse_b) = first, second
    peak = torch.maximum(lse_a, lse_b).detach()
    peak = peak.masked_fill(peak == -torch.inf, 0.0)
    mass_a, mass_b = (lse_a - peak).exp()[..., None], (lse_b - peak).exp()[..., None]
    total = mass_a + mass_b
    return (mass_a * output_a + mass_b * output_b) / total.masked_fill(total == 0, 1.0)


# --- what is refused -------------------------------------------------------------------------------
def _check(
    query: Tensor, key: Tensor, value: Tensor, window: int, dilation: int, global_qkv: tuple[Tensor, ...] | None
) -> None:
    for name, number in (("window", window), ("dilation", dilation)):
        if not isinstance(number, Integral):
            raise ValueError(f"{name} must be an integer number of positions, got {number!r}")
    if window < 0:
        raise ValueError(f"window must be >= 0 (positions on each side), got {window}")
    if dilation < 1:
        raise ValueError(f"dilation must be >= 1 (1 sees every position of the window), got {dilation}")
    if query.ndim != 4:
        raise ValueError(f"query must have 4 axes (batch, heads, length, head_dim), got shape {tuple(query.shape)}")
    if not query.shape == key.shape == value.shape:
        raise ValueError(
            "query, key and value must have the same shape (batch, heads, length, head_dim), got "
            f"{tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}"
        )
    dtypes = [x.dtype for x in (query, key, value)]
    if len(set(dtypes)) > 1 or not query.is_floating_point():
        raise ValueError(f"query, key and value must share one floating-point dtype, got {', '.join(map(str, dtypes))}")
    if global_qkv is not None and (len(global_qkv) != 3 or any(x.shape != query.shape for x in global_qkv)):
        raise ValueError(
            f"global_qkv must be three tensors (query, key, value) of shape {tuple(query.shape)}, "
            f"got {[tuple(x.shape) for x in global_qkv]}"
        )


def _check_mask(name: str, mask: Tensor | None, shapes: list[tuple[int, ...]]) -> None:
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise ValueError(f"{name} must be boolean, got {mask.dtype}; compare it first ({name} > 0)")
    if tuple(mask.shape) not in shapes:
        raise ValueError(f"{name} must have shape {' or '.join(map(str, shapes))}, got {tuple(mask.shape)}")
