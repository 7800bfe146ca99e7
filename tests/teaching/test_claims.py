"""A claim holds, or the build stops and says by how much."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphabook.errors import AlphabookError, ClaimError
from alphabook.teaching import claim
from alphabook.teaching._page import open_page
from alphabook.teaching.claims import read_rows

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(value=finite, low=finite, high=finite)
def test_a_number_passes_exactly_when_it_lies_in_its_band(value, low, high):
    low, high = sorted((low, high))
    if low <= value <= high:
        assert claim("x.y", value, low=low, high=high) == value
    else:
        with pytest.raises(ClaimError, match=r"x\.y.*(below|above) its band"):
            claim("x.y", value, low=low, high=high)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, np.nan, np.float64("inf"), pd.NA, pd.NaT, None])
@pytest.mark.parametrize("band", [{}, {"low": 0}, {"high": 1}, {"low": -math.inf, "high": math.inf}])
def test_what_is_not_a_finite_number_never_passes(bad, band):
    with pytest.raises(ClaimError, match="not a finite number"):
        claim("bars.share", bad, **band)


def test_the_error_names_key_value_unit_band_and_words():
    with pytest.raises(ClaimError) as caught:
        claim("bars.gap-count", 1.000004, high=1, unit="gaps", text="at most one gap")
    message = str(caught.value)
    for part in ("bars.gap-count", "1.000004", "gaps", "-inf .. 1", "above", "at most one gap"):
        assert part in message
    assert isinstance(caught.value, AlphabookError)
    assert isinstance(caught.value, AssertionError)


def test_both_ends_belong_to_the_band_and_an_exact_number_can_be_claimed():
    assert claim("a.b", 3, low=3, high=3) == 3
    with pytest.raises(ClaimError, match=r"4.*above its band 3 \.\. 3"):
        claim("a.b", 4, low=3, high=3)


def test_a_bool_claims_that_it_is_true():
    assert claim("a.b", True) is True
    assert claim("a.b", np.bool_(True))
    with pytest.raises(ClaimError, match=r"a\.b: False should be True"):
        claim("a.b", np.bool_(False))


def test_text_is_recorded_and_has_no_band():
    assert claim("a.b", "BTCUSDT") == "BTCUSDT"
    with pytest.raises(ValueError, match="low and high are for numbers"):
        claim("a.b", "BTCUSDT", low=1)
    with pytest.raises(ValueError, match="low and high are for numbers"):
        claim("a.b", True, high=1)


@pytest.mark.parametrize(
    "key", ["", "gaps", "Bars.gaps", "bars.gap_count", "bars.", "bars.gap:count", "bars.gap count", "bars.-x"]
)
def test_a_key_has_a_chapter_prefix_and_lower_case_words(key):
    with pytest.raises(ValueError, match="write the chapter's prefix"):
        claim(key, 1)


def test_a_band_that_nothing_can_satisfy_is_an_error_of_the_author():
    with pytest.raises(ValueError, match=r"band 2 \.\. 1 is empty"):
        claim("a.b", 1.5, low=2, high=1)
    with pytest.raises(ValueError, match="holds a NaN"):
        claim("a.b", 1.5, low=math.nan)


def test_scalars_of_other_libraries_are_unpacked_and_many_values_refused(rows):
    torch = pytest.importorskip("torch")
    for value in (
        np.int64(2),
        np.float32(2),
        np.array(2.0),
        np.array([2]),
        torch.tensor(2.0),
        torch.tensor([2]),
        pd.Series([2]).sum(),
    ):
        assert claim("a.b", value, low=2, high=2) is value
    assert {type(r["value"]) for r in read_rows(rows)} <= {int, float}
    with pytest.raises(TypeError, match=r"a\.b: a claim is one value, got ndarray"):
        claim("a.b", np.arange(3))
    with pytest.raises(TypeError, match="got list"):
        claim("a.b", [1])  # type: ignore[type-var]
    with pytest.raises(TypeError, match="got Decimal"):
        claim("a.b", Decimal(1))


def test_a_time_is_recorded_as_text(rows):
    claim("a.first", pd.Timestamp("2024-01-01", tz="UTC"))
    assert read_rows(rows)[0]["value"] == "2024-01-01T00:00:00+00:00"


# --- rows -------------------------------------------------------------------------------------------


def test_a_row_holds_all_that_the_ledger_shows(rows, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    open_page("a-chapter")
    table = pd.DataFrame()
    table.attrs["source"] = "simulated market (seed 7)"
    claim("bars.gaps", 3, low=1, unit="gaps", text="there are gaps", source=table)
    assert json.loads((rows / "a-chapter.jsonl").read_text()) == {
        "chapter": "a-chapter",
        "kind": "claim",
        "key": "bars.gaps",
        "value": 3,
        "low": 1.0,
        "high": None,
        "unit": "gaps",
        "text": "there are gaps",
        "source": "simulated market (seed 7)",
        "holds": True,
        "computed_at": "1970-01-02T00:00:00Z",
    }


def test_a_broken_claim_leaves_a_row_that_says_so(rows):
    with pytest.raises(ClaimError):
        claim("a.b", math.nan, low=0)
    with pytest.raises(ClaimError):
        claim("a.c", 1, low=2)
    assert [(r["key"], r["value"], r["holds"]) for r in read_rows(rows)] == [("a.b", None, False), ("a.c", 1, False)]


def test_running_a_chapter_again_replaces_its_rows_and_only_its(rows):
    open_page("one")
    claim("a.b", 1)
    claim("a.old", 1)
    open_page("two")
    claim("c.d", 1)
    open_page("one")
    claim("a.b", 2)
    claim("a.b", 3)
    assert [(r["chapter"], r["key"], r["value"]) for r in read_rows(rows)] == [("one", "a.b", 3), ("two", "c.d", 1)]


def test_a_number_without_a_band_is_recorded_not_claimed(rows):
    claim("a.b", 1.5)
    claim("a.c", "text")
    claim("a.d", True)
    claim("a.e", 1.5, high=2)
    assert [r["kind"] for r in read_rows(rows)] == ["recorded", "recorded", "claim", "claim"]


def test_an_infinite_end_of_a_band_is_no_end(rows):
    claim("a.b", 1, low=-math.inf, high=math.inf)
    assert (read_rows(rows)[0]["low"], read_rows(rows)[0]["high"]) == (None, None)


def test_without_a_build_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    claim("a.b", 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("slug", ["", "A Chapter", "../elsewhere", "a/b", "a."])
def test_a_chapter_is_a_slug_so_that_its_rows_stay_in_the_folder(slug):
    with pytest.raises(ValueError, match="slug"):
        open_page(slug)


# --- what the reader sees ------------------------------------------------------------------------------


def test_one_small_line_shows_value_unit_and_band(notebook):
    claim("bars.gaps", 12345.678, low=1, high=20_000, unit="bars", text="many <gaps>")
    glued, line = notebook
    assert glued == (
        {"application/papermill.record/text/plain": "12345.678"},
        {"scrapbook": {"name": "bars.gaps", "mime_prefix": "application/papermill.record/"}},
    )
    assert line[0]["text/plain"] == "✓ bars.gaps = 1.235e+04 bars (must be between 1 and 20,000) many <gaps>"
    assert '<div class="ab-claim" id="claim-bars-gaps">' in line[0]["text/html"], "the ledger links to this id"
    assert "many &lt;gaps&gt;" in line[0]["text/html"]


@pytest.mark.parametrize(
    ("value", "band", "words"),
    [
        (3, {"low": 3, "high": 3}, "✓ a.b = 3 (must be 3)"),
        (0.12345, {"high": 0.5}, "✓ a.b = 0.1235 (must be at most 0.5)"),
        (1234567, {"low": 1_000_000}, "✓ a.b = 1,234,567 (must be at least 1,000,000)"),
        (2.0, {}, "· a.b = 2 (recorded)"),
        (True, {}, "✓ a.b = True (must be true)"),
    ],
)
def test_the_line_in_words(notebook, value, band, words):
    claim("a.b", value, **band)
    assert notebook[-1][0]["text/plain"] == words


def test_a_broken_claim_is_not_glued(notebook):
    with pytest.raises(ClaimError):
        claim("a.b", 1, low=2)
    assert notebook == []
