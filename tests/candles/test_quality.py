"""Every rule: silent on good candles, and exactly right about the one planted fault."""

import numpy as np
import pandas as pd
import pytest
from candle_factory import MARKET, holed_candles, make_candles, needs_market, two_symbols
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabook.candles import RULES, MarketDir, as_candles, empty_candles, find_gaps, resample, validate_candles
from alphabook.errors import CandleError, IntervalError


def only(report, rule):
    """The single issue of a report, which must be of this rule."""
    assert report.issues["rule"].tolist() == [rule], report.issues.to_string()
    return report.issues.iloc[0]


def changed(row=5, **values):
    candles = make_candles(24)
    for column, value in values.items():
        candles.loc[row, column] = value
    return candles


@settings(max_examples=30, deadline=None)
@given(candles=holed_candles())
def test_good_candles_break_no_rule_but_gap(candles):
    report = validate_candles(candles, now="2030-01-01")
    assert report.ok
    assert set(report.issues["rule"]) <= {"gap"}
    assert report.issues["count"].sum() == find_gaps(candles)["missing"].sum()
    assert report.bars == len(candles)


def test_fifteen_rules_each_with_a_severity():
    assert len(RULES) == 15
    assert {rule.severity for rule in RULES.values()} == {"error", "warning"}


def test_order():
    candles = make_candles(24)
    swapped = candles.iloc[[0, 1, 3, 2, *range(4, 24)]]
    issue = only(validate_candles(swapped), "order")
    assert issue["detail"] == "row 3 comes after BTCUSDT 2024-01-01 03:00"
    assert issue["open_time"] == candles["open_time"][2]


def test_order_of_symbols():
    both = two_symbols(3)
    assert validate_candles(both).ok
    report = validate_candles(both.iloc[::-1])
    assert set(report.issues["rule"]) == {"order"}
    assert len(report.issues) == 5


def test_identical_duplicates_and_conflicting_ones_are_told_apart():
    candles = make_candles(24)
    again = candles.iloc[[7]]
    issue = only(validate_candles(as_candles(pd.concat([candles, again]))), "duplicate")
    assert (issue["detail"], issue["count"]) == ("2 identical rows for one bar", 2)
    other = again.assign(volume=again["volume"] + 1)
    issue = only(validate_candles(as_candles(pd.concat([candles, other]))), "conflict")
    assert (issue["detail"], issue["open_time"]) == ("2 different rows for one bar", candles["open_time"][7])


def test_off_grid():
    candles = make_candles(24)
    candles.loc[5, "open_time"] += pd.Timedelta(minutes=7)
    issue = only(validate_candles(candles), "off_grid")
    assert issue["detail"] == "opens inside the 1h bar of 2024-01-01 05:00"


@pytest.mark.parametrize("interval", ["1w", "1M", "3d"])
def test_the_grid_of_weeks_and_months(interval):
    assert validate_candles(make_candles(6, interval=interval)).ok


def test_high_below_close_and_low_above_open():
    candles = make_candles(24)
    top, bottom = candles.loc[5, ["open", "close"]].max(), candles.loc[5, ["open", "close"]].min()
    issue = only(validate_candles(changed(high=top - 0.01)), "ohlc")
    assert issue["detail"].startswith("high ")
    issue = only(validate_candles(changed(low=bottom + 0.01)), "ohlc")
    assert issue["detail"].startswith("low ")


@pytest.mark.parametrize(
    ("column", "value"), [("close", np.nan), ("high", np.inf), ("volume", np.nan), ("turnover", np.inf)]
)
def test_not_a_number(column, value):
    issues = validate_candles(changed(**{column: value})).errors
    assert "non_finite" in issues["rule"].tolist()
    assert issues.loc[issues["rule"] == "non_finite", "detail"].tolist() == [f"{column} is {value}"]


def test_unknown_turnover_is_allowed():
    assert validate_candles(changed(turnover=np.nan)).ok


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_prices_at_or_below_zero(value):
    issues = validate_candles(changed(low=value)).errors
    assert issues[["rule", "detail"]].values.tolist() == [["non_positive", f"low {value:g} is not above zero"]]


def test_negative_volume():
    assert only(validate_candles(changed(volume=-1.0)), "negative_volume")["detail"] == "volume -1 is below zero"


def test_the_bar_that_is_still_open():
    candles = make_candles(24)
    last_close = candles["open_time"].iloc[-1] + pd.Timedelta(hours=1)
    assert validate_candles(candles, now=last_close).ok
    issue = only(validate_candles(candles, now=last_close - pd.Timedelta(seconds=1)), "open_bar")
    assert issue["open_time"] == candles["open_time"].iloc[-1]
    assert "not closed yet" in issue["detail"]
    assert "open_bar" in validate_candles(candles).skipped


def test_a_gap_is_a_warning():
    report = validate_candles(make_candles(24, keep=~np.isin(np.arange(24), [8, 9, 10])))
    issue = only(report, "gap")
    assert (issue["count"], issue["detail"]) == (3, "3 missing, the last 2024-01-01 10:00")
    assert report.ok


def test_runs_without_trades_and_the_delisted():
    candles = make_candles(24)
    flat = candles["close"][9]
    candles.loc[10:12, ["open", "high", "low", "close"]] = flat
    candles.loc[10:12, "volume"] = 0
    issue = only(validate_candles(candles), "zero_volume")
    assert (issue["count"], issue["detail"]) == (3, "3 bars without a trade, to 2024-01-01 12:00")
    tail = candles.iloc[:13]
    assert only(validate_candles(tail), "zero_volume")["detail"].endswith("(to the end: delisted?)")


def test_a_price_that_moves_without_a_trade():
    rules = validate_candles(changed(volume=0.0)).warnings["rule"].tolist()
    assert rules == ["zero_volume", "zero_volume_move"]


