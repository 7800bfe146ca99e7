"""Benchmark cells: medians measured side by side, and the machine they were measured on.

Two callables timed one after the other meet different weather (other processes, a hotter chip). Here each
round runs every one of them once, in a rotating order, so that the weather falls on all alike; the median
over rounds is reported, and ratios rather than seconds go into the text.
"""

from __future__ import annotations

import gc
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import ClaimError


def bench(
    work: Mapping[str, Callable[[], Any]],
    *,
    repeat: int = 7,
    warmup: int = 1,
    equal: bool = False,
    rtol: float = 1e-9,
    shortest: float = 0.002,
) -> pd.DataFrame:
    """Time each callable ``repeat`` times, interleaved.

    Args:
        work: name to callable without arguments; the first is the one the ratios are taken against.
        equal: require that all of them return the same, up to ``rtol``.
        shortest: seconds a timed sample lasts at least; faster work is called several times in a sample.

    Returns:
        A row per name: ``median_ms`` and ``best_ms`` of one call, ``spread`` (interquartile range over median),
        ``speedup`` (the first one's median over this one's) and ``calls`` per sample; the machine is in
        ``attrs["machine"]``.

    Raises:
        ClaimError: ``equal`` is asked for and two of them differ.
        ValueError: nothing to time, or ``repeat`` below 1.
    """
    if not work:
        raise ValueError("bench needs at least one callable: bench({'loop': slow, 'blocked': fast})")
    if repeat < 1 or warmup < 0:
        raise ValueError(f"bench needs repeat >= 1 and warmup >= 0, got {repeat} and {warmup}")
    names = list(work)
    if equal:
        _require_equal(work, rtol)
    calls = {name: _calls(work[name], warmup, shortest) for name in names}
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeat):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            samples[name].append(_sample(work[name], calls[name]))
    medians = {name: statistics.median(samples[name]) for name in names}
    table = pd.DataFrame(
        {
            "median_ms": [1e3 * medians[n] for n in names],
            "best_ms": [1e3 * min(samples[n]) for n in names],
            "spread": [_iqr(samples[n]) / medians[n] for n in names],
            "speedup": [medians[names[0]] / medians[n] for n in names],
            "calls": [calls[n] for n in names],
        },
        index=pd.Index(names, name="work"),
    )
    table.attrs["machine"] = machine()
    return table


def machine() -> str:
    """CPU model, cores this process may use, threads of the tensor library, Python: never a host name."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parts = [_cpu(), f"{usable} core{'s' if usable != 1 else ''}"]
    torch = sys.modules.get("torch")
    if torch is not None:
        threads = torch.get_num_threads()
        parts.append(f"{threads} torch thread{'s' if threads != 1 else ''}")
    parts.append(f"Python {platform.python_version()}")
    return ", ".join(parts)


def _calls(function: Callable[[], Any], warmup: int, shortest: float) -> int:
    """Calls per sample so that one lasts ``shortest``; warms up on the way."""
    took = shortest
    for _ in range(max(warmup, 1)):
        took = _sample(function, 1)
    return max(1, min(10_000, round(shortest / max(took, 1e-9))))


def _sample(function: Callable[[], Any], calls: int) -> float:
    """Seconds of one call, averaged over ``calls``, the garbage collector kept out."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        begin = time.perf_counter()
        for _ in range(calls):
            function()
        return (time.perf_counter() - begin) / calls
    finally:
        if was_on:
            gc.enable()


def _iqr(values: list[float]) -> float:
    return float(np.subtract(*np.quantile(values, [0.75, 0.25])))


def _require_equal(work: Mapping[str, Callable[[], Any]], rtol: float) -> None:
    names = list(work)
    expected = work[names[0]]()
    for name in names[1:]:
        if not _same(expected, work[name](), rtol):
            raise ClaimError(
                f"{names[0]!r} and {name!r} return different results (rtol {rtol:g}): timing them says nothing"
            )


def _same(left: Any, right: Any, rtol: float) -> bool:
    """Deep equality; floating-point numbers up to ``rtol``, NaN equal to NaN."""
    if isinstance(left, pd.DataFrame | pd.Series | pd.Index):
        return _same_table(left, right, rtol)
    if isinstance(left, Mapping):
        return (
            isinstance(right, Mapping)
            and left.keys() == right.keys()
            and all(_same(left[k], right[k], rtol) for k in left)
        )
    if isinstance(left, list | tuple):
        return (
            isinstance(right, list | tuple)
            and len(left) == len(right)
            and all(map(_same, left, right, [rtol] * len(left)))
        )
    if hasattr(left, "detach"):
        left, right = (x.detach().cpu().numpy() if hasattr(x, "detach") else x for x in (left, right))
    if isinstance(left, np.ndarray | np.generic | float):
        try:
            a, b = np.asarray(left), np.asarray(right)
            if a.shape != b.shape:
                return False
            if a.dtype.kind in "fc" or b.dtype.kind in "fc":
                scale = float(np.max(np.abs(a), where=np.isfinite(a), initial=0.0))
                return bool(np.allclose(a, b, rtol=rtol, atol=rtol * scale, equal_nan=True))
            return bool((a == b).all())
        except (TypeError, ValueError):
            return False
    return bool(left == right)


def _same_table(left: Any, right: Any, rtol: float) -> bool:
    try:
        if isinstance(left, pd.DataFrame):
            pd.testing.assert_frame_equal(left, right, rtol=rtol)
        elif isinstance(left, pd.Series):
            pd.testing.assert_series_equal(left, right, rtol=rtol, check_names=False)
        else:
            pd.testing.assert_index_equal(left, right, check_names=False)
    except AssertionError:
        return False
    return True


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    if sys.platform == "darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        if asked.stdout.strip():
            return asked.stdout.strip()
    return platform.processor() or platform.machine() or "unknown CPU"
