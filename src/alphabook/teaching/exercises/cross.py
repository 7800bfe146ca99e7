"""Checks of the exercises of :doc:`/notebooks/attention/cross_asset`."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import torch

from ..checks import Wrong, exercise, one_number


@exercise("cross.mask", kind="implement", difficulty=3, minutes=15)
def check_mask(answer: Callable[[torch.Tensor, int], torch.Tensor]) -> None:
    """Who may see whom, when some are missing"""
    generator = torch.Generator().manual_seed(3)
    for assets, length, max_lag in ((3, 8, 2), (1, 5, 3), (4, 6, 9)):
        present = torch.rand(assets, length, generator=generator) > 0.25
        _judge_mask(answer(present.clone(), max_lag), present, max_lag)


def _judge_mask(got: Any, present: torch.Tensor, max_lag: int) -> None:
    assets, length = present.shape
    if not isinstance(got, torch.Tensor) or got.dtype != torch.bool:
        raise Wrong("return a boolean tensor, True where seeing is allowed")
    if got.shape != (assets, length, assets, length):
        raise Wrong(
            f"the mask of {assets} assets and {length} bars has shape {(assets, length, assets, length)}, watching "
            f"first, watched second; yours has {tuple(got.shape)}"
        )
    same = torch.eye(assets, dtype=torch.bool)[:, None, :, None]
    back = (torch.arange(length)[:, None] - torch.arange(length))[None, :, None, :]
    open_ = (back <= max_lag) & ((back >= 1) | (same & (back == 0)))
    both = present[:, :, None, None] & present
    right = open_ & both
    if torch.equal(got, right):
        return
    if torch.equal(got, ~right):
        raise Wrong("everything is upside down: True means may see")
    if torch.equal(got, right.permute(2, 3, 0, 1)) and max_lag < length:
        raise Wrong("rows and columns are exchanged: [i, t] watches, [j, s] is watched")
    cases = (
        (got & (back < 0), "a bar sees a later one: s must not exceed t"),
        (got & ~same & (back == 0), "another asset's bar of the same time is seen: lags of others begin at 1"),
        (~got & right & same & (back == 0), "an asset does not see its own bar t: lag 0 is its own"),
        (got & (back > max_lag), f"a bar sees one that is more than max_lag = {max_lag} bars back"),
        (~got & right & (back == max_lag), f"lag {max_lag} is missing: max_lag is the last lag that is seen"),
        (~got & right & same, "an asset does not see its own past: lags 1 to max_lag are open to itself too"),
        (got & ~present, "a missing bar is seen: limit the columns by `present`"),
        (got & ~present[:, :, None, None], "a missing bar sees others: limit the rows by `present` too"),
    )  # fmt: skip
    for cells, diagnosis in cases:
        if cells.any():
            raise Wrong(diagnosis)
    i, t, j, s = (right != got).nonzero()[0].tolist()
    raise Wrong(f"mask[{i}, {t}, {j}, {s}] should be {bool(right[i, t, j, s])} with max_lag = {max_lag}")


@exercise("cross.p", kind="implement", difficulty=3, minutes=15)
def check_p(answer: Callable[..., float]) -> None:
    """Luck that keeps the factor"""
    rng = np.random.default_rng(5)
    returns = rng.standard_normal((60, 3)) + rng.standard_normal((60, 1))
    _judge_copies(answer, returns)
    rounds = 19
    constant = _p(answer, returns, lambda r: 1.0, rounds)
    if constant < 0.999:
        raise Wrong(
            f"a statistic that is always 1 gets p = {constant:.3f}, it should be 1: ties count as 'at least as large'"
        )
    led = returns.copy()
    led[1:, 1] += 3 * led[:-1, 0]
    strong = _p(answer, led, _lead, rounds)
    if strong == 0:
        raise Wrong(f"p is 0 after {rounds} rounds: what was seen is one of {rounds + 1} arrangements; count it too")
    if strong > 0.5:
        raise Wrong(f"a strong lead gets p = {strong:.2f}: count the copies whose statistic is at least as large")
    if not math.isclose(strong, 1 / (rounds + 1), rel_tol=1e-9):
        raise Wrong(
            f"a lead beyond all {rounds} copies gets p = {strong:.4f}, it should be 1 / {rounds + 1}: one "
            f"arrangement of {rounds + 1} is as large, the seen one"
        )


def _judge_copies(answer: Callable[..., float], returns: np.ndarray) -> None:
    """Look at the copies that the answer hands to the statistic."""
    copies: list[np.ndarray] = []

    def spy(r: Any) -> float:
        copies.append(np.array(r, dtype=float))
        return float(len(copies))

    _p(answer, returns, spy, 19)
    if any(c.shape != returns.shape for c in copies):
        raise Wrong(f"call the statistic with one market of shape {returns.shape} at a time, got {copies[-1].shape}")
    changed = [c for c in copies if not np.array_equal(c, returns)]
    if len(copies) == len(changed):
        raise Wrong("the statistic was never taken of the market itself")
    if not changed:
        raise Wrong("all copies equal the market itself: flip signs")
    if any(not np.allclose(np.abs(c), np.abs(returns)) for c in changed):
        raise Wrong("a copy moves or resizes returns: leave every size in its bar, only signs change")
    factors = [np.sign(c) * np.sign(returns) for c in changed]
    if any((np.ptp(f, axis=1) > 0).any() for f in factors):
        raise Wrong(
            "the assets of one bar were flipped apart, which destroys the common factor along with the lead: draw one "
            "sign per bar"
        )
    if all(np.ptp(f) == 0 for f in factors):
        raise Wrong("a copy flips all bars at once, which leaves every product of two bars as it was")
    if len(changed) < 15 or len(copies) > 21:
        raise Wrong(f"{len(copies)} calls of the statistic for 19 rounds: one for the market and one for each copy")


def _lead(r: np.ndarray) -> float:
    return abs(float((r[1:, 1] * r[:-1, 0]).sum()))


def _p(answer: Callable[..., float], returns: np.ndarray, statistic: Callable[[Any], float], rounds: int) -> float:
    p = one_number(answer(returns.copy(), statistic, np.random.default_rng(6), rounds), "p")
    if not 0 <= p <= 1:
        raise Wrong(f"p is a share between 0 and 1, yours is {p:g}")
    return p


@exercise("cross.shift", kind="bug", difficulty=3, minutes=15)
def check_shift(answer: Callable[..., torch.Tensor]) -> None:
    """The lag that is none"""
    generator = torch.Generator().manual_seed(4)
    query, key, value = (torch.randn(3, 7, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    lag = 2
    got = answer(query.clone(), key.clone(), value.clone(), lag)
    if not isinstance(got, torch.Tensor) or got.shape != value.shape:
        raise Wrong(f"the output has the shape of the values, {tuple(value.shape)}")
    if got.isnan().any():
        raise Wrong(
            "the output holds NaN: a row that may see nothing has no softmax; write zeros for the first bars yourself"
        )
    right = _watch(query, key, value, lag)
    late, late_right = got[:, lag:], right[:, lag:]
    if not torch.allclose(late, late_right):
        for wrong, diagnosis in (
            (
                _watch(query, key, value, lag, shift_query=True),
                "equal bars are compared whatever the lag: leave the query at bar t, and shift only keys and values",
            ),
            (
                _watch(query, key, value, lag, axis=1),
                "the shares sum to one over the wrong axis: for one watching asset they do so over the watched ones",
            ),
            (
                _watch(query, key, value, lag, shift_query=True, axis=1),
                "two things are wrong from the first full bar on: the bar of the query, and the axis of the sum",
            ),
            (
                _watch(query, key, value, lag, shift_value=False),
                "the values are not shifted: the asset is judged by its old key and gives its new value",
            ),
            (_watch(query, key, value, -lag), "keys and values come from bar t + lag: the roll goes the wrong way"),
            (_watch(query, key, value, 0), "keys and values are of bar t: nothing is shifted"),
        ):
            if torch.allclose(late[:, :-lag], wrong[:, lag:-lag]):
                raise Wrong(diagnosis)
        raise Wrong(f"from bar {lag} on the output differs from the softmax of query t with the keys of bar t - {lag}")
    if not torch.allclose(got[:, :lag], right[:, :lag]):
        raise Wrong(
            f"bars 0 to {lag - 1} hear from the end of the window: there is no bar t - {lag} for them, so they are zero"
        )
    if not torch.allclose(answer(query.clone(), key.clone(), value.clone(), 0), _watch(query, key, value, 0)):
        raise Wrong("lag 0 should be attention among the assets of each bar; is a slice like [:-lag] empty there?")


def _watch(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lag: int,
    *,
    shift_query: bool = False,
    shift_value: bool = True,
    axis: int = 2,
) -> torch.Tensor:
    key = torch.roll(key, lag, dims=1)
    value = torch.roll(value, lag, dims=1) if shift_value else value
    query = torch.roll(query, lag, dims=1) if shift_query else query
    scores = torch.einsum("itd,jtd->tij", query, key) / query.shape[-1] ** 0.5
    output = torch.einsum("tij,jtd->itd", scores.softmax(dim=axis), value)
    if lag > 0:
        output[:, :lag] = 0
    return output


@exercise("cross.cells", kind="measure", difficulty=3, minutes=15)
def check_cells(answer: float | Callable[[], float]) -> None:
    """A hundred cells"""
    hours = one_number(answer() if callable(answer) else answer, "the number of hours")
    normal, power = NormalDist(), NormalDist().inv_cdf(0.8)

    def needed(threshold: float, margin: float = power) -> float:
        return ((threshold + margin) / 0.05) ** 2

    threshold = normal.inv_cdf(1 - 0.05 / 100 / 2)
    right = needed(threshold)
    if abs(hours / right - 1) <= 0.015:
        return
    for value, diagnosis in (
        (needed(normal.inv_cdf(0.975)), "1.96 is the threshold of a single cell, and you take the best of 100"),
        (
            needed(normal.inv_cdf(1 - 0.05 / 100)),
            "your threshold guards one side only; both signs count here",
        ),
        (needed(threshold, 0.0), "at that length the score's mean equals the threshold: a power of 50 %, not 80 %"),
        (math.sqrt(right), "the score grows with the square root of the hours: square what you have"),
        (right * 100, "100 cells do not need 100 times the hours: they raise the threshold"),
    ):
        if abs(hours / value - 1) <= 0.02:
            raise Wrong(diagnosis)
    if hours <= 0:
        raise Wrong(f"{hours:g} hours: no test needs less than none")
    reached = normal.cdf(0.05 * math.sqrt(hours) - threshold)
    raise Wrong(f"after {hours:,.0f} hours the power is {reached:.0%}, the question asks for 80 %")


@exercise("cross.knockout", kind="stretch", difficulty=4, minutes=25)
def check_knockout(answer: Callable[..., np.ndarray]) -> None:
    """What is a watched asset worth?"""
    rng = np.random.default_rng(8)
    returns = rng.standard_normal((400, 3))
    returns[1:, 1] += 0.8 * returns[:-1, 0]
    returns[1:, 2] -= 0.5 * returns[:-1, 1]
    slopes = np.array([[0.1, 0.0, 0.2], [0.7, 0.1, 0.0], [0.0, -0.4, 0.1]])

    def forecast(seen: np.ndarray) -> np.ndarray:
        return np.asarray(seen) @ slopes.T

    given = returns.copy()
    got = np.asarray(answer(forecast, given), dtype=float)
    if not np.array_equal(given, returns):
        raise Wrong("your function changed the returns it was given: copy them before you silence a column")
    if got.shape != (3, 3):
        raise Wrong(f"three assets have a matrix of shape (3, 3), yours has {got.shape}")
    right = _lost(forecast, returns)
    if np.allclose(got, right, atol=1e-9):
        return
    others = ~np.eye(3, dtype=bool)
    if np.allclose(got[others], right[others], atol=1e-9):
        raise Wrong("the truth was silenced too: asset j still moves, only the forecaster does not see it")
    for wrong, diagnosis in (
        (right.T, "rows and columns are exchanged: [i, j] is what i loses without j"),
        (-right, "the sign is turned: a useful asset's loss is positive, R² with it minus R² without it"),
        (100 * right, "these are per cent: return a share"),
        (_lost(forecast, returns, step=0), "row t of the forecasts belongs to row t + 1 of the returns, not to row t"),
        (
            _lost(forecast, returns, keep=True),
            "silence one column at a time: begin each knock-out from the full returns",
        ),
    ):
        if np.allclose(got, wrong, atol=1e-9):
            raise Wrong(diagnosis)
    i, j = np.unravel_index(int(np.abs(got - right).argmax()), got.shape)
    raise Wrong(f"entry [{i}, {j}] should be {right[i, j]:.4f}, yours is {got[i, j]:.4f}")


def _lost(
    forecast: Callable[[np.ndarray], np.ndarray], returns: np.ndarray, *, step: int = 1, keep: bool = False
) -> np.ndarray:
    def r2(seen: np.ndarray) -> np.ndarray:
        error = returns[step:] - forecast(seen)[: len(returns) - step]
        return np.asarray(1 - (error**2).sum(axis=0) / (returns[step:] ** 2).sum(axis=0))

    lost, silent = [], returns.copy()
    for j in range(returns.shape[1]):
        silent = silent if keep else returns.copy()
        silent[:, j] = 0
        lost.append(r2(returns) - r2(silent))
    return np.stack(lost, axis=1)
