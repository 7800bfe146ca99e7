"""FAVOR+ equals the quadratic form it estimates, whatever the shape, the mask, the memory layout, the type."""

from __future__ import annotations

import pytest
import torch
from favor_support import draw, quadratic_form
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabook.attention import _favor_bidirectional, _favor_causal, dense_attention, draw_projection, favor_attention

MODES = pytest.mark.parametrize("causal", [False, True], ids=["bidirectional", "causal"])


def projection(num_features: int, head_dim: int, seed: int = 0, **options: object) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return draw_projection(num_features, head_dim, generator=generator, dtype=torch.float64, **options)


@st.composite
def cases(draw_from: st.DrawFn) -> dict:
    integers = lambda low, high: draw_from(st.integers(low, high))  # noqa: E731
    batch, heads, length, head_dim = integers(1, 2), integers(1, 3), integers(1, 80), integers(1, 9)
    seed = integers(0, 10_000)
    causal = draw_from(st.booleans())
    keys = length if causal else integers(1, 80)
    spread = draw_from(st.sampled_from([0.1, 1.0, 3.0]))
    masked = draw_from(st.sampled_from([None, 0.0, 0.3, 0.9]))
    return {
        "query": draw(seed, batch, heads, length, head_dim) * spread,
        "key": draw(seed + 1, batch, heads, keys, head_dim) * spread,
        "value": draw(seed + 2, batch, heads, keys, head_dim),
        "rows": projection(integers(1, 20), head_dim, seed=seed, orthogonal=draw_from(st.booleans())),
        "causal": causal,
        "real": None if masked is None else draw(seed + 3, batch, keys).sigmoid() > masked,
    }


@pytest.fixture(params=[2**6, 2**9, 2**18], ids=["rows", "chunks", "whole"])
def working_set(request, monkeypatch):
    """Chunks of the smallest size, a few per sequence, and one for everything."""
    for module in (_favor_bidirectional, _favor_causal):
        monkeypatch.setattr(module, "WORKING_SET", request.param)


@pytest.mark.usefixtures("working_set")
@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_equals_the_masked_quadratic_form_and_its_gradients(case):
    inputs = [case[name].requires_grad_() for name in ("query", "key", "value")]
    ours = favor_attention(*inputs, projection=case["rows"], causal=case["causal"], key_padding_mask=case["real"])
    oracle = quadratic_form(*inputs, case["rows"], case["causal"], case["real"])
    torch.testing.assert_close(ours, oracle, rtol=1e-10, atol=1e-10)
    upstream = draw(7, *ours.shape)
    grads = (torch.autograd.grad(out, inputs, upstream) for out in (ours, oracle))
    for got, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)


