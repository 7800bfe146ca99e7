"""Faults that are put in on purpose are found again, and only those."""

import pandas as pd
import pytest

from alphabook.candles import find_gaps, validate_candles
from alphabook.simulated import delist, punch_gaps, simulate_market


@pytest.fixture(scope="module")
def candles():
    return simulate_market(symbols=3, bars=400, seed=1).candles


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_gaps_found_are_the_gaps_punched(candles, together, seed):
    holed, truth = punch_gaps(candles, outages=4, longest=9, seed=seed, together=together)
    found = find_gaps(holed).sort_values(["symbol", "first_missing"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(found[truth.columns], truth, check_dtype=False)
    assert len(holed) == len(candles) - truth["missing"].sum()
    assert truth["missing"].between(1, 9).all()
    per_symbol = [frozenset(g["first_missing"]) for _, g in truth.groupby("symbol")]
    assert (len(set(per_symbol)) == 1) == together


def test_the_bars_that_remain_are_untouched_and_say_so(candles):
    before = candles.copy()
    holed, _ = punch_gaps(candles, seed=5, symbols="BTCUSDT")
    pd.testing.assert_frame_equal(candles, before)
    merged = holed.merge(candles, how="left", indicator=True)
    assert (merged["_merge"] == "both").all()
    assert (holed.groupby("symbol").size()[["ETHUSDT", "SOLUSDT"]] == 400).all()
    assert holed.attrs["interval"] == "1h"
    assert holed.attrs["source"].endswith("with 3 outages")


def test_same_seed_same_gaps(candles):
    a, b, c = (punch_gaps(candles, seed=s)[1] for s in (1, 1, 2))
    pd.testing.assert_frame_equal(a, b)
    assert not a.equals(c)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outages": 0}, "must be >= 1, got 0 and 12"),
        ({"outages": 60, "longest": 12}, "60 outages of up to 12 bars do not fit into 400 bars; use at most 30"),
        ({"symbols": "DOGE"}, "DOGE is not in these candles"),
    ],
)
def test_punch_errors(candles, options, message):
    with pytest.raises(ValueError, match=message):
        punch_gaps(candles, seed=1, **options)


def test_a_delisted_symbol_goes_flat_without_volume(candles):
    at = candles["open_time"].iloc[300]
    out, dead = delist(candles, "ETHUSDT", at=at)
    tail = out[dead]
    assert len(tail) == 100
    assert set(tail["symbol"]) == {"ETHUSDT"}
    last = candles[(candles["symbol"] == "ETHUSDT") & (candles["open_time"] < at)]["close"].iloc[-1]
    assert (tail[["open", "high", "low", "close"]] == last).all().all()
    assert (tail["volume"] == 0).all()
    pd.testing.assert_frame_equal(out[~dead], candles[~dead])
    flagged = validate_candles(out).issues
    assert set(flagged["symbol"]) == {"ETHUSDT"}  # a run of zero volume, nothing else
    assert flagged["count"].max() == 100


def test_or_it_ends(candles):
    out, dead = delist(candles, "ETHUSDT", at=candles["open_time"].iloc[300], tail="none")
    assert out.groupby("symbol").size()["ETHUSDT"] == 300
    assert not dead.any()


def test_delist_errors(candles):
    first = candles["open_time"].iloc[0]
    with pytest.raises(ValueError, match="tail must be 'flat' or 'none', got 'x'"):
        delist(candles, "ETHUSDT", at=first, tail="x")
    with pytest.raises(ValueError, match="ETHUSDT has no bar before 2023-01-01 00:00"):
        delist(candles, "ETHUSDT", at=first)
    with pytest.raises(ValueError, match="DOGE is not in these candles"):
        delist(candles, "DOGE", at=first)
