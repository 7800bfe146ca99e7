# ruff: noqa: F722
"""Multi-head attention: projections around any attention that takes queries, keys and values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .cross_asset import check_mode, cross_asset_attention, presence
from .dense import dense_attention
from .favor_module import FavorAttention
from .sliding_window import sliding_window_attention

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "dense": dense_attention,
    "window": sliding_window_attention,
    "cross_asset": cross_asset_attention,
}
_OPTIONS: dict[str, tuple[str, ...]] = {  # keywords of the constructor that go to the attention
    "dense": ("scale",),
    "window": ("window", "dilation"),
    "favor": ("num_features", "orthogonal", "scaling", "redraw_interval", "seed"),
    "cross_asset": ("mode", "max_lag", "include_self"),
}
_REQUIRED = {"window": "window", "favor": "num_features"}
_HUGGING_FACE = {  # their layer: ours
    "query": "query_projection",
    "key": "key_projection",
    "value": "value_projection",
    "query_global": "global_query_projection",
    "key_global": "global_key_projection",
    "value_global": "global_value_projection",
}


class MultiHeadAttention(nn.Module):
    """Project ``x`` to queries, keys and values, split them into heads, attend, merge the heads, project again.

    ============= =================================== ==============================================
    attention     options of the constructor          arguments of a call
    ============= =================================== ==============================================
    "dense"       scale                               key_padding_mask, mask, return_weights
    "window"      window (required), dilation         key_padding_mask, global_mask
    "favor"       num_features (required),            key_padding_mask
                  orthogonal, scaling,
                  redraw_interval, seed
    "cross_asset" mode, max_lag, include_self         asset_mask, return_per_step
    a callable    its own keywords                    key_padding_mask if it takes one, its own keywords
    ============= =================================== ==============================================

    They mean what they mean in :func:`dense_attention`, :func:`sliding_window_attention`,
    :class:`FavorAttention` and :class:`CrossAssetAttention`. A callable receives ``query``, ``key`` and ``value``
    of shape ``(batch, heads, length, head_dim)`` and returns a tensor of that shape, or a tuple that begins with
    one. With ``"cross_asset"`` the module takes ``(batch, assets, length, d_model)`` and computes what
    :class:`CrossAssetAttention` does; the parameters of the two have the same names.

    Args:
        d_model: width of an input vector.
        num_heads: attentions side by side, each of width ``d_model // num_heads``.
        attention: a name from the table, or a callable; a ``torch.nn.Module`` becomes part of this one.
        causal: position ``i`` sees positions up to ``i`` only; passed to the attention as ``causal=True``.
        bias: add a learned offset in every projection.
        dropout: share of output entries set to zero in training. It acts on the output (Vaswani et al., section
            5.4), because an attention in linear time has no matrix of weights to drop from.
        global_projections: with ``"window"``, projections of their own for the rows of global positions.
        output_projection: ``False`` returns the merged heads as they are.
        generator: source of the initial weights; ``None`` takes torch's own.

    Raises:
        ValueError: ``num_heads`` does not divide ``d_model``, ``dropout`` outside ``[0, 1)``, an unknown name or
            option, a required option missing, or a combination that does not exist.

    Vaswani et al. (2017), section 3.2.2; global projections: Beltagy et al. (2020), section 3.1. Taught in
    :doc:`/notebooks/attention/one_equation`.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        attention: str | Callable[..., Any] = "dense",
        *,
        causal: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        global_projections: bool = False,
        output_projection: bool = True,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if num_heads < 1 or d_model < 1 or d_model % num_heads:
            raise ValueError(
                f"d_model must be a positive multiple of num_heads, got d_model={d_model}, num_heads={num_heads}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is a share in [0, 1), got {dropout}")
        if global_projections and attention != "window":
            raise ValueError(f'global_projections exist for attention="window" only, got {attention!r}')
        if causal and attention == "cross_asset":
            raise ValueError('"cross_asset" takes no causal: modes "per_step" and "lagged" never read the future')
        if isinstance(attention, str):
            _check_named(attention, options)

        self.d_model, self.num_heads, self.causal, self.options = d_model, num_heads, causal, options
        self.name = attention if isinstance(attention, str) else "callable"
        if attention == "favor":
            self.attention: Callable[..., Any] = FavorAttention(head_dim=d_model // num_heads, causal=causal, **options)
            self.options = {}
        else:
            self.attention = _FUNCTIONS[attention] if isinstance(attention, str) else attention
        self._keywords = _keywords(self.attention)
        self._refuse({*self.options, *(["causal"] if causal else [])})

        self.query_projection = nn.Linear(d_model, d_model, bias=bias)
        self.key_projection = nn.Linear(d_model, d_model, bias=bias)
        self.value_projection = nn.Linear(d_model, d_model, bias=bias)
        self.global_projections = global_projections
        if global_projections:
            self.global_query_projection = nn.Linear(d_model, d_model, bias=bias)
            self.global_key_projection = nn.Linear(d_model, d_model, bias=bias)
            self.global_value_projection = nn.Linear(d_model, d_model, bias=bias)
        self.output_projection = nn.Linear(d_model, d_model, bias=bias) if output_projection else nn.Identity()
        self.lag_embedding: nn.Parameter | None = None
        if attention == "cross_asset":
            mode, max_lag = options.setdefault("mode", "pooled"), options.setdefault("max_lag", 5)
            check_mode(mode, max_lag)
            if mode == "lagged":
                self.lag_embedding = nn.Parameter(torch.empty(num_heads, max_lag + 1, d_model // num_heads))
        self.dropout = nn.Dropout(dropout)
        self.reset_parameters(generator)

    @classmethod
    def from_hugging_face(
        cls, state_dict: Mapping[str, Tensor], *, num_heads: int, window: int, prefix: str = ""
    ) -> MultiHeadAttention:
        """A module that computes what a Hugging Face ``LongformerSelfAttention`` computes, from its weights.

        Their conventions, in ours: ``attention_window`` is the sum of both sides, so ``window`` is half of it. Their
        ``attention_mask`` is negative at padding (``key_padding_mask`` is False), positive at global positions
        (``global_mask`` is True), zero elsewhere. They return zeros at padding, this module what a query there
        would see. Their layer has no output projection, so this module has none.

        Args:
            state_dict: ``layer.state_dict()``, or a larger one with ``prefix``, such as
                ``"longformer.encoder.layer.0.attention.self."``.
            num_heads: ``config.num_attention_heads``; the weights do not tell.
            window: positions seen on each side.

        Raises:
            ValueError: weights are missing, which are named, or ``num_heads`` does not divide their width.
        """
        renamed = {
            f"{ours}.{part}": f"{prefix}{theirs}.{part}"
            for theirs, ours in _HUGGING_FACE.items()
            for part in ("weight", "bias")
        }
        missing = [theirs for theirs in renamed.values() if theirs not in state_dict]
        if missing:
            raise ValueError(f"no LongformerSelfAttention at prefix {prefix!r}: missing {', '.join(missing)}")
        weight = state_dict[f"{prefix}query.weight"]
        module = cls(
            weight.shape[1], num_heads, "window", window=window, global_projections=True, output_projection=False
        ).to(weight)
        module.load_state_dict({ours: state_dict[theirs] for ours, theirs in renamed.items()})
        return module

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw every matrix uniformly (Xavier, so within ``sqrt(6 / (2 * d_model))``), set the rest to zero."""
        for name, layer in self.named_children():
            if name.endswith("_projection") and isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight, generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if self.lag_embedding is not None:
            nn.init.zeros_(self.lag_embedding)

    def forward(
        self,
        x: Float[Tensor, "batch *assets length d_model"],
        *,
        key_padding_mask: Bool[Tensor, "batch length"] | None = None,
        **arguments: Any,
    ) -> Any:
        """Attend among the positions of ``x``.

        Args:
            x: one vector for each position.
            key_padding_mask: True = a real position. Nobody sees padding, and what it holds (NaN included) reaches
                neither the other positions nor a gradient; its own output has no meaning.
            arguments: see the table of the class.

        Returns:
            A tensor shaped like ``x``; if the attention returns more, a tuple of that tensor and the rest.

        Raises:
            ValueError: ``x`` or ``key_padding_mask`` has another shape, the mask is not boolean, an argument is
                unknown to the attention, or a callable returns another shape.
        """
        across = self.name == "cross_asset"
        if x.ndim != 3 + across or x.shape[-1] != self.d_model:
            axes = "batch, assets, length" if across else "batch, length"
            raise ValueError(f"x must be ({axes}, d_model={self.d_model}), got {tuple(x.shape)}")
        self._refuse(set(arguments))
        arguments = {**self.options, **({"causal": True} if self.causal else {}), **arguments}
        hidden = self._hide(x, key_padding_mask, arguments)
        if hidden is not None:  # 0 * NaN in the gradient of a projection is NaN
            x = x.masked_fill(hidden.unsqueeze(-1) & ~x.isfinite(), 0.0)
        if self.global_projections and arguments.get("global_mask") is not None:
            arguments["global_qkv"] = self._project(x, "global_query", "global_key", "global_value")
        if self.lag_embedding is not None:
            arguments["lag_embedding"] = self.lag_embedding

        query, key, value = self._project(x, "query", "key", "value")
        attended = self.attention(query, key, value, **arguments)
        attended, *rest = attended if isinstance(attended, tuple) else (attended,)
        if attended.shape != value.shape:
            raise ValueError(f"the attention must return {tuple(value.shape)} like value, got {tuple(attended.shape)}")
        merged = rearrange(attended, "batch heads ... length dim -> batch ... length (heads dim)")
        output = self.dropout(self.output_projection(merged))
        if across:  # the bias would fill the rows of missing assets
            sees = rest.pop()
            output = output.masked_fill(~sees.unsqueeze(-1), 0.0)
        return (output, *rest) if rest else output

    def extra_repr(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"{self.d_model}, {self.num_heads}, {self.name!r}, causal={self.causal}{options}"

    def _project(self, x: Tensor, *roles: str) -> tuple[Tensor, ...]:
        """Through the projections of these roles, split into heads."""
        return tuple(
            rearrange(
                self.get_submodule(f"{role}_projection")(x),
                "batch ... length (heads dim) -> batch heads ... length dim",
                heads=self.num_heads,
            )
            for role in roles
        )

    def _hide(self, x: Tensor, key_padding_mask: Tensor | None, arguments: dict[str, Any]) -> Tensor | None:
        """Hand the mask to the attention in the form it takes; returns where ``x`` is not to be read."""
        if self.name == "cross_asset":
            batch, assets, length, _ = x.shape
            real = presence(arguments.get("asset_mask"), batch=batch, assets=assets, length=length, device=x.device)
            if key_padding_mask is not None:
                raise ValueError('"cross_asset" takes asset_mask (True = present) in place of key_padding_mask')
            arguments["asset_mask"] = real
            return ~real
        if key_padding_mask is None:
            return None
        if key_padding_mask.dtype != torch.bool or key_padding_mask.shape != x.shape[:2]:
            raise ValueError(
                f"key_padding_mask must be boolean (True = real) of shape (batch, length)={tuple(x.shape[:2])}, "
                f"got {key_padding_mask.dtype} {tuple(key_padding_mask.shape)}"
            )
        if self._keywords is None or "key_padding_mask" in self._keywords:
            arguments["key_padding_mask"] = key_padding_mask
        else:
            self._refuse({"mask"})
            columns = rearrange(key_padding_mask, "batch length -> batch 1 1 length")
            arguments["mask"] = columns if arguments.get("mask") is None else columns & arguments["mask"]
        return ~key_padding_mask

    def _refuse(self, given: set[str]) -> None:
        """Raise a ``ValueError`` for keywords that the attention does not take."""
        unknown = given - (given if self._keywords is None else self._keywords)
        if unknown:
            raise ValueError(
                f"attention {self.name!r} takes no {', '.join(sorted(unknown))}; "
                f"it takes {', '.join(sorted(self._keywords or ())) or 'no keywords'}"
            )


def _check_named(name: str, options: Mapping[str, Any]) -> None:
    if name not in _OPTIONS:
        raise ValueError(f"attention must be one of {', '.join(_OPTIONS)} or a callable, got {name!r}")
    unknown = sorted(set(options) - set(_OPTIONS[name]))
    if unknown:
        raise ValueError(f"attention {name!r} has no option {', '.join(unknown)}; it has {', '.join(_OPTIONS[name])}")
    if name in _REQUIRED and _REQUIRED[name] not in options:
        raise ValueError(f"attention {name!r} needs {_REQUIRED[name]}=, got {dict(options)}")


def _keywords(function: Callable[..., Any]) -> set[str] | None:
    """Names of the keywords that a callable takes; ``None`` if it takes any."""
    try:
        parameters = inspect.signature(function.forward if isinstance(function, nn.Module) else function).parameters
    except ValueError:  # a builtin, such as torch's scaled_dot_product_attention, does not tell
        return None
    after_value = list(parameters.values())[3:]
    return None if any(p.kind is p.VAR_KEYWORD for p in after_value) else {p.name for p in after_value}
