"""How far FAVOR+ is from the softmax it estimates: its law in the number of features, its bias, its variance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from favor_support import draw, log_kernel, of_norm

from alphabook.attention import dense_attention, draw_projection, favor_attention

DRAWS = 4_000


def kernel_estimates(draws: int, num_features: int, orthogonal: bool, scaling: str, seed: int, norm: float = 1.5):
    """Estimates of exp(q @ k / sqrt(d)) for three pairs, (draws, 3), and the three exact numbers."""
    generator = torch.Generator().manual_seed(seed)
    query, key = of_norm(draw(1, 1, 1, 3, 8), norm), of_norm(draw(2, 1, 1, 3, 8), norm)
    rows = torch.stack(
        [
            draw_projection(
                num_features, 8, generator=generator, orthogonal=orthogonal, scaling=scaling, dtype=torch.float64
            )
            for _ in range(draws)
        ]
    )
    scale = 8**-0.25
    phi = [
        (torch.einsum("rmd,pd->rpm", rows, x[0, 0] * scale) - (x[0, 0] * scale).square().sum(-1)[:, None] / 2).exp()
        for x in (query, key)
    ]
    exact = ((query * key).sum(-1) / math.sqrt(8)).exp()[0, 0]
    estimates = (phi[0] * phi[1]).mean(-1)
    one = log_kernel(query, key, rows[0])[0, 0].diagonal().exp()
    torch.testing.assert_close(estimates[0], one)  # the oracle of the other tests is this kernel
    return estimates.numpy(), exact.numpy()


@pytest.mark.parametrize("orthogonal", [False, True], ids=["iid", "orthogonal"])
@pytest.mark.parametrize("num_features", [3, 8, 20])
def test_chi_scaling_is_unbiased_within_three_standard_errors(orthogonal, num_features):
    estimates, exact = kernel_estimates(DRAWS, num_features, orthogonal, "chi", seed=100 + num_features)
    error = (estimates.mean(0) - exact) / (estimates.std(0, ddof=1) / math.sqrt(DRAWS))
    assert np.abs(error).max() < 3


def test_sqrt_d_scaling_is_biased():
    """Vectors of one length miss the long ones, from which the exponential has most: estimates are too small."""
    estimates, exact = kernel_estimates(DRAWS, 8, True, "sqrt_d", seed=3, norm=4.0)
    error = (estimates.mean(0) - exact) / (estimates.std(0, ddof=1) / math.sqrt(DRAWS))
    assert error.min() < -6
    unbiased, _ = kernel_estimates(DRAWS, 8, True, "chi", seed=3, norm=4.0)
    assert estimates.var(0).sum() < unbiased.var(0).sum()  # what the bias buys


@pytest.mark.parametrize("scaling", ["chi", "sqrt_d"])
def test_orthogonal_rows_lower_the_variance_with_99_percent_confidence(scaling):
    """Upper end of a one-sided bootstrap interval for the ratio of variances, orthogonal over independent."""
    draws = 10_000
    spreads = []
    for seed, orthogonal in ((5, True), (6, False)):
        estimates, exact = kernel_estimates(draws, 8, orthogonal, scaling, seed=seed, norm=1.0)
        spreads.append((estimates / exact - (estimates / exact).mean(0)) ** 2)
    rng = np.random.default_rng(0)
    ratios = [
        spreads[0][rng.integers(0, draws, draws)].mean() / spreads[1][rng.integers(0, draws, draws)].mean()
        for _ in range(1_000)
    ]
    assert np.quantile(ratios, 0.99) < 1


@pytest.mark.parametrize("causal", [False, True], ids=["bidirectional", "causal"])
@pytest.mark.parametrize("orthogonal", [False, True], ids=["iid", "orthogonal"])
def test_the_error_falls_with_the_square_root_of_the_features(causal, orthogonal):
    inputs = [draw(seed, 1, 2, 48, 8) * 0.3 for seed in range(3)]  # lengths near 0.85
    exact = dense_attention(*inputs, causal=causal)
    generator = torch.Generator().manual_seed(21)
    numbers = [16, 32, 64, 128, 256, 512, 1024]
    errors = []
    for m in numbers:
        squares = [
            (favor_attention(*inputs, projection=rows, causal=causal) - exact).square().mean()
            for rows in (
                draw_projection(m, 8, generator=generator, orthogonal=orthogonal, dtype=torch.float64)
                for _ in range(40)
            )
        ]
        errors.append(torch.stack(squares).mean().sqrt().item())
    slope = np.polyfit(np.log(numbers), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1)
