"""Windows and rows: the fewest calls, and no row taken on trust."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphabook.candles import Interval
from alphabook.errors import MalformedReplyError
from alphabook.venues import Bar, plan_windows
from alphabook.venues.fields import fill_between, number
from alphabook.venues.paging import Grid, _bar, _read_columns, read_rows, runs


@given(bars=st.integers(0, 30_000), limit=st.integers(1, 1500), overlap=st.integers(0, 10))
def test_windows_cover_everything_with_the_fewest_calls(bars, limit, overlap):
    plan = plan_windows(bars, limit, overlap=overlap)
    assert len(plan) == math.ceil(bars / limit)
    assert all(0 < stop - first <= limit for first, stop in plan)
    covered = np.zeros(bars, dtype=bool)
    for first, stop in plan:
        covered[first:stop] = True
    assert covered.all()
    shared = [a[1] - b[0] for a, b in itertools.pairwise(plan)]
    assert all(0 <= s <= overlap for s in shared)


@pytest.mark.parametrize(("limit", "calls"), [(1000, 9), (1500, 6), (300, 30), (350, 26)])
def test_a_year_of_hours(limit, calls):
    plan = plan_windows(8760, limit)
    assert len(plan) == calls
    assert plan[0][1] - plan[1][0] == 3  # neighbours overlap, and it costs no call


@pytest.mark.parametrize("interval", list(Interval))
def test_a_grid_closes_where_the_next_bar_opens(interval):
    grid = Grid.between(interval, pd.Timestamp("2023-11-03", tz="UTC"), pd.Timestamp("2025-02-01", tz="UTC"))
    assert (grid.closes[:-1] == grid.opens[1:]).all()
    assert grid.closes[-1] >= pd.Timestamp("2025-02-01", tz="UTC").timestamp() * 1000


ROW = ["1700000000000", "10", "12", "9", "11", "5", "55"]


def read(rows, **options):
    return read_rows(rows, order=(0, 1, 2, 3, 4, 5, 6), scale=1, venue="bybit", request="GET /x", **options)


def test_rows_in_any_order_and_twice_are_one_bar_each():
    other = ["1700003600000", *ROW[1:]]
    bars = read([other, ROW, other, ROW])
    assert sorted(bars) == [1700000000000, 1700003600000]
    assert bars[1700000000000] == Bar(1700000000000, 10, 12, 9, 11, 5, 55)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (ROW[:4], "index out of range"),
        ([*ROW[:4], "n/a", *ROW[5:]], "close 'n/a' is not a number"),
        ([*ROW[:4], None, *ROW[5:]], "close None is not a number"),
        ([*ROW[:4], "NaN", *ROW[5:]], "close 'NaN' is not finite"),
        ([*ROW[:4], True, *ROW[5:]], "close True is not a number"),
        ([*ROW[:4], "-1", *ROW[5:]], "a price is not positive"),
        ([ROW[0], "10", "8", "9", "8.5", "5", "55"], "high 8 is below low 9"),
        ([*ROW[:5], "-5", "55"], "volume -5 is negative"),
        (["soon", *ROW[1:]], "open 'soon' is not a number"),
        (["-5", *ROW[1:]], "is not a time stamp"),
        (["1700000000000.5", *ROW[1:]], "is not a time stamp"),
        ("a sentence", "it is not a list"),
        (None, "it is not a list"),
    ],
)
def test_a_bad_row_makes_the_reply_malformed_and_is_named(row, why):
    with pytest.raises(MalformedReplyError, match="row 1 of the reply to GET /x is malformed") as caught:
        read([ROW, row])
    assert why in str(caught.value)
    assert caught.value.venue == "bybit"


def test_a_row_off_the_grid_is_malformed():
    with pytest.raises(MalformedReplyError, match="not on the interval's grid"):
        read([ROW], on_grid=lambda ms: ms % 3_600_000 == 0)


def test_two_stories_about_one_bar_in_one_reply_are_malformed():
    with pytest.raises(MalformedReplyError, match=r"row 2.*contradicts row 0"):
        read([ROW, ["1700003600000", *ROW[1:]], [*ROW[:4], "10.5", *ROW[5:]]])


def test_runs_groups_neighbours():
    opens = np.arange(10) * 100
    assert runs([], opens) == []
    assert runs([100, 200, 300, 700], opens) == [(100, 300, 3), (700, 700, 1)]


@given(
    times=st.lists(st.integers(0, 500), unique=True, max_size=120),
    limit=st.integers(2, 20),
    newest=st.booleans(),
)
def test_records_are_complete_whichever_end_a_full_page_was_cut_at(times, limit, newest):
    def page(low, high):
        inside = sorted(t for t in times if low <= t <= high)
        return {t: (float(t), 0.0) for t in (inside[-limit:] if newest else inside[:limit])}

    # steps vary here, and nothing but the records tells: ask with a step of one
    assert sorted(fill_between(page, 0, 500, limit=limit, step=1)) == sorted(times)


@pytest.mark.parametrize("newest", [True, False])
def test_a_year_of_funding_takes_at_most_two_calls_a_page(newest):
    hour = 3_600_000
    times, seen = [t * 8 * hour for t in range(1095)], []

    def page(low, high):
        seen.append((low, high))
        inside = [t for t in times if low <= t <= high]
        return dict.fromkeys(inside[-200:] if newest else inside[:200], (0.0, 0.0))

    assert len(fill_between(page, 0, 1095 * 8 * hour - 1, limit=200)) == 1095
    assert len(seen) <= 12


@pytest.mark.parametrize(
    ("text", "value"), [("1.5", 1.5), (2, 2.0), ("", None), (None, None), ("x", None), ("nan", None)]
)
def test_numbers_that_may_be_blank(text, value):
    assert number(text) == value


@given(
    rows=st.lists(
        st.lists(
            st.one_of(
                st.sampled_from(["1700000000000", "1700003600000", 1700007200000, "10", "12", "9", 11, 5.5, "0", "-1"]),
                st.sampled_from(["n/a", "", None, True, "nan", "inf", [], "1e3"]),
            ),
            min_size=6,
            max_size=8,
        ),
        max_size=4,
    )
)
def test_reading_all_at_once_accepts_only_what_row_by_row_accepts(rows):
    order = (0, 1, 2, 3, 4, 5, None)
    at_once = _read_columns(rows, order, 1)
    if at_once is not None:
        slow = [_bar(row, order, 1) for row in rows]
        assert repr(list(at_once.values())) == repr(slow)


def test_reading_all_at_once_is_what_usually_happens():
    rows = [[str(1700000000000 + i * 3_600_000), *ROW[1:]] for i in range(1000)]
    assert _read_columns(rows, (0, 1, 2, 3, 4, 5, 6), 1) == read(rows)
    assert _read_columns([*rows, rows[0]], (0, 1, 2, 3, 4, 5, 6), 1) is None
