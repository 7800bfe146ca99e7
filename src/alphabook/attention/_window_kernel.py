"""The banded softmax of :mod:`~alphabook.attention.sliding_window`, fast on a CPU, forward and backward.

It is fast by what it leaves out. It copies no keys: a tile is a block of queries against the one stretch of keys that
any of them may see, and the stretches of neighbouring tiles are overlapping views. It never holds the band: a batched
product scores some tiles at a time, in one work space that stays in cache and is used again and again. It masks only
the corners of a tile. It takes powers of two, which torch computes faster than powers of e; it subtracts a row's
maximum only where the powers would leave their range; it divides by a row's total after the product with the values.
And it keeps nothing for the backward pass but inputs, output and two numbers a row: the weights are computed again.
"""

# ruff: noqa: F722
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

WORK_SPACE = 2**20  # scores held at a time, and in the backward pass their gradients: four megabytes in float32
QUERIES_FORWARD = 32  # of a tile: a row uses 2w + 1 of its 2w + 32 columns, so small blocks waste little, ...
QUERIES_BACKWARD = 48  # ... and larger ones have fewer overlapping gradients to add up
LARGEST_TOTAL = 2.0**32  # rows whose powers sum to more, or to less than its inverse, are shifted: far from 2**128


class Band(NamedTuple):
    """Position ``i`` sees ``i - left .. i + right``; scores are products times ``scale``."""

    left: int
    right: int
    scale: float


def banded_attention(
    query: Float[Tensor, "batch heads length head_dim"],
    key: Float[Tensor, "batch heads length head_dim"],
    value: Float[Tensor, "batch heads length head_dim"],
    band: Band,
    may_be_seen: Tensor | None,
    *,
    with_lse: bool,
    readable: Callable[..., tuple[Tensor, Tensor]],
) -> tuple[Float[Tensor, "batch heads length head_dim"], Float[Tensor, "batch heads length"] | None]:
    """Softmax attention within ``band`` to keys that ``may_be_seen``, and each row's log-sum-exp if asked for.

    ``readable`` is the same function of the first five arguments in steps that autograd follows: a second derivative
    goes through it.
    """
    with torch.autocast("cpu", enabled=False):  # or it would round the products to half precision
        return _Banded.apply(query, key, value, band, may_be_seen, with_lse, readable)


