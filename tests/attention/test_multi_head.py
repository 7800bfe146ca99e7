"""One module of projections, four attentions: equal to PyTorch's own, to independent heads, and to the oracle."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from alphabook.attention import CrossAssetAttention, MultiHeadAttention, dense_attention

PLAIN: dict[str, dict[str, Any]] = {  # attentions over (batch, length, d_model)
    "dense": {},
    "window": {"window": 2},
    "favor": {"num_features": 16},
}
NAMES = tuple(PLAIN)
FEW = settings(max_examples=30, deadline=None)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def module(attention: Any = "dense", *, d_model: int = 12, num_heads: int = 3, seed: int = 0, **options: Any) -> Any:
    """A module in float64 in which no parameter is zero."""
    made = MultiHeadAttention(d_model, num_heads, attention, **options).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.5)
    return made


def padding(batch: int, length: int, seed: int) -> Tensor:
    """Some positions are real, the first always."""
    real = torch.rand(batch, length, generator=torch.Generator().manual_seed(seed)) < 0.7
    real[:, 0] = True
    return real


def by_hand(made: MultiHeadAttention, x: Tensor, mask: Tensor | None, *, roles: str = "") -> Tensor:
    """Each head on its own: its rows of the projections, one dense attention, its columns of the output's."""
    dim = made.d_model // made.num_heads
    total = torch.zeros_like(x) + made.output_projection.bias
    for head in range(made.num_heads):
        rows = slice(head * dim, (head + 1) * dim)
        query, key, value = (
            (x @ layer.weight[rows].T + layer.bias[rows]).unsqueeze(1)
            for layer in (made.get_submodule(f"{roles}{name}_projection") for name in ("query", "key", "value"))
        )
        attended = dense_attention(query, key, value, mask=mask)  # one head: scaled by its own width
        total = total + attended.squeeze(1) @ made.output_projection.weight[:, rows].T
    return total


