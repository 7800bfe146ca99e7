# ruff: noqa: F722
"""Attention across assets: who watches whom, and with which delay."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

Mode = Literal["pooled", "per_step", "lagged"]
AssetMask = Bool[Tensor, "batch assets"] | Bool[Tensor, "batch assets length"] | None


class CrossAssetAttention(nn.Module):
    """Multi-head softmax attention in which the positions are assets.

    ========== ============================================================================================
    mode       asset ``i`` at step ``t`` attends to
    ========== ============================================================================================
    "pooled"   the mean over the window of every asset, one answer for all steps
    "per_step" every asset at step ``t``
    "lagged"   in one softmax: the other assets at ``t - 1 .. t - max_lag``, and itself at ``t`` (lag 0)
    ========== ============================================================================================

    ``"pooled"`` is the form of the published system this book replaces, kept for comparison. A mean over
    time has no order, so it cannot see that one asset moves before another; and as it runs over the whole
    window, its output at step ``t`` depends on later steps of the window. ``"per_step"`` and ``"lagged"``
    read nothing later than ``t``; ``"lagged"`` reads of the other assets nothing later than ``t - 1``. An
    asset's own past is left to attention over time.

    No parameter belongs to an asset, so permuting the assets permutes the outputs; inputs that should be told
    apart by name carry an embedding of it. Lags do have an order: mode ``"lagged"`` owns a ``lag_embedding``
    that is added to the keys (zeros at first).

    Args:
        d_model: width of an input vector.
        num_heads: attentions side by side, each of width ``d_model // num_heads``.
        mode: see the table.
        max_lag: largest lag in steps, read in mode ``"lagged"`` only.
        include_self: ``False`` closes an asset's view of itself in every mode.
        bias: add a learned offset in the four projections.
        dropout: share of output entries set to zero in training.
        generator: source of the initial weights; ``None`` takes torch's own.

    Raises:
        ValueError: ``num_heads`` does not divide ``d_model``, an unknown ``mode``, ``max_lag`` below one,
            or ``dropout`` outside ``[0, 1)``.

    Heads and projections: Vaswani et al. (2017), section 3.2.2. Lags: Shaw et al. (2018), equation 4.
    Taught in :doc:`/notebooks/attention/cross_asset`.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        mode: Mode = "pooled",
        max_lag: int = 5,
        *,
        include_self: bool = True,
        bias: bool = True,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if num_heads < 1 or d_model < 1 or d_model % num_heads:
            raise ValueError(
                f"d_model must be a positive multiple of num_heads, got d_model={d_model}, num_heads={num_heads}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is a share in [0, 1), got {dropout}")
        check_mode(mode, max_lag)
        self.num_heads, self.mode, self.max_lag, self.include_self = num_heads, mode, max_lag, include_self
        self.query_projection = nn.Linear(d_model, d_model, bias=bias)
        self.key_projection = nn.Linear(d_model, d_model, bias=bias)
        self.value_projection = nn.Linear(d_model, d_model, bias=bias)
        self.output_projection = nn.Linear(d_model, d_model, bias=bias)
        lags = (num_heads, max_lag + 1, d_model // num_heads)
        self.lag_embedding = nn.Parameter(torch.empty(lags)) if mode == "lagged" else None
        self.dropout = nn.Dropout(dropout)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the four matrices uniformly (Xavier, so within ``sqrt(6 / (2 * d_model))``), set the rest to zero."""
        for layer in (self.query_projection, self.key_projection, self.value_projection, self.output_projection):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if self.lag_embedding is not None:
            nn.init.zeros_(self.lag_embedding)

    def forward(
        self,
        x: Float[Tensor, "batch assets length d_model"],
        asset_mask: AssetMask = None,
        *,
        return_per_step: bool = False,
    ) -> tuple[Float[Tensor, "batch assets length d_model"], Float[Tensor, "batch heads *maps assets assets"]]:
        """Outputs, and the weights with which assets (rows) watch assets (columns).

        Args:
            x: one vector for each asset and step.
            asset_mask: ``True`` where an asset is present. A missing asset watches nobody, nobody watches
                it, its output is zero, and what ``x`` holds there (NaN included) reaches no output and no
                gradient.
            return_per_step: the weights of each step instead of their mean.

        Returns:
            The output, shaped like ``x``; zero where an asset is missing or sees nothing.
            The weights, ``(batch, heads, assets, assets)``; in mode ``"lagged"``
            ``(batch, heads, lags, assets, assets)``, where entry ``l`` of the axis ``lags`` is lag ``l``,
            from 0 (an asset itself) to ``max_lag``. They are means over the steps at which the row's asset
            saw anything, so each row sums to one (over columns and lags), or to zero if it never did. With
            ``return_per_step=True`` an axis of steps follows the heads. The first ``max_lag`` steps of a
            window see fewer lags, which pulls the mean towards short ones.

        Raises:
            ValueError: ``x`` or ``asset_mask`` has another shape, the mask is not boolean, or
                ``return_per_step`` is asked of mode ``"pooled"``.
        """
        d_model = self.query_projection.in_features
        if x.ndim != 4 or x.shape[-1] != d_model:
            raise ValueError(f"x must be (batch, assets, length, d_model={d_model}), got {tuple(x.shape)}")
        present = presence(asset_mask, batch=x.shape[0], assets=x.shape[1], length=x.shape[2], device=x.device)
        x = x.masked_fill(~present.unsqueeze(-1), 0.0)  # before the projections: 0 * NaN in their gradient is NaN
        query, key, value = (
            rearrange(
                layer(x), "batch assets length (heads dim) -> batch heads assets length dim", heads=self.num_heads
            )
            for layer in (self.query_projection, self.key_projection, self.value_projection)
        )
        attended, weights, sees = cross_asset_attention(
            query,
            key,
            value,
            mode=self.mode,
            max_lag=self.max_lag,
            include_self=self.include_self,
            lag_embedding=self.lag_embedding,
            asset_mask=present,
            return_per_step=return_per_step,
        )
        merged = rearrange(attended, "batch heads assets length dim -> batch assets length (heads dim)")
        output = self.dropout(self.output_projection(merged))
        return output.masked_fill(~sees.unsqueeze(-1), 0.0), weights  # the bias would fill the empty rows


def cross_asset_attention(
    query: Float[Tensor, "batch heads assets length head_dim"],
    key: Float[Tensor, "batch heads assets length head_dim"],
    value: Float[Tensor, "batch heads assets length head_dim"],
    *,
    mode: Mode = "pooled",
    max_lag: int = 5,
    include_self: bool = True,
    lag_embedding: Float[Tensor, "heads lags head_dim"] | None = None,
    asset_mask: AssetMask = None,
    return_per_step: bool = False,
) -> tuple[
    Float[Tensor, "batch heads assets length head_dim"],
    Float[Tensor, "batch heads *maps assets assets"],
    Bool[Tensor, "batch assets length"],
]:
    """What :class:`CrossAssetAttention` does between its projections.

    Half-precision inputs are computed in float32 and rounded once, at the end. Row ``l`` of ``lag_embedding`` is
    added to every key that is seen at lag ``l``; modes without lags ignore it.

    Returns:
        The attended values, the weights as :meth:`CrossAssetAttention.forward` describes them, and which
        assets saw anything at which step (the rows that are zero where not).

    Raises:
        ValueError: the tensors disagree in shape, or an argument that the class refuses too.

    Taught in :doc:`/notebooks/attention/cross_asset`.
    """
    check_mode(mode, max_lag)
    if query.ndim != 5 or query.shape != key.shape or query.shape != value.shape:
        raise ValueError(
            "query, key and value must share one shape (batch, heads, assets, length, head_dim), got "
            f"{tuple(query.shape)}, {tuple(key.shape)}, {tuple(value.shape)}"
        )
    lags = (query.shape[1], max_lag + 1, query.shape[4])
    if mode == "lagged" and lag_embedding is not None and lag_embedding.shape != lags:
        raise ValueError(
            f"lag_embedding must be (heads, max_lag + 1, head_dim)={lags}, got {tuple(lag_embedding.shape)}"
        )
    if return_per_step and mode == "pooled":
        raise ValueError('mode "pooled" has one map for the whole window; return_per_step needs "per_step" or "lagged"')
    batch, _, assets, length, _ = query.shape
    dtype, wide = query.dtype, torch.promote_types(query.dtype, torch.float32)
    present = presence(asset_mask, batch=batch, assets=assets, length=length, device=query.device)
    # Steps lead: a shift in time is then a slice of whole blocks, which a batched product reads without a copy.
    at_step = rearrange(present, "batch assets length -> length batch assets")
    query, key, value = (
        rearrange(
            tensor.to(wide).masked_fill(~present[:, None, :, :, None], 0.0),
            "batch heads assets length dim -> length batch heads assets dim",
        ).contiguous()
        for tensor in (query, key, value)
    )
    query = query * query.shape[-1] ** -0.5
    if mode == "pooled":
        query, key, value = (_mean_of_present(tensor, at_step) for tensor in (query, key, value))
        at_step = at_step.any(dim=0, keepdim=True)
    if mode == "lagged":
        by_lag = None if lag_embedding is None else lag_embedding.to(wide)
        attended, weights, sees = _lagged(query, key, value, at_step, by_lag, max_lag, include_self)
    else:
        attended, weights, sees = _same_step(query, key, value, at_step, include_self)
    attended = rearrange(attended, "length batch heads assets dim -> batch heads assets length dim")
    sees = rearrange(sees, "length batch assets -> batch assets length")
    if not return_per_step:
        counted = rearrange(sees.sum(dim=-1), "batch assets -> batch 1 assets 1").clamp(min=1)
        weights = weights.sum(dim=2) / (counted if mode != "lagged" else counted.unsqueeze(2))
    if mode == "pooled":
        sees = sees & present
        attended = attended.expand(-1, -1, -1, length, -1).masked_fill(~sees[:, None, :, :, None], 0.0)
    return attended.to(dtype), weights.to(dtype), sees


def _same_step(
    query: Float[Tensor, "length batch heads assets head_dim"],
    key: Float[Tensor, "length batch heads assets head_dim"],
    value: Float[Tensor, "length batch heads assets head_dim"],
    present: Bool[Tensor, "length batch assets"],
    include_self: bool,
) -> tuple[Tensor, Tensor, Bool[Tensor, "length batch assets"]]:
    """Attention among the assets of each step; weights ``(batch, heads, length, assets, assets)``."""
    visible = present.unsqueeze(-1) & present.unsqueeze(-2)
    if not include_self:
        visible = visible & ~torch.eye(present.shape[-1], dtype=torch.bool, device=present.device)
    weights = _masked_softmax(query @ key.transpose(-1, -2), visible.unsqueeze(2))
    return weights @ value, weights.movedim(0, 2), visible.any(dim=-1)


def _lagged(
    query: Float[Tensor, "length batch heads assets head_dim"],
    key: Float[Tensor, "length batch heads assets head_dim"],
    value: Float[Tensor, "length batch heads assets head_dim"],
    present: Bool[Tensor, "length batch assets"],
    lag_embedding: Float[Tensor, "heads lags head_dim"] | None,
    max_lag: int,
    include_self: bool,
) -> tuple[Tensor, Tensor, Bool[Tensor, "length batch assets"]]:
    """One softmax over (lag, asset); weights ``(batch, heads, length, lags, assets, assets)``.

    The candidates of a row are its own asset at lag 0, then all assets at lag 1, all at lag 2, ...
    """
    length, _, _, assets, _ = query.shape
    key_before, value_before = (F.pad(tensor, (0, 0, 0, 0, 0, 0, 0, 0, max_lag, 0)) for tensor in (key, value))
    present_before = F.pad(present, (0, 0, 0, 0, max_lag, 0), value=False)
    shifts = [slice(max_lag - lag, max_lag - lag + length) for lag in range(1, max_lag + 1)]

    scores = [(query * key).sum(dim=-1, keepdim=True)]
    scores += [query @ key_before[shift].transpose(-1, -2) for shift in shifts]
    if lag_embedding is not None:  # q (k + e) = q k + q e, and q e is the same for all assets seen at that lag
        offsets = torch.einsum("tbhid,hld->ltbhi", query, lag_embedding).unsqueeze(-1)
        scores = [score + offset for score, offset in zip(scores, offsets, strict=True)]

    others = ~torch.eye(assets, dtype=torch.bool, device=query.device)
    seen = [present.unsqueeze(-1) & include_self]
    seen += [present.unsqueeze(-1) & present_before[shift].unsqueeze(-2) & others for shift in shifts]
    visible = torch.cat(seen, dim=-1)

    weights = _masked_softmax(torch.cat(scores, dim=-1), visible.unsqueeze(2))
    per_lag = weights[..., 1:].split(assets, dim=-1)
    attended = weights[..., :1] * value
    for shift, weight in zip(shifts, per_lag, strict=True):
        attended = attended + weight @ value_before[shift]
    maps = torch.stack([torch.diag_embed(weights[..., 0]), *per_lag], dim=3)
    return attended, rearrange(maps, "length b h lags i j -> b h length lags i j"), visible.any(dim=-1)


def _masked_softmax(scores: Float[Tensor, "*rows columns"], visible: Bool[Tensor, "*rows columns"]) -> Tensor:
    """Softmax over the visible columns; a row without any is zero, and so is its gradient."""
    empty = ~visible.any(dim=-1, keepdim=True)
    # the softmax of a row of -inf is NaN, and so is its gradient: give it zeros, and close it afterwards
    scores = scores.masked_fill(~visible, -torch.inf).masked_fill(empty, 0.0)
    return torch.softmax(scores, dim=-1).masked_fill(~visible, 0.0)


def _mean_of_present(
    tensor: Float[Tensor, "length batch heads assets head_dim"], present: Bool[Tensor, "length batch assets"]
) -> Float[Tensor, "1 batch heads assets head_dim"]:
    """Mean over the steps at which an asset is present; ``tensor`` is zero at the others."""
    return tensor.sum(dim=0, keepdim=True) / present.sum(dim=0).clamp(min=1)[None, :, None, :, None]


def presence(
    asset_mask: AssetMask, *, batch: int, assets: int, length: int, device: torch.device
) -> Bool[Tensor, "batch assets length"]:
    """The mask with an axis of steps; all ``True`` without a mask.

    Raises:
        ValueError: the mask is not boolean, or not of shape ``(batch, assets)`` or ``(batch, assets, length)``.
    """
    if asset_mask is None:
        return torch.ones(batch, assets, length, dtype=torch.bool, device=device)
    if asset_mask.dtype != torch.bool:
        raise ValueError(f"asset_mask must be boolean (True = present), got {asset_mask.dtype}; compare or cast it")
    if asset_mask.shape == (batch, assets):
        return repeat(asset_mask, "batch assets -> batch assets length", length=length)
    if asset_mask.shape != (batch, assets, length):
        raise ValueError(
            f"asset_mask must be (batch, assets)={(batch, assets)} or with length={length} as third axis, "
            f"got {tuple(asset_mask.shape)}"
        )
    return asset_mask


def check_mode(mode: str, max_lag: int) -> None:
    """Raise a ``ValueError`` for an unknown ``mode`` or a ``max_lag`` below one."""
    if mode not in get_args(Mode):
        raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
    if max_lag < 1:
        raise ValueError(f"max_lag counts steps back and must be >= 1, got {max_lag}")
