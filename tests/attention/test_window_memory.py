"""What the window costs, counted instead of timed: bytes that the allocator hands out, scores that are computed.

Both counts are the same on every run and on a busy machine; seconds are in ``benchmarks/attention_window.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import linear_regression

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from window_cases import normal

from alphabook.attention import _window_kernel as kernel
from alphabook.attention import sliding_window_attention

HEADS, DIM, WINDOW = 8, 32, 128


def peak_bytes(work: Callable[[], object]) -> int:
    """Most bytes held at one moment beyond those held before, the result included."""
    work()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        kept = work()
    assert kept is not None
    events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def qkv(length: int, heads: int = HEADS) -> tuple[torch.Tensor, ...]:
    return tuple(normal(1, heads, length, DIM, seed=i, dtype=torch.float32) for i in range(3))


def slope(lengths: list[int], values: list[int]) -> float:
    return linear_regression([math.log(n) for n in lengths], [math.log(v) for v in values]).slope


@pytest.mark.parametrize("causal", [False, True])
def test_a_forward_adds_less_than_its_inputs_and_output(causal: bool) -> None:
    inputs = qkv(4096)
    tensor = inputs[0].nbytes
    added = peak_bytes(lambda: sliding_window_attention(*inputs, window=WINDOW, causal=causal)) - tensor
    assert added <= 4 * tensor  # what was promised: at most inputs and output once more
    assert added <= 1.2 * tensor  # what it is: the work space and one number a row


def test_memory_is_linear_in_length_forward_and_backward() -> None:
    lengths = [1024, 2048, 4096, 8192]
    forward, backward = [], []
    for length in lengths:
        inputs = tuple(x.requires_grad_() for x in qkv(length, heads=2))
        forward.append(peak_bytes(lambda inputs=inputs: sliding_window_attention(*inputs, window=32).detach()))
        backward.append(
            peak_bytes(
                lambda inputs=inputs: torch.autograd.grad(sliding_window_attention(*inputs, window=32).sum(), inputs)
            )
        )
    assert slope(lengths, forward) < 1.1
    assert slope(lengths, backward) < 1.1


def test_global_positions_keep_memory_linear() -> None:
    lengths = [1024, 2048, 4096]
    values = []
    for length in lengths:
        inputs, marked = qkv(length, heads=2), torch.arange(length) < 3
        values.append(peak_bytes(lambda i=inputs, m=marked: sliding_window_attention(*i, window=32, global_mask=m)))
    assert slope(lengths, values) < 1.1


@pytest.mark.parametrize(("left", "right", "most"), [(128, 128, 1.2), (128, 0, 1.3), (256, 256, 1.1)])
def test_few_scores_are_computed_in_vain(left: int, right: int, most: float) -> None:
    band = kernel.Band(left, right, 1.0)
    for length in (4096, 4097, 16384):
        needed = length * (left + right + 1)
        computed = sum(
            t.count_scores for t in kernel._tiles(1, length, band, kernel.QUERIES_FORWARD, kernel.WORK_SPACE)
        )
        assert computed <= most * needed


@pytest.mark.parametrize("length", [1, 31, 64, 100, 257, 1000])
@pytest.mark.parametrize(("left", "right"), [(0, 0), (5, 5), (40, 0), (300, 300), (0, 7)])
def test_every_row_is_in_one_tile_with_all_keys_it_sees(length: int, left: int, right: int) -> None:
    rows_seen = torch.zeros(3 * length, dtype=torch.int)
    for t in kernel._tiles(3, length, kernel.Band(left, right, 1.0), 32, 20_000):
        for n in range(t.number):
            query, key = t.query + n * t.step, t.key + n * t.step
            rows_seen[query : query + t.queries] += 1
            head = query // length * length
            assert head <= key
            assert key + t.keys <= head + length
            assert key <= max(head, query - left)
            assert key + t.keys >= min(head + length, query + t.queries + right)
            assert key + t.opens == query - left
    assert (rows_seen == 1).all()


def test_the_work_space_is_bounded() -> None:
    for heads, length, window in ((1, 4096, 128), (64, 500, 20), (8, 4096, 4000)):
        band = kernel.Band(window, window, 1.0)
        most = max(
            t.count_scores for t in kernel._tiles(heads, length, band, kernel.QUERIES_FORWARD, kernel.WORK_SPACE)
        )
        assert most <= 1.1 * kernel.WORK_SPACE
