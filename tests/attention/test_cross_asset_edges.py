"""Attention across assets at its edges: missing assets, nothing to see, tiny inputs, half precision, errors."""

from __future__ import annotations

import pytest
import torch
from cross_asset_oracle import FEW, MODES, draw_present, module, normal, shapes
from hypothesis import given
from hypothesis import strategies as st

from alphabook.attention.cross_asset import CrossAssetAttention, Mode, cross_asset_attention


# --- missing assets --------------------------------------------------------------------------------
@FEW
@given(case=shapes, mode=st.sampled_from(MODES), filling=st.sampled_from([float("nan"), float("inf"), 1e300]))
def test_what_a_missing_asset_holds_reaches_nothing(case: dict, mode: Mode, filling: float) -> None:
    attend = module(mode, max_lag=case["max_lag"], include_self=case["include_self"])
    x = normal(case["batch"], case["assets"], case["length"], 12, seed=case["seed"])
    present = draw_present(case)
    results = []
    for held in (0.0, filling):
        attend.zero_grad()
        source = x.masked_fill(~present.unsqueeze(-1), held).requires_grad_()
        output, weights = attend(source, present)
        (output.square().sum() + weights.square().sum()).backward()
        results.append([output, weights, source.grad, *(p.grad for p in attend.parameters() if p.grad is not None)])
    for clean, filled in zip(*results, strict=True):
        assert torch.equal(clean, filled)
        assert filled.isfinite().all()
    output, weights, gradient = results[0][:3]
    assert not output[~present].any(), "a missing asset's output is zero, the bias included"
    assert not gradient[~present].any()
    gone = ~present.any(dim=-1)
    by_asset = weights if mode != "lagged" else weights.sum(2)
    assert not by_asset.transpose(1, 2)[gone].any(), "it watches nobody"
    assert not by_asset.permute(0, 3, 1, 2)[gone].any(), "nobody watches it"


@pytest.mark.parametrize("mode", MODES)
def test_without_a_missing_asset_the_others_answer_as_if_it_did_not_exist(mode: Mode) -> None:
    attend = module(mode, max_lag=3)
    x = normal(2, 4, 6, 12)
    present = torch.tensor([True, False, True, True]).expand(2, 4)
    output, weights = attend(x, present)
    kept = [0, 2, 3]
    expected, expected_weights = attend(x[:, kept])
    torch.testing.assert_close(output[:, kept], expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(weights[..., kept, :][..., kept], expected_weights, atol=1e-12, rtol=0)
    with_steps, _ = attend(x, present.unsqueeze(-1).expand(2, 4, 6))
    assert torch.equal(with_steps, output)


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize("mode", MODES)
def test_nothing_to_see_gives_zeros(mode: Mode) -> None:
    alone = module(mode, include_self=False)
    x = normal(2, 1, 5, 12).requires_grad_()
    with torch.autograd.detect_anomaly(check_nan=True):  # no NaN on the way either, which a reader would chase
        output, weights = alone(x)
        output.sum().backward()
    assert not output.any()
    assert not weights.any()
    assert x.grad is not None
    assert not x.grad.any()
    missing, weights = module(mode)(x, torch.zeros(2, 1, dtype=torch.bool))
    assert not missing.any()
    assert not weights.any()


def test_lagged_without_itself_starts_with_zeros() -> None:
    output, _ = module("lagged", include_self=False)(normal(1, 3, 4, 12))
    assert not output[:, :, 0].any()
    assert (output[:, :, 1:] != 0).all()


# --- weights ---------------------------------------------------------------------------------------
@FEW
@given(case=shapes, mode=st.sampled_from(MODES))
def test_rows_of_weights_sum_to_one_or_to_zero(case: dict, mode: Mode) -> None:
    attend = module(mode, max_lag=case["max_lag"], include_self=case["include_self"])
    x = normal(case["batch"], case["assets"], case["length"], 12, seed=case["seed"])
    output, weights = attend(x, draw_present(case))
    rows = weights.sum(-1) if mode != "lagged" else weights.sum((2, -1))
    saw = output.abs().sum((2, 3)) > 0
    torch.testing.assert_close(rows, saw[:, None].expand_as(rows).double(), atol=1e-12, rtol=0)


def test_lag_axis_starts_at_the_asset_itself() -> None:
    attend = module("lagged", max_lag=3)
    weights = attend(normal(2, 4, 6, 12))[1]
    assert weights.shape == (2, 3, 4, 4, 4)
    off_diagonal = ~torch.eye(4, dtype=torch.bool)
    assert not weights[:, :, 0, off_diagonal].any(), "lag 0 is the asset itself"
    assert not weights[:, :, 1:, ~off_diagonal].any(), "its own past is not attended to"
    assert (weights[:, :, 1:, off_diagonal] > 0).all()
    assert attend(normal(2, 4, 6, 12), return_per_step=True)[1].shape == (2, 3, 6, 4, 4, 4)


# --- tiny, long, strided ---------------------------------------------------------------------------
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("assets", "length", "heads"), [(1, 1, 1), (1, 6, 3), (4, 1, 3), (4, 6, 1), (3, 2, 12)])
def test_small_shapes(mode: Mode, assets: int, length: int, heads: int) -> None:
    attend = module(mode, num_heads=heads, max_lag=9)  # the longest lag reaches before the window
    x = normal(2, assets, length, 12)
    output, weights = attend(x)
    assert output.shape == x.shape
    assert weights.shape == ((2, heads, 10, assets, assets) if mode == "lagged" else (2, heads, assets, assets))
    if assets == 1:  # one asset sees itself only: its own value, or the mean of it
        seen = x.mean(2, keepdim=True).expand_as(x) if mode == "pooled" else x
        expected = attend.output_projection(attend.value_projection(seen))
        torch.testing.assert_close(output, expected, atol=1e-12, rtol=0)


