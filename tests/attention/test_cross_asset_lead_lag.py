"""A planted lead-lag: the lagged attention learns who leads and by how much; the pooled one cannot."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from alphabook.attention.cross_asset import CrossAssetAttention, Mode

ASSETS, MAX_LAG, WIDTH, SLOPE = 4, 4, 8, 0.9  # an oracle explains 0.81 of the follower's variance


def market(
    leader: int, follower: int, delay: int, generator: torch.Generator, batch: int = 16
) -> tuple[Tensor, Tensor]:
    """Returns of unit variance with the asset's name (batch, assets, length, WIDTH), and the follower's next return."""
    returns = torch.randn(batch, ASSETS, 33, generator=generator)
    returns[:, follower] *= (1 - SLOPE**2) ** 0.5
    returns[:, follower, delay:] += SLOPE * returns[:, leader, :-delay]
    x = torch.zeros(batch, ASSETS, 32, WIDTH)
    x[..., 0] = returns[..., :-1]
    x[..., 1 : 1 + ASSETS] = 2.0 * torch.eye(ASSETS)[:, None]
    return x, returns[:, follower, 1:]


def learn(mode: Mode, leader: int, follower: int, delay: int, seed: int) -> tuple[float, Tensor]:
    """Share of variance explained on fresh data, and the weights (lags, assets, assets)."""
    generator = torch.Generator().manual_seed(seed)
    attend = CrossAssetAttention(WIDTH, 1, mode, max_lag=MAX_LAG, generator=generator)
    readout = nn.Linear(WIDTH, 1)
    nn.init.xavier_uniform_(readout.weight, generator=generator)
    nn.init.zeros_(readout.bias)
    optimiser = torch.optim.Adam([*attend.parameters(), *readout.parameters()], lr=0.03)

    def squared_errors(batch: int = 16) -> tuple[Tensor, Tensor, Tensor]:
        x, target = market(leader, follower, delay, generator, batch)
        output, weights = attend(x)
        error = readout(output[:, follower]).squeeze(-1) - target
        return error[:, MAX_LAG:].square(), target[:, MAX_LAG:], weights.mean((0, 1))

    for _ in range(150):
        optimiser.zero_grad()
        squared_errors()[0].mean().backward()
        optimiser.step()
    with torch.no_grad():
        errors, target, weights = squared_errors(batch=64)
    return 1.0 - (errors.mean() / target.var()).item(), weights


@pytest.mark.parametrize(("seed", "leader", "follower", "delay"), [(0, 0, 1, 2), (1, 3, 0, 3), (2, 2, 1, 4)])
def test_lagged_finds_the_planted_leader_and_pooled_does_not(seed: int, leader: int, follower: int, delay: int) -> None:
    explained, weights = learn("lagged", leader, follower, delay, seed)
    assert explained > 0.6
    row = weights[:, follower]  # (lags, assets): what the follower watches
    lag = delay - 1  # the next return is read one step before it happens
    assert row[lag, leader] > 0.5
    assert divmod(int(row.argmax()), ASSETS) == (lag, leader)
    explained, _ = learn("pooled", leader, follower, delay, seed)
    assert explained < 0.15