class _Banded(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        band: Band,
        may_be_seen: Tensor | None,
        with_lse: bool,
        readable: Callable[..., tuple[Tensor, Tensor]],
    ) -> tuple[Tensor, Tensor | None]:
        tiling = _Tiling(query, key, band, may_be_seen, QUERIES_FORWARD, WORK_SPACE)
        output, total = torch.empty_like(tiling.query), tiling.query.new_empty(tiling.query.shape[0])
        values = _rows(value)
        for tiles in tiling.tiles:
            _attend(tiling, tiles, values, output, total, None)

        # powers of two of the scores themselves: exact as long as no row's total comes near the ends of the range
        shift, blind = None, tiling.blind
        of_seeing = total if blind is None else total.masked_fill(blind, 1.0)
        if not _in_range(of_seeing):
            lost, shift = ~((of_seeing >= 1 / LARGEST_TOTAL) & (of_seeing <= LARGEST_TOTAL)), torch.zeros_like(total)
            for tiles in tiling.tiles:
                if (again := tiles.queries_of(lost)).any():
                    tiles.queries_of(shift).copy_(tiling.scores(tiles).amax(dim=-1).masked_fill_(~again, 0.0))
                    _attend(tiling, tiles, values, output, total, shift)
        lse = (total.log2() + (0.0 if shift is None else shift)) * math.log(2) if with_lse else None
        if blind is not None:
            output[blind], total[blind] = 0.0, 1.0

        output = output.view(query.shape)
        ctx.save_for_backward(query, key, value, output, total, shift)
        ctx.band, ctx.may_be_seen, ctx.readable = band, may_be_seen, readable
        return output, lse if lse is None else lse.view(query.shape[:3])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_lse: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        query, key, value, output, total, shift = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates twice
            inputs = [x if x.requires_grad else x.detach().requires_grad_() for x in (query, key, value)]
            results = ctx.readable(*inputs, ctx.band, ctx.may_be_seen)
            grads = (grad,) if grad_lse is None else (grad, grad_lse)
            found = torch.autograd.grad(results[: len(grads)], inputs, grads, create_graph=True)
        else:
            tiling = _Tiling(query, key, ctx.band, ctx.may_be_seen, QUERIES_BACKWARD, WORK_SPACE // 2)
            with torch.autocast("cpu", enabled=False):
                found = _gradients(tiling, _rows(value), _rows(output), total, shift, _rows(grad), grad_lse)
            found = tuple(x.view(query.shape) for x in found)
        return (*found, None, None, None, None)


def _in_range(total: Tensor) -> bool:
    if not total.numel():
        return True
    low, high = total.aminmax()
    return bool(low >= 1 / LARGEST_TOTAL) and bool(high <= LARGEST_TOTAL)


def _attend(
    tiling: _Tiling, tiles: _Tiles, values: Tensor, output: Tensor, total: Tensor, shift: Tensor | None
) -> None:
    """Write the outputs of some tiles, and the totals that divide their weights."""
    powers = tiling.powers(tiles, shift)
    sums = powers.sum(dim=-1)
    tiles.queries_of(total).copy_(sums)
    torch.div(torch.bmm(powers, tiles.keys_of(values)), sums[..., None], out=tiles.queries_of(output))


def _gradients(
    tiling: _Tiling,
    values: Tensor,
    output: Tensor,
    total: Tensor,
    shift: Tensor | None,
    grad: Tensor,
    grad_lse: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values: five products per tile, of which one computes the weights again."""
    scale, dim = tiling.band.scale, values.shape[1]
    of_query, of_key, of_value = torch.empty_like(output), torch.zeros_like(output), torch.zeros_like(output)
    score_space = torch.empty_like(tiling.space)
    part_space = values.new_empty(max((tiles.count_keys for tiles in tiling.tiles), default=0) * dim)
    for tiles in tiling.tiles:
        powers = tiling.powers(tiles, shift)
        sums = tiles.queries_of(total)
        incoming = tiles.queries_of(grad) / sums[..., None]  # the weights are powers / sums: divide once, here
        parts = part_space[: tiles.count_keys * dim].view(tiles.number, tiles.keys, dim)
        torch.bmm(powers.transpose(1, 2), incoming, out=parts)
        tiles.add_to(of_value, parts)

        # of a softmax: a score's gradient is its weight times (the weight's gradient - their mean over the row)
        mean = (incoming * tiles.queries_of(output)).sum(dim=-1)
        if grad_lse is not None:
            mean -= tiles.queries_of(grad_lse.reshape(-1)) / sums
        of_scores = score_space[: powers.numel()].view_as(powers)
        keys, queries = tiles.keys_of(values).transpose(1, 2), tiles.queries_of(tiling.query)
        torch.bmm(incoming, keys, out=of_scores).sub_(mean[..., None]).mul_(powers)
        tiles.queries_of(of_query).baddbmm_(of_scores, tiles.keys_of(tiling.key), beta=0, alpha=scale)
        tiles.add_to(of_key, parts.baddbmm_(of_scores.transpose(1, 2), queries, beta=0, alpha=scale))
    return of_query, of_key, of_value


class _Tiles(NamedTuple):
    """``number`` equal tiles, whose first rows are ``step`` apart in tensors of ``batch * heads * length`` rows."""

    number: int
    step: int
    query: int  # first row of the first tile
    queries: int  # rows of a tile
    key: int  # first key of the first tile
    keys: int  # keys of a tile
    opens: int  # row r of a tile sees columns r + opens .. r + opens + left + right
    inside: bool  # no tile touches an end of its sequence

    @property
    def count_keys(self) -> int:
        return self.number * self.keys

    @property
    def count_scores(self) -> int:
        return self.number * self.keys * self.queries

    def queries_of(self, x: Tensor) -> Tensor:
        return self._cut(x, self.query, self.queries)

    def keys_of(self, x: Tensor) -> Tensor:
        return self._cut(x, self.key, self.keys)

    def add_to(self, total: Tensor, parts: Float[Tensor, "number keys head_dim"]) -> None:
        """Add what each tile found for its keys, in pieces no longer than a step, which do not overlap."""
        for at in range(0, self.keys, self.step):
            piece = parts[:, at : at + self.step]
            self._cut(total, self.key + at, piece.shape[1]).add_(piece)

    def _cut(self, x: Tensor, first: int, rows: int) -> Tensor:
        """``rows`` rows from ``first`` on, and again every ``step``: a view, whose parts may overlap."""
        row, *rest = x.stride()
        start = int(x.storage_offset()) + first * row
        return x.as_strided((self.number, rows, *x.shape[1:]), (self.step * row, row, *rest), start)


class _Tiling:
    """The tiles of a band, and the scores of some of them."""

    def __init__(
        self, query: Tensor, key: Tensor, band: Band, may_be_seen: Tensor | None, queries: int, most: int
    ) -> None:
        self.band = band
        self.query, self.key = _rows(query), _rows(key)
        heads, length = query.shape[0] * query.shape[1], query.shape[2]
        self.fence: Tensor | None = None  # for the keys of every head: 0, or -inf where nobody may see them
        self.blind: Tensor | None = None  # for the queries of every head: whether they see no key at all
        if may_be_seen is not None:
            fence = torch.zeros_like(may_be_seen, dtype=query.dtype).masked_fill_(~may_be_seen, -torch.inf)
            self.fence = fence.repeat_interleave(query.shape[1], dim=0).view(-1)
            self.blind = _blind(may_be_seen, band).repeat_interleave(query.shape[1], dim=0).view(-1)
        most = min(most, 2 * query.numel())  # the work space is no larger than two of the inputs
        self.tiles = list(_tiles(heads, length, band, queries, most))
        self.space = self.query.new_empty(max((tiles.count_scores for tiles in self.tiles), default=0))

    def powers(self, tiles: _Tiles, shift: Tensor | None) -> Float[Tensor, "number queries keys"]:
        """Two to the power of scores minus ``shift``: the weights times their row's total; in the work space."""
        scores = self.scores(tiles)
        if shift is not None:
            scores.sub_(tiles.queries_of(shift)[..., None])
        return scores.exp2_()

    def scores(self, tiles: _Tiles) -> Float[Tensor, "number queries keys"]:
        """Scores in units of log 2, -inf where closed; in the work space."""
        scores = self.space[: tiles.count_scores].view(tiles.number, tiles.queries, tiles.keys)
        queries, keys = tiles.queries_of(self.query), tiles.keys_of(self.key).transpose(1, 2)
        scores.baddbmm_(queries, keys, beta=0, alpha=self.band.scale / math.log(2))
        self._close(scores, tiles)
        if self.fence is not None and (fence := tiles.keys_of(self.fence)).any():
            scores.add_(fence[:, None])
        return scores

    def _close(self, scores: Tensor, tiles: _Tiles) -> None:
        """-inf outside of the band: in a triangle at each end of a tile."""
        number, rows, keys = scores.shape
        width = self.band.left + self.band.right
        if tiles.inside:
            # what a row leaves closed at its end and the next row at its beginning lie side by side in memory
            gaps = scores.as_strided((number, rows - 1, rows), (rows * keys, keys + 1, 1), width + 1)
            gaps.fill_(-torch.inf)
            return
        row, column = (torch.arange(n, device=scores.device) for n in (rows, keys))
        row = row[:, None] + tiles.opens
        head, tail = max(0, tiles.opens + rows - 1), tiles.opens + width + 1
        scores[..., :head].masked_fill_(column[:head] < row, -torch.inf)
        scores[..., tail:].masked_fill_(column[tail:] > row + width, -torch.inf)


def _blind(may_be_seen: Bool[Tensor, "batch length"], band: Band) -> Bool[Tensor, "batch length"]:
    so_far = pad(may_be_seen.cumsum(dim=1), (1, 0))
    now = torch.arange(may_be_seen.shape[1], device=may_be_seen.device)
    begin, end = (now - band.left).clamp(min=0), (now + band.right + 1).clamp(max=len(now))
    return so_far[:, end] == so_far[:, begin]


def _tiles(heads: int, length: int, band: Band, size: int, most: int) -> Iterator[_Tiles]:
    """Every tile once, together as many as have ``most`` scores.

    Blocks inside a sequence are alike: they are taken as runs of neighbours, which share most of their keys. Blocks at
    its ends see less, each in its own way: they are taken as the same block of many heads.
    """
    keys = size + band.left + band.right
    first = -(-band.left // size)  # block whose keys all exist ...
    last = max(first, (length - band.right) // size)  # ... up to the block before this one
    for head in range(heads):
        for block, number in _runs(first, last, most // (size * keys)):
            row = head * length + block * size
            yield _Tiles(number, size, row, size, row - band.left, keys, 0, True)

    for begin, end in ((0, min(first * size, length)), (last * size, length)):
        for row in range(begin, end, 4 * size):
            rows = min(4 * size, end - row)
            start, stop = max(0, row - band.left), min(length, row + rows + band.right)
            for head, number in _runs(0, heads, most // (rows * (stop - start))):
                at, opens = head * length, row - band.left - start
                yield _Tiles(number, length, at + row, rows, at + start, stop - start, opens, False)


def _runs(first: int, last: int, most: int) -> Iterator[tuple[int, int]]:
    """``first .. last`` in runs of about equal length, at most ``most``: where each begins, how long it is."""
    if first < last:
        runs = -(-(last - first) // max(1, most))
        size = -(-(last - first) // runs)
        for at in range(first, last, size):
            yield at, min(size, last - at)


def _rows(x: Float[Tensor, "batch heads length head_dim"]) -> Float[Tensor, "rows head_dim"]:
    return x.contiguous().view(-1, x.shape[-1])
