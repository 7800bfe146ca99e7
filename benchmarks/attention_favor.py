"""FAVOR+ beside its peers: time against the arithmetic floor, scale.

    python benchmarks/attention_favor.py            # all parts, some minutes; writes results/attention_favor.json
    python benchmarks/attention_favor.py --quick    # short sequences, few rounds, nothing is written
    python benchmarks/attention_favor.py --parts forward causal

Eager PyTorch on the CPU, one thread, float32, batch 1, 128 random features. Peers and ours run in turn in one process,
medians over the rounds are compared, and every peer's output is checked against ours, with the same projection, before
anything is timed. The floor is the time that the arithmetic takes at this machine's measured matrix rate, in products
of ``2 * heads * length * features * head_dim`` operations: 4 forward (features of queries and of keys, keys with
values, queries with the sums), and 8 more backward, of which two compute the features again instead of keeping them
(against a floor of 10 in all, see ``times_floor_of_ten``). The floor of causal attention is the same, that of a
running state; comparing neighbours pair by pair comes on top and is ours to pay.

The peers: ``performer-pytorch`` adds 1e-4 to every feature after dividing those of the keys by the greatest of all.
Most of them are smaller than that, so its outputs are drawn far toward the mean of the values
(``largest_difference``); with 0 in that place (``without_its_epsilon``) it agrees with ours, and so it is checked.
The compiled kernel is ``causal_product_cpu`` of ``pytorch-fast-transformers``, given the features of
``performer-pytorch`` and divided by its running sums, as that package does where it finds the kernel's CUDA twin.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from _attention_common import Race, added_bytes, optional, race, save, show, slope, target
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from alphabook.attention import dense_attention, draw_projection, favor_attention

Peer = Callable[[Tensor, Tensor, Tensor], Tensor]
HEADS, DIM, LENGTH, FEATURES = 8, 32, 4096, 128
OURS, OURS_CAUSAL = "alphabook", "alphabook, causal"
PERFORMER, PERFORMER_CAUSAL = "performer-pytorch", "performer-pytorch, causal"
KERNEL, PREFIX = "compiled kernel, causal", "prefix sums as in the paper, causal"
SDPA, SDPA_CAUSAL, DENSE, DENSE_CAUSAL = "SDPA, exact", "SDPA, exact, causal", "dense, exact", "dense, exact, causal"
EXACT = (SDPA, SDPA_CAUSAL, DENSE, DENSE_CAUSAL)


def inputs(length: int, *, grad: bool = False) -> list[Tensor]:
    random = torch.Generator().manual_seed(7)
    return [torch.randn(1, HEADS, length, DIM, generator=random).requires_grad_(grad) for _ in range(3)]


def projection() -> Tensor:
    return draw_projection(FEATURES, DIM, generator=torch.Generator().manual_seed(9))


def floor_flops(length: int, products: int = 4) -> int:
    return products * 2 * HEADS * length * FEATURES * DIM


# --- ours and the peers ------------------------------------------------------------------------------
def ours(causal: bool = False) -> Peer:
    rows = projection()
    return lambda q, k, v: favor_attention(q, k, v, projection=rows, causal=causal)


def performer_features(epsilon: float | None = None) -> Callable[[Tensor, bool], Tensor]:
    made, missing = optional("performer_pytorch.performer_pytorch", "softmax_kernel")
    if made is None:
        raise ImportError(missing)
    rows, extra = projection(), {} if epsilon is None else {"eps": epsilon}
    return lambda x, is_query: made(x, projection_matrix=rows, is_query=is_query, **extra)


def performer(causal: bool, epsilon: float | None = None) -> Peer:
    phi = performer_features(epsilon)
    name = "causal_linear_attention_noncuda" if causal else "linear_attention"
    attend, missing = optional("performer_pytorch.performer_pytorch", name)
    if attend is None:
        raise ImportError(missing)
    extra = {"eps": epsilon} if causal and epsilon is not None else {}  # the causal one adds another below the line
    return lambda q, k, v: attend(phi(q, True), phi(k, False), v, **extra)


def compiled_kernel(epsilon: float | None = None) -> Peer:
    product, missing = optional("fast_transformers.causal_product", "causal_dot_product")
    if product is None:
        raise ImportError(missing)
    phi = performer_features(epsilon)

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        query, key = phi(q, True), phi(k, False)
        below = torch.einsum("bhnm,bhnm->bhn", query, key.cumsum(dim=-2))
        return product(query, key, v) / below[..., None]

    return run


def prefix_sums() -> Peer:
    """Every position's own sum over the keys up to it, as the paper writes it."""
    rows = projection()

    def phi(x: Tensor) -> Tensor:
        x = x * DIM**-0.25
        return (x @ rows.T - x.square().sum(-1, keepdim=True) / 2).exp() / FEATURES**0.5

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        query, key = phi(q), phi(k)
        sums = (key[..., :, None] * v[..., None, :]).cumsum(dim=2)
        below = (query * key.cumsum(dim=2)).sum(-1, keepdim=True)
        return torch.einsum("bhnm,bhnmd->bhnd", query, sums) / below

    return run


