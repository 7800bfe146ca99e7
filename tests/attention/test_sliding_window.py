"""Sliding-window attention equals dense attention under the equivalent mask: values, gradients, edges, future."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from window_cases import Case, by_dense, cases, equivalent_mask, gradients, normal

from alphabook.attention import dense_attention, sliding_window_attention
from alphabook.attention import sliding_window as module

MANY = settings(max_examples=150, deadline=None)
FEW = settings(max_examples=30, deadline=None)
EXACT = 1e-10


def qkv(batch: int = 1, heads: int = 2, length: int = 100, dim: int = 8, seed: int = 0, dtype=torch.float64):
    return tuple(normal(batch, heads, length, dim, seed=seed + i, dtype=dtype) for i in range(3))


# --- the oracle ------------------------------------------------------------------------------------
@MANY
@given(cases())
def test_equals_dense_attention_values_and_gradients(case: Case) -> None:
    ours, dense = case.run(), case.oracle()
    torch.testing.assert_close(ours, dense, rtol=0, atol=EXACT)
    for mine, theirs in zip(gradients(ours, case.inputs), gradients(dense, case.inputs), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=EXACT)


@FEW
@given(cases(marks=False))
def test_fast_and_readable_form_are_equal(case: Case) -> None:
    fast = case.run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "banded_attention", lambda q, k, v, band, seen, **_: module._band(q, k, v, band, seen))
        readable = case.run()
    assert fast.grad_fn is not None
    assert readable.grad_fn is not None
    torch.testing.assert_close(fast, readable, rtol=0, atol=EXACT)
    for mine, theirs in zip(gradients(fast, case.inputs), gradients(readable, case.inputs), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=EXACT)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("length", "window"), [(700, 40), (513, 128), (1000, 7), (300, 299), (300, 500), (96, 0)])
def test_long_sequences_with_many_blocks(length: int, window: int, causal: bool) -> None:
    case = Case(tuple(x.requires_grad_() for x in qkv(2, 3, length)), {"window": window, "causal": causal})
    ours, dense = case.run(), case.oracle()
    torch.testing.assert_close(ours, dense, rtol=0, atol=EXACT)
    for mine, theirs in zip(gradients(ours, case.inputs), gradients(dense, case.inputs), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=EXACT)


@pytest.mark.parametrize("work_space", [1, 1000, 10**9])
def test_the_size_of_the_work_space_does_not_matter(monkeypatch: pytest.MonkeyPatch, work_space: int) -> None:
    monkeypatch.setattr("alphabook.attention._window_kernel.WORK_SPACE", work_space)
    case = Case(tuple(x.requires_grad_() for x in qkv(2, 3, 300)), {"window": 20})
    ours, dense = case.run(), case.oracle()
    torch.testing.assert_close(ours, dense, rtol=0, atol=EXACT)
    for mine, theirs in zip(gradients(ours, case.inputs), gradients(dense, case.inputs), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=EXACT)


def test_a_window_that_reaches_everything_is_dense_attention() -> None:
    query, key, value = qkv(length=90)
    dense = dense_attention(query, key, value)
    torch.testing.assert_close(sliding_window_attention(query, key, value, window=90), dense, rtol=0, atol=EXACT)


def test_window_zero_returns_the_values() -> None:
    query, key, value = qkv(length=90)
    torch.testing.assert_close(sliding_window_attention(query, key, value, window=0), value, rtol=0, atol=EXACT)


def test_the_span_is_two_windows_and_one() -> None:
    """Equal scores: a row's output is the mean of the values it sees."""
    length, window = 50, 4
    query = torch.zeros(1, 1, length, 1, dtype=torch.float64)
    value = torch.arange(length, dtype=torch.float64).reshape(1, 1, -1, 1) ** 2
    output = sliding_window_attention(query, query, value, window=window)
    assert output[0, 0, 20, 0] == pytest.approx(value[0, 0, 16:25].mean())
    output = sliding_window_attention(query, query, value, window=window, causal=True)
    assert output[0, 0, 20, 0] == pytest.approx(value[0, 0, 16:21].mean())


def test_heads_are_independent() -> None:
    query, key, value = qkv(2, 4, 70)
    together = sliding_window_attention(query, key, value, window=9)
    for h in range(4):
        alone = sliding_window_attention(*(x[:, h : h + 1] for x in (query, key, value)), window=9)
        torch.testing.assert_close(together[:, h : h + 1], alone, rtol=0, atol=EXACT)


