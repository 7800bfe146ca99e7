"""Half-open spans of time in milliseconds: merged, subtracted, and read off a row of bars."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from ..candles.gaps import bar_number, bar_open, milliseconds
from ..candles.interval import Interval


class Span(NamedTuple):
    """From ``start`` (included) to ``stop`` (not included), milliseconds since 1970."""

    start: int
    stop: int


def add_span(spans: list[Span], new: Span) -> list[Span]:
    """Spans with ``new`` added, sorted, overlapping and touching ones merged."""
    out: list[Span] = []
    for span in sorted([*spans, new]):
        if out and span.start <= out[-1].stop:
            out[-1] = Span(out[-1].start, max(out[-1].stop, span.stop))
        else:
            out.append(span)
    return out


def subtract(whole: Span, spans: list[Span]) -> list[Span]:
    """Parts of ``whole`` that no span covers, in order."""
    out, at = [], whole.start
    for span in sorted(spans):
        if span.stop <= at or span.start >= whole.stop:
            continue
        if span.start > at:
            out.append(Span(at, span.start))
        at = max(at, span.stop)
    if at < whole.stop:
        out.append(Span(at, whole.stop))
    return out


def runs(open_time: pd.Series, interval: Interval) -> list[Span]:
    """Spans that sorted bars fill without a hole, each from a bar's open to the last one's close."""
    if open_time.empty:
        return []
    number = bar_number(open_time, interval)
    breaks = np.flatnonzero(np.diff(number) > 1)
    first = number[np.r_[0, breaks + 1]]
    last = number[np.r_[breaks, len(number) - 1]]
    starts = milliseconds(bar_open(first, interval))
    stops = milliseconds(bar_open(last + 1, interval))
    return [Span(int(a), int(b)) for a, b in zip(starts, stops, strict=True)]
