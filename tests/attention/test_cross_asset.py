"""Attention across assets: equal to one query at a time, blind to the order of assets and to what is to come."""

from __future__ import annotations

import pytest
import torch
from cross_asset_oracle import CAUSAL_MODES, FEW, MODES, draw_present, module, normal, one_query_at_a_time, shapes
from hypothesis import given
from hypothesis import strategies as st

from alphabook.attention.cross_asset import CrossAssetAttention, Mode, cross_asset_attention
from alphabook.attention.dense import dense_attention


# --- oracle ----------------------------------------------------------------------------------------
@FEW
@given(case=shapes, mode=st.sampled_from(MODES))
def test_equal_to_one_query_at_a_time(case: dict, mode: Mode) -> None:
    shape = (case["batch"], 2, case["assets"], case["length"], 3)
    query, key, value = (normal(*shape, seed=case["seed"] + k) for k in range(3))
    present = draw_present(case)
    options = {"mode": mode, "max_lag": case["max_lag"], "include_self": case["include_self"]}
    expected, maps = one_query_at_a_time(query, key, value, present, **options)
    output, weights, sees = cross_asset_attention(query, key, value, asset_mask=present, **options)
    torch.testing.assert_close(output, expected, atol=1e-10, rtol=0)
    saw = maps.sum(dim=(1, 3, 5)) > 0  # (batch, length, assets)
    assert torch.equal(sees, saw.transpose(1, 2))
    mean = maps.sum(dim=2) / saw.sum(dim=1)[:, None, None, :, None].clamp(min=1)
    torch.testing.assert_close(weights, mean if mode == "lagged" else mean[:, :, 0], atol=1e-10, rtol=0)
    if mode != "pooled":
        _, per_step, _ = cross_asset_attention(query, key, value, asset_mask=present, return_per_step=True, **options)
        torch.testing.assert_close(per_step, maps if mode == "lagged" else maps[:, :, :, 0], atol=1e-10, rtol=0)


def test_lag_embedding_is_added_to_the_keys() -> None:
    """Against a softmax over keys to which the embedding was added by hand, asset by asset."""
    query, key, value = (normal(1, 2, 3, 6, 4, seed=k) for k in range(3))
    embedding = normal(2, 3, 4, seed=9)
    output, _, _ = cross_asset_attention(query, key, value, mode="lagged", max_lag=2, lag_embedding=embedding)
    i, t = 1, 4
    seen = [(1, 0), (0, 1), (2, 1), (0, 2), (2, 2)]
    keys = torch.stack([key[:, :, j, t - lag] + embedding[:, lag] for j, lag in seen], dim=2)
    values = torch.stack([value[:, :, j, t - lag] for j, lag in seen], dim=2)
    expected = dense_attention(query[:, :, i, t : t + 1], keys, values)
    torch.testing.assert_close(output[:, :, i, t : t + 1], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_heads_equal_independent_attentions(mode: Mode) -> None:
    query, key, value = (normal(2, 4, 3, 5, 6, seed=k) for k in range(3))
    together, maps, _ = cross_asset_attention(query, key, value, mode=mode, max_lag=2)
    for head in range(4):
        one = slice(head, head + 1)
        alone, alone_map, _ = cross_asset_attention(query[:, one], key[:, one], value[:, one], mode=mode, max_lag=2)
        torch.testing.assert_close(together[:, one], alone, atol=1e-12, rtol=0)
        torch.testing.assert_close(maps[:, one], alone_map, atol=1e-12, rtol=0)


# --- assets have no order --------------------------------------------------------------------------
@FEW
@given(case=shapes, mode=st.sampled_from(MODES))
def test_permuting_assets_permutes_outputs_and_weights(case: dict, mode: Mode) -> None:
    attend = module(mode, max_lag=case["max_lag"], include_self=case["include_self"])
    x = normal(case["batch"], case["assets"], case["length"], 12, seed=case["seed"])
    present = draw_present(case)
    order = torch.randperm(case["assets"], generator=torch.Generator().manual_seed(case["seed"]))
    output, weights = attend(x, present)
    permuted, permuted_weights = attend(x[:, order], present[:, order])
    torch.testing.assert_close(permuted, output[:, order], atol=1e-12, rtol=0)
    torch.testing.assert_close(permuted_weights, weights[..., order, :][..., order], atol=1e-12, rtol=0)


# --- the future ------------------------------------------------------------------------------------
@FEW
@given(case=shapes, mode=st.sampled_from(CAUSAL_MODES), data=st.data())
def test_no_bit_moves_when_the_future_changes(case: dict, mode: Mode, data: st.DataObject) -> None:
    attend = module(mode, max_lag=case["max_lag"], include_self=case["include_self"])
    x = normal(case["batch"], case["assets"], case["length"], 12, seed=case["seed"])
    present = draw_present(case)
    t = data.draw(st.integers(0, case["length"] - 1))
    later, later_present = x.clone(), present.clone()
    later[:, :, t + 1 :] = data.draw(st.sampled_from([1e6, float("nan")]))
    later_present[:, :, t + 1 :] = ~present[:, :, t + 1 :]
    assert torch.equal(attend(later, present)[0][:, :, : t + 1], attend(x, present)[0][:, :, : t + 1])
    assert torch.equal(attend(later, later_present)[0][:, :, : t + 1], attend(x, present)[0][:, :, : t + 1])


@FEW
@given(case=shapes, data=st.data())
def test_lagged_sees_other_assets_one_step_back_at_the_latest(case: dict, data: st.DataObject) -> None:
    """Everything that others do from ``t`` on changes; the asset itself stays as it is."""
    attend = module("lagged", max_lag=case["max_lag"], include_self=case["include_self"])
    x = normal(case["batch"], case["assets"], case["length"], 12, seed=case["seed"])
    i, t = data.draw(st.integers(0, case["assets"] - 1)), data.draw(st.integers(0, case["length"] - 1))
    others = [j for j in range(case["assets"]) if j != i]
    changed = x.clone()
    changed[:, others, t:] += 3.0
    assert torch.equal(attend(changed)[0][:, i, : t + 1], attend(x)[0][:, i, : t + 1])


def test_what_each_mode_reads() -> None:
    """Which inputs the output of asset 0 at step 5 depends on, by its gradient: (assets, length)."""
    reads = {}
    for mode in MODES:
        x = normal(1, 3, 9, 12).requires_grad_()
        module(mode, max_lag=2)(x)[0][0, 0, 5].sum().backward()
        assert x.grad is not None
        reads[mode] = x.grad[0].abs().sum(-1) > 0
    assert reads["pooled"].all(), "the pooled mean runs over the whole window, so step 5 sees steps 6 to 8"
    assert reads["per_step"].nonzero().tolist() == [[0, 5], [1, 5], [2, 5]]
    assert reads["lagged"].nonzero().tolist() == [[0, 5], [1, 3], [1, 4], [2, 3], [2, 4]]


def test_pooled_leaks_within_the_window_and_cannot_see_order() -> None:
    attend = module("pooled")
    x = normal(1, 3, 8, 12)
    later = x.clone()
    later[:, :, 5:] += 1.0
    assert (attend(later)[0][:, :, :5] - attend(x)[0][:, :, :5]).abs().max() > 1e-3
    shuffled = x[:, :, torch.randperm(8, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(attend(shuffled)[0], attend(x)[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_same_generator_same_weights(mode: Mode) -> None:
    first, second = (CrossAssetAttention(8, 2, mode, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    limit = (6 / 16) ** 0.5
    assert 0.9 * limit < first.query_projection.weight.abs().max() <= limit
    assert not first.output_projection.bias.any()