@pytest.mark.parametrize("dilation", [2, 3, 5])
def test_dilated_residue_classes_are_plain_windows(dilation: int) -> None:
    query, key, value = qkv(length=61)
    dilated = sliding_window_attention(query, key, value, window=3, dilation=dilation)
    for r in range(dilation):
        plain = sliding_window_attention(*(x[:, :, r::dilation] for x in (query, key, value)), window=3)
        torch.testing.assert_close(dilated[:, :, r::dilation], plain, rtol=0, atol=EXACT)


# --- the future ------------------------------------------------------------------------------------
@FEW
@given(cases(), st.data())
def test_no_bit_of_the_past_moves_with_the_future(case: Case, data: st.DataObject) -> None:
    case.options["causal"] = True
    length = case.inputs[0].shape[2]
    now = data.draw(st.integers(0, length - 1))
    size = data.draw(st.sampled_from([1.0, 1e4, 1e30, 1e300]))
    before = case.run()
    changed = tuple(
        torch.cat([x[:, :, : now + 1], normal(*x[:, :, now + 1 :].shape, seed=5) * size], dim=2) for x in case.inputs
    )
    options = dict(case.options)
    if (real := options.get("key_padding_mask")) is not None:
        options["key_padding_mask"] = torch.cat([real[:, : now + 1], ~real[:, now + 1 :]], dim=1)
    after = Case(changed, options).run()
    assert torch.equal(before[:, :, : now + 1], after[:, :, : now + 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("now", [0, 31, 32, 150, 299])
def test_no_bit_of_the_past_moves_in_float32(now: int, dtype: torch.dtype) -> None:
    inputs = qkv(1, 2, 300, dtype=dtype)
    before = sliding_window_attention(*inputs, window=50, causal=True)
    for x in inputs:
        x[:, :, now + 1 :] = 1e30
    after = sliding_window_attention(*inputs, window=50, causal=True)
    assert torch.equal(before[:, :, : now + 1], after[:, :, : now + 1])


def test_the_past_has_no_gradient_from_the_future() -> None:
    inputs = tuple(x.requires_grad_() for x in qkv(1, 1, 200))
    output = sliding_window_attention(*inputs, window=30, causal=True)
    for of_input in torch.autograd.grad(output[:, :, :100].sum(), inputs):
        assert (of_input[:, :, 100:] == 0).all()


# --- edges -----------------------------------------------------------------------------------------
def test_a_padded_batch_row_gives_exact_zeros_and_no_gradient() -> None:
    inputs = tuple(x.requires_grad_() for x in qkv(2, 2, 80))
    real = torch.ones(2, 80, dtype=torch.bool)
    real[1] = False
    marked = torch.zeros(80, dtype=torch.bool)
    marked[[0, 40]] = True
    for options in ({}, {"global_mask": marked}, {"causal": True}, {"dilation": 3}):
        output = sliding_window_attention(*inputs, window=5, key_padding_mask=real, **options)
        assert (output[1] == 0).all()
        assert output[0].abs().min() > 0
        for of_input in torch.autograd.grad(output.sum(), inputs):
            assert of_input.isfinite().all()
            assert (of_input[1] == 0).all()


def test_a_row_whose_window_is_padded_gives_zeros() -> None:
    inputs = tuple(x.requires_grad_() for x in qkv(1, 1, 60))
    real = torch.ones(1, 60, dtype=torch.bool)
    real[0, 20:40] = False
    output = sliding_window_attention(*inputs, window=5, key_padding_mask=real)
    assert (output[0, 0, 25:35] == 0).all()
    assert (output[0, 0, :25] != 0).all()
    of_query, of_key, _ = torch.autograd.grad(output.square().sum(), inputs)
    assert (of_query[0, 0, 25:35] == 0).all()
    assert (of_key[0, 0, 20:40] == 0).all()


@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf, 1e300])
def test_what_a_padded_key_holds_reaches_nobody(rubbish: float) -> None:
    query, key, value = qkv(1, 2, 64)
    real = torch.arange(64)[None] < 50
    marked = torch.zeros(64, dtype=torch.bool)
    marked[[3, 55]] = True
    before = sliding_window_attention(query, key, value, window=9, key_padding_mask=real, global_mask=marked)
    key[:, :, 50:], value[:, :, 50:] = rubbish, rubbish
    after = sliding_window_attention(query, key, value, window=9, key_padding_mask=real, global_mask=marked)
    assert torch.equal(before, after)


