"""Benchmark cells measure side by side, compare results first, and name the machine, not its owner."""

from __future__ import annotations

import gc
import platform
import socket
import time

import numpy as np
import pandas as pd
import pytest

from alphabook.errors import ClaimError
from alphabook.teaching import bench, machine


def test_a_slower_callable_is_slower_and_ratios_are_against_the_first():
    table = bench({"slow": lambda: time.sleep(0.008), "fast": lambda: time.sleep(0.002)}, repeat=3)
    assert list(table.index) == ["slow", "fast"]
    assert table.loc["slow", "speedup"] == 1
    assert 2 < table.loc["fast", "speedup"] < 6
    assert table.loc["slow", "median_ms"] >= 8
    assert (table["best_ms"] <= table["median_ms"]).all()
    assert table.attrs["machine"] == machine()


def test_rounds_are_interleaved_in_a_rotating_order():
    order = []
    bench({n: lambda n=n: (order.append(n), time.sleep(0.003)) for n in "abc"}, repeat=3, warmup=1)
    assert "".join(order) == "abc" + "abc" + "bca" + "cab"


def test_short_work_is_called_often_enough_to_be_timed():
    table = bench({"tiny": lambda: None}, repeat=3)
    assert table.loc["tiny", "calls"] > 100


def test_garbage_collection_is_off_inside_and_on_again_after_an_error():
    seen = []

    def work():
        seen.append(gc.isenabled())
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        bench({"work": work})
    assert seen == [False]
    assert gc.isenabled()


def series(values):
    return pd.Series(values, name="x")


EQUAL = [
    (1.0, 1.0 + 1e-12),
    (float("nan"), float("nan")),
    (np.arange(3.0), np.arange(3.0) + 1e-13),
    (np.arange(3), [0, 1, 2][:0] or np.arange(3)),
    ({"a": [1, (2.0, "x")]}, {"a": [1, (2.0 + 1e-12, "x")]}),
    (series([1.0]), series([1.0 + 1e-12])),
    (pd.DataFrame({"a": [1.0]}), pd.DataFrame({"a": [1.0]})),
    (pd.Index([1, 2]), pd.Index([1, 2])),
    ("x", "x"),
]
DIFFERENT = [
    (1.0, 1.001),
    (1.0, float("nan")),
    (np.arange(3.0), np.arange(4.0)),
    (np.arange(3.0), np.arange(3.0) + 1e-6),
    (np.array(["a"]), np.array([1.0])),
    ([1, 2], [1]),
    ({"a": 1}, {"b": 1}),
    ([1], 1),
    (series([1.0]), series([1.1])),
    (series([1.0]), np.array([1.0])),
    (pd.DataFrame({"a": [1.0]}), pd.DataFrame({"b": [1.0]})),
    (pd.Index([1, 2]), pd.Index([1, 3])),
    ("x", "y"),
]


@pytest.mark.parametrize(("left", "right"), EQUAL, ids=range(len(EQUAL)))
def test_equal_results_may_be_timed(left, right):
    bench({"a": lambda: left, "b": lambda: right}, repeat=1, shortest=0, equal=True)


@pytest.mark.parametrize(("left", "right"), DIFFERENT, ids=range(len(DIFFERENT)))
def test_different_results_may_not(left, right):
    with pytest.raises(ClaimError, match="'a' and 'b' return different results"):
        bench({"a": lambda: left, "b": lambda: right}, repeat=1, shortest=0, equal=True)


def test_tensors_are_compared_too():
    torch = pytest.importorskip("torch")
    one = torch.ones(3, requires_grad=True)
    bench({"a": lambda: one, "b": lambda: torch.ones(3)}, repeat=1, shortest=0, equal=True)
    with pytest.raises(ClaimError):
        bench({"a": lambda: one, "b": lambda: torch.zeros(3)}, repeat=1, shortest=0, equal=True)
    assert "torch thread" in machine()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(({},), "at least one callable"), (({"a": print}, 0), "repeat >= 1")],
)
def test_nothing_to_measure_is_an_error(arguments, message):
    work, *rest = arguments
    with pytest.raises(ValueError, match=message):
        bench(work, repeat=rest[0] if rest else 1)


def test_the_machine_is_named_without_its_host_name():
    assert "core" in machine()
    assert platform.python_version() in machine()
    host = socket.gethostname()
    assert len(host) < 4 or host not in machine()
