"""Weights of a Hugging Face Longformer layer, loaded into ours, give the same outputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from alphabook.attention import MultiHeadAttention

pytest.importorskip("transformers", reason="transformers is not installed: pip install alphabook[bench]")
from transformers import LongformerConfig, LongformerModel
from transformers.models.longformer.modeling_longformer import LongformerSelfAttention

WIDTH, HEADS, BAND = 32, 4, 1e-5
GLOBALS = ("none", "first", "several", "differ by row", "one row only", "every position")
# A window of 1 on each side is not among those tried: it raises a RuntimeError in their layer (transformers 5.23).
PADDINGS = ("none", "the end", "scattered")


def their_layer(window: int, *, layers: int = 1, seed: int = 0) -> LongformerSelfAttention:
    """A layer in evaluation mode whose weights and biases are all random, of a size that makes attention peak."""
    config = LongformerConfig(
        hidden_size=WIDTH, num_attention_heads=HEADS, num_hidden_layers=layers, attention_window=[2 * window] * layers
    )
    layer = LongformerSelfAttention(config, layer_id=0).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return layer


def their_output(layer: Any, x: Tensor, real: Tensor, is_global: Tensor) -> Tensor:
    """Their layer wants lengths that are multiples of both sides of the window, and one mask of three values."""
    length = x.shape[1]
    missing = -length % (2 * layer.one_sided_attn_window_size)
    x = torch.nn.functional.pad(x, (0, 0, 0, missing))
    real, is_global = (torch.nn.functional.pad(mask, (0, missing), value=False) for mask in (real, is_global))
    signed = torch.where(is_global, 1e4, 0.0).masked_fill(~real, -1e4)
    with torch.no_grad():
        output = layer(
            x.clone(),
            attention_mask=signed,
            is_index_masked=signed < 0,
            is_index_global_attn=signed > 0,
            is_global_attn=bool((signed > 0).any()),
        )[0]
    return output[:, :length]


def global_positions(which: str, length: int, real: Tensor) -> Tensor:
    chosen = torch.zeros_like(real)
    if which == "first":
        chosen[:, 0] = True
    elif which == "several":
        chosen[:, [0, length // 3, length // 2, length - 1]] = True
    elif which == "differ by row":
        for row in range(len(real)):
            chosen[row, torch.randperm(length, generator=torch.Generator().manual_seed(row))[: 2 * row + 1]] = True
    elif which == "one row only":
        chosen[-1, :2] = True
    elif which == "every position":
        chosen[:] = True
    return chosen & real


def real_positions(which: str, batch: int, length: int) -> Tensor:
    real = torch.ones(batch, length, dtype=torch.bool)
    if which == "the end":
        for row in range(batch):
            real[row, length - row * length // 4 :] = False
    elif which == "scattered":
        real = torch.rand(batch, length, generator=torch.Generator().manual_seed(7)) < 0.7
        real[:, 0] = True
    return real


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("which", GLOBALS)
@pytest.mark.parametrize(("window", "length"), [(2, 16), (3, 30), (4, 8), (4, 64), (8, 48), (16, 32), (32, 192)])
def test_outputs_agree(window: int, length: int, which: str, padding: str) -> None:
    theirs = their_layer(window, seed=window)
    ours = MultiHeadAttention.from_hugging_face(theirs.state_dict(), num_heads=HEADS, window=window)
    x = torch.randn(3, length, WIDTH, generator=torch.Generator().manual_seed(length))
    real = real_positions(padding, 3, length)
    is_global = global_positions(which, length, real)
    output = ours(x, key_padding_mask=None if padding == "none" else real, global_mask=is_global)
    expected = their_output(theirs, x, real, is_global)
    torch.testing.assert_close(output[real], expected[real], atol=BAND, rtol=0)
    if which == "none":
        torch.testing.assert_close(ours(x, key_padding_mask=real)[real], expected[real], atol=BAND, rtol=0)


@pytest.mark.parametrize("length", [1, 5, 13, 37])
def test_lengths_that_their_layer_pads_to_a_multiple(length: int) -> None:
    theirs = their_layer(4)
    ours = MultiHeadAttention.from_hugging_face(theirs.state_dict(), num_heads=HEADS, window=4)
    x = torch.randn(2, length, WIDTH, generator=torch.Generator().manual_seed(length))
    real = torch.ones(2, length, dtype=torch.bool)
    is_global = global_positions("first", length, real)
    expected = their_output(theirs, x, real, is_global)
    torch.testing.assert_close(ours(x, global_mask=is_global), expected, atol=BAND, rtol=0)


def test_gradients_agree() -> None:
    """Of the inputs and of every weight, global projections included."""
    theirs = their_layer(4)
    ours = MultiHeadAttention.from_hugging_face(theirs.state_dict(), num_heads=HEADS, window=4)
    x = torch.randn(2, 16, WIDTH, generator=torch.Generator().manual_seed(0))
    is_global = torch.zeros(2, 16, dtype=torch.bool)
    is_global[:, [0, 9]] = True
    signed = torch.where(is_global, 1e4, 0.0)
    weight_of_outputs = torch.randn(2, 16, WIDTH, generator=torch.Generator().manual_seed(1))
    x_ours, x_theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    (ours(x_ours, global_mask=is_global) * weight_of_outputs).sum().backward()
    output = theirs(
        x_theirs,
        attention_mask=signed,
        is_index_masked=signed < 0,
        is_index_global_attn=is_global,
        is_global_attn=True,
    )[0]
    (output * weight_of_outputs).sum().backward()
    assert x_ours.grad is not None
    torch.testing.assert_close(x_ours.grad, x_theirs.grad, atol=1e-4, rtol=1e-4)
    for name in ("query", "key", "value"):
        for side, mine in (("", ""), ("_global", "global_")):
            other = theirs.get_submodule(f"{name}{side}").weight.grad
            own = ours.get_submodule(f"{mine}{name}_projection").weight.grad
            torch.testing.assert_close(own, other, atol=1e-4, rtol=1e-4)


def test_a_layer_inside_a_whole_model() -> None:
    """With a prefix, from the model's own state; compared inside the model, with its own padding and masks."""
    config = LongformerConfig(
        vocab_size=50,
        hidden_size=WIDTH,
        num_attention_heads=HEADS,
        num_hidden_layers=2,
        intermediate_size=64,
        attention_window=[8, 16],
        max_position_embeddings=128,
    )
    torch.manual_seed(0)
    model = LongformerModel(config).eval()
    theirs = model.encoder.layer[1].attention.self
    ours = MultiHeadAttention.from_hugging_face(
        model.state_dict(), num_heads=HEADS, window=8, prefix="encoder.layer.1.attention.self."
    )
    seen: dict[str, Tensor] = {}

    def keep(module: Any, arguments: tuple, output: tuple) -> None:
        seen["x"], seen["output"] = arguments[0], output[0]

    theirs.register_forward_hook(keep)
    tokens = torch.randint(4, 50, (2, 30), generator=torch.Generator().manual_seed(1))
    attention_mask = torch.ones(2, 30, dtype=torch.long)
    attention_mask[1, 22:] = 0
    global_attention_mask = torch.zeros(2, 30, dtype=torch.long)
    global_attention_mask[:, 0] = 1
    with torch.no_grad():
        model(tokens, attention_mask=attention_mask, global_attention_mask=global_attention_mask)
    extra = seen["x"].shape[1] - 30  # the model pads to a multiple of the widest window
    real = torch.nn.functional.pad(attention_mask, (0, extra)).bool()
    is_global = torch.nn.functional.pad(global_attention_mask, (0, extra)).bool()
    output = ours(seen["x"], key_padding_mask=real, global_mask=is_global)
    torch.testing.assert_close(output[real], seen["output"][real], atol=BAND, rtol=0)


