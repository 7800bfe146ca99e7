"""What the tests of attention across assets share: a slow oracle, modules without zeros, drawn shapes."""

from __future__ import annotations

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from alphabook.attention.cross_asset import CrossAssetAttention, Mode
from alphabook.attention.dense import dense_attention

MODES: tuple[Mode, ...] = ("pooled", "per_step", "lagged")
CAUSAL_MODES: tuple[Mode, ...] = ("per_step", "lagged")
FEW = settings(max_examples=30, deadline=None)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def module(mode: Mode, *, d_model: int = 12, num_heads: int = 3, seed: int = 0, **options) -> CrossAssetAttention:
    """A module in float64 in which no parameter is zero."""
    made = CrossAssetAttention(d_model, num_heads, mode, **options).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4)
    return made


def one_query_at_a_time(
    query: Tensor, key: Tensor, value: Tensor, present: Tensor, *, mode: Mode, max_lag: int, include_self: bool
) -> tuple[Tensor, Tensor]:
    """Outputs, and weights of each step (batch, heads, length, lags, assets, assets); lags is 1 without lags.

    For each asset and step the candidates are listed by the definition and handed to ``dense_attention``.
    """
    batch, heads, assets, length, _ = query.shape
    lags = max_lag + 1 if mode == "lagged" else 1
    output, weights = torch.zeros_like(value), query.new_zeros(batch, heads, length, lags, assets, assets)
    for b in range(batch):
        steps = {j: [s for s in range(length) if present[b, j, s]] for j in range(assets)}
        for i in range(assets):
            for t in steps[i]:
                if mode == "pooled":
                    ask = query[b, :, i, steps[i]].mean(1)
                    seen = [(j, 0, steps[j]) for j in range(assets) if steps[j] and (include_self or j != i)]
                elif mode == "per_step":
                    ask = query[b, :, i, t]
                    seen = [(j, 0, [t]) for j in range(assets) if t in steps[j] and (include_self or j != i)]
                else:
                    ask = query[b, :, i, t]
                    seen = [(i, 0, [t])] if include_self else []
                    for j in range(assets):
                        seen += [(j, t - s, [s]) for s in steps[j] if j != i and 1 <= t - s <= max_lag]
                if not seen:
                    continue
                keys = torch.stack([key[b, :, j, at].mean(1) for j, _, at in seen], dim=1)
                values = torch.stack([value[b, :, j, at].mean(1) for j, _, at in seen], dim=1)
                found, weight = dense_attention(ask[None, :, None], keys[None], values[None], return_weights=True)
                output[b, :, i, t] = found[0, :, 0]
                for column, (j, lag, _) in enumerate(seen):
                    weights[b, :, t, lag, i, j] = weight[0, :, 0, column]
    return output, weights


shapes = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 2),
        "assets": st.integers(1, 4),
        "length": st.integers(1, 6),
        "max_lag": st.integers(1, 7),
        "seed": st.integers(0, 10_000),
        "include_self": st.booleans(),
        "share_missing": st.sampled_from([0.0, 0.3, 0.8]),
    }
)


def draw_present(case: dict) -> Tensor:
    generator = torch.Generator().manual_seed(case["seed"])
    drawn = torch.rand(case["batch"], case["assets"], case["length"], generator=generator)
    return drawn >= case["share_missing"]
