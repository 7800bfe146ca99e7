"""FAVOR+ in range: norms up to 100 in float32, and not one bit of an output from what comes later."""

from __future__ import annotations

import pytest
import torch
from favor_support import draw, of_norm, quadratic_form
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabook.attention import _favor_causal, draw_projection, favor_attention

MODES = pytest.mark.parametrize("causal", [False, True], ids=["bidirectional", "causal"])
NORMS = [0.0, 1e-3, 1.0, 5.0, 10.0, 20.0, 40.0, 100.0]


def projection(num_features: int, head_dim: int, scaling: str = "chi") -> torch.Tensor:
    generator = torch.Generator().manual_seed(11)
    return draw_projection(num_features, head_dim, generator=generator, scaling=scaling)


@st.composite
def cases(draw_from: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries and keys of any norm up to 100, each row its own, aligned with features, opposed or at random."""
    seed = draw_from(st.integers(0, 10_000))
    length, head_dim = draw_from(st.integers(1, 90)), draw_from(st.sampled_from([1, 4, 16, 32, 128]))
    rows = projection(draw_from(st.sampled_from([1, 8, 32])), head_dim)
    directions = [draw(seed, 1, 2, length, head_dim), draw(seed + 1, 1, 2, length, head_dim)]
    match draw_from(st.sampled_from(["random", "opposed", "with features", "one key"])):
        case "opposed":
            directions[1] = -directions[0]
        case "with features":
            directions[1] = rows[torch.arange(length) % len(rows)].expand(1, 2, -1, -1).double()
        case "one key":
            directions[1] = directions[1][:, :, :1].expand(-1, -1, length, -1)
    sizes = [torch.tensor(draw_from(st.lists(st.sampled_from(NORMS), min_size=1, max_size=3))) for _ in range(2)]
    query, key = (of_norm(x, s.repeat(length)[:length, None]).float() for x, s in zip(directions, sizes, strict=True))
    return query, key, draw(seed + 2, 1, 2, length, head_dim, dtype=torch.float32), rows


def running_extremes(value: torch.Tensor, causal: bool) -> tuple[torch.Tensor, torch.Tensor]:
    if causal:
        return value.cummin(dim=2).values, value.cummax(dim=2).values
    return value.amin(dim=2, keepdim=True), value.amax(dim=2, keepdim=True)


@MODES
@settings(max_examples=80, deadline=None)
@given(case=cases())
def test_outputs_are_weighted_means_of_the_values(causal, case):
    """In every coordinate between the least and the greatest value seen, and in every other direction."""
    query, key, value, rows = case
    out = favor_attention(query, key, value, projection=rows, causal=causal)
    turn = draw(3, value.shape[-1], value.shape[-1], dtype=torch.float32)
    for ours, seen in ((out, value), (out @ turn, value @ turn)):
        least, greatest = running_extremes(seen, causal)
        slack = 2e-5 * seen.abs().max()
        assert ((ours >= least - slack) & (ours <= greatest + slack)).all()
    constant = favor_attention(query, key, torch.full_like(value, 3.7), projection=rows, causal=causal)
    torch.testing.assert_close(constant, torch.full_like(value, 3.7), rtol=1e-5, atol=0)


@MODES
@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_gradients_are_finite(causal, case):
    *inputs, rows = case
    inputs = [x.clone().requires_grad_() for x in inputs]
    favor_attention(*inputs, projection=rows, causal=causal).square().sum().backward()
    assert all(x.grad.isfinite().all() for x in inputs)


@MODES
@pytest.mark.parametrize("scaling", ["chi", "sqrt_d"])
@pytest.mark.parametrize("norm", [1.0, 10.0, 30.0, 100.0])
def test_close_to_the_quadratic_form_at_every_norm(causal, norm, scaling):
    """float32 against the definition in float64. At norm 100 logarithms reach 1,700: their last bit is 1e-4."""
    query, key = (of_norm(draw(seed, 1, 2, 150, 32), norm).float() for seed in range(2))
    value, rows = draw(2, 1, 2, 150, 32, dtype=torch.float32), projection(64, 32, scaling)
    ours = favor_attention(query, key, value, projection=rows, causal=causal)
    exact = quadratic_form(*(x.double() for x in (query, key, value, rows)), causal)
    assert (ours - exact).abs().max() < 2e-6 * max(10.0, norm) ** 1.5


@MODES
def test_gradients_at_norms_where_features_vanish(causal):
    """Where the fast causal form hands rows over, the gradient is still that of the definition."""
    query, key = (of_norm(draw(seed, 1, 2, 70, 16), 40.0) for seed in range(2))
    key[:, :, ::3] *= 0.05
    inputs = [x.requires_grad_() for x in (query, key, draw(2, 1, 2, 70, 16))]
    rows, upstream = projection(32, 16).double(), draw(4, 1, 2, 70, 16)
    ours = favor_attention(*inputs, projection=rows, causal=causal)
    exact = quadratic_form(*inputs, rows, causal)
    torch.testing.assert_close(ours, exact, rtol=1e-9, atol=1e-9)
    grads = (torch.autograd.grad(out, inputs, upstream) for out in (ours, exact))
    for got, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-8)


def test_a_feature_that_overflows_is_handed_over():
    """Keys along a long direction: exp(w @ k') passes float32, and nothing that came before may notice."""
    rows = projection(128, 256)
    query, value = (draw(seed, 1, 1, 80, 256, dtype=torch.float32) for seed in range(2))
    key = draw(3, 1, 1, 80, 256, dtype=torch.float32)
    before = favor_attention(query, key, value, projection=rows, causal=True)
    key[:, :, 50] = rows[rows.norm(dim=1).argmax()] * 256**0.25
    inputs = [x.requires_grad_() for x in (query, key, value)]
    ours = favor_attention(*inputs, projection=rows, causal=True)
    assert torch.equal(ours[:, :, :50], before[:, :, :50])
    doubled = [x.detach().double().requires_grad_() for x in inputs]
    exact = quadratic_form(*doubled, rows.double(), causal=True)
    assert (ours - exact).abs().max() < 1e-3
    for got, wanted in zip(
        torch.autograd.grad(ours.sum(), inputs), torch.autograd.grad(exact.sum(), doubled), strict=True
    ):
        assert (got - wanted).abs().max() < 1e-3 * (1 + wanted.abs().max())


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    length=st.integers(2, 150),
    part=st.floats(0, 1),
    before=st.sampled_from([0.1, 5.0, 20.0, 100.0]),
    after=st.sampled_from([0.0, 1.0, 20.0, 100.0]),
    value_size=st.sampled_from([1.0, 1e4]),
    masked=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_what_comes_later_does_not_move_a_bit(seed, length, part, before, after, value_size, masked, dtype):
    now = min(int(part * length), length - 2)
    rows = projection(16, 8).to(dtype)
    inputs = [of_norm(draw(seed + i, 1, 2, length, 8), before).to(dtype) for i in range(3)]
    changed = [x.clone() for x in inputs]
    for i, x in enumerate(changed):
        later = of_norm(draw(seed + 10 + i, 1, 2, length, 8), value_size if i == 2 else after)
        x[:, :, now + 1 :] = later[:, :, now + 1 :].to(dtype)
    masks = [None, None]
    if masked:
        masks = [draw(seed + 5, 1, length) > 0 for _ in range(2)]
        masks[1][:, now + 1 :] = ~masks[1][:, now + 1 :]
    outs = [
        favor_attention(*x, projection=rows, causal=True, key_padding_mask=mask)[:, :, : now + 1]
        for x, mask in zip((inputs, changed), masks, strict=True)
    ]
    assert torch.equal(*outs)


@pytest.mark.parametrize("chunk", [2**7, 2**13, 2**18])
@pytest.mark.parametrize("after", [1.0, 100.0])
def test_the_future_over_many_chunks(chunk, after, monkeypatch):
    """Every block border and the rows around it; the later keys along the features, where their mass is greatest."""
    monkeypatch.setattr(_favor_causal, "WORKING_SET", chunk)
    rows = projection(16, 8)
    inputs = [draw(seed, 1, 2, 200, 8, dtype=torch.float32) for seed in range(3)]
    whole = favor_attention(*inputs, projection=rows, causal=True)
    for now in (0, 1, 15, 16, 31, 32, 33, 63, 64, 100, 127, 128, 198):
        changed = [x.clone() for x in inputs]
        for x in changed:
            x[:, :, now + 1 :] = of_norm(rows[torch.arange(199 - now) % 16], after)
        again = favor_attention(*changed, projection=rows, causal=True)
        assert torch.equal(whole[:, :, : now + 1], again[:, :, : now + 1])
        assert not torch.equal(whole[:, :, now + 1 :], again[:, :, now + 1 :])


def test_no_gradient_reaches_the_future():
    inputs = [draw(seed, 1, 2, 90, 8).requires_grad_() for seed in range(3)]
    out = favor_attention(*inputs, projection=projection(16, 8).double(), causal=True)
    for grad in torch.autograd.grad(out[:, :, :41].square().sum(), inputs):
        assert not grad[:, :, 41:].any()
        assert grad[:, :, :41].any()