def test_without_global_positions_the_global_weights_are_not_read() -> None:
    theirs = their_layer(2)
    state = theirs.state_dict()
    ours = MultiHeadAttention.from_hugging_face(state, num_heads=HEADS, window=2)
    other = {name: torch.zeros_like(weight) if "global" in name else weight for name, weight in state.items()}
    blind = MultiHeadAttention.from_hugging_face(other, num_heads=HEADS, window=2)
    x = torch.randn(1, 8, WIDTH, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours(x), blind(x))
    with_global = torch.arange(8) == 0
    assert not torch.equal(ours(x, global_mask=with_global), blind(x, global_mask=with_global))


def test_the_module_keeps_the_weights_type_and_shares_no_memory() -> None:
    state = their_layer(2).double().state_dict()
    ours = MultiHeadAttention.from_hugging_face(state, num_heads=HEADS, window=2)
    assert ours.query_projection.weight.dtype == torch.float64
    assert ours.query_projection.weight.data_ptr() != state["query.weight"].data_ptr()
    assert isinstance(ours.output_projection, torch.nn.Identity)


def test_missing_weights_are_named() -> None:
    state = their_layer(2).state_dict()
    del state["key_global.bias"]
    with pytest.raises(ValueError, match=r"no LongformerSelfAttention at prefix '': missing key_global.bias$"):
        MultiHeadAttention.from_hugging_face(state, num_heads=HEADS, window=2)
    with pytest.raises(ValueError, match=r"at prefix 'layer\.7\.': missing layer\.7\.query\.weight, layer"):
        MultiHeadAttention.from_hugging_face(state, num_heads=HEADS, window=2, prefix="layer.7.")
    with pytest.raises(ValueError, match="multiple of num_heads, got d_model=32, num_heads=5"):
        MultiHeadAttention.from_hugging_face(their_layer(2).state_dict(), num_heads=5, window=2)
