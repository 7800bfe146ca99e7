"""What the tests of the sliding window share: drawn cases, and the same attention by the dense oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from alphabook.attention import dense_attention, sliding_window_attention


def equivalent_mask(
    length: int,
    *,
    window: int,
    causal: bool = False,
    dilation: int = 1,
    key_padding_mask: Tensor | None = None,
    global_mask: Tensor | None = None,
    **_: Any,
) -> Tensor:
    """The definition as a dense mask, (batch or 1, 1, length, length): True = row may attend to column."""
    row, column = torch.arange(length)[:, None], torch.arange(length)
    distance = (row - column).abs()
    mask = ((distance <= window * dilation) & (distance % dilation == 0))[None]
    if global_mask is not None:
        marked = global_mask.reshape(-1, length)
        mask = mask | marked[:, None, :] | marked[:, :, None]
    if key_padding_mask is not None:
        mask = mask & key_padding_mask[:, None, :]
    if causal:
        mask = mask & (column <= row)
    return mask[:, None]


def by_dense(query: Tensor, key: Tensor, value: Tensor, *, global_qkv: Any = None, **options: Any) -> Tensor:
    """What ``sliding_window_attention`` must return, from the dense oracle."""
    mask = equivalent_mask(query.shape[2], **options)
    output = dense_attention(query, key, value, mask=mask)
    if global_qkv is None or options.get("global_mask") is None:
        return output
    marked = options["global_mask"].reshape(-1, query.shape[2])
    return torch.where(marked[:, None, :, None], dense_attention(*global_qkv, mask=mask), output)


@dataclass
class Case:
    """Inputs (with gradients) and options of one call."""

    inputs: tuple[Tensor, ...]  # query, key, value, and the three of global_qkv when there are six
    options: dict[str, Any]

    def run(self) -> Tensor:
        return sliding_window_attention(*self.inputs[:3], **self._options())

    def oracle(self) -> Tensor:
        return by_dense(*self.inputs[:3], **self._options())

    def _options(self) -> dict[str, Any]:
        return {**self.options, "global_qkv": self.inputs[3:] or None}


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@st.composite
def cases(draw: st.DrawFn, *, marks: bool = True, longest: int = 150) -> Case:
    """Any call: lengths below and above the window and the blocks, every option alone and together."""
    batch, heads = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    length, dim = draw(st.integers(1, longest)), draw(st.integers(1, 8))
    options: dict[str, Any] = {
        "window": draw(st.one_of(st.integers(0, 8), st.integers(0, length + 3))),
        "causal": draw(st.booleans()),
        "dilation": draw(st.one_of(st.just(1), st.integers(1, 5), st.integers(1, length + 2))),
    }
    seed = draw(st.integers(0, 2**31))
    random = torch.Generator().manual_seed(seed)
    tensors = 3
    if marks:
        if (real := draw(st.sampled_from([None, 0.0, 0.3, 0.9]))) is not None:
            options["key_padding_mask"] = torch.rand(batch, length, generator=random) < real
        if (share := draw(st.sampled_from([None, 0.0, 0.05, 0.5, 1.0]))) is not None:
            one_for_all = draw(st.booleans())
            shape = (length,) if one_for_all else (batch, length)
            options["global_mask"] = torch.rand(*shape, generator=random) < share
            tensors = draw(st.sampled_from([3, 6]))
    inputs = (torch.randn(batch, heads, length, dim, generator=random, dtype=torch.float64) for _ in range(tensors))
    return Case(tuple(x.requires_grad_() for x in inputs), options)


def gradients(output: Tensor, inputs: tuple[Tensor, ...], *, seed: int = 1) -> list[Tensor]:
    """Gradients of a random projection of ``output``; zeros for an input that it does not depend on."""
    weights = normal(*output.shape, seed=seed, dtype=output.dtype).to(output.device)
    found = torch.autograd.grad((output * weights).sum(), inputs, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True)]