def test_a_shifted_decimal_point():
    candles = make_candles(24)
    candles.loc[5, "low"] /= 10
    issue = only(validate_candles(candles), "jump")
    assert issue["detail"].startswith(f"low {candles['low'][5]:g} after a close of")
    assert validate_candles(candles, max_jump=3.0).issues.empty


def test_no_jump_across_a_gap_or_between_symbols():
    candles = make_candles(24, keep=np.arange(24) != 10)
    candles.loc[candles["open_time"].dt.hour > 10, ["open", "high", "low", "close"]] *= 20
    only(validate_candles(candles), "gap")
    both = two_symbols(4)
    both.loc[both["symbol"] == "ETHUSDT", ["open", "high", "low", "close"]] *= 50
    assert validate_candles(both).issues.empty


@settings(max_examples=25, deadline=None)
@given(row=st.integers(0, 5), column=st.sampled_from(["open", "high", "low", "close", "volume"]))
def test_quarters_add_up_to_hours_unless_one_number_differs(row, column):
    quarters = make_candles(24, interval="15m")
    hours = resample(quarters, "1h")
    assert validate_candles(hours, finer=quarters).ok
    hours.loc[row, column] *= 1.0001 if column in ("high", "volume", "open") else 0.9999
    issues = validate_candles(hours, finer=quarters).issues.query("rule == 'finer'")
    assert issues["open_time"].tolist() == [hours["open_time"][row]]
    assert issues["detail"].iloc[0].startswith(f"{column} ")


def test_finer_ignores_hours_that_are_not_whole():
    quarters = make_candles(24, interval="15m")
    hours = resample(quarters, "1h")
    assert validate_candles(hours, finer=quarters[quarters.index != 6]).ok


def test_rows_without_a_symbol_or_time():
    candles = make_candles(4).astype({"symbol": object})
    candles.loc[1, "symbol"] = None
    candles.loc[2, "open_time"] = pd.NaT
    report = validate_candles(candles, "1h")
    assert report.errors.query("rule == 'no_key'")["detail"].tolist() == [
        "row 1 has no symbol",
        "row 2 has no open time",
    ]
    assert "no symbol" in report.summary()


def test_nothing_to_check():
    report = validate_candles(empty_candles("1h"))
    assert report.ok
    assert report.summary().startswith("0 candles, 0 symbols")


def test_the_table_itself_is_left_alone():
    candles = changed(high=1.0)
    before = candles.copy()
    validate_candles(candles)
    pd.testing.assert_frame_equal(candles, before)


def test_summary_says_the_verdict_and_each_rule_once():
    candles = changed(volume=-1.0)
    candles.loc[9, "volume"] = -2.0
    assert validate_candles(candles).summary().splitlines() == [
        "24 candles, 1 symbol, 1h: 2 errors, 0 warnings",
        "  BTCUSDT: 24 bars, 2024-01-01 00:00 to 2024-01-01 23:00",
        "  error negative_volume: 2 findings, 2 bars; first: BTCUSDT 2024-01-01 05:00: volume -1 is below zero",
        "  not checked: open_bar (needs now=), finer (needs finer=)",
    ]


def test_summary_of_many_symbols_stays_short():
    many = pd.concat([make_candles(2, symbol=f"S{i:02d}") for i in range(30)])
    assert "  and 23 more symbols" in validate_candles(as_candles(many)).summary()


def test_raise_if_bad_names_the_first_row_and_how_many_more():
    candles = changed(volume=-1.0)
    candles.loc[9, "volume"] = -2.0
    with pytest.raises(
        CandleError, match=r"my file: BTCUSDT 2024-01-01 05:00: volume -1 is below zero .*and 1 more error;"
    ):
        validate_candles(candles).raise_if_bad("my file")
    report = validate_candles(make_candles(3))
    assert report.raise_if_bad() is report


def test_html_shows_every_checked_rule_and_escapes():
    page = validate_candles(make_candles(24, symbol="<b>&", keep=np.arange(24) != 5))._repr_html_()
    assert page.count("<tr class=") == 13
    assert "<b>&" not in page
    assert "✓" in page


def test_a_table_without_prices_is_refused():
    with pytest.raises(CandleError, match="column high missing"):
        validate_candles(make_candles(3).drop(columns="high"))


def test_the_interval_must_be_known():
    one = make_candles(1)
    one.attrs = {}
    with pytest.raises(IntervalError, match="fewer than two bars; pass interval="):
        validate_candles(one)


@needs_market
@pytest.mark.parametrize(
    "file", ["bybit_linear_1h_5sym", "bybit_linear_1d_5sym", "coinbase_spot_1d", "binance_um_1h_5sym"]
)
def test_recorded_candles_are_usable(file):
    table = as_candles(MarketDir(MARKET).read_file(f"{file}.parquet"))
    assert validate_candles(table).ok


@needs_market
def test_recorded_delistings():
    panel = MarketDir(MARKET).read(None, "1d", venue="binance")
    runs = validate_candles(panel).issues.query("rule == 'zero_volume'").set_index("symbol")["count"]
    assert runs.to_dict() == {"FTTUSDT": 778, "RAYUSDT": 777, "WAVESUSDT": 203}


@needs_market
def test_recorded_quarters_and_hours_disagree_on_four_hours():
    market = MarketDir(MARKET)
    hours = market.read("BTCUSDT", "1h", "2023-01-01", venue="binance", kind="um")
    report = validate_candles(hours, finer=market.read("BTCUSDT", "15m", venue="binance"))
    assert report.errors["rule"].tolist() == ["finer"] * 4
    assert sorted(set(report.errors["open_time"].dt.strftime("%Y-%m-%d"))) == ["2023-11-10", "2024-10-28"]
