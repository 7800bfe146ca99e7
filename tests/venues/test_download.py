"""download(): resumable, idempotent, and it leaves nothing behind when the input is bad."""

import pandas as pd
import pytest
from standin_support import CLIENTS, START, hourly_market, quick

from alphabook.errors import (
    BadIntervalError,
    NoDataError,
    OutageError,
    StoreError,
    TimeRangeError,
    UnknownSymbolError,
)
from alphabook.simulated.standin import StandIn
from alphabook.store import CandleStore
from alphabook.venues import BOOK_PRESET, Bybit, download

HOUR = pd.Timedelta(hours=1)
NAMES = ("BTCUSDT", "ETHUSDT")
MARKET = hourly_market(2600, symbols=NAMES)


@pytest.fixture
def exchange():
    with StandIn("bybit", market=MARKET, limits=False) as standin:
        yield standin


def klines(exchange):
    return [c for c in exchange.calls if c.path.endswith("kline")]


def test_a_second_run_asks_for_no_candle_and_changes_nothing(exchange, tmp_path):
    path = tmp_path / "s.sqlite"
    first = download(quick(Bybit, exchange.url), NAMES, "1h", START, None, path, progress=False)
    with CandleStore(path) as store:
        digest, coverage = store.digest(), store.coverage()
    asked = len(klines(exchange))
    second = download(quick(Bybit, exchange.url), NAMES, "1h", START, None, path, progress=False)
    assert len(klines(exchange)) == asked
    assert (first.calls > 0, second.calls, second.bars) == (True, 0, 0)
    with CandleStore(path) as store:
        assert store.digest() == digest
        pd.testing.assert_frame_equal(store.coverage(), coverage)


def test_the_report_counts_what_happened(exchange, tmp_path):
    report = download(quick(Bybit, exchange.url), "BTCUSDT", "60", START, None, tmp_path / "s.sqlite", progress=False)
    row = report.rows[0]
    assert (row.bars, row.inserted, row.revised) == (2599 - 3, 2599 - 3, 0)  # bars that two windows share count once
    assert row.calls == 3 + 2  # three windows, and the hole asked for twice
    assert row.missing == 3
    assert report.table()["symbol"].tolist() == ["BTCUSDT"]
    assert "BTCUSDT" in str(report)
    assert "requests: 5 for candles, 1 for the venue's clock" in str(report)


def others(exchange):
    return [c for c in exchange.calls if not c.path.endswith("kline")]


def test_every_request_is_in_the_report_retries_too(tmp_path):
    faults = [
        {"kind": "server_error", "path": "kline", "on": [2, 3], "times": 2},
        {"kind": "too_many", "path": "time", "on": [1]},
    ]
    with StandIn("bybit", market=MARKET, faults=faults, limits=False) as exchange:
        client = quick(Bybit, exchange.url)
        report = download(client, NAMES, "1h", START, None, tmp_path / "s.sqlite", progress=False)
        assert report.calls == len(klines(exchange)) == 2 * 3 + 2 * 2 + 2  # windows, holes asked for again, retries
        assert report.clock_calls == len(others(exchange)) == 2


@pytest.mark.parametrize(("name", "calls"), [("bybit", 9), ("binance", 6), ("coinbase", 30)])
def test_a_year_that_has_passed_is_stored_without_asking_for_the_clock(name, calls, tmp_path):
    kind, symbol = CLIENTS[name]
    with StandIn(name, market=hourly_market(8760 + 24, hole=False), limits=False) as exchange:
        for asked, bars in ((calls, 8760), (0, 0)):
            client, path = quick(kind, exchange.url), tmp_path / "s.sqlite"
            report = download(client, symbol, "1h", START, START + 8760 * HOUR, path, progress=False)
            assert (report.bars, report.rows[0].inserted) == (bars, bars)
            assert (report.calls, report.clock_calls, len(exchange.calls)) == (asked, 0, calls)


def test_a_range_that_grows_asks_for_the_clock_and_an_end_in_the_venues_future_stays_open(exchange, tmp_path):
    path, end = tmp_path / "s.sqlite", START + 4000 * HOUR  # passed by this machine's clock, not by the venue's
    first = download(quick(Bybit, exchange.url), "BTCUSDT", "1h", START, end, path, progress=False)
    asked = len(klines(exchange))
    second = download(quick(Bybit, exchange.url), "BTCUSDT", "1h", START, end, path, progress=False)
    assert first.end == second.end == START + 2599 * HOUR
    assert (first.clock_calls, second.clock_calls, len(klines(exchange)) - asked) == (0, 1, 0)
    late, other = START + 3000 * HOUR, tmp_path / "t.sqlite"
    with pytest.raises(TimeRangeError, match="newest closed at 2024-04-18 07:00"):
        download(quick(Bybit, exchange.url), "BTCUSDT", "1h", late, end, other, progress=False)
    assert not other.exists()


def test_an_extension_reads_the_last_bars_again_and_takes_the_revision(tmp_path):
    path, stop = tmp_path / "s.sqlite", START + 100 * HOUR
    market = hourly_market(200, hole=False)
    with StandIn("bybit", market=market, limits=False) as exchange:
        download(quick(Bybit, exchange.url), "BTCUSDT", "1h", START, stop, path, progress=False)
    revised = market.copy()
    revised.loc[98, ["close", "high"]] += 1.0  # the venue corrects a bar that we have already
    revised.loc[50, ["close", "high"]] += 1.0  # and an old one, which nobody asks for again
    with StandIn("bybit", market=revised, limits=False) as exchange:
        report = download(quick(Bybit, exchange.url), "BTCUSDT", "1h", START, START + 150 * HOUR, path, progress=False)
        assert report.rows[0].revised == 1
        assert int(klines(exchange)[0].query["start"]) == int((stop - 3 * HOUR).timestamp() * 1000)
    with CandleStore(path) as store:
        closes = store.read("BTCUSDT", "1h")["close"]
    assert closes[98] == revised.loc[98, "close"]
    assert closes[50] == market.loc[50, "close"]