def test_lags_beyond_the_window_change_nothing() -> None:
    query, key, value = (normal(1, 2, 3, 5, 4, seed=k) for k in range(3))
    enough, weights, _ = cross_asset_attention(query, key, value, mode="lagged", max_lag=4)
    more, more_weights, _ = cross_asset_attention(query, key, value, mode="lagged", max_lag=30)
    torch.testing.assert_close(more, enough, atol=1e-12, rtol=0)
    torch.testing.assert_close(more_weights[:, :, :5], weights, atol=1e-12, rtol=0)
    assert not more_weights[:, :, 5:].any()


@pytest.mark.parametrize("mode", MODES)
def test_strided_inputs(mode: Mode) -> None:
    attend = module(mode)
    x = normal(12, 5, 2, 4).permute(2, 3, 1, 0)  # (batch, assets, length, d_model), no axis in its place
    assert not x.is_contiguous()
    torch.testing.assert_close(attend(x)[0], attend(x.contiguous())[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("dtype", "band"), [(torch.float32, 1e-5), (torch.float16, 5e-3), (torch.bfloat16, 4e-2)])
def test_precision_bands(mode: Mode, dtype: torch.dtype, band: float) -> None:
    exact = CrossAssetAttention(32, 4, mode, max_lag=4, generator=torch.Generator().manual_seed(0)).double()
    x = normal(2, 5, 40, 32)
    rounded = CrossAssetAttention(32, 4, mode, max_lag=4)
    rounded.load_state_dict(exact.state_dict())
    output, weights = rounded.to(dtype)(x.to(dtype))
    assert output.dtype == weights.dtype == dtype
    expected, maps = exact(x)
    assert (output.double() - expected).abs().max() < band * expected.abs().max()
    assert (weights.double() - maps).abs().max() < band


def test_pooling_a_long_window_in_float16_does_not_overflow() -> None:
    x = torch.full((1, 1, 1, 3000, 4), 40.0, dtype=torch.float16)  # the sum is 120,000; float16 ends at 65,504
    output, _, _ = cross_asset_attention(x, x, x, mode="pooled")
    assert torch.equal(output, x)


# --- gradients -------------------------------------------------------------------------------------
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_first_and_second_derivatives(mode: Mode, masked: bool) -> None:
    attend = module(mode, d_model=4, num_heads=2, max_lag=2)
    x = normal(1, 3, 4, 4).requires_grad_()
    present = torch.ones(1, 3, 4, dtype=torch.bool)
    if masked:
        present[:, 0, 1:3] = False
        present[:, 2] = False

    def outputs(x):
        return attend(x, present)

    assert torch.autograd.gradcheck(outputs, (x,), atol=1e-7)
    assert torch.autograd.gradgradcheck(outputs, (x,), atol=1e-7)


def test_every_parameter_learns() -> None:
    attend = module("lagged", max_lag=2)
    attend(normal(2, 3, 6, 12))[0].square().sum().backward()
    for name, parameter in attend.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any() or name == "key_projection.bias", name


@pytest.mark.parametrize("mode", MODES)
def test_dropout_in_training_only(mode: Mode) -> None:
    attend = module(mode, dropout=0.5)
    x = normal(1, 3, 40, 12)
    share = (attend(x)[0] == 0).double().mean()
    assert 0.4 < share < 0.6
    assert (attend.eval()(x)[0] != 0).all()


# --- errors ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d_model": 10, "num_heads": 4}, "multiple of num_heads, got d_model=10, num_heads=4"),
        ({"d_model": 8, "num_heads": 0}, "multiple of num_heads, got d_model=8, num_heads=0"),
        ({"mode": "mean"}, "mode must be one of pooled, per_step, lagged, got 'mean'"),
        ({"mode": "lagged", "max_lag": 0}, "max_lag counts steps back and must be >= 1, got 0"),
        ({"dropout": 1.0}, r"dropout is a share in \[0, 1\), got 1.0"),
    ],
)
def test_constructor_errors(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrossAssetAttention(**{"d_model": 8, "num_heads": 2, **arguments})


@pytest.mark.parametrize(
    ("shape", "mask", "message"),
    [
        ((3, 5, 12), None, r"x must be \(batch, assets, length, d_model=12\), got \(3, 5, 12\)"),
        ((2, 3, 5, 8), None, r"x must be \(batch, assets, length, d_model=12\), got \(2, 3, 5, 8\)"),
        ((2, 3, 5, 12), torch.ones(2, 3), "asset_mask must be boolean .*, got torch.float32"),
        ((2, 3, 5, 12), torch.ones(2, 5, dtype=torch.bool), r"\(2, 3\) or with length=5 as third axis, got \(2, 5\)"),
        ((2, 3, 5, 12), torch.ones(2, 3, 4, dtype=torch.bool), r"length=5 as third axis, got \(2, 3, 4\)"),
    ],
)
def test_forward_errors(shape: tuple[int, ...], mask: torch.Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        module("per_step")(torch.zeros(shape, dtype=torch.float64), mask)


def test_pooled_has_no_map_per_step() -> None:
    with pytest.raises(ValueError, match="one map for the whole window; return_per_step needs"):
        module("pooled")(normal(1, 2, 3, 12), return_per_step=True)


def test_function_errors() -> None:
    x = torch.zeros(1, 2, 3, 4, 5)
    with pytest.raises(ValueError, match=r"share one shape .*\(1, 2, 3, 4, 5\), \(1, 2, 3, 3, 5\)"):
        cross_asset_attention(x, x[:, :, :, :3], x)
    with pytest.raises(ValueError, match=r"lag_embedding must be \(heads, max_lag \+ 1, head_dim\)=\(2, 3, 5\), got"):
        cross_asset_attention(x, x, x, mode="lagged", max_lag=2, lag_embedding=torch.zeros(2, 2, 5))
