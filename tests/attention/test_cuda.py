"""The four checks again on a GPU, and PyTorch's own fast attentions beside ours. Skipped where there is no GPU.

``ALPHABOOK_TEST_DEVICE=cpu`` runs them on the processor instead, to test the tests.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from alphabook.attention import (
    CrossAssetAttention,
    FavorAttention,
    MultiHeadAttention,
    dense_attention,
    draw_projection,
    favor_attention,
    sliding_window_attention,
)

DEVICE = torch.device(os.environ.get("ALPHABOOK_TEST_DEVICE", "cuda"))
NO_GPU = DEVICE.type == "cuda" and not torch.cuda.is_available()
pytestmark = pytest.mark.skipif(NO_GPU, reason="no GPU: torch.cuda.is_available() is False on this machine")

MODULES: dict[str, dict[str, Any]] = {
    "dense": {},
    "window": {"window": 5},
    "favor": {"num_features": 32},
    "cross_asset": {"mode": "lagged", "max_lag": 3},
}


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.to(device=DEVICE, dtype=dtype)


def inputs(length: int, *, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Tensor]:
    """Query, key and value: 2 sequences, 3 heads of width 16."""
    return [normal(2, 3, length, 16, seed=seed + k, dtype=dtype) for k in range(3)]


def real_positions(length: int) -> Tensor:
    real = torch.rand(2, length, generator=torch.Generator().manual_seed(8)) < 0.7
    real[:, 0] = True
    return real.to(DEVICE)


def union_mask(length: int, window: int, *, causal: bool, dilation: int, real: Tensor, is_global: Tensor) -> Tensor:
    position = torch.arange(length, device=DEVICE)
    apart = position[:, None] - position[None, :]
    seen = (apart.abs() <= window * dilation) & (apart % dilation == 0)
    seen = (seen | is_global[:, None, :] | is_global[:, :, None]) & real[:, None, :]
    return (seen & (apart >= 0) if causal else seen).unsqueeze(1)


def close(ours: Tensor, expected: Tensor, band: float) -> None:
    torch.testing.assert_close(ours.to(expected), expected, atol=band, rtol=0)


# --- oracle, with gradients ------------------------------------------------------------------------
@pytest.mark.parametrize("num_global", [0, 2])
@pytest.mark.parametrize(("causal", "dilation"), [(False, 1), (True, 1), (False, 3), (True, 2)])
@pytest.mark.parametrize(("length", "window"), [(1, 4), (7, 20), (130, 16), (200, 0), (513, 64)])
def test_window_equals_dense_masked(length: int, window: int, causal: bool, dilation: int, num_global: int) -> None:
    ours, theirs = ([x.requires_grad_() for x in inputs(length)] for _ in range(2))
    real = real_positions(length)
    is_global = (torch.arange(length, device=DEVICE) < num_global).expand(2, length) & real
    mask = union_mask(length, window, causal=causal, dilation=dilation, real=real, is_global=is_global)
    output = sliding_window_attention(
        *ours,
        window=window,
        causal=causal,
        dilation=dilation,
        key_padding_mask=real,
        global_mask=is_global if num_global else None,
    )
    expected = dense_attention(*theirs, mask=mask)
    assert output.device == expected.device == ours[0].device
    close(output, expected, 1e-10)
    weight_of_outputs = normal(2, 3, length, 16, seed=9)
    (output * weight_of_outputs).sum().backward()
    (expected * weight_of_outputs).sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        close(mine.grad, other.grad, 1e-10)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 33, 300])
def test_favor_equals_itself_on_the_processor(length: int, causal: bool) -> None:
    projection = draw_projection(48, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64, device=DEVICE)
    assert projection.device.type == DEVICE.type
    here = [x.requires_grad_() for x in inputs(length)]
    there = [x.detach().cpu().requires_grad_() for x in here]
    real = real_positions(length)
    output = favor_attention(*here, projection=projection, causal=causal, key_padding_mask=real)
    expected = favor_attention(*there, projection=projection.cpu(), causal=causal, key_padding_mask=real.cpu())
    close(output.cpu(), expected, 1e-10)
    output.square().sum().backward()
    expected.square().sum().backward()
    for mine, other in zip(here, there, strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        close(mine.grad.cpu(), other.grad, 1e-9)


def test_favor_comes_close_to_dense() -> None:
    query, key, value = inputs(50)
    query, key = query / 2, key / 2
    projection = draw_projection(
        4096, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64, device=DEVICE
    )
    expected = dense_attention(query, key, value)
    difference = favor_attention(query, key, value, projection=projection) - expected
    assert difference.norm() / expected.norm() < 0.1


def test_favor_redraws_on_the_device() -> None:
    attend = FavorAttention(num_features=8, head_dim=16, redraw_interval=1, seed=3).to(DEVICE)
    twin = FavorAttention(num_features=8, head_dim=16, redraw_interval=1, seed=3)
    query, key, value = inputs(5, dtype=torch.float32)
    for _ in range(3):
        output = attend(query, key, value)
        expected = twin(query.cpu(), key.cpu(), value.cpu())
    assert attend.projection.device.type == DEVICE.type
    close(output.cpu(), expected, 1e-5)


@pytest.mark.parametrize("mode", ["pooled", "per_step", "lagged"])
def test_cross_asset_equals_itself_on_the_processor(mode: Any) -> None:
    there = CrossAssetAttention(16, 4, mode, max_lag=3, generator=torch.Generator().manual_seed(0)).double()
    here = CrossAssetAttention(16, 4, mode, max_lag=3).double().to(DEVICE)
    here.load_state_dict(there.state_dict())
    present = (torch.rand(2, 5, 20, generator=torch.Generator().manual_seed(1)) < 0.7).to(DEVICE)
    x = normal(2, 5, 20, 16).masked_fill(~present.unsqueeze(-1), torch.nan)
    for mine, other in zip(here(x, present), there(x.cpu(), present.cpu()), strict=True):
        assert mine.device.type == DEVICE.type
        close(mine.cpu(), other, 1e-10)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", MODULES)
def test_modules_equal_themselves_on_the_processor(name: str, causal: bool) -> None:
    causal = causal and name != "cross_asset"
    there = MultiHeadAttention(32, 4, name, causal=causal, **MODULES[name]).double().eval()
    here = MultiHeadAttention(32, 4, name, causal=causal, **MODULES[name]).double().to(DEVICE).eval()
    here.load_state_dict(there.state_dict())
    shape = (2, 3, 40, 32) if name == "cross_asset" else (2, 40, 32)
    x_here = normal(*shape).requires_grad_()
    x_there = x_here.detach().cpu().requires_grad_()
    masks = {} if name == "cross_asset" else {"key_padding_mask": real_positions(40)}
    mine, other = here(x_here, **masks), there(x_there, **{key: mask.cpu() for key, mask in masks.items()})
    mine, other = (output[0] if isinstance(output, tuple) else output for output in (mine, other))
    close(mine.cpu(), other, 1e-10)
    mine.square().sum().backward()
    other.square().sum().backward()
    assert x_here.grad is not None
    assert x_there.grad is not None
    close(x_here.grad.cpu(), x_there.grad, 1e-9)


# --- future ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", MODULES)
def test_no_bit_moves_when_the_future_changes(name: str) -> None:
    made = MultiHeadAttention(32, 4, name, causal=name != "cross_asset", **MODULES[name]).to(DEVICE).eval()
    shape = (2, 3, 150, 32) if name == "cross_asset" else (2, 150, 32)
    x = normal(*shape, dtype=torch.float32)
    for t in (0, 60, 148):
        later = x.clone()
        later[..., t + 1 :, :] = 20.0 * normal(*shape, seed=1, dtype=torch.float32)[..., t + 1 :, :]
        before, after = made(x), made(later)
        if name == "cross_asset":
            before, after = before[0], after[0]
        assert torch.equal(after[..., : t + 1, :], before[..., : t + 1, :])


# --- edges -----------------------------------------------------------------------------------------
def attend(name: str, tensors: list[Tensor], projection: Tensor, causal: bool) -> Tensor:
    if name == "dense":
        return dense_attention(*tensors, causal=causal)
    if name == "window":
        return sliding_window_attention(*tensors, window=7, causal=causal)
    return favor_attention(*tensors, projection=projection, causal=causal)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", ["dense", "window", "favor"])
@pytest.mark.parametrize(("dtype", "band"), [(torch.float32, 1e-5), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
def test_precision_bands(name: str, dtype: torch.dtype, band: float, causal: bool) -> None:
    rounded = inputs(100, dtype=dtype)
    projection = draw_projection(32, 16, generator=torch.Generator().manual_seed(0), device=DEVICE).to(dtype)
    output = attend(name, rounded, projection, causal)
    expected = attend(name, [x.double() for x in rounded], projection.double(), causal)
    assert output.dtype == dtype
    assert (output.double() - expected).abs().max() < band * expected.abs().max()


@pytest.mark.parametrize("name", ["dense", "window", "favor"])
def test_nothing_to_see_gives_zeros(name: str) -> None:
    made = MultiHeadAttention(32, 4, name, **MODULES[name]).to(DEVICE)
    x = normal(2, 6, 32, dtype=torch.float32).requires_grad_()
    output = made(x, key_padding_mask=torch.zeros(2, 6, dtype=torch.bool, device=DEVICE))
    output.sum().backward()
    assert not output.any(), "the biases of a fresh module are zero, and so is what was attended"
    assert x.grad is not None
    assert not x.grad.any()


def test_strided_inputs() -> None:
    query, key, value = (x.permute(2, 0, 3, 1).contiguous().permute(1, 3, 0, 2) for x in inputs(90))
    assert not query.is_contiguous()
    straight = [x.contiguous() for x in (query, key, value)]
    strided = sliding_window_attention(query, key, value, window=9)
    close(strided, sliding_window_attention(*straight, window=9), 1e-12)


# --- beside PyTorch's own --------------------------------------------------------------------------
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("length", "window"), [(256, 32), (384, 128)])
def test_window_equals_scaled_dot_product_attention_with_a_band(length: int, window: int, causal: bool) -> None:
    query, key, value = inputs(length, dtype=torch.float32)
    everybody = torch.ones(2, length, dtype=torch.bool, device=DEVICE)
    mask = union_mask(length, window, causal=causal, dilation=1, real=everybody, is_global=~everybody)
    expected = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    close(sliding_window_attention(query, key, value, window=window, causal=causal), expected, 1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_dense_equals_scaled_dot_product_attention(causal: bool) -> None:
    query, key, value = inputs(300, dtype=torch.float32)
    expected = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
    close(dense_attention(query, key, value, causal=causal), expected, 1e-5)


@pytest.mark.filterwarnings("ignore:.*flex_attention called without torch.compile.*")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [16, 128])
def test_window_equals_flex_attention(window: int, causal: bool) -> None:
    length = 512
    query, key, value = inputs(length, dtype=torch.float32)

    def band(batch: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        near = (q - k <= window) & (k - q <= window)
        return near & (k <= q) if causal else near

    blocks = create_block_mask(band, None, None, length, length, device=DEVICE.type)
    attend = torch.compile(flex_attention) if DEVICE.type == "cuda" else flex_attention
    expected = attend(query, key, value, block_mask=blocks)
    # a compiled kernel may multiply in TF32, whose numbers carry ten bits
    close(sliding_window_attention(query, key, value, window=window, causal=causal), expected, 1e-2)


# --- scale -----------------------------------------------------------------------------------------
@pytest.mark.skipif(DEVICE.type != "cuda" or NO_GPU, reason="no GPU, whose allocator tells the peak of memory")
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", ["window", "favor"])
def test_memory_grows_linearly(name: str, backward: bool) -> None:
    projection = draw_projection(64, 16, generator=torch.Generator().manual_seed(0), device=DEVICE)
    peaks = []
    for length in (8_192, 65_536):
        query, key, value = (x.requires_grad_(backward) for x in inputs(length, dtype=torch.float32))
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        if name == "window":
            output = sliding_window_attention(query, key, value, window=64)
        else:
            output = favor_attention(query, key, value, projection=projection)
        if backward:
            output.sum().backward()
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert peaks[1] / peaks[0] < 8**1.1
