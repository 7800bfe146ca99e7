"""What a piece of work costs without a clock: multiply-adds of its matrix products, and bytes alive at once.

Both follow the tensor operations while they run, so they count what a function really does, and give the same
number on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def multiply_adds(work: Callable[[], Any]) -> int:
    """Multiply-adds of the matrix products in ``work()``: each a product, added to a sum.

    Blind to everything that is no matrix product: exponentials, sums, copies. PyTorch's fused
    ``scaled_dot_product_attention`` counts as the two products that it computes, causal or not.

    Taught in :doc:`/notebooks/attention/which_attention`.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False, custom_mapping=_more_products()) as counter:
        work()
    return counter.get_total_flops() // 2


def _more_products() -> dict[Any, Callable[..., int]]:
    """Products that PyTorch's own counter leaves out: those that write in place, and fused attention on a CPU."""
    from torch import ops

    return {
        ops.aten.addmm_: _product_flop,
        ops.aten.baddbmm_: _product_flop,
        ops.aten._scaled_dot_product_flash_attention_for_cpu: _fused_flop,
    }


def _product_flop(_: Any, left: Any, right: Any, *__: Any, **___: Any) -> int:
    return 2 * math.prod(left) * right[-1]


def _fused_flop(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    batch, heads, rows, width = query
    return 2 * batch * heads * rows * key[2] * (width + value[3])


def peak_bytes(work: Callable[[], Any]) -> int:
    """Most bytes alive at once, after any operation of ``work()``, of the tensors made by it; no gradients are kept.

    What an operation allocates and gives back within itself is not seen.

    Taught in :doc:`/notebooks/attention/which_attention`.
    """
    import torch
    from torch.multiprocessing.reductions import StorageWeakRef
    from torch.utils._python_dispatch import TorchDispatchMode

    class Alive(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.made: dict[int, tuple[StorageWeakRef, int]] = {}
            self.given: set[int] = set()
            self.most = 0

        def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            for tensor in _tensors((args, kwargs)):
                place = tensor.untyped_storage()._cdata
                if place not in self.made or self.made[place][0].expired():
                    self.given.add(place)  # the caller's own
            result = operation(*args, **(kwargs or {}))
            for tensor in _tensors(result):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.given:
                    self.made[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
            self.most = max(self.most, sum(size for ref, size in self.made.values() if not ref.expired()))
            return result

    with torch.no_grad(), Alive() as alive:
        work()
    return alive.most


def _tensors(nested: Any) -> list[Any]:
    """Every tensor in nested tuples, lists and dictionaries."""
    import torch
    from torch.utils._pytree import tree_leaves

    return [leaf for leaf in tree_leaves(nested) if isinstance(leaf, torch.Tensor)]
