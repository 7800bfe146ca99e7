"""What the attention benchmarks share: the arithmetic floor, interleaved rounds, peak memory, targets, JSON.

The floor is the time that the arithmetic of the exact result takes at the rate at which this machine multiplies
large square matrices. That product runs in the same rounds as everything else, so floor and contestants meet the
same weather. Used by ``attention_window.py`` and ``attention_favor.py``; nothing here is part of the package.
"""

from __future__ import annotations

import importlib
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from alphabook.teaching.bench import bench, machine

RESULTS = Path(__file__).parent / "results"
MATRIX_SIDE = 1024
_MATRIX = "matrix product"


class Race(NamedTuple):
    """Medians of one interleaved race."""

    ms: dict[str, float]  # name -> median milliseconds of one call
    spread: dict[str, float]  # name -> interquartile range over median
    flops_per_ms: float  # of a large square matrix product, measured in the same rounds

    def floor_ms(self, flops: float) -> float:
        """Milliseconds that ``flops`` floating-point operations take at the measured matrix rate."""
        return flops / self.flops_per_ms


def race(work: Mapping[str, Callable[[], Any]], *, rounds: int = 9, warmup: int = 2) -> Race:
    """Run every callable once a round, in rotating order, together with the matrix product that sets the floor."""
    left, right, out = (torch.randn(MATRIX_SIDE, MATRIX_SIDE) for _ in range(3))
    table = bench({_MATRIX: lambda: torch.mm(left, right, out=out), **work}, repeat=rounds, warmup=warmup, shortest=0.0)
    ms = {str(name): float(value) for name, value in table["median_ms"].items()}
    spread = {str(name): float(value) for name, value in table["spread"].items()}
    spread.pop(_MATRIX)
    return Race(ms, spread, flops_per_ms=2 * MATRIX_SIDE**3 / ms.pop(_MATRIX))


def added_bytes(work: Callable[[], Any]) -> int:
    """Most memory that torch's CPU allocator holds at one moment of ``work()`` beyond what it held before.

    Counts allocations as the profiler sees them, the result included; a second call gives the same number.
    """
    work()  # one-time allocations are not the function's
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        kept = work()
    del kept
    held = peak = 0
    events = (e for e in record.profiler.kineto_results.events() if e.name() == "[memory]")
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def slope(lengths: Sequence[int], values: Sequence[float]) -> float:
    """Least-squares slope of log(values) against log(lengths): 1 is linear, 2 quadratic."""
    return statistics.linear_regression([math.log(n) for n in lengths], [math.log(v) for v in values]).slope


def optional(module: str, attribute: str) -> tuple[Any, str]:
    """``(attribute of module, "")``, or ``(None, why it is not there)``: a peer may be missing, the race goes on."""
    try:
        return getattr(importlib.import_module(module), attribute), ""
    except Exception as error:  # a peer that is absent, or that this version of torch breaks
        return None, f"{module}.{attribute}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def target(name: str, measured: float, *, at_most: float | None = None, at_least: float | None = None) -> dict:
    """One row of the table of targets: what was asked, what was measured, whether it is met."""
    met = (at_most is None or measured <= at_most) and (at_least is None or measured >= at_least)
    bound = {k: v for k, v in (("at_most", at_most), ("at_least", at_least)) if v is not None}
    return {"name": name, "measured": round(measured, 3), **bound, "met": met}


def save(name: str, sections: Mapping[str, Any]) -> Path:
    """Merge ``sections`` into ``results/<name>.json`` beside the machine and the versions; parts may run apart."""
    path = RESULTS / f"{name}.json"
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    head = {"machine": machine(), "torch": torch.__version__, "measured": datetime.now(UTC).strftime("%Y-%m-%d")}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**old, **head, **sections}, indent=1) + "\n", encoding="utf-8")
    return path


def show(targets: Sequence[Mapping[str, Any]]) -> None:
    """Print the table of targets."""
    for row in targets:
        bound = f"<= {row['at_most']:g}" if "at_most" in row else f">= {row['at_least']:g}"
        print(f"{'met   ' if row['met'] else 'MISSED'}  {row['name']:<58} {row['measured']:>9.3f}  {bound}")
