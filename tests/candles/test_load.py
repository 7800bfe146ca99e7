"""One call, three places; each absence names its command."""

import subprocess
import sys

import pandas as pd
import pytest
from candle_factory import make_candles, two_symbols

from alphabook.candles import default_store_path, load_candles, real_market_available
from alphabook.errors import IntervalError, MarketDirError, NoDataError, StoreError, TimeRangeError
from alphabook.store import CandleStore


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No market folder, no store, an empty current directory."""
    monkeypatch.delenv("ALPHABOOK_MARKET_DIR", raising=False)
    monkeypatch.delenv("ALPHABOOK_STORE", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.fixture
def store(nowhere):
    with CandleStore(nowhere / "market.sqlite") as opened:
        opened.upsert(two_symbols(48))
        yield opened


@pytest.fixture
def folder(nowhere):
    path = nowhere / "folder"
    path.mkdir()
    two_symbols(24).to_parquet(path / "binance_um_1h.parquet")
    return path


def test_from_the_store_by_path_object_or_variable(store, monkeypatch):
    expected = two_symbols(48)
    for given in (store, store.path, str(store.path)):
        pd.testing.assert_frame_equal(load_candles("BTCUSDT,ETHUSDT", "1h", source="store", store=given), expected)
    monkeypatch.setenv("ALPHABOOK_STORE", str(store.path))
    found = load_candles(["ETHUSDT"], 60, "2024-01-01 05:00", "2024-01-01 07:00", source="store")
    assert found["open_time"].dt.hour.tolist() == [5, 6]
    assert found.attrs["source"] == "Bybit USDT perpetuals, 1h, 2024-01-01 to 2024-01-01"


def test_the_market_folder_goes_before_the_store_and_a_named_store_before_both(store, folder, monkeypatch):
    monkeypatch.setenv("ALPHABOOK_STORE", str(store.path))
    monkeypatch.setenv("ALPHABOOK_MARKET_DIR", str(folder))
    assert load_candles("BTCUSDT", source="store").attrs["venue"] == "binance"
    assert load_candles("BTCUSDT", source="store", store=store.path).attrs["venue"] == "bybit"
    assert load_candles("BTCUSDT", source="store", store=folder).attrs["venue"] == "binance"


def test_absent_from_the_store_names_the_command_and_creates_nothing(nowhere):
    with pytest.raises(NoDataError) as caught:
        load_candles("SOLUSDT", "1h", "2024-01-01", "2024-02-01", source="store")
    message = str(caught.value)
    assert "no candles for SOLUSDT 1h in" in message
    assert "`alphabook fetch --symbols SOLUSDT --interval 1h --start 2024-01-01 --end 2024-02-01`" in message
    assert "ALPHABOOK_MARKET_DIR" in message
    assert not list((nowhere / "here").iterdir())


def test_one_of_two_absent(store):
    with pytest.raises(NoDataError, match=r"no candles for ADAUSDT 1h from bybit in .* --symbols ADAUSDT"):
        load_candles("BTCUSDT,ADAUSDT", "1h", source="store", store=store, venue="bybit")


def test_reversed_dates_bad_interval_bad_source_no_symbol():
    with pytest.raises(TimeRangeError, match="is not before end"):
        load_candles("BTCUSDT", "1h", "2024-02-01", "2024-01-01")
    with pytest.raises(IntervalError, match="unknown interval '7m'"):
        load_candles("BTCUSDT", "7m")
    with pytest.raises(ValueError, match="source must be 'sample', 'store' or 'live', got 'cloud'"):
        load_candles("BTCUSDT", source="cloud")
    with pytest.raises(NoDataError, match="no symbol was named"):
        load_candles(" , ")


def test_live_asks_the_venue(monkeypatch):
    asked = []

    class Fake:
        def fetch_candles(self, symbol, interval, start, end, **_):
            asked.append((symbol, interval.value, start, end))
            return make_candles(3, symbol=symbol)

    import alphabook.venues

    monkeypatch.setattr(alphabook.venues, "Coinbase", Fake)
    found = load_candles("A,B", "1h", "2024-01-01", "2024-01-02", source="live", venue="coinbase")
    assert [a[0] for a in asked] == ["A", "B"]
    assert found.attrs["source"] == "Coinbase spot, 1h, 2024-01-01 to 2024-01-01"
    with pytest.raises(TimeRangeError, match="source='live' needs start="):
        load_candles("A", source="live", venue="coinbase")
    with pytest.raises(NoDataError, match="no venue 'kraken' to fetch from; use one of bybit"):
        load_candles("A", "1h", "2024-01-01", source="live", venue="kraken")


def test_whether_a_real_market_is_there(nowhere, store, folder, monkeypatch):
    assert not real_market_available()
    monkeypatch.setenv("ALPHABOOK_STORE", str(store.path))
    assert real_market_available()
    monkeypatch.setenv("ALPHABOOK_STORE", str(nowhere / "none.sqlite"))
    assert not real_market_available()
    monkeypatch.setenv("ALPHABOOK_MARKET_DIR", str(folder))
    assert real_market_available()
    monkeypatch.setenv("ALPHABOOK_MARKET_DIR", str(nowhere / "typo"))
    with pytest.raises(MarketDirError, match="typo does not exist"):
        real_market_available()


def test_a_broken_store_is_not_taken_for_an_absent_one(nowhere, monkeypatch):
    (nowhere / "bad.sqlite").write_bytes(b"not a database, but long enough to be read as a header" * 20)
    monkeypatch.setenv("ALPHABOOK_STORE", str(nowhere / "bad.sqlite"))
    with pytest.raises(StoreError, match="another kind of file"):
        real_market_available()


def test_the_default_store_lies_in_the_books_folder(nowhere, monkeypatch):
    assert default_store_path() == nowhere / "here" / "data" / "market.sqlite"
    (nowhere / "_toc.yml").write_text("")
    (nowhere / "data").mkdir()
    assert default_store_path() == nowhere / "data" / "market.sqlite"
    monkeypatch.setenv("ALPHABOOK_STORE", "elsewhere.sqlite")
    assert str(default_store_path()) == "elsewhere.sqlite"


def test_the_sample_needs_nothing():
    candles = load_candles("BTCUSDT,ETHUSDT", "1h", "2024-01-01", "2024-02-01")
    assert candles.groupby("symbol").size().to_dict() == {"BTCUSDT": 744, "ETHUSDT": 744}
    assert candles.attrs["venue"] == "simulated"


def test_importing_candles_loads_nothing_heavy():
    heavy = "('torch', 'aiohttp', 'requests', 'matplotlib')"
    code = f"import sys, alphabook.candles; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
