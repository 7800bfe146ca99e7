"""The module of projections at its edges: the future, padding, tiny inputs, precision, checkpoints, errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_multi_head import FEW, NAMES, PLAIN, module, normal, padding
from torch import Tensor

from alphabook.attention import MultiHeadAttention


# --- the future ------------------------------------------------------------------------------------
@settings(FEW, max_examples=20)
@given(length=st.integers(1, 40), seed=st.integers(0, 1000), data=st.data())
@pytest.mark.parametrize("name", NAMES)
def test_no_bit_moves_when_the_future_changes(name: str, length: int, seed: int, data: st.DataObject) -> None:
    made = module(name, causal=True, **PLAIN[name]).eval()
    x = normal(2, length, 12, seed=seed)
    t = data.draw(st.integers(0, length - 1))
    later = x.clone()
    later[:, t + 1 :] = normal(2, length - t - 1, 12, seed=seed + 1) * data.draw(st.sampled_from([1.0, 30.0]))
    assert torch.equal(made(later)[:, : t + 1], made(x)[:, : t + 1])


@pytest.mark.parametrize("name", NAMES)
def test_without_causal_the_future_is_read(name: str) -> None:
    made = module(name, **PLAIN[name])
    x = normal(1, 6, 12)
    later = x.clone()
    later[:, 4:] += 1.0
    assert not torch.equal(made(later)[:, 3], made(x)[:, 3])


# --- padding ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("held", [float("nan"), float("inf"), 50.0])
def test_what_padding_holds_reaches_nothing(name: str, causal: bool, held: float) -> None:
    made = module(name, causal=causal, **PLAIN[name])
    real = padding(3, 9, seed=5)
    results = []
    for filling in (0.0, held):
        made.zero_grad()
        x = normal(3, 9, 12).masked_fill(~real.unsqueeze(-1), filling).requires_grad_()
        output = made(x, key_padding_mask=real)[real]
        output.square().sum().backward()
        results.append([output, x.grad, *(p.grad for p in made.parameters())])
    for clean, filled in zip(*results, strict=True):
        torch.testing.assert_close(clean, filled, atol=1e-11, rtol=1e-11)
        assert filled.isfinite().all()
    assert not results[1][1][~real].any()


@pytest.mark.parametrize("name", NAMES)
def test_padding_at_the_end_equals_a_shorter_sequence(name: str) -> None:
    made = module(name, **PLAIN[name])
    x = normal(2, 9, 12)
    real = torch.arange(9).expand(2, 9) < 6
    torch.testing.assert_close(made(x, key_padding_mask=real)[:, :6], made(x[:, :6]), atol=1e-11, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_nobody_real_gives_the_bias(name: str) -> None:
    made = module(name, **PLAIN[name])
    output = made(normal(2, 5, 12), key_padding_mask=torch.zeros(2, 5, dtype=torch.bool))
    torch.testing.assert_close(output, made.output_projection.bias.expand(2, 5, 12), atol=1e-12, rtol=0)


def test_dense_combines_its_mask_with_padding() -> None:
    made = module()
    x, real = normal(2, 5, 12), padding(2, 5, seed=2)
    mask = torch.rand(5, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    mask |= torch.eye(5, dtype=torch.bool)
    both = made(x, key_padding_mask=real, mask=mask)
    torch.testing.assert_close(both, made(x, mask=mask & real[:, None, None, :]), atol=1e-12, rtol=0)


# --- tiny, strided, rounded ------------------------------------------------------------------------
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_length_one(name: str, causal: bool) -> None:
    made = module(name, causal=causal, **PLAIN[name])
    x = normal(2, 1, 12)
    expected = made.output_projection(made.value_projection(x))
    torch.testing.assert_close(made(x), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_strided_inputs(name: str) -> None:
    made = module(name, **PLAIN[name])
    x = normal(12, 7, 2).permute(2, 1, 0)
    torch.testing.assert_close(made(x), made(x.contiguous()), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "band"), [(torch.float32, 1e-5), (torch.float16, 1e-2), (torch.bfloat16, 6e-2)])
def test_precision_bands(name: str, dtype: torch.dtype, band: float) -> None:
    exact = MultiHeadAttention(32, 4, name, generator=torch.Generator().manual_seed(0), **PLAIN[name])
    rounded = MultiHeadAttention(32, 4, name, **PLAIN[name])
    rounded.load_state_dict(exact.state_dict())
    if name == "favor":  # rounding the features themselves is another draw, not another precision
        exact.attention.projection = exact.attention.projection.to(dtype).float()
    x = normal(2, 30, 32)
    output = rounded.to(dtype)(x.to(dtype))
    assert output.dtype == dtype
    expected = exact.double()(x)
    assert (output.double() - expected).abs().max() < band * expected.abs().max()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_gradcheck_through_the_module(name: str, causal: bool) -> None:
    made = module(name, d_model=4, num_heads=2, causal=causal, **PLAIN[name]).eval()
    x, real = normal(1, 5, 4).requires_grad_(), torch.tensor([[True, True, False, True, True]])

    def output(x: Tensor) -> Tensor:
        return made(x, key_padding_mask=real)[real]

    assert torch.autograd.gradcheck(output, (x,), atol=1e-6)


# --- weights and checkpoints -----------------------------------------------------------------------
@pytest.mark.parametrize("name", [*NAMES, "cross_asset"])
def test_same_generator_same_weights(name: str) -> None:
    options = PLAIN.get(name, {"mode": "lagged"})
    first, second = (
        MultiHeadAttention(16, 2, name, generator=torch.Generator().manual_seed(5), **options) for _ in range(2)
    )
    for (key, one), other in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other), key
    limit = (6 / 32) ** 0.5  # Xavier uniform of a square matrix
    for role in ("query", "key", "value", "output"):
        layer = first.get_submodule(f"{role}_projection")
        assert 0.9 * limit < layer.weight.abs().max() <= limit
        assert not layer.bias.any()


def test_a_checkpoint_restores_the_random_features() -> None:
    first = MultiHeadAttention(16, 2, "favor", num_features=8, seed=1)
    second = MultiHeadAttention(16, 2, "favor", num_features=8, seed=2)
    x = normal(1, 5, 16, dtype=torch.float32)
    assert not torch.equal(first(x), second(x))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.eval()(x), second.eval()(x))


def test_dropout_in_training_only() -> None:
    made = module(dropout=0.5)
    x = normal(1, 200, 12)
    assert 0.4 < (made(x) == 0).double().mean() < 0.6
    assert (made.eval()(x) != 0).all()


def test_no_bias_no_output_projection() -> None:
    made = MultiHeadAttention(8, 2, bias=False, output_projection=False)
    assert [name for name, _ in made.named_parameters()] == [
        f"{role}_projection.weight" for role in ("query", "key", "value")
    ]


def test_its_name_tells_the_options() -> None:
    assert "12, 3, 'window', causal=True, window=4, dilation=2" in repr(
        MultiHeadAttention(12, 3, "window", causal=True, window=4, dilation=2)
    )


# --- errors ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d_model": 10, "num_heads": 4}, "multiple of num_heads, got d_model=10, num_heads=4"),
        ({"num_heads": 0}, "multiple of num_heads, got d_model=8, num_heads=0"),
        ({"dropout": -0.1}, r"dropout is a share in \[0, 1\), got -0.1"),
        ({"attention": "sparse"}, "one of dense, window, favor, cross_asset or a callable, got 'sparse'"),
        ({"attention": "window"}, "attention 'window' needs window="),
        ({"attention": "favor"}, "attention 'favor' needs num_features="),
        ({"window": 3}, "attention 'dense' has no option window; it has scale"),
        ({"attention": "window", "window": 3, "stride": 2}, "has no option stride; it has window, dilation"),
        ({"attention": "favor", "num_features": 4, "features": 4}, "has no option features; it has num_features, "),
        ({"attention": "cross_asset", "mode": "mean"}, "mode must be one of pooled, per_step, lagged, got 'mean'"),
        ({"attention": "cross_asset", "causal": True}, 'takes no causal: modes "per_step" and "lagged" never'),
        ({"global_projections": True}, "global_projections exist for attention=\"window\" only, got 'dense'"),
        ({"attention": lambda q, k, v: v, "depth": 2}, "takes no depth; it takes no keywords"),
        ({"attention": lambda q, k, v, *, mask: v, "causal": True}, "takes no causal; it takes mask"),
    ],
)
def test_constructor_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(**{"d_model": 8, "num_heads": 2, **arguments})


@pytest.mark.parametrize(
    ("shape", "call", "message"),
    [
        ((5, 12), {}, r"x must be \(batch, length, d_model=12\), got \(5, 12\)"),
        ((2, 5, 8), {}, r"x must be \(batch, length, d_model=12\), got \(2, 5, 8\)"),
        ((2, 5, 12), {"key_padding_mask": torch.ones(2, 5)}, "boolean .* got torch.float32"),
        ((2, 5, 12), {"key_padding_mask": torch.ones(2, 4, dtype=torch.bool)}, r"\(2, 5\), got torch.bool \(2, 4\)"),
        ((2, 5, 12), {"global_mask": None}, "attention 'dense' takes no global_mask; it takes causal, mask, "),
    ],
)
def test_forward_errors(shape: tuple[int, ...], call: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        module()(torch.zeros(shape, dtype=torch.float64), **call)


def test_cross_asset_errors() -> None:
    made, x = module("cross_asset"), normal(2, 3, 4, 12)
    with pytest.raises(ValueError, match=r"x must be \(batch, assets, length, d_model=12\), got \(2, 4, 12\)"):
        made(x[:, 0])
    with pytest.raises(ValueError, match=r"takes asset_mask \(True = present\) in place of key_padding_mask"):
        made(x, key_padding_mask=torch.ones(2, 4, dtype=torch.bool))


def test_a_callable_must_keep_the_shape() -> None:
    with pytest.raises(ValueError, match=r"must return \(2, 3, 5, 4\) like value, got \(2, 3, 4, 4\)"):
        module(lambda query, key, value: value[:, :, :4])(normal(2, 5, 12))


def test_padding_needs_an_attention_that_takes_it() -> None:
    with pytest.raises(ValueError, match="takes no mask; it takes no keywords"):
        module(lambda query, key, value: value)(normal(2, 5, 12), key_padding_mask=torch.ones(2, 5, dtype=torch.bool))