def test_a_break_in_the_middle_keeps_what_was_stored_and_goes_on_from_there(tmp_path):
    path = tmp_path / "s.sqlite"
    faults = [{"kind": "server_error", "path": "kline", "on": [3, 4, 5], "times": 9}]
    with StandIn("bybit", market=MARKET, faults=faults, limits=False) as exchange:
        with pytest.raises(OutageError):
            download(quick(Bybit, exchange.url, attempts=3), "BTCUSDT", "1h", START, None, path, progress=False)
        with CandleStore(path) as store:
            kept = store.coverage()["end"].max()
        assert START < kept < START + 2599 * HOUR
        before = len(klines(exchange))
        download(quick(Bybit, exchange.url), "BTCUSDT", "1h", START, None, path, progress=False)
        assert int(klines(exchange)[before].query["start"]) == int((kept - 3 * HOUR).timestamp() * 1000)
    with StandIn("bybit", market=MARKET, limits=False) as exchange:
        download(quick(Bybit, exchange.url), "BTCUSDT", "1h", START, None, tmp_path / "clean.sqlite", progress=False)
    with CandleStore(path) as broken, CandleStore(tmp_path / "clean.sqlite") as clean:
        assert broken.digest() == clean.digest()


def test_ctrl_c_keeps_what_was_stored(exchange, tmp_path, monkeypatch):
    path, client = tmp_path / "s.sqlite", quick(Bybit, exchange.url)
    real, count = client._page, iter(range(99))

    def page(*args):
        if next(count) == 2:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(client, "_page", page)
    with pytest.raises(KeyboardInterrupt):
        download(client, "BTCUSDT", "1h", START, None, path, progress=False)
    with CandleStore(path) as store:
        assert len(store.read("BTCUSDT", "1h")) == 1000
        assert len(store.coverage()) == 1


def test_the_newest_bar_may_be_late_and_is_asked_for_again(tmp_path):
    path, market = tmp_path / "s.sqlite", hourly_market(60, hole=False)
    late = market.drop(index=[49]).reset_index(drop=True)
    now = START + 50.5 * HOUR  # bar 49 has closed, and the venue does not show it yet
    with StandIn("bybit", market=late, now=now, limits=False) as exchange:
        report = download(quick(Bybit, exchange.url), "BTCUSDT", "1h", START, None, path, progress=False)
        assert report.rows[0].gaps == ()
    with StandIn("bybit", market=market, now=now, limits=False) as exchange:
        download(quick(Bybit, exchange.url), "BTCUSDT", "1h", START, None, path, progress=False)
    with CandleStore(path) as store:
        assert len(store.read("BTCUSDT", "1h")) == 50
        assert store.gaps("BTCUSDT", "1h").empty


def test_years_before_the_listing_are_passed_over_and_remembered(exchange, tmp_path):
    path = tmp_path / "s.sqlite"
    before = START - pd.Timedelta(days=365)
    report = download(quick(Bybit, exchange.url), "BTCUSDT", "1h", before, START + 500 * HOUR, path, progress=False)
    assert report.rows[0].inserted == 500
    asked = len(klines(exchange))
    download(quick(Bybit, exchange.url), "BTCUSDT", "1h", before, START + 500 * HOUR, path, progress=False)
    assert len(klines(exchange)) == asked


@pytest.mark.parametrize(
    ("symbols", "interval", "start", "end", "error"),
    [
        ("BTCUSDT,NOSUCHUSDT", "1h", "2024-01-01", None, UnknownSymbolError),
        ("", "1h", "2024-01-01", None, UnknownSymbolError),
        ("BTCUSDT", "8h", "2024-01-01", None, BadIntervalError),
        ("BTCUSDT", "1h", "2024-02-01", "2024-01-01", TimeRangeError),
        ("BTCUSDT", "1h", "2031-01-01", None, TimeRangeError),
        ("BTCUSDT", "1h", "2020-01-01", "2020-02-01", NoDataError),
    ],
)
def test_bad_input_leaves_no_file_behind(symbols, interval, start, end, error, exchange, tmp_path):
    path = tmp_path / "deep" / "s.sqlite"
    with pytest.raises(error):
        download(quick(Bybit, exchange.url), symbols, interval, start, end, path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_made_is_known_before_the_first_call(exchange, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError):
        download(
            quick(Bybit, exchange.url), "BTCUSDT", "1h", START, None, tmp_path / "file" / "s.sqlite", progress=False
        )
    assert exchange.calls == []


def test_spot_and_perpetual_do_not_mix_in_one_store(exchange, tmp_path):
    path = tmp_path / "s.sqlite"
    for category in ("linear", "spot"):
        client = quick(Bybit, exchange.url, category=category)
        download(client, "BTCUSDT", "1h", START, START + 10 * HOUR, path, progress=False)
    with CandleStore(path) as store:
        assert sorted(store.series()["venue"]) == ["bybit", "bybit-spot"]


def test_the_books_slice_is_what_the_book_uses():
    assert [s.interval for s in BOOK_PRESET] == ["1h", "15m"]
    assert set(BOOK_PRESET[0].symbols) == {"BTCUSDT", "ETHUSDT", "XRPUSDT", "BNBUSDT", "SOLUSDT"}
    assert all(pd.Timestamp(s.start) < pd.Timestamp(s.end) for s in BOOK_PRESET)
