"""The banner never lets a simulated page pass for a real one."""

from __future__ import annotations

import pandas as pd
import pytest

from alphabook.candles.table import as_candles, empty_candles
from alphabook.teaching import claim, source_banner
from alphabook.teaching._page import open_page
from alphabook.teaching.claims import read_rows
from alphabook.teaching.sources import source_kind


def candles(source=None, venue=None, symbols=("BTCUSDT", "ETHUSDT")):
    times = pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC")
    rows = [
        {"open_time": t, "symbol": s, "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1}
        for s in symbols
        for t in times
    ]
    out = as_candles(pd.DataFrame(rows), interval="1h", venue=venue)
    if source:
        out.attrs["source"] = source
    return out


@pytest.mark.parametrize(
    ("source", "venue", "kind"),
    [
        ("simulated market (seed 7)", None, "simulated"),
        ("something", "simulated", "simulated"),
        ("Bybit linear, public REST API", "bybit", "real"),
        (None, "bybit", "real"),
        (None, None, "unknown"),
    ],
)
def test_what_kind_of_market_a_table_comes_from(source, venue, kind):
    assert source_kind(candles(source, venue)) == kind


def test_a_simulated_table_where_a_real_one_was_wanted_says_how_to_get_one(capsys):
    source_banner(candles("simulated market (seed 7)"), wanted="real")
    said = capsys.readouterr().out
    assert said.startswith("Computed on the simulated market, not on real candles.")
    for part in (
        "simulated market (seed 7)",
        "6 candles of 1h",
        "BTCUSDT, ETHUSDT",
        "2024-01-01",
        "alphabook fetch --preset book",
    ):
        assert part in said
    assert "ALPHABOOK_MARKET_DIR" in said


def test_a_simulated_table_that_was_wanted_needs_no_remedy(capsys):
    source_banner(candles("simulated market (seed 7)"), wanted="simulated")
    said = capsys.readouterr().out
    assert "whose truth is known" in said
    assert "fetch" not in said


def test_a_real_table_says_so_and_many_symbols_are_counted(capsys):
    source_banner(candles("Bybit linear", "bybit", symbols=[f"A{i}" for i in range(9)]))
    said = capsys.readouterr().out
    assert said.startswith("Computed on real candles. Bybit linear: 27 candles")
    assert "9 symbols from A0 to A8" in said


def test_a_table_that_lost_its_attributes_is_not_called_real(capsys):
    source_banner(candles())
    assert capsys.readouterr().out.startswith("The origin of this table is not known.")


def test_an_empty_table_is_no_reason_to_fail(capsys):
    source_banner(empty_candles("1h"), wanted="any")
    assert "no candles" in capsys.readouterr().out


def test_claims_carry_the_source_of_the_banner_above_them_and_the_status_gets_a_row(rows):
    open_page("one")
    claim("a.before", 1)
    source_banner(candles("simulated market (seed 7)"), wanted="real")
    claim("a.first", 1)
    source_banner(candles("Bybit linear", "bybit"))
    claim("a.second", 1)
    claim("a.other", 1, source="a study file")
    open_page("two")
    claim("a.next-page", 1)
    found = {r["key"]: r for r in read_rows(rows)}
    said = {key: row["source"] for key, row in found.items() if key.startswith("a.")}
    assert said == {
        "a.before": None,
        "a.first": "simulated market (seed 7)",
        "a.second": "Bybit linear",
        "a.other": "a study file",
        "a.next-page": None,
    }
    row = found["simulated market (seed 7)"]
    facts = (row["kind"], row["market"], row["wanted"], row["bars"], row["first"], row["symbols"])
    assert facts == ("source", "simulated", "real", 6, "2024-01-01", ["BTCUSDT", "ETHUSDT"])


def test_wanted_is_one_of_three():
    with pytest.raises(ValueError, match="wanted is 'real', 'simulated' or 'any', got 'maybe'"):
        source_banner(candles(), wanted="maybe")


def test_html_is_escaped(notebook):
    source_banner(candles("<script>"))
    assert "<script>" not in notebook[0][0]["text/html"]
    assert "&lt;script&gt;" in notebook[0][0]["text/html"]
