"""Dense attention, the oracle of the others: against torch's own, against a loop, at its edges."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention
from window_cases import normal

from alphabook.attention import dense_attention

FEW = settings(max_examples=40, deadline=None)
EXACT = 1e-12


def by_hand(query, key, value, may_attend, scale: float) -> torch.Tensor:
    """One query at a time, in Python floats."""
    output = torch.zeros(*query.shape[:3], value.shape[3], dtype=torch.float64)
    for b, h, i in ((b, h, i) for b in range(len(query)) for h in range(query.shape[1]) for i in range(query.shape[2])):
        seen = [j for j in range(key.shape[2]) if may_attend[b, h, i, j]]
        scores = [scale * float(query[b, h, i] @ key[b, h, j]) for j in seen]
        powers = [math.exp(s - max(scores)) for s in scores]
        for weight, j in zip(powers, seen, strict=True):
            output[b, h, i] += weight / sum(powers) * value[b, h, j]
    return output


@FEW
@given(
    batch=st.integers(1, 2),
    heads=st.integers(1, 3),
    len_q=st.integers(1, 7),
    len_k=st.integers(1, 7),
    causal=st.booleans(),
    axes=st.sampled_from(["bhqk", "hqk", "qk", "k", "b11k", "1hq1", None]),
    scale=st.sampled_from([None, 0.0, 0.7]),
    seed=st.integers(0, 1000),
)
def test_equals_one_query_at_a_time(batch, heads, len_q, len_k, causal, axes, scale, seed) -> None:
    query, key = normal(batch, heads, len_q, 3, seed=seed), normal(batch, heads, len_k, 3, seed=seed + 1)
    value = normal(batch, heads, len_k, 2, seed=seed + 2)
    mask, sizes = None, {"b": batch, "h": heads, "q": len_q, "k": len_k, "1": 1}
    may_attend = torch.ones(batch, heads, len_q, len_k, dtype=torch.bool)
    if axes is not None:
        mask = torch.rand([sizes[a] for a in axes], generator=torch.Generator().manual_seed(seed)) < 0.6
        may_attend = may_attend & mask
    if causal:
        last_rows_align = torch.arange(len_k) <= torch.arange(len_q)[:, None] + len_k - len_q
        may_attend = may_attend & last_rows_align
    output, weights = dense_attention(query, key, value, mask=mask, causal=causal, scale=scale, return_weights=True)
    expected = by_hand(query, key, value, may_attend, 3**-0.5 if scale is None else scale)
    torch.testing.assert_close(output, expected, rtol=0, atol=EXACT)
    torch.testing.assert_close(weights.sum(-1), may_attend.any(-1).double(), rtol=0, atol=EXACT)
    assert (weights[~may_attend] == 0).all()
    torch.testing.assert_close(weights @ value, output, rtol=0, atol=EXACT)


@pytest.mark.parametrize("causal", [False, True])
def test_equals_torch(causal: bool) -> None:
    query, key, value = (normal(2, 3, 50, 8, seed=i) for i in range(3))
    expected = scaled_dot_product_attention(query, key, value, is_causal=causal)
    torch.testing.assert_close(dense_attention(query, key, value, causal=causal), expected, rtol=0, atol=EXACT)


def test_new_queries_against_a_longer_past() -> None:
    query, key, value = (normal(1, 2, 20, 4, seed=i) for i in range(3))
    whole = dense_attention(query, key, value, causal=True)
    torch.testing.assert_close(dense_attention(query[:, :, 15:], key, value, causal=True), whole[:, :, 15:])


def test_more_queries_than_keys_leave_the_first_rows_empty() -> None:
    query, key, value = normal(1, 1, 5, 4, seed=0), normal(1, 1, 3, 4, seed=1), normal(1, 1, 3, 4, seed=2)
    output = dense_attention(query, key, value, causal=True)
    assert (output[0, 0, :2] == 0).all()
    torch.testing.assert_close(output[0, 0, 2], value[0, 0, 0])


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_a_row_that_sees_nothing_is_zero_and_has_no_gradient() -> None:
    inputs = tuple(normal(1, 2, 6, 4, seed=i).requires_grad_() for i in range(3))
    mask = torch.ones(6, 6, dtype=torch.bool)
    mask[2] = False
    with torch.autograd.detect_anomaly(check_nan=True):
        output, weights = dense_attention(*inputs, mask=mask, return_weights=True)
        grads = torch.autograd.grad(output.square().sum(), inputs)
    assert (output[:, :, 2] == 0).all()
    assert (weights[:, :, 2] == 0).all()
    assert all(g.isfinite().all() for g in grads)
    assert (grads[0][:, :, 2] == 0).all()


def test_no_keys_at_all() -> None:
    output = dense_attention(normal(2, 1, 3, 4, seed=0), *(normal(2, 1, 0, 4, seed=i) for i in (1, 2)))
    assert (output == torch.zeros(2, 1, 3, 4)).all()


@pytest.mark.parametrize("size", [1.0, 1e4, 1e30, 1e300])
def test_no_bit_of_the_past_moves_with_the_future(size: float) -> None:
    inputs = tuple(normal(2, 2, 40, 8, seed=i) for i in range(3))
    before = dense_attention(*inputs, causal=True)
    for x in inputs:
        x[:, :, 25:] = normal(2, 2, 15, 8, seed=9) * size
    assert torch.equal(before[:, :, :25], dense_attention(*inputs, causal=True)[:, :, :25])


@pytest.mark.parametrize(
    ("dtype", "relative"), [(torch.float32, 2e-6), (torch.float16, 2**-10), (torch.bfloat16, 2**-7)]
)
def test_precision_of_each_dtype(dtype: torch.dtype, relative: float) -> None:
    """Half precision rounds once, at the end, scores of 1e4 included."""
    inputs = tuple(normal(1, 2, 60, 8, seed=i, dtype=dtype) for i in range(3))
    output = dense_attention(*inputs, causal=True)
    assert output.dtype == dtype
    exact = dense_attention(*(x.double() for x in inputs), causal=True)
    torch.testing.assert_close(output.double(), exact, rtol=relative, atol=4e-6)
    assert dense_attention(inputs[0] * 1e2, inputs[1] * 1e2, inputs[2]).isfinite().all()


def test_gradients_of_both_orders() -> None:
    inputs = tuple(normal(1, 2, 5, 3, seed=i).requires_grad_() for i in range(3))
    mask = torch.rand(5, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    mask[1] = False
    assert torch.autograd.gradcheck(lambda *x: dense_attention(*x, mask=mask), inputs)
    assert torch.autograd.gradgradcheck(lambda *x: dense_attention(*x, mask=mask), inputs)
    assert torch.autograd.gradcheck(lambda *x: dense_attention(*x, causal=True, return_weights=True), inputs)


def test_memory_layouts_and_untouched_inputs() -> None:
    inputs = [normal(2, 10, 3, 4, seed=i).transpose(1, 2) for i in range(3)]
    copies = [x.clone() for x in inputs]
    mask = torch.ones(10, 10, dtype=torch.bool).tril()
    output = dense_attention(*inputs, mask=mask)
    torch.testing.assert_close(output, dense_attention(*copies, causal=True), rtol=0, atol=EXACT)
    assert all(torch.equal(x, y) for x, y in zip(inputs, copies, strict=True))
    assert torch.equal(mask, torch.ones(10, 10, dtype=torch.bool).tril())


def test_refusals_name_the_value_and_the_limit() -> None:
    x = normal(2, 3, 5, 4, seed=0)
    wrong = [
        ((x[0], x[0], x[0]), {}, r"4 axes .*\(3, 5, 4\)"),
        ((x, x[:, :2], x), {}, r"batch and heads .*\(2, 2, 5, 4\)"),
        ((x, x[..., :3], x), {}, r"head_dim .*\(2, 3, 5, 3\)"),
        ((x, x, x[:, :, :4]), {}, r"length .*\(2, 3, 4, 4\)"),
        ((x, x.float(), x), {}, "one floating-point dtype, got torch.float64, torch.float32"),
        ((x.long(), x.long(), x.long()), {}, "floating-point dtype, got torch.int64"),
        ((x, x, x), {"mask": torch.ones(5, 5)}, r"mask must be boolean.* got torch.float32.*mask > 0"),
        ((x, x, x), {"mask": torch.ones(4, 5) > 0}, r"mask of shape \(4, 5\) does not broadcast .*\(2, 3, 5, 5\)"),
        ((x, x, x), {"mask": torch.ones(1, 1, 1, 5, 5) > 0}, "does not broadcast"),
    ]
    for inputs, options, message in wrong:
        with pytest.raises(ValueError, match=message):
            dense_attention(*inputs, **options)