MAKERS: dict[str, Callable[[], Peer]] = {
    PERFORMER: lambda: performer(False),
    PERFORMER_CAUSAL: lambda: performer(True),
    KERNEL: compiled_kernel,
    PREFIX: prefix_sums,
    SDPA: lambda: scaled_dot_product_attention,
    SDPA_CAUSAL: lambda: lambda q, k, v: scaled_dot_product_attention(q, k, v, is_causal=True),
    DENSE: lambda: dense_attention,
    DENSE_CAUSAL: lambda: lambda q, k, v: dense_attention(q, k, v, causal=True),
}
WITHOUT_EPSILON: dict[str, Callable[[], Peer]] = {
    PERFORMER: lambda: performer(False, 0.0),
    PERFORMER_CAUSAL: lambda: performer(True, 0.0),
    KERNEL: lambda: compiled_kernel(0.0),
}


def peers(names: tuple[str, ...]) -> tuple[dict[str, Peer], dict[str, str]]:
    """Name to function, and name to the reason why a peer is missing."""
    found, missing = {}, {}
    for name in names:
        try:
            found[name] = MAKERS[name]()
        except ImportError as error:
            missing[name] = str(error)
    return found, missing


def checked(found: dict[str, Peer], length: int) -> dict[str, dict[str, float]]:
    """Largest difference of each peer's output to ours, or to exact attention; raises where more than rounding is.

    A peer with an epsilon has to agree once that is 0; with it the difference is stated.
    """
    tensors = inputs(length)
    expected = {causal: ours(causal)(*tensors) for causal in (False, True)}
    exact = {causal: dense_attention(*tensors, causal=causal) for causal in (False, True)}
    differences: dict[str, dict[str, float]] = {}
    for name, run in found.items():
        right = (exact if name in EXACT else expected)["causal" in name]
        off = {"largest_difference": float((run(*tensors).detach() - right).abs().max())}
        if name in WITHOUT_EPSILON:
            off["without_its_epsilon"] = float((WITHOUT_EPSILON[name]()(*tensors) - right).abs().max())
        rounding = off.get("without_its_epsilon", off["largest_difference"])
        if not rounding < 1e-3:
            raise AssertionError(f"{name} computes something else: off by {rounding:g}, timing it says nothing")
        differences[name] = {key: float(f"{value:.1e}") for key, value in off.items()}
    return differences


# --- the parts ---------------------------------------------------------------------------------------
def forward(length: int, rounds: int, names: tuple[str, ...], own: str) -> tuple[dict[str, Any], dict[str, float]]:
    """Forward passes; the table, and how many times slower than ours each peer is."""
    tensors = inputs(length)
    found, missing = peers(names)
    differences = checked(found, length)
    work = {own: ours(own == OURS_CAUSAL), **found}
    with torch.no_grad():
        result = race({name: lambda run=run: run(*tensors) for name, run in work.items()}, rounds=rounds)
    return _table(result, result.floor_ms(floor_flops(length)), differences, missing, length, own), _slower(result, own)


