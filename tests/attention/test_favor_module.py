"""``FavorAttention``: when it redraws, what its checkpoint holds, that a copy is a copy."""

from __future__ import annotations

import copy
import io
import itertools

import pytest
import torch
from favor_support import draw

from alphabook.attention import FavorAttention, draw_projection, favor_attention


def module(**options: object) -> FavorAttention:
    return FavorAttention(**({"num_features": 12, "head_dim": 4, "seed": 3} | options))


def batch(seed: int = 0) -> list[torch.Tensor]:
    return [draw(seed + i, 2, 3, 20, 4, dtype=torch.float32) for i in range(3)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("orthogonal", [False, True])
@pytest.mark.parametrize("scaling", ["chi", "sqrt_d"])
def test_is_favor_attention_with_its_projection(causal, orthogonal, scaling):
    attend = module(causal=causal, orthogonal=orthogonal, scaling=scaling).eval()
    generator = torch.Generator().manual_seed(3)
    rows = draw_projection(12, 4, generator=generator, orthogonal=orthogonal, scaling=scaling)
    assert torch.equal(attend.projection, rows)
    real = draw(5, 2, 20) > 0
    ours = attend(*batch(), key_padding_mask=real)
    assert torch.equal(ours, favor_attention(*batch(), projection=rows, causal=causal, key_padding_mask=real))
    assert torch.equal(
        attend(*batch(), causal=not causal), favor_attention(*batch(), projection=rows, causal=not causal)
    )


def test_redraws_every_interval_while_training():
    attend = module(redraw_interval=3)
    seen = []
    for _ in range(9):
        attend(*batch())
        seen.append(attend.projection.clone())
    same = [torch.equal(a, b) for a, b in itertools.pairwise(seen)]
    assert same == [True, True, False, True, True, False, True, True]
    generator = torch.Generator().manual_seed(3)
    drawn = [draw_projection(12, 4, generator=generator) for _ in range(3)]
    assert all(torch.equal(a, b) for a, b in zip(seen[::3], drawn, strict=True))


def test_evaluation_neither_redraws_nor_counts():
    attend = module(redraw_interval=2)
    attend(*batch())
    before = attend.projection.clone()
    attend.eval()
    first = attend(*batch())
    for _ in range(10):
        assert torch.equal(attend(*batch()), first)
    assert torch.equal(attend.projection, before)
    assert attend.training_calls == 1


def test_interval_none_never_redraws():
    attend = module(redraw_interval=None)
    before = attend.projection.clone()
    for _ in range(5):
        attend(*batch())
    assert torch.equal(attend.projection, before)


@pytest.mark.parametrize("stop", [1, 4, 5, 6])
def test_a_resumed_run_equals_an_uninterrupted_one(stop):
    """A layer in front, trained; saved to bytes after ``stop`` steps and taken up by a module of another seed."""

    def build(seed: int) -> torch.nn.ModuleDict:
        torch.manual_seed(seed)
        return torch.nn.ModuleDict({"mix": torch.nn.Linear(4, 4), "attend": module(seed=seed, redraw_interval=2)})

    def step(model: torch.nn.ModuleDict, number: int) -> torch.Tensor:
        query, key, value = batch(number)
        loss = model["attend"](model["mix"](query), key, value).square().mean()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad
                parameter.grad = None
        return loss.detach()

    whole = build(0)
    losses = [step(whole, number) for number in range(9)]
    start = build(0)
    for number in range(stop):
        step(start, number)
    file = io.BytesIO()
    torch.save(start.state_dict(), file)
    file.seek(0)
    resumed = build(99)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    again = [step(resumed, number) for number in range(stop, 9)]
    assert all(torch.equal(a, b) for a, b in zip(losses[stop:], again, strict=True))
    assert torch.equal(whole["attend"].projection, resumed["attend"].projection)


def test_a_copy_draws_on_by_itself():
    attend = module(redraw_interval=1)
    attend(*batch())
    twin = copy.deepcopy(attend)
    for _ in range(3):
        assert torch.equal(attend(*batch()), twin(*batch()))
    attend(*batch())
    assert not torch.equal(attend.projection, twin.projection)


def test_a_redraw_leaves_earlier_graphs_alone():
    attend = module(redraw_interval=1)
    inputs = [x.requires_grad_() for x in batch()]
    first = attend(*inputs)
    rows = attend.projection.clone()
    attend(*inputs)
    expected = torch.autograd.grad(favor_attention(*inputs, projection=rows).sum(), inputs)
    for got, wanted in zip(torch.autograd.grad(first.sum(), inputs), expected, strict=True):
        assert torch.equal(got, wanted)


def test_modules_of_one_seed_are_alike_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    assert torch.equal(module().projection, module().projection)
    assert not torch.equal(module().projection, module(seed=4).projection)
    assert torch.equal(torch.get_rng_state(), before)


def test_has_no_trained_parameters_and_says_what_it_is():
    assert not list(module().parameters())
    text = repr(module(causal=True, redraw_interval=7))
    assert "num_features=12, head_dim=4, causal=True" in text
    assert "redraw_interval=7" in text


def test_moves_with_the_model():
    attend = module(redraw_interval=1).double()
    inputs = [x.double() for x in batch()]
    attend(*inputs)
    assert attend(*inputs).dtype == attend.projection.dtype == torch.float64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"redraw_interval": 0}, "redraw_interval must be >= 1 training calls, or None for never, got 0"),
        ({"num_features": 0}, "num_features must be >= 1, got 0"),
        ({"head_dim": -1}, "head_dim must be >= 1, got -1"),
        ({"scaling": "none"}, "scaling must be 'chi'"),
    ],
)
def test_errors_name_the_value_and_the_limit(options, message):
    with pytest.raises(ValueError, match=message):
        module(**options)