@MODES
@pytest.mark.parametrize("masked", [False, True])
def test_first_and_second_derivatives(causal, masked):
    inputs = [draw(seed, 2, 2, 37, 3).requires_grad_() for seed in range(3)]
    real = (draw(5, 2, 37) > -0.5) if masked else None
    rows = projection(5, 3)

    def attend(*x):
        return favor_attention(*x, projection=rows, causal=causal, key_padding_mask=real)

    small = [x[:1, :1, :9].detach().requires_grad_() for x in inputs]
    few = None if real is None else real[:1, :9]
    assert torch.autograd.gradcheck(attend, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(
        lambda *x: favor_attention(*x, projection=rows, causal=causal, key_padding_mask=few), small
    )


@MODES
def test_one_tensor_as_query_and_key(causal):
    x = draw(1, 1, 2, 20, 4).requires_grad_()
    rows = projection(8, 4)
    value = draw(2, 1, 2, 20, 4)
    ours = favor_attention(x, x, value, projection=rows, causal=causal)
    for create_graph in (False, True):
        got = torch.autograd.grad(ours.square().sum(), x, create_graph=create_graph, retain_graph=True)[0]
        oracle = quadratic_form(x, x, value, rows, causal)
        torch.testing.assert_close(got, torch.autograd.grad(oracle.square().sum(), x)[0])


@MODES
def test_only_some_inputs_need_gradients(causal):
    query, key, value = (draw(seed, 1, 1, 12, 4) for seed in range(3))
    value.requires_grad_()
    out = favor_attention(query, key, value, projection=projection(8, 4), causal=causal)
    (first,) = torch.autograd.grad(out.sum(), value, create_graph=True)
    (plain,) = torch.autograd.grad(
        favor_attention(query, key, value, projection=projection(8, 4), causal=causal).sum(), value
    )
    torch.testing.assert_close(first, plain)


def test_a_projection_can_be_trained():
    rows = projection(8, 4).requires_grad_()
    inputs = [draw(seed, 1, 1, 12, 4) for seed in range(3)]
    assert torch.autograd.gradcheck(lambda p: favor_attention(*inputs, projection=p, causal=True), rows)


@MODES
@pytest.mark.parametrize(("num_features", "head_dim"), [(1, 1), (7, 1), (3, 8), (12, 8), (130, 64)])
def test_any_number_of_features(causal, num_features, head_dim):
    inputs = [draw(seed, 1, 2, 45, head_dim) for seed in range(3)]
    rows = projection(num_features, head_dim)
    ours = favor_attention(*inputs, projection=rows, causal=causal)
    torch.testing.assert_close(ours, quadratic_form(*inputs, rows, causal), rtol=1e-10, atol=1e-10)


@MODES
def test_length_one_returns_the_value(causal):
    query, key, value = (draw(seed, 2, 3, 1, 5) for seed in range(3))
    torch.testing.assert_close(favor_attention(query, key, value, projection=projection(6, 5), causal=causal), value)


@MODES
def test_empty_inputs(causal):
    nothing = torch.zeros(2, 3, 0, 4)
    assert favor_attention(nothing, nothing, nothing, projection=projection(6, 4), causal=causal).shape == nothing.shape


def test_queries_without_keys_return_zeros():
    query, nothing = draw(0, 1, 2, 5, 4), draw(0, 1, 2, 0, 4)
    assert not favor_attention(query, nothing, nothing, projection=projection(6, 4)).any()


@MODES
def test_memory_layout_does_not_matter(causal):
    """As a module hands them over: (batch, length, heads, head_dim) transposed; strided slices; broadcast keys."""
    rows = projection(12, 4)
    query, value = (draw(seed, 2, 50, 3, 4).transpose(1, 2) for seed in range(2))
    key = draw(5, 2, 3, 50, 8)[..., ::2]
    shared = value[:, :1].expand(-1, 3, -1, -1)
    for strided in ((query, key, value), (query, key, shared)):
        leaves = [x.detach().requires_grad_() for x in strided]
        packed = [x.detach().contiguous().requires_grad_() for x in strided]
        outs = [favor_attention(*x, projection=rows, causal=causal) for x in (leaves, packed)]
        torch.testing.assert_close(*outs, rtol=1e-12, atol=1e-12)
        grads = [torch.autograd.grad(out.sin().sum(), x) for out, x in zip(outs, (leaves, packed), strict=True)]
        for got, wanted in zip(*grads, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        assert torch.equal(favor_attention(query, key, value, projection=rows, causal=causal).contiguous(),
                           favor_attention(query, key, value, projection=rows, causal=causal))  # fmt: skip


@MODES
@pytest.mark.parametrize(("dtype", "band"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11), (torch.float32, 1e-5)])
def test_lower_precision_within_its_band(causal, dtype, band):
    """Computed in float32: what is lost is the rounding of inputs and output, a part in 2**8 and 2**11."""
    inputs = [draw(seed, 2, 3, 70, 16).to(dtype) for seed in range(3)]
    rows = projection(64, 16)
    ours = favor_attention(*inputs, projection=rows.float(), causal=causal)
    assert ours.dtype == dtype
    exact = quadratic_form(*(x.double() for x in inputs), rows, causal)
    assert (ours.double() - exact).abs().max() <= band * inputs[2].abs().max()


@MODES
def test_autocast_leaves_the_computation_in_float32(causal):
    inputs = [draw(seed, 1, 2, 40, 8, dtype=torch.float32).requires_grad_() for seed in range(3)]
    rows = projection(16, 8).float()
    plain = favor_attention(*inputs, projection=rows, causal=causal)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = favor_attention(*inputs, projection=rows, causal=causal)
    assert torch.equal(plain, cast)
    cast.sum().backward()


@MODES
def test_padding_is_as_if_the_keys_were_not_there(causal):
    query, key, value = (draw(seed, 2, 3, 60, 4) for seed in range(3))
    real = draw(9, 2, 60) > 0
    real[:, 40:] = False
    rows = projection(9, 4)
    ours = favor_attention(query, key, value, projection=rows, causal=causal, key_padding_mask=real)
    for item in range(2):
        kept = real[item]
        left = favor_attention(
            *(x[item : item + 1, :, kept] for x in (query, key, value)), projection=rows, causal=causal
        )
        torch.testing.assert_close(ours[item : item + 1, :, kept], left)
    for rubbish in (torch.nan, torch.inf, 1e30):
        filled = [x.masked_fill(~real[:, None, :, None], rubbish) for x in (key, value)]
        again = favor_attention(query, *filled, projection=rows, causal=causal, key_padding_mask=real)
        assert torch.equal(ours, again)


@MODES
def test_rows_that_see_no_key_are_zero_with_zero_gradients(causal):
    inputs = [draw(seed, 2, 2, 40, 4).requires_grad_() for seed in range(3)]
    real = torch.ones(2, 40, dtype=torch.bool)
    real[0] = False
    real[1, :25] = False
    out = favor_attention(*inputs, projection=projection(9, 4), causal=causal, key_padding_mask=real)
    assert not out[0].any()
    assert out[1, :, 25:].ne(0).all()
    assert bool(out[1, :, :25].any()) is not causal
    grads = torch.autograd.grad(out.square().sum(), inputs)
    assert all(not grad[0].any() and grad.isfinite().all() for grad in grads)
    if causal:
        assert all(not grad[1, :, :25].any() for grad in grads)


@MODES
def test_the_same_call_gives_the_same_bytes(causal):
    inputs = [draw(seed, 1, 2, 300, 8, dtype=torch.float32) for seed in range(3)]
    rows = projection(16, 8).float()
    assert torch.equal(*(favor_attention(*inputs, projection=rows, causal=causal) for _ in range(2)))


@MODES
def test_many_features_come_close_to_dense_attention(causal):
    inputs = [draw(seed, 1, 2, 40, 8) * 0.5 for seed in range(3)]
    ours = favor_attention(*inputs, projection=projection(40_000, 8), causal=causal)
    assert (ours - dense_attention(*inputs, causal=causal)).abs().max() < 0.02


@MODES
def test_memory_grows_with_the_length(causal):
    """Saved for backward and used on the way: four times the length, four times the bytes."""

    def peak(length: int) -> int:
        inputs = [torch.zeros(1, 2, length, 16, requires_grad=True) for _ in range(3)]
        rows = projection(32, 16).float()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as record:
            favor_attention(*inputs, projection=rows, causal=causal).sum().backward()
        held = most = 0
        events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
        for event in sorted(events, key=lambda e: e.start_ns()):
            held += event.nbytes()
            most = max(most, held)
        return most

    assert peak(32_768) <= 4.4 * peak(8_192)


def call(**changes):
    given_ = {name: torch.zeros(2, 3, 5, 4) for name in ("query", "key", "value")}
    given_ |= {"projection": torch.zeros(6, 4), **changes}
    return favor_attention(given_.pop("query"), given_.pop("key"), given_.pop("value"), **given_)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": torch.zeros(3, 5, 4)}, r"must be \(batch, heads, length, head_dim\).*query \(3, 5, 4\)"),
        ({"value": torch.zeros(2, 3, 6, 4)}, r"value shaped as key, got .*value \(2, 3, 6, 4\)"),
        ({"query": torch.zeros(2, 2, 5, 4)}, r"agree in batch, heads and head_dim, got query \(2, 2, 5, 4\)"),
        ({"query": torch.zeros(2, 3, 6, 4), "causal": True}, "causal=True needs as many queries as keys, got 6 and 5"),
        ({"query": torch.zeros(2, 3, 5, 4).double()}, r"share one floating-point type, got torch.float64"),
        (
            {n: torch.zeros(2, 3, 5, 4).long() for n in ("query", "key", "value")},
            "floating-point type, got torch.int64",
        ),
        ({"projection": torch.zeros(6, 5)}, r"projection must be \(features, head_dim=4\), got \(6, 5\); draw it"),
        ({"projection": torch.zeros(0, 4)}, r"projection must be \(features, head_dim=4\), got \(0, 4\); draw it"),
        ({"projection": torch.zeros(6, 4, device="meta")}, r"must be on one device, got \['cpu', 'meta'\]"),
        ({"key_padding_mask": torch.ones(2, 5)}, r"must be boolean \(True = real key\), got torch.float32"),
        ({"key_padding_mask": torch.ones(2, 4, dtype=torch.bool)}, r"\(batch, keys\) = \(2, 5\), got \(2, 4\)"),
        ({"key_padding_mask": torch.ones(2, 5, dtype=torch.bool, device="meta")}, r"must be on one device"),
    ],
)
def test_errors_name_the_value_and_the_limit(changes, message):
    with pytest.raises(ValueError, match=message):
        call(**changes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@MODES
def test_on_a_gpu(causal):
    inputs = [draw(seed, 2, 3, 200, 16, dtype=torch.float32) for seed in range(3)]
    rows = projection(64, 16).float()
    real = draw(5, 2, 200) > -1
    on_gpu = [x.cuda().requires_grad_() for x in inputs]
    ours = favor_attention(*on_gpu, projection=rows.cuda(), causal=causal, key_padding_mask=real.cuda())
    leaves = [x.requires_grad_() for x in inputs]
    here = favor_attention(*leaves, projection=rows, causal=causal, key_padding_mask=real)
    torch.testing.assert_close(ours.cpu(), here, rtol=1e-3, atol=1e-3)
    for got, wanted in zip(
        torch.autograd.grad(ours.sum(), on_gpu), torch.autograd.grad(here.sum(), leaves), strict=True
    ):
        torch.testing.assert_close(got.cpu(), wanted, rtol=1e-2, atol=1e-2)