def backward(length: int, rounds: int, names: tuple[str, ...], own: str) -> tuple[dict[str, Any], dict[str, float]]:
    """Forward and backward together."""
    tensors = inputs(length, grad=True)
    grad = torch.randn(1, HEADS, length, DIM, generator=torch.Generator().manual_seed(8))
    found, missing = peers(names)
    differences = checked(found, length)
    work = {own: ours(own == OURS_CAUSAL), **found}
    result = race(
        {name: lambda run=run: torch.autograd.grad(run(*tensors), tensors, grad) for name, run in work.items()},
        rounds=rounds,
    )
    table = _table(result, result.floor_ms(floor_flops(length, 12)), differences, missing, length, own)
    for row in table["rows"]:
        row["times_floor_of_ten"] = round(row["times_floor"] * 12 / 10, 3)
    return table, _slower(result, own)


def scale(lengths: list[int], rounds: int, causal: bool) -> dict[str, Any]:
    """Time and peak memory of ours against length, forward, and forward with backward."""
    work, forward_bytes, backward_bytes = {}, [], []
    run = ours(causal)
    for length in lengths:
        tensors, grad = inputs(length, grad=True), torch.ones(1, HEADS, length, DIM)
        runs = (
            lambda t=tensors: run(*(x.detach() for x in t)),
            lambda t=tensors, g=grad: torch.autograd.grad(run(*t), t, g),
        )
        work[f"forward {length}"], work[f"backward {length}"] = runs
        forward_bytes.append(added_bytes(runs[0]))
        backward_bytes.append(added_bytes(runs[1]))
    ms = race(work, rounds=rounds, warmup=1).ms
    seconds = {way: [ms[f"{way} {n}"] / 1e3 for n in lengths] for way in ("forward", "backward")}
    return {
        "lengths": lengths,
        "forward_seconds": [round(s, 4) for s in seconds["forward"]],
        "forward_and_backward_seconds": [round(s, 4) for s in seconds["backward"]],
        "forward_peak_bytes": forward_bytes,
        "forward_and_backward_peak_bytes": backward_bytes,
        "slopes": {
            "forward time": slope(lengths, seconds["forward"]),
            "forward and backward time": slope(lengths, seconds["backward"]),
            "forward memory": slope(lengths, forward_bytes),
            "forward and backward memory": slope(lengths, backward_bytes),
        },
    }


def million(length: int) -> dict[str, Any]:
    """One forward pass of either kind over ``length`` positions, each in a process of its own."""
    found: dict[str, Any] = {"length": length, "inputs_and_output_bytes": 4 * 4 * HEADS * DIM * length}
    for name, causal in ((OURS, False), (OURS_CAUSAL, True)):
        command = [sys.executable, __file__, "--one-forward", str(length), *(["--causal"] if causal else [])]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, peak, finite = answer.stdout.split()
        found[name] = {"seconds": float(seconds), "peak_resident_bytes": int(peak), "finite": finite == "True"}
    return found


def _one_forward(length: int, causal: bool) -> None:
    tensors = inputs(length)
    begin = time.perf_counter()
    output = ours(causal)(*tensors)
    took = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"{took:.3f}", peak, bool(output.isfinite().all()))


# --- tables ------------------------------------------------------------------------------------------
def _table(
    result: Race, floor: float, differences: dict[str, dict[str, float]], missing: dict, length: int, own: str
) -> dict[str, Any]:
    rows = [
        {
            "name": name,
            "ms": round(ms, 2),
            "floor_ms": round(floor, 2),
            "times_floor": round(ms / floor, 3),
            "times_ours": round(ms / result.ms[own], 2),
            "spread": round(result.spread[name], 3),
            **differences.get(name, {}),
        }
        for name, ms in result.ms.items()
    ]
    return {
        "setting": {"batch": 1, "heads": HEADS, "head_dim": DIM, "length": length, "features": FEATURES},
        "matrix_gflops": round(result.flops_per_ms / 1e6, 1),
        "rows": rows,
        "missing": missing,
    }


