"""The directions of the random features: lengths, right angles, uniform rotations, the same bytes from a seed."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabook.attention import draw_projection


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=60, deadline=None)
@given(
    num_features=st.integers(1, 40),
    head_dim=st.integers(1, 12),
    scaling=st.sampled_from(["chi", "sqrt_d"]),
    seed=st.integers(0, 1000),
)
def test_blocks_are_orthogonal(num_features, head_dim, scaling, seed):
    rows = draw_projection(num_features, head_dim, generator=seeded(seed), scaling=scaling, dtype=torch.float64)
    assert rows.shape == (num_features, head_dim)
    for block in rows.split(head_dim):
        products = block @ block.T
        torch.testing.assert_close(products, torch.diag(products.diagonal()), rtol=0, atol=1e-9)
    if scaling == "sqrt_d":
        torch.testing.assert_close(rows.norm(dim=1), torch.full((num_features,), math.sqrt(head_dim)).double())


@pytest.mark.parametrize("orthogonal", [False, True])
def test_chi_lengths_are_those_of_normal_vectors(orthogonal):
    """Mean and variance of the squared length of a normal vector are d and 2 d; four standard errors each."""
    many, d = 20_000, 6
    squares = draw_projection(many, d, generator=seeded(3), orthogonal=orthogonal, dtype=torch.float64).square().sum(1)
    assert squares.mean().item() == pytest.approx(d, abs=4 * math.sqrt(2 * d / many))
    assert squares.var().item() == pytest.approx(2 * d, rel=4 * math.sqrt((2 + 12 / d) / many))


def test_rotations_are_uniform():
    """Every coordinate of every row has mean zero and variance one: QR without a rule for signs fails the first."""
    d, blocks = 5, 8_000
    rows = draw_projection(d * blocks, d, generator=seeded(4), scaling="sqrt_d", dtype=torch.float64)
    rows = rows.view(blocks, d, d)
    assert rows.mean(0).abs().max() < 4.5 / math.sqrt(blocks)
    assert (rows.square().mean(0) - 1).abs().max() < 4.5 * math.sqrt(2 * (d - 1) / (d + 2) / blocks)
    orientation = (torch.linalg.det(rows) > 0).double().mean().item()
    assert orientation == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(blocks))


def test_independent_rows_are_normal_vectors():
    rows = draw_projection(30_000, 3, generator=seeded(5), orthogonal=False, dtype=torch.float64)
    assert (rows.T.cov() - torch.eye(3)).abs().max() < 0.04
    assert rows.pow(4).mean().item() == pytest.approx(3, abs=0.15)
    lengths = draw_projection(50, 3, generator=seeded(5), orthogonal=False, scaling="sqrt_d").norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((50,), math.sqrt(3)))


@pytest.mark.parametrize("orthogonal", [False, True])
def test_a_seed_gives_the_same_bytes(orthogonal):
    first, again, other = (draw_projection(20, 8, generator=seeded(seed), orthogonal=orthogonal) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    generator = seeded(1)
    assert torch.equal(draw_projection(20, 8, generator=generator, orthogonal=orthogonal), first)
    assert not torch.equal(draw_projection(20, 8, generator=generator, orthogonal=orthogonal), first)


def test_drawing_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    draw_projection(20, 8, generator=seeded())
    assert torch.equal(torch.get_rng_state(), before)


def test_types_and_devices():
    assert draw_projection(4, 2, generator=seeded()).dtype == torch.float32
    exact = draw_projection(4, 2, generator=seeded(), dtype=torch.float64)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        assert torch.equal(draw_projection(4, 2, generator=seeded(), dtype=dtype), exact.to(dtype))
    assert draw_projection(4, 2, generator=seeded(), device="meta").device.type == "meta"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_features": 0, "head_dim": 4}, "num_features must be >= 1, got 0; 2 to 4 times head_dim is common"),
        ({"num_features": 4, "head_dim": 0}, "head_dim must be >= 1, got 0"),
        ({"num_features": 4, "head_dim": 4, "scaling": "sqrt"}, r"'chi' \(unbiased\) or 'sqrt_d'.*got 'sqrt'"),
    ],
)
def test_errors_name_the_value_and_the_limit(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_projection(**arguments, generator=seeded())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_a_gpu():
    here = draw_projection(20, 8, generator=seeded())
    assert torch.equal(draw_projection(20, 8, generator=seeded(), device="cuda").cpu(), here)
