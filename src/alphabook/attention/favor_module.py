"""FAVOR+ with its own random features: drawn from a seed, redrawn while training, kept in the checkpoint."""
# ruff: noqa: F722

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .favor import draw_projection, favor_attention


class FavorAttention(nn.Module):
    """:func:`favor_attention` holding the projection it uses; it has no trained parameters.

    In training mode every ``redraw_interval``-th call draws new features before it computes, so that the
    model does not adapt to the errors of one draw; ``redraw_interval=None`` keeps the first draw. In
    evaluation mode nothing changes and nothing is counted. ``state_dict`` holds the projection, the number
    of training calls and the state of the generator: a run resumed from it continues bit for bit.

    Args:
        num_features: Random features per head; the error falls with its square root.
        head_dim: Width of the queries and keys of one head.
        causal: Position ``i`` sees positions ``0 .. i`` only.
        orthogonal: Draw blocks of orthogonal rows; see :func:`draw_projection`.
        scaling: ``"chi"`` (unbiased) or ``"sqrt_d"`` (regularised).
        redraw_interval: Training calls per draw, or ``None``.
        seed: Seed of the module's own generator.

    Raises:
        ValueError: ``redraw_interval`` below one, or what :func:`draw_projection` raises.

    Choromanski et al. (2021), section 4.2 for redrawing. Taught in :doc:`/notebooks/attention/favor`.
    """

    projection: Tensor

    def __init__(
        self,
        *,
        num_features: int,
        head_dim: int,
        causal: bool = False,
        orthogonal: bool = True,
        scaling: Literal["chi", "sqrt_d"] = "chi",
        redraw_interval: int | None = 1000,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if redraw_interval is not None and redraw_interval < 1:
            raise ValueError(f"redraw_interval must be >= 1 training calls, or None for never, got {redraw_interval}")
        self.num_features, self.head_dim = num_features, head_dim
        self.causal, self.orthogonal, self.scaling = causal, orthogonal, scaling
        self.redraw_interval = redraw_interval
        self.training_calls = 0
        # the state rather than the generator: a Generator cannot be copied with the module
        self._generator_state = torch.Generator().manual_seed(seed).get_state()
        self.register_buffer("projection", self._draw())

    def forward(
        self,
        query: Float[Tensor, "batch heads length head_dim"],
        key: Float[Tensor, "batch heads keys head_dim"],
        value: Float[Tensor, "batch heads keys head_dim"],
        *,
        key_padding_mask: Bool[Tensor, "batch keys"] | None = None,
        causal: bool | None = None,
    ) -> Float[Tensor, "batch heads length head_dim"]:
        """Attend; ``causal`` given here overrides the module's own."""
        if self.training and self.redraw_interval is not None:
            if self.training_calls > 0 and self.training_calls % self.redraw_interval == 0:
                self.redraw()
            self.training_calls += 1
        return favor_attention(
            query,
            key,
            value,
            projection=self.projection,
            causal=self.causal if causal is None else causal,
            key_padding_mask=key_padding_mask,
        )

    def redraw(self) -> None:
        """Replace the projection by the generator's next draw."""
        # a new tensor: graphs of earlier calls still need the old one
        self.projection = self._draw().to(device=self.projection.device, dtype=self.projection.dtype)

    def _draw(self) -> Float[Tensor, "features head_dim"]:
        generator = torch.Generator()
        generator.set_state(self._generator_state)
        drawn = draw_projection(
            self.num_features, self.head_dim, generator=generator, orthogonal=self.orthogonal, scaling=self.scaling
        )
        self._generator_state = generator.get_state()
        return drawn

    def get_extra_state(self) -> dict[str, Any]:
        """What ``state_dict`` stores beside the projection."""
        return {"training_calls": self.training_calls, "generator_state": self._generator_state.clone()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take up a run where ``get_extra_state`` left it."""
        self.training_calls = int(state["training_calls"])
        self._generator_state = state["generator_state"].to(device="cpu", dtype=torch.uint8).clone()

    def extra_repr(self) -> str:
        return (
            f"num_features={self.num_features}, head_dim={self.head_dim}, causal={self.causal}, "
            f"orthogonal={self.orthogonal}, scaling={self.scaling!r}, redraw_interval={self.redraw_interval}"
        )
