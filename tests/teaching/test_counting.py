"""Work is counted as it is done: products by their shapes, memory by what is alive at once."""

import pytest
import torch

from alphabook.teaching.counting import multiply_adds, peak_bytes

A, B = torch.ones(30, 20), torch.ones(20, 10)


def test_products_are_counted_by_their_shapes_and_nothing_else_is():
    assert multiply_adds(lambda: A @ B) == 30 * 20 * 10
    assert multiply_adds(lambda: (A @ B).exp().sum() + (A[None] @ B).mean()) == 2 * 30 * 20 * 10
    assert multiply_adds(lambda: A.exp()) == 0


def test_products_in_place_and_into_given_memory_are_counted():
    out, stack, left, right = torch.zeros(30, 10), torch.zeros(3, 30, 10), A.expand(3, -1, -1), B.expand(3, -1, -1)
    assert multiply_adds(lambda: out.addmm_(A, B)) == multiply_adds(lambda: torch.mm(A, B, out=out)) == 6_000
    assert multiply_adds(lambda: stack.baddbmm_(left, right)) == multiply_adds(lambda: torch.bmm(left, right)) == 18_000


@pytest.mark.parametrize("causal", [False, True])
def test_fused_attention_counts_as_its_two_products(causal):
    q, k, v = torch.ones(2, 3, 40, 8), torch.ones(2, 3, 50, 8), torch.ones(2, 3, 50, 8)
    work = lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)  # noqa: E731
    assert multiply_adds(work) == 2 * 3 * 40 * 50 * (8 + 8)


def test_what_is_given_back_counts_once():
    step = 4 * A.numel()

    def chain():
        x = A + 1
        x = x + 1  # two alive while the second is made
        return x + 1

    def pile():
        x = A + 1
        y = x + 1
        return x, y, y + 1

    assert peak_bytes(chain) == 2 * step
    assert peak_bytes(pile) == 3 * step


@pytest.mark.parametrize("work", [lambda: A.T, lambda: A[3:], lambda: A.view(-1), lambda: A.add_(0)])
def test_views_and_writing_in_place_make_nothing(work):
    assert peak_bytes(work) == 0


def test_a_view_keeps_what_it_looks_at_alive():
    def work():
        x = (A + 1)[0]
        return x + 1

    assert peak_bytes(work) == 4 * (A.numel() + A.shape[1])


def test_results_in_tuples_lists_and_out_arguments_are_seen():
    assert peak_bytes(lambda: torch.topk(A, 5)) == 30 * 5 * (4 + 8)
    kept = torch.empty(30, 10)
    assert peak_bytes(lambda: torch.mm(A, B, out=kept)) == 0


def test_twice_is_the_same_and_gradients_are_not_kept():
    weight = torch.ones(20, 10, requires_grad=True)
    first = peak_bytes(lambda: (A @ weight).exp().exp())
    assert first == peak_bytes(lambda: (A @ weight).exp().exp()) == 2 * 4 * 300
