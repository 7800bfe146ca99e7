"""Checks of the exercises of :doc:`/notebooks/attention/one_equation`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..checks import Wrong, exercise


@exercise("dense.softmax", kind="implement", difficulty=2, minutes=15)
def check_softmax(answer: Callable[[Tensor], Any]) -> None:
    """A softmax that does not break"""
    closed = -math.inf
    table = torch.tensor([[1.0, 0.0, 2.0, 0.0], [3.0, closed, 3.0, closed]], dtype=torch.float64)
    got = _tensor(answer(table.clone()), table.shape, "the weights")
    if torch.allclose(got.sum(dim=0), torch.ones(4, dtype=torch.float64)):
        raise Wrong("your columns sum to one, not your rows: sum over dim=1, where the keys are")
    if got.isnan().any():
        raise Wrong("an open row with closed cells gives NaN: e^-inf is 0 and needs no special care")
    if not torch.allclose(got, table.softmax(dim=1)):
        raise Wrong(f"the row {_row(table[0])} has the weights {_row(table[0].softmax(0))}, yours are {_row(got[0])}")

    far = torch.tensor([[1000.0, 999.0, closed], [-1000.0, -1001.0, closed]], dtype=torch.float64)
    got, right = _tensor(answer(far.clone()), far.shape, "the weights"), far.softmax(dim=1)
    if not got[0].isfinite().all() or not torch.allclose(got[0], right[0]):
        raise Wrong("scores of 1000 break it, e^1000 is too large for a float: subtract a maximum first")
    if not torch.allclose(got[1], right[1]):
        raise Wrong(
            f"beside a row of large scores the row {_row(far[1])} becomes {_row(got[1])}: subtract the maximum of each "
            "row, not that of the whole table"
        )
    blind = torch.tensor([[closed, closed], [0.0, 0.0]], dtype=torch.float64)
    given = blind.clone()
    got = _tensor(answer(given), blind.shape, "the weights")
    if got[0].isnan().any():
        raise Wrong("a row that is all closed gives NaN: its maximum is -inf, and -inf minus -inf is no number")
    if got[0].sum() > 0:
        raise Wrong(f"a row that is all closed gets {_row(got[0])}: it listens to what it must not hear; give zeros")
    if not torch.equal(given, blind):
        raise Wrong("your function changes the scores that it is given: work on a copy, the caller may need them")


@exercise("dense.mask", kind="bug", difficulty=3, minutes=15)
def check_mask(answer: Callable[..., Any]) -> None:
    """Zero is not silence"""
    generator = torch.Generator().manual_seed(5)
    query, key = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    value = 1.0 + torch.arange(8, dtype=torch.float64).view(4, 2)
    mask = torch.tensor(
        [[True, False, False, False], [True, True, False, False], [False, True, True, True], [False] * 4]
    )
    right = _attend(query, key, value, mask)
    got = _tensor(answer(query, key, value, mask.clone()), right.shape, "the output")
    if torch.allclose(got[:3], _attend(query, key, value, ~mask)[:3]):
        raise Wrong("your mask works the other way round: True means may attend")
    scores = query @ key.T / math.sqrt(3)
    mistakes = {
        "a closed key has a score of 0, and e^0 = 1: it takes weight away from the open ones. Its score must be -inf": (
            (scores * mask).softmax(dim=1) * mask
        ),
        "a closed key has the score 0, and its value is heard: e^0 = 1 is no silence": (scores * mask).softmax(dim=1),
        "the first row sees one key and does not answer with its value: you close keys after the softmax, when they "
        "have taken their share": scores.softmax(dim=1) * mask,
    }
    for diagnosis, weights in mistakes.items():
        if torch.allclose(got[:3], weights[:3] @ value):
            raise Wrong(diagnosis)
    if got[3].isnan().any():
        raise Wrong("the last query sees nobody and answers NaN: minus infinity in all its scores leaves 0 / 0")
    if torch.allclose(got[3], value.mean(dim=0)):
        raise Wrong(
            "the last query sees nobody and answers with the mean of all values: with one finite number in place of "
            "all its scores, every closed key gets the same weight"
        )
    loud = key.clone()
    loud[1] = 2_000 * query[0]  # closed to query 0
    got_loud = _tensor(answer(query, loud, value, mask.clone()), right.shape, "the output")
    if torch.allclose(got, right) and not torch.allclose(got_loud, _attend(query, loud, value, mask)):
        raise Wrong(
            "right, until a closed key has a huge score: then the open weights are rounded to zero before you divide "
            "by their sum. Close it before the softmax"
        )
    if not torch.allclose(got, right):
        row = int((got - right).abs().amax(dim=1).argmax())
        raise Wrong(f"query {row} should answer {_row(right[row])}, yours says {_row(got[row])}")


@exercise("dense.heads", kind="bug", difficulty=3, minutes=15)
def check_heads(answer: Callable[..., Any]) -> None:
    """Eight heads that are one"""
    generator = torch.Generator().manual_seed(6)
    heads, dim, length = 4, 3, 6
    query, key, value = torch.randn(3, length, heads * dim, generator=generator, dtype=torch.float64)
    got = _tensor(answer(query, key, value, heads), query.shape, "the output")
    if torch.allclose(got, _heads(query, key, value, heads, _by_columns)):
        return
    one = query @ key.T
    mistakes = {
        "still one head over all of d_model, with the scale of a small one: split the columns before the scores": (
            (one / math.sqrt(dim)).softmax(dim=1) @ value
        ),
        "one head with the scale that suits it: right for num_heads = 1, but you were asked for several": (
            (one / math.sqrt(heads * dim)).softmax(dim=1) @ value
        ),
        "the heads are split, but their scale is that of d_model: divide by the root of head_dim": (
            _heads(query / math.sqrt(heads), key, value, heads, _by_columns)
        ),
        "the heads are split, but their scores are not divided by the root of head_dim": (
            _heads(query * math.sqrt(dim), key, value, heads, _by_columns)
        ),
        "time and heads are mixed up: view(heads, length, dim) cuts along time, so a head sees some bars with all "
        "their columns": _heads(query, key, value, heads, _by_time),
        "head 0 owns every fourth column, it should own the first head_dim: write (heads dim), not (dim heads)": (
            _heads(query, key, value, heads, _by_stride)
        ),
    }
    for diagnosis, output in mistakes.items():
        if torch.allclose(got, output):
            raise Wrong(diagnosis)
    first = _heads(query, key, value, heads, _by_columns)[:, :dim]
    if torch.allclose(got[:, :dim], first):
        raise Wrong("head 0 is right and the others are not: is the same slice used for query, key, value and output?")
    raise Wrong(f"column 0 of bar 0 should be {first[0, 0]:.4f}, yours is {got[0, 0]:.4f}")


@exercise("dense.reach", kind="measure", difficulty=2, minutes=10)
def check_reach(answer: float | Callable[[], float]) -> None:
    """How far back does it listen?"""
    value = answer() if callable(answer) else answer
    try:
        bars = float(value)
    except (TypeError, ValueError):
        raise Wrong(f"the reach is a number of bars, got {type(value).__name__}") from None
    needed = math.ceil(24 * math.log2(20))
    if bars == needed:
        return
    if not math.isfinite(bars) or bars < 1:
        raise Wrong(f"{bars:g} bars hold no weight: count the newest ones, the current bar is the first")
    held = 1 - 0.5 ** (bars / 24)
    if bars != int(bars):
        raise Wrong(f"bars are counted in whole numbers: {bars:.2f} lies between two, which of them holds 95 %?")
    if bars < needed:
        raise Wrong(f"the newest {bars:.0f} bars hold {held:.2%} of the weight, the question asks for 95 %")
    raise Wrong(f"the newest {bars:.0f} bars hold {held:.2%} of the weight: fewer are enough")


@exercise("dense.clock", kind="stretch", difficulty=4, minutes=25)
def check_clock(answer: Callable[..., Any]) -> None:
    """A mask made of clocks"""
    minute, hour = pd.Timedelta(minutes=15), pd.Timedelta(hours=1)
    quarters = pd.date_range("2024-01-01 10:00", periods=30, freq="5min", tz="UTC")  # they overlap
    hours = pd.date_range("2024-01-01 07:00", periods=6, freq="1h", tz="UTC")
    for query_open, query_length, key_open, key_length in (
        (quarters, minute, hours, hour),
        (hours, hour, quarters, minute),
        (hours, hour, hours.delete(2), hour),  # a gap
    ):
        got = answer(query_open, query_length, key_open, key_length)
        asked, named = query_open + query_length, key_open
        shape = (len(query_open), len(key_open))
        table = np.asarray(got)
        if table.shape == shape[::-1] != shape:
            raise Wrong(f"the table is {table.shape}, it should be {shape}: rows are queries, columns are keys")
        if table.shape != shape:
            raise Wrong(f"the table should have a cell for each query and key, {shape}, yours is {table.shape}")
        if table.dtype != bool:
            raise Wrong(f"a mask is boolean, True = may attend, yours holds {table.dtype}")
        rules = {
            "a key is heard as soon as it opens: nothing is known of a bar at its open time": (asked, named, 0, False),
            "a key is heard when it closes, but its value is the move of the next bar, which is only beginning": (
                asked, named, 1, False,
            ),
            "known at the very same instant counts as known: compare with <=": (asked, named, 2, True),
            "you ask at the query's open time: it speaks when it closes": (query_open, named, 2, False),
            "you ask at the query's open time and hear the key when it closes: both clocks are one bar early": (
                query_open, named, 1, False,
            ),
        }  # fmt: skip
        right = _clock(asked, named, 2 * key_length, strict=False)
        if np.array_equal(table, right):
            continue
        if np.array_equal(table, ~right):
            raise Wrong("every cell is the wrong way round: True means may attend")
        for diagnosis, (at, opens, bars, strict) in rules.items():
            if np.array_equal(table, _clock(at, opens, bars * key_length, strict=strict)):
                raise Wrong(diagnosis)
        i, j = (int(k) for k in np.argwhere(table != right)[0])
        raise Wrong(
            f"the query named {query_open[i]:%H:%M} is asked at {asked[i]:%H:%M}; the value of the key named "
            f"{key_open[j]:%H:%M} is known at {key_open[j] + 2 * key_length:%H:%M}; you say "
            f"{'it may' if table[i, j] else 'it may not'}"
        )


def _clock(asked: pd.DatetimeIndex, named: pd.DatetimeIndex, after: pd.Timedelta, *, strict: bool) -> np.ndarray:
    known, now = (named + after).to_numpy()[None, :], asked.to_numpy()[:, None]
    return known < now if strict else known <= now


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    scores = (query @ key.T / math.sqrt(query.shape[1])).masked_fill(~mask, -math.inf)
    return scores.softmax(dim=1).nan_to_num(0.0) @ value


def _heads(query: Tensor, key: Tensor, value: Tensor, heads: int, columns: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Attention in each head, the columns of head h picked by ``columns``, and put back where they were."""
    place = columns(torch.arange(query.numel()).view(query.shape), heads)
    q, k, v = (columns(x, heads) for x in (query, key, value))
    out = (q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v
    return torch.empty_like(query).view(-1).index_put((place.reshape(-1),), out.reshape(-1)).view(query.shape)


def _by_columns(x: Tensor, heads: int) -> Tensor:
    return x.view(len(x), heads, -1).transpose(0, 1)


def _by_time(x: Tensor, heads: int) -> Tensor:
    return x.reshape(heads, len(x), -1)


def _by_stride(x: Tensor, heads: int) -> Tensor:
    return x.view(len(x), -1, heads).permute(2, 0, 1)


def _tensor(value: Any, shape: torch.Size, what: str) -> Tensor:
    try:
        got = torch.as_tensor(value).detach().to(torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"{what} must be a table of numbers, got {type(value).__name__}") from None
    if got.shape != shape:
        raise Wrong(f"{what} must have the shape {tuple(shape)}, yours has {tuple(got.shape)}")
    return got


def _row(values: Tensor) -> str:
    return "[" + ", ".join(f"{v:.4g}" for v in values.tolist()) + "]"
