"""Sliding-window attention beside its peers: time against the arithmetic floor, memory, scale.

    python benchmarks/attention_window.py            # all parts, some minutes; writes results/attention_window.json
    python benchmarks/attention_window.py --quick    # short sequences, few rounds, nothing is written
    python benchmarks/attention_window.py --parts forward backward

Eager PyTorch on the CPU, one thread, float32, batch 1. Peers and ours run in turn in one process, medians over the
rounds are compared, and every peer's output is checked against ours before anything is timed. The floor is the time
that the arithmetic of the exact result takes at this machine's measured matrix rate: 2 products of
``2 * heads * length * span * head_dim`` operations forward, and 5 more backward, of which one computes the weights
again instead of keeping them (against a floor of 4, see ``times_floor_of_six``).
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
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from alphabook.attention import dense_attention, sliding_window_attention

Peer = Callable[[Tensor, Tensor, Tensor], Tensor]
HEADS, DIM, LENGTH, WINDOW = 8, 32, 4096, 128
OURS, OURS_CAUSAL = "alphabook", "alphabook, causal"
LOCAL, HUGGING_FACE, FLEX = "local-attention", "Hugging Face Longformer", "FlexAttention, compiled"
SDPA, DENSE, UNFOLD = "SDPA with a band mask", "dense with a band mask", "unfold of the seed, corrected"


def inputs(length: int, dim: int = DIM, *, grad: bool = False) -> list[Tensor]:
    random = torch.Generator().manual_seed(7)
    return [torch.randn(1, HEADS, length, dim, generator=random).requires_grad_(grad) for _ in range(3)]


def flops(length: int, span: int, dim: int = DIM, products: int = 2) -> int:
    return products * 2 * HEADS * length * span * dim


# --- the peers -------------------------------------------------------------------------------------
def ours(window: int, causal: bool = False) -> Peer:
    return lambda q, k, v: sliding_window_attention(q, k, v, window=window, causal=causal)


def local_attention(window: int, dim: int) -> Peer:
    made, missing = optional("local_attention", "LocalAttention")
    if made is None:
        raise ImportError(missing)
    return made(window_size=window, causal=False, exact_windowsize=True, use_rotary_pos_emb=False, dim=dim)


class _Given(nn.Module):
    """In place of a projection: the attention alone is timed, not the three matrices before it."""

    def forward(self, _: Tensor) -> Tensor:
        return self.tensor


def hugging_face(window: int, dim: int) -> Peer:
    made, missing = optional("transformers.models.longformer.modeling_longformer", "LongformerSelfAttention")
    config, _ = optional("transformers", "LongformerConfig")
    if made is None or config is None:
        raise ImportError(missing)
    width = HEADS * dim
    layer = made(
        config(
            hidden_size=width,
            num_attention_heads=HEADS,
            attention_window=[2 * window],
            attention_probs_dropout_prob=0.0,
            num_hidden_layers=1,
        ),
        0,
    ).eval()
    layer.query, layer.key, layer.value = _Given(), _Given(), _Given()

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        length = q.shape[2]
        given = [x[0].transpose(0, 1).reshape(length, 1, width) for x in (q, k, v)]
        layer.query.tensor, layer.key.tensor, layer.value.tensor = given[0].clone(), given[1], given[2]
        nothing = torch.zeros(1, length)
        out = layer(nothing[..., None].expand(1, length, width), nothing, nothing > 0, nothing > 0, False)[0]
        return out.view(length, HEADS, dim).transpose(0, 1)[None]

    return run


def flex_attention(length: int, window: int, dim: int) -> tuple[Peer, int]:
    """FlexAttention compiled, at the fastest of its block sizes."""
    flex, missing = optional("torch.nn.attention.flex_attention", "flex_attention")
    block_mask, _ = optional("torch.nn.attention.flex_attention", "create_block_mask")
    if flex is None:
        raise ImportError(missing)
    tensors, best = inputs(length, dim), (float("inf"), 0, None)
    for size in (32, 64, 128, 256):
        compiled = torch.compile(flex, dynamic=False)
        mask = block_mask(lambda b, h, q, k: (q - k).abs() <= window, None, None, length, length, "cpu", size)

        def run(q: Tensor, k: Tensor, v: Tensor, compiled: Any = compiled, mask: Any = mask) -> Tensor:
            with torch.no_grad():  # on a CPU it has no backward pass
                return compiled(q, k, v, block_mask=mask)

        run(*tensors)
        took = min(_seconds(lambda run=run: run(*tensors)) for _ in range(5))
        best = min(best, (took, size, run), key=lambda x: x[0])
    return best[2], best[1]


def unfold(window: int) -> Peer:
    """Every row's own copy of its window of keys, as the seed does it, with its span and its padding put right."""

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys, values = (pad(x, (0, 0, window, window)).unfold(2, 2 * window + 1, 1) for x in (k, v))
        real = pad(torch.ones(k.shape[2], dtype=torch.bool), (window, window)).unfold(0, 2 * window + 1, 1)
        scores = torch.einsum("bhnd,bhndw->bhnw", q * q.shape[-1] ** -0.5, keys.contiguous())
        weights = scores.masked_fill(~real, -torch.inf).softmax(dim=-1)
        return torch.einsum("bhnw,bhndw->bhnd", weights, values.contiguous())

    return run