# --- peers and oracles -----------------------------------------------------------------------------
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("num_heads", [1, 4])
def test_dense_equals_pytorch(padded: bool, causal: bool, bias: bool, num_heads: int) -> None:
    ours = module(d_model=16, num_heads=num_heads, causal=causal, bias=bias)
    theirs = nn.MultiheadAttention(16, num_heads, bias=bias, batch_first=True, dtype=torch.float64)
    layers = (ours.query_projection, ours.key_projection, ours.value_projection)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
        theirs.out_proj.weight.copy_(ours.output_projection.weight)
        if bias:
            theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
            theirs.out_proj.bias.copy_(ours.output_projection.bias)
    x = normal(3, 7, 16)
    real = padding(3, 7, seed=1) if padded else None
    ignored = None if real is None else ~real  # PyTorch marks what is not to be seen
    future = ~torch.ones(7, 7, dtype=torch.bool).tril() if causal else None
    x_ours, x_theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    output, weights = ours(x_ours, key_padding_mask=real, return_weights=True)
    expected, expected_weights = theirs(
        x_theirs, x_theirs, x_theirs, key_padding_mask=ignored, attn_mask=future, average_attn_weights=False
    )
    torch.testing.assert_close(output, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(weights, expected_weights, atol=1e-12, rtol=0)
    weight_of_outputs = normal(3, 7, 16, seed=2)
    (output * weight_of_outputs).sum().backward()
    (expected * weight_of_outputs).sum().backward()
    torch.testing.assert_close(x_ours.grad, x_theirs.grad, atol=1e-12, rtol=0)
    packed = torch.cat([layer.weight.grad for layer in layers])
    torch.testing.assert_close(packed, theirs.in_proj_weight.grad, atol=1e-11, rtol=0)
    torch.testing.assert_close(ours.output_projection.weight.grad, theirs.out_proj.weight.grad, atol=1e-11, rtol=0)


@FEW
@given(
    length=st.integers(1, 12),
    num_heads=st.sampled_from([1, 2, 3, 6]),
    window=st.integers(0, 5),
    dilation=st.integers(1, 3),
    causal=st.booleans(),
    padded=st.booleans(),
    num_global=st.integers(0, 3),
    own_projections=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_window_equals_independent_dense_heads_with_the_union_mask(
    length: int,
    num_heads: int,
    window: int,
    dilation: int,
    causal: bool,
    padded: bool,
    num_global: int,
    own_projections: bool,
    seed: int,
) -> None:
    made = module(
        "window",
        num_heads=num_heads,
        causal=causal,
        window=window,
        dilation=dilation,
        global_projections=own_projections,
    )
    x = normal(2, length, 12, seed=seed)
    real = padding(2, length, seed) if padded else torch.ones(2, length, dtype=torch.bool)
    is_global = torch.zeros(2, length, dtype=torch.bool)
    for row in range(2):
        chosen = torch.randperm(length, generator=torch.Generator().manual_seed(seed + row))[:num_global]
        is_global[row, chosen] = True
    is_global &= real
    position = torch.arange(length)
    apart = position[:, None] - position[None, :]
    near = (apart % dilation == 0) & (apart.abs() <= window * dilation)
    seen = (near | is_global[:, None, :] | is_global[:, :, None]) & real[:, None, :]
    if causal:
        seen = seen & (apart >= 0)
    mask = seen.unsqueeze(1)
    expected = by_hand(made, x, mask)
    if own_projections:
        expected = torch.where(is_global.unsqueeze(-1), by_hand(made, x, mask, roles="global_"), expected)
    output = made(x, key_padding_mask=real if padded else None, global_mask=is_global if num_global else None)
    torch.testing.assert_close(output[real], expected[real], atol=1e-10, rtol=0)


@pytest.mark.parametrize("causal", [False, True])
def test_dense_heads_are_independent(causal: bool) -> None:
    made = module(num_heads=4, causal=causal)
    x = normal(2, 6, 12)
    mask = torch.ones(1, 1, 6, 6, dtype=torch.bool).tril() if causal else None
    torch.testing.assert_close(made(x), by_hand(made, x, mask), atol=1e-12, rtol=0)


@pytest.mark.parametrize("causal", [False, True])
def test_favor_comes_close_to_dense(causal: bool) -> None:
    """The same weights, 4096 features: within a few per cent; 16 features: not."""
    dense = MultiHeadAttention(32, 4, causal=causal, generator=torch.Generator().manual_seed(0)).double()
    x, real = 0.5 * normal(2, 20, 32, seed=3), padding(2, 20, seed=4)
    errors = []
    for features in (16, 4096):
        favor = MultiHeadAttention(32, 4, "favor", causal=causal, num_features=features).double()
        favor.load_state_dict(dense.state_dict(), strict=False)  # the projections carry the same names
        difference = favor(x, key_padding_mask=real) - dense(x, key_padding_mask=real)
        errors.append((difference.norm() / dense(x, key_padding_mask=real).norm()).item())
    assert errors[1] < 0.05
    assert errors[1] < errors[0] / 4  # the law says 16


@pytest.mark.parametrize("mode", ["pooled", "per_step", "lagged"])
def test_cross_asset_equals_its_own_module(mode: str) -> None:
    ours = module("cross_asset", mode=mode, max_lag=3)
    theirs = CrossAssetAttention(12, 3, mode, max_lag=3).double()  # type: ignore[arg-type]
    theirs.load_state_dict(ours.state_dict())
    x, present = normal(2, 4, 6, 12), torch.rand(2, 4, 6, generator=torch.Generator().manual_seed(1)) < 0.7
    for mask in (None, present, present[:, :, 0]):
        filled = (
            x if mask is None else x.masked_fill(~(mask if mask.ndim == 3 else mask[..., None])[..., None], torch.nan)
        )
        for mine, other in zip(ours(filled, asset_mask=mask), theirs(filled, mask), strict=True):
            torch.testing.assert_close(mine, other, atol=1e-12, rtol=0)
            assert mine.isfinite().all()


# --- any callable ----------------------------------------------------------------------------------
def test_a_callable_plugs_in() -> None:
    def uniform(query: Tensor, key: Tensor, value: Tensor, *, temperature: float = 1.0, mask: Tensor | None = None):
        return dense_attention(query / temperature, key, value, mask=mask, return_weights=True)

    made = module(uniform, temperature=1e9)
    x, real = normal(2, 5, 12), padding(2, 5, seed=3)
    output, weights = made(x, key_padding_mask=real)  # handed over as a mask, because the callable takes one
    expected = real[:, None, None, :].double() / real.sum(1)[:, None, None, None]
    torch.testing.assert_close(weights, expected.expand_as(weights), atol=1e-8, rtol=0)
    assert output.shape == x.shape


def test_a_module_plugs_in_with_its_parameters() -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(2.0))

        def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            return self.gain * value

    made = module(Gate())
    assert "attention.gain" in dict(made.named_parameters())
    x = normal(1, 4, 12)
    expected = made.output_projection(made.attention.gain * made.value_projection(x))
    torch.testing.assert_close(made(x), expected, atol=1e-12, rtol=0)


def test_a_callable_that_takes_anything_receives_what_was_given() -> None:
    received = {}

    def attend(query: Tensor, key: Tensor, value: Tensor, **keywords: Any) -> Tensor:
        received.update(keywords)
        return value

    real = torch.ones(1, 4, dtype=torch.bool)
    module(attend, causal=True, depth=3)(normal(1, 4, 12), key_padding_mask=real, width=5)
    assert set(received) == {"causal", "depth", "width", "key_padding_mask"}


def test_pytorchs_own_attention_plugs_in() -> None:
    made = module(nn.functional.scaled_dot_product_attention)
    dense = module()
    x = normal(2, 5, 12)
    torch.testing.assert_close(made(x), dense(x), atol=1e-12, rtol=0)


def test_shapes_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads are split from the last axis, head by head, as every library of the field does it."""

    def keep(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        assert query.shape == key.shape == value.shape == (2, 3, 5, 4)
        return query

    made = module(keep, output_projection=False)
    x = normal(2, 5, 12)
    torch.testing.assert_close(made(x), made.query_projection(x), atol=1e-12, rtol=0)
    assert torch.equal(rearrange(made(x), "b n (h d) -> b h n d", h=3)[:, 1, :, 2], made(x)[:, :, 6])