def _slower(result: Race, own: str) -> dict[str, float]:
    return {name: ms / result.ms[own] for name, ms in result.ms.items()}


def _print(title: str, table: dict[str, Any]) -> None:
    print(f"\n{title}: {table['setting']}, matrix rate {table['matrix_gflops']} GFLOP/s")
    for row in table["rows"]:
        print(
            f"  {row['name']:<40} {row['ms']:>9.2f} ms  {row['times_floor']:>7.2f} x floor  {row['times_ours']:>6.2f}"
        )
    for name, reason in table["missing"].items():
        print(f"  {name:<40} missing: {reason}")


# --- the command -------------------------------------------------------------------------------------
# part -> what runs, the peers, our bound in floors, and what the peers are to take in our times
RACES: dict[str, tuple[Any, str, tuple[str, ...], float, dict[str, float]]] = {
    "forward": (forward, OURS, (PERFORMER, SDPA, DENSE), 2.1, {PERFORMER: 4}),
    "causal": (
        forward,
        OURS_CAUSAL,
        (PERFORMER_CAUSAL, KERNEL, SDPA_CAUSAL, DENSE_CAUSAL, PREFIX),
        3.1,
        {PERFORMER_CAUSAL: 20, KERNEL: 3, SDPA_CAUSAL: 3.5},
    ),
    "backward": (backward, OURS, (PERFORMER, SDPA), 2.1, {}),
    "causal_backward": (backward, OURS_CAUSAL, (KERNEL, SDPA_CAUSAL), 3.7, {}),
}
PARTS = (*RACES, "scale", "causal_scale", "million")


def run_part(part: str, *, quick: bool) -> tuple[dict[str, Any], list[dict]]:
    """One part: what goes into the JSON under its name, and the rows of its targets."""
    if part in RACES:
        run, own, names, bound, slower_than_ours = RACES[part]
        table, slower = run(1024 if quick else LENGTH, 3 if quick else 9, names, own)
        _print(part, table)
        floor = "floor of twelve products" if run is backward else "floor"
        return table, [
            target(f"{part} / {floor}", table["rows"][0]["times_floor"], at_most=bound),
            *(
                target(f"{part}: {name} / ours", slower[name], at_least=at_least)
                for name, at_least in slower_than_ours.items()
                if name in slower
            ),
        ]
    if part.endswith("scale"):
        lengths = [1024, 2048, 4096] if quick else [4096, 8192, 16384, 32768, 65536]
        result = scale(lengths, 3 if quick else 9, causal=part.startswith("causal"))
        return result, [target(f"{part}: slope, {name}", s, at_most=1.1) for name, s in result["slopes"].items()]
    result = million(2**14 if quick else 2**20)
    rows = []
    for name in (OURS, OURS_CAUSAL):
        one = result[name]
        gigabytes = one["peak_resident_bytes"] / 1e9
        print(f"\n{name}, {result['length']:,} positions: {one['seconds']} s, {gigabytes:.1f} GB, {one['finite']=}")
        rows.append(target(f"{name}, {result['length']:,} positions forward, GB", gigabytes, at_most=24))
    return result, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short sequences, few rounds; writes nothing")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--one-forward", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--causal", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one_forward:
        return _one_forward(options.one_forward, options.causal)
    targets = []
    for part in options.parts:
        result, rows = run_part(part, quick=options.quick)
        targets += rows
        if not options.quick:
            save("attention_favor", {part: {**result, "targets": rows}})
    print("\nthe targets are stated for the full sizes, not for these" if options.quick else "")
    show(targets)


if __name__ == "__main__":
    main()