def band_mask(length: int, window: int) -> Tensor:
    row, column = torch.arange(length)[:, None], torch.arange(length)
    return (row - column).abs() <= window


def peers(length: int, window: int, dim: int, *, backward: bool = False, slow: bool = True) -> tuple[dict, dict]:
    """Name to function, and name to the reason why a peer is missing."""
    mask = band_mask(length, window)
    made: dict[str, Callable[[], Any]] = {
        LOCAL: lambda: local_attention(window, dim),
        HUGGING_FACE: lambda: hugging_face(window, dim),
        FLEX: lambda: flex_attention(length, window, dim),
        SDPA: lambda: lambda q, k, v: scaled_dot_product_attention(q, k, v, attn_mask=mask),
        DENSE: lambda: lambda q, k, v: dense_attention(q, k, v, mask=mask),
        UNFOLD: lambda: unfold(window),
    }
    left_out = {FLEX} if backward else set()
    left_out |= set() if slow else {SDPA, DENSE, UNFOLD}
    found, missing = {}, {}
    for name, make in made.items():
        if name in left_out:
            continue
        try:
            found[name] = make()
        except Exception as error:
            missing[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    if FLEX in found:
        run, size = found.pop(FLEX)
        found[f"{FLEX} (blocks of {size})"] = run
    return found, missing


def checked(found: dict[str, Peer], length: int, window: int, dim: int) -> dict[str, float]:
    """Largest difference of each peer's output to ours; raises where it is more than rounding."""
    tensors = inputs(length, dim)
    expected = sliding_window_attention(*tensors, window=window)
    error = {}
    for name, run in found.items():
        error[name] = float((run(*tensors).detach() - expected).abs().max())
        if not error[name] < 1e-4:
            raise AssertionError(f"{name} computes something else: off by {error[name]:g}, timing it says nothing")
    return error


# --- the parts -------------------------------------------------------------------------------------
def forward(
    length: int, window: int, dim: int, rounds: int, *, slow: bool = True
) -> tuple[dict[str, Any], dict[str, float]]:
    """All peers forward; the table, and how many times slower than ours each of them is."""
    tensors = inputs(length, dim)
    found, missing = peers(length, window, dim, slow=slow)
    error = checked(found, length, window, dim)
    work = {OURS: ours(window), OURS_CAUSAL: ours(window, causal=True), **found}
    with torch.no_grad():
        result = race({name: lambda run=run: run(*tensors) for name, run in work.items()}, rounds=rounds)
    floor = {name: result.floor_ms(flops(length, 2 * window + 1, dim)) for name in work}
    floor[OURS_CAUSAL] = result.floor_ms(flops(length, window + 1, dim))
    return _table(result, floor, error, missing, length, window, dim), _slower(result)


def backward(length: int, window: int, dim: int, rounds: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Forward and backward together, of those that have a backward pass on a CPU."""
    tensors = inputs(length, dim, grad=True)
    grad = torch.randn(1, HEADS, length, dim, generator=torch.Generator().manual_seed(8))
    found, missing = peers(length, window, dim, backward=True)
    found.pop(UNFOLD), found.pop(DENSE)  # gigabytes and seconds, and nothing to learn from it
    error = checked(found, length, window, dim)
    work = {OURS: ours(window), OURS_CAUSAL: ours(window, causal=True), **found}
    result = race(
        {name: lambda run=run: torch.autograd.grad(run(*tensors), tensors, grad) for name, run in work.items()},
        rounds=rounds,
    )
    floor = {name: result.floor_ms(flops(length, 2 * window + 1, dim, 7)) for name in work}
    floor[OURS_CAUSAL] = result.floor_ms(flops(length, window + 1, dim, 7))
    table = _table(result, floor, error, missing, length, window, dim)
    for row in table["rows"]:
        row["times_floor_of_six"] = round(row["times_floor"] * 7 / 6, 3)
    return table, _slower(result)


def scale(lengths: list[int], rounds: int) -> dict[str, Any]:
    """Time and peak memory of ours against length; the added memory of ours and the peers at the first length."""
    work, forward_bytes, backward_bytes = {}, [], []
    for length in lengths:
        tensors, grad = inputs(length, grad=True), torch.ones(1, HEADS, length, DIM)
        runs = (
            lambda t=tensors: ours(WINDOW)(*(x.detach() for x in t)),
            lambda t=tensors, g=grad: torch.autograd.grad(ours(WINDOW)(*t), t, g),
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


def memory(length: int) -> dict[str, Any]:
    """Bytes that a forward adds beyond inputs and output: ours and those that hold no full matrix."""
    tensors = inputs(length)
    found, _ = peers(length, WINDOW, DIM, slow=False)
    found = {OURS: ours(WINDOW), OURS_CAUSAL: ours(WINDOW, causal=True), **found}
    size = tensors[0].nbytes
    with torch.no_grad():
        added = {name: added_bytes(lambda run=run: run(*tensors)) - size for name, run in found.items()}
    return {"length": length, "inputs_and_output_bytes": 4 * size, "added_bytes": added}


def million(length: int) -> dict[str, Any]:
    """One forward pass over ``length`` positions in a process of its own: seconds and peak resident memory."""
    answer = subprocess.run(
        [sys.executable, __file__, "--one-forward", str(length)], capture_output=True, text=True, check=True
    )
    seconds, peak, finite = answer.stdout.split()
    return {
        "length": length,
        "seconds": float(seconds),
        "peak_resident_bytes": int(peak),
        "inputs_and_output_bytes": 4 * 4 * HEADS * DIM * length,
        "finite": finite == "True",
    }


def _one_forward(length: int) -> None:
    tensors = inputs(length)
    begin = time.perf_counter()
    output = ours(WINDOW)(*tensors)
    took = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"{took:.3f}", peak, bool(output.isfinite().all()))


# --- tables ----------------------------------------------------------------------------------------
def _table(
    result: Race, floor: dict[str, float], error: dict, missing: dict, length: int, window: int, dim: int
) -> dict[str, Any]:
    rows = [
        {
            "name": name,
            "ms": round(ms, 2),
            "floor_ms": round(floor[name], 2),
            "times_floor": round(ms / floor[name], 3),
            "times_ours": round(ms / result.ms[OURS], 2),
            "spread": round(result.spread[name], 3),
            **({"largest_difference": float(f"{error[name]:.1e}")} if name in error else {}),
        }
        for name, ms in result.ms.items()
    ]
    return {
        "setting": {"batch": 1, "heads": HEADS, "head_dim": dim, "length": length, "window": window},
        "matrix_gflops": round(result.flops_per_ms / 1e6, 1),
        "rows": rows,
        "missing": missing,
    }


def _slower(result: Race) -> dict[str, float]:
    return {name: ms / result.ms[OURS] for name, ms in result.ms.items()}


def _times_floor(table: dict[str, Any], name: str) -> float:
    return next(row["times_floor"] for row in table["rows"] if row["name"] == name)


def _seconds(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _print(title: str, table: dict[str, Any]) -> None:
    print(f"\n{title}: {table['setting']}, matrix rate {table['matrix_gflops']} GFLOP/s")
    for row in table["rows"]:
        print(
            f"  {row['name']:<40} {row['ms']:>9.2f} ms  {row['times_floor']:>7.2f} x floor  {row['times_ours']:>6.2f}"
        )
    for name, reason in table["missing"].items():
        print(f"  {name:<40} missing: {reason}")


# --- the command -----------------------------------------------------------------------------------
def run_part(part: str, *, quick: bool) -> tuple[dict[str, Any], list[dict]]:
    """One part: what goes into the JSON under its name, and the rows of its targets."""
    length, rounds = (1024, 3) if quick else (LENGTH, 9)
    if part == "forward":
        table, slower = forward(length, WINDOW, DIM, rounds)
        _print("forward", table)
        bounds = {LOCAL: 5, HUGGING_FACE: 8, FLEX: 1.5, UNFOLD: 50}
        found = [(b, name, at_least) for b, at_least in bounds.items() for name in slower if name.startswith(b)]
        return table, [
            target("forward / floor", _times_floor(table, OURS), at_most=2.2),
            target("causal forward / its floor", _times_floor(table, OURS_CAUSAL), at_most=2.6),
            *(target(f"forward: {b} / ours", slower[name], at_least=bound) for b, name, bound in found),
        ]
    if part == "backward":
        table, slower = backward(length, WINDOW, DIM, rounds)
        _print("forward and backward", table)
        bounds = {LOCAL: 2.8, HUGGING_FACE: 8}
        return table, [
            target("forward + backward / floor of seven products", _times_floor(table, OURS), at_most=2.4),
            *(
                target(f"forward + backward: {name} / ours", slower[name], at_least=bound)
                for name, bound in bounds.items()
                if name in slower
            ),
        ]
    if part == "wide":
        table, _ = forward(length, 64 if quick else 256, 64, rounds, slow=False)
        _print("64 per head, window 256", table)
        return table, [target("forward / floor, 64 per head, window 256", _times_floor(table, OURS), at_most=2.2)]
    if part == "long":
        table, _ = forward(length * 4, WINDOW, DIM, rounds, slow=False)
        _print("four times longer", table)
        return table, [target("forward / floor, 16,384 positions", _times_floor(table, OURS), at_most=2.2)]
    if part == "scale":
        lengths = [1024, 2048, 4096] if quick else [4096, 8192, 16384, 32768, 65536]
        result = scale(lengths, 3 if quick else 9)
        return result, [target(f"log-log slope, {name}", s, at_most=1.1) for name, s in result["slopes"].items()]
    if part == "memory":
        result = memory(length)
        added, own = result["added_bytes"], result["inputs_and_output_bytes"]
        print(f"\nadded beyond {own / 1e6:.0f} MB:", {name: f"{b / 1e6:.1f} MB" for name, b in added.items()})
        return result, [target("memory added / inputs and output", added[OURS] / own, at_most=1.0)]
    result = million(2**14 if quick else 2**20)
    print(f"\n{result['length']:,} positions: {result['seconds']} s, {result['peak_resident_bytes'] / 1e9:.1f} GB")
    return result, [
        target(f"{result['length']:,} positions forward, GB", result["peak_resident_bytes"] / 1e9, at_most=24)
    ]


PARTS = ("forward", "backward", "wide", "long", "scale", "memory", "million")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short sequences, few rounds; writes nothing")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--one-forward", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one_forward:
        return _one_forward(options.one_forward)
    targets = []
    for part in options.parts:
        result, rows = run_part(part, quick=options.quick)
        targets += rows
        if not options.quick:
            save("attention_window", {part: {**result, "targets": rows}})
    print("\nthe targets are stated for the full sizes, not for these" if options.quick else "")
    show(targets)


if __name__ == "__main__":
    main()