def test_a_nan_in_sight_is_not_hidden() -> None:
    query, key, value = qkv(1, 1, 64)
    query[0, 0, 10], value[0, 0, 40] = torch.nan, torch.nan
    missing = sliding_window_attention(query, key, value, window=4).isnan().any(dim=-1)[0, 0]
    assert missing.nonzero().flatten().tolist()[:1] == [10]
    assert missing[36:45].all()


@pytest.mark.parametrize("size", [1e2, 1e4, -1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_scores_stay_finite_and_exact(size: float, dtype: torch.dtype) -> None:
    query, key, value = qkv(1, 2, 150, dtype=dtype)
    key = key.abs() * size
    query = query.abs()
    inputs = tuple(x.requires_grad_() for x in (query, key, value))
    output = sliding_window_attention(*inputs, window=20)
    dense = by_dense(*(x.double() for x in inputs), window=20)
    assert output.isfinite().all()
    if dtype == torch.float64:
        torch.testing.assert_close(output, dense, rtol=0, atol=1e-9)  # rounding of the scores: 1e4 * 1e-16 * 100
    for of_input in torch.autograd.grad(output.sum(), inputs):
        assert of_input.isfinite().all()


def test_rows_beyond_the_range_of_powers_are_shifted_and_no_others() -> None:
    """Half of the rows score 1e3, the others 1: both equal the oracle, in values and gradients."""
    query, key, value = qkv(1, 2, 150)
    query[:, :, ::2] *= 1e3
    case = Case(tuple(x.requires_grad_() for x in (query, key, value)), {"window": 20})
    ours, dense = case.run(), case.oracle()
    torch.testing.assert_close(ours, dense, rtol=0, atol=EXACT)
    for mine, theirs in zip(gradients(ours, case.inputs), gradients(dense, case.inputs), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=EXACT)


@pytest.mark.parametrize(
    ("dtype", "relative"), [(torch.float32, 2e-6), (torch.float16, 2**-10), (torch.bfloat16, 2**-7)]
)
@pytest.mark.parametrize("causal", [False, True])
def test_precision_of_each_dtype(dtype: torch.dtype, relative: float, causal: bool) -> None:
    """Half precision rounds once, at the end: its error is that of one rounding of the exact result."""
    marked = torch.zeros(200, dtype=torch.bool)
    marked[[0, 77]] = True
    inputs = tuple(x.requires_grad_() for x in qkv(2, 3, 200, dtype=dtype))
    wide = tuple(x.detach().double().requires_grad_() for x in inputs)
    options = {"window": 17, "causal": causal, "global_mask": marked}
    output, dense = sliding_window_attention(*inputs, **options), by_dense(*wide, **options)
    assert output.dtype == dtype
    torch.testing.assert_close(output.double(), dense, rtol=relative, atol=4e-6)
    ours = torch.autograd.grad(output.sum(), inputs)
    for mine, theirs in zip(ours, torch.autograd.grad(dense.sum(), wide), strict=True):
        assert mine.dtype == dtype
        torch.testing.assert_close(mine.double(), theirs, rtol=relative, atol=2 * relative * theirs.abs().max().item())


def test_autocast_does_not_round_on_the_way() -> None:
    inputs = tuple(x.requires_grad_() for x in qkv(1, 2, 150, dtype=torch.float32))
    expected = sliding_window_attention(*inputs, window=20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = sliding_window_attention(*inputs, window=20)
        grads = torch.autograd.grad(output.sum(), inputs)
    assert torch.equal(output, expected)
    assert all(torch.equal(x, y) for x, y in zip(grads, torch.autograd.grad(expected.sum(), inputs), strict=True))


@pytest.mark.parametrize("length", [0, 1, 2, 31, 32, 33, 48, 64, 65])
def test_lengths_around_the_blocks(length: int) -> None:
    for window, causal in itertools.product([0, 1, 31, 32, 33, 200], [False, True]):
        inputs = qkv(2, 2, length)
        output = sliding_window_attention(*inputs, window=window, causal=causal)
        torch.testing.assert_close(output, by_dense(*inputs, window=window, causal=causal), rtol=0, atol=EXACT)


def test_an_empty_batch() -> None:
    inputs = tuple(x.requires_grad_() for x in qkv(0, 2, 40))
    marked = torch.zeros(0, 40, dtype=torch.bool)
    for options in ({}, {"dilation": 2}, {"global_mask": marked}, {"key_padding_mask": marked}):
        output = sliding_window_attention(*inputs, window=3, **options)
        assert output.shape == (0, 2, 40, 8)
        assert [g.shape for g in torch.autograd.grad(output.sum(), inputs)] == [(0, 2, 40, 8)] * 3


def test_inputs_in_any_memory_layout() -> None:
    contiguous = qkv(2, 3, 100)
    expected = sliding_window_attention(*contiguous, window=9)
    head_last = tuple(x.permute(0, 2, 1, 3).contiguous().permute(0, 2, 1, 3) for x in contiguous)
    every_other = tuple(x.repeat_interleave(2, dim=2)[:, :, ::2] for x in contiguous)
    offset = tuple(torch.cat([-x, x])[2:] for x in contiguous)
    for inputs in (head_last, every_other, offset):
        strided = tuple(x.detach().requires_grad_() for x in inputs)
        output = sliding_window_attention(*strided, window=9)
        torch.testing.assert_close(output, expected, rtol=0, atol=EXACT)
        grad = normal(2, 100, 3, 8, seed=9).permute(0, 2, 1, 3)
        dense = by_dense(*strided, window=9)
        for mine, theirs in zip(
            torch.autograd.grad(output, strided, grad), torch.autograd.grad(dense, strided, grad), strict=True
        ):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=EXACT)


def test_one_key_shared_by_all_heads() -> None:
    query, key, value = qkv(2, 3, 60)
    key, value = (x[:, :1].expand(-1, 3, -1, -1) for x in (key, value))
    output = sliding_window_attention(query, key, value, window=9)
    torch.testing.assert_close(output, by_dense(query, key, value, window=9), rtol=0, atol=EXACT)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_gradients_of_some_inputs_only(wanted: tuple[int, ...]) -> None:
    inputs = qkv(1, 2, 90)
    for i in wanted:
        inputs[i].requires_grad_()
    asked = [inputs[i] for i in wanted]
    ours = torch.autograd.grad(sliding_window_attention(*inputs, window=9).square().sum(), asked)
    dense = torch.autograd.grad(by_dense(*inputs, window=9).square().sum(), asked)
    for mine, theirs in zip(ours, dense, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=EXACT)


def test_no_grad_and_inference_mode() -> None:
    inputs = tuple(x.requires_grad_() for x in qkv(1, 2, 90))
    expected = sliding_window_attention(*inputs, window=9).detach()
    with torch.no_grad():
        output = sliding_window_attention(*inputs, window=9)
    assert not output.requires_grad
    assert torch.equal(output, expected)
    with torch.inference_mode():
        assert torch.equal(sliding_window_attention(*inputs, window=9), expected)


def test_inputs_are_not_modified_and_twice_is_alike() -> None:
    marked, real = torch.zeros(90, dtype=torch.bool), torch.ones(1, 90, dtype=torch.bool)
    marked[3], real[0, 80:] = True, False
    inputs = (*qkv(1, 2, 90), marked, real)
    copies = [x.clone() for x in inputs]
    first, second = (
        sliding_window_attention(*inputs[:3], window=9, global_mask=marked, key_padding_mask=real) for _ in range(2)
    )
    assert torch.equal(first, second)
    assert all(torch.equal(x, y) for x, y in zip(inputs, copies, strict=True))


# --- global positions ------------------------------------------------------------------------------
def test_global_columns_share_one_softmax_with_the_window() -> None:
    """Equal scores: a local row's output is the mean over window and global columns, each counted once."""
    query = torch.zeros(1, 1, 40, 1, dtype=torch.float64)
    value = torch.arange(40, dtype=torch.float64).reshape(1, 1, -1, 1) ** 2
    marked = torch.zeros(40, dtype=torch.bool)
    marked[[0, 19]] = True
    output = sliding_window_attention(query, query, value, window=2, global_mask=marked)
    assert output[0, 0, 20, 0] == pytest.approx(value[0, 0, [0, 18, 19, 20, 21, 22]].mean())
    assert output[0, 0, 19, 0] == pytest.approx(value.mean())


def test_global_projections_move_the_global_rows_only() -> None:
    inputs, others = qkv(1, 2, 60), qkv(1, 2, 60, seed=10)
    marked = torch.zeros(1, 60, dtype=torch.bool)
    marked[0, [5, 30]] = True
    shared = sliding_window_attention(*inputs, window=4, global_mask=marked)
    separate = sliding_window_attention(*inputs, window=4, global_mask=marked, global_qkv=others)
    assert torch.equal(shared[:, :, ~marked[0]], separate[:, :, ~marked[0]])
    expected = dense_attention(others[0][:, :, marked[0]], *others[1:])
    torch.testing.assert_close(separate[:, :, marked[0]], expected, rtol=0, atol=EXACT)


def test_one_mask_for_all_batch_rows() -> None:
    inputs = qkv(3, 2, 50)
    marked = torch.zeros(50, dtype=torch.bool)
    marked[[1, 49]] = True
    one = sliding_window_attention(*inputs, window=4, global_mask=marked)
    assert torch.equal(one, sliding_window_attention(*inputs, window=4, global_mask=marked.expand(3, 50)))


# --- gradients -------------------------------------------------------------------------------------
OPTIONS = {
    "window": {"window": 2},
    "causal": {"window": 2, "causal": True},
    "dilated": {"window": 1, "dilation": 2},
    "padded": {"window": 2, "key_padding_mask": torch.tensor([[True, True, True, False, False, False, False]])},
    "global": {"window": 1, "global_mask": torch.tensor([False, True, False, False, False, False, True])},
    "all": {
        "window": 1,
        "causal": True,
        "dilation": 2,
        "key_padding_mask": torch.tensor([[False, True, True, True, True, True, False]]),
        "global_mask": torch.tensor([[False, True, False, False, False, False, True]]),
    },
}


@pytest.mark.parametrize("name", OPTIONS)
def test_first_and_second_derivatives(name: str) -> None:
    inputs = tuple(x.requires_grad_() for x in qkv(1, 2, 7, 2))

    def function(*tensors: torch.Tensor) -> torch.Tensor:
        return sliding_window_attention(*tensors, **OPTIONS[name])

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(lambda q: function(q, *(x.detach() for x in inputs[1:])), inputs[:1])


def test_a_gradient_penalty_as_by_dense() -> None:
    inputs = tuple(x.requires_grad_() for x in qkv(1, 2, 50))

    def penalty(function) -> list[torch.Tensor]:
        first = torch.autograd.grad(function(*inputs, window=5).square().sum(), inputs, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), inputs)

    for mine, theirs in zip(penalty(sliding_window_attention), penalty(by_dense), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-9)


# --- what is refused -------------------------------------------------------------------------------
def test_refusals_name_the_value_and_the_limit() -> None:
    query, key, value = qkv(2, 2, 10)
    good = {"window": 2}
    wrong = [
        ((query, key, value), {"window": -1}, r"window must be >= 0 .* got -1"),
        ((query, key, value), {"window": 2.5}, r"window must be an integer.* got 2.5"),
        ((query, key, value), {"window": 2, "dilation": 0}, r"dilation must be >= 1 .* got 0"),
        ((query, key, value), {"window": 2, "dilation": 1.5}, r"dilation must be an integer.* got 1.5"),
        ((query[0], key[0], value[0]), good, r"4 axes \(batch, heads, length, head_dim\)"),
        ((query, key[:, :, :9], value), good, r"same shape .*\(2, 2, 9, 8\)"),
        ((query, key, value[..., :7]), good, r"same shape .*\(2, 2, 10, 7\)"),
        ((query, key.float(), value), good, r"one floating-point dtype, got torch.float64, torch.float32"),
        ((query.long(), key.long(), value.long()), good, r"floating-point dtype, got torch.int64"),
        ((query, key, value), {**good, "key_padding_mask": torch.ones(2, 10)}, "key_padding_mask must be boolean"),
        ((query, key, value), {**good, "key_padding_mask": torch.ones(2, 9) > 0}, r"shape \(2, 10\), got \(2, 9\)"),
        ((query, key, value), {**good, "global_mask": torch.ones(2, 10).int()}, "global_mask must be boolean"),
        ((query, key, value), {**good, "global_mask": torch.ones(3, 10) > 0}, r"\(2, 10\) or \(10,\), got \(3, 10\)"),
        ((query, key, value), {**good, "global_qkv": (query, key)}, "global_qkv must be three tensors"),
        ((query, key, value), {**good, "global_qkv": (query, key, value[:1])}, r"global_qkv .*\(1, 2, 10, 8\)"),
    ]
    for inputs, options, message in wrong:
        with pytest.raises(ValueError, match=message):
            sliding_window_attention(*inputs, **options)


def test_the_equivalent_mask_of_the_tests_is_right() -> None:
    """Written out by hand once: the oracle of this file has an oracle too."""
    marked = torch.tensor([False, False, False, False, True])
    real = torch.tensor([[True, True, True, True, False]])
    mask = equivalent_mask(5, window=1, global_mask=marked, key_padding_mask=real)[0, 0].int().tolist()
    assert mask == [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 0], [1, 1, 1, 1, 0]]
    dilated = equivalent_mask(5, window=1, dilation=2, causal=True)[0, 0].int().tolist()
    assert dilated == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 1, 0, 1]]
