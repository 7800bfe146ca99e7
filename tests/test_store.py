"""The store: idempotent, in whole transactions, the same digest whatever the way there."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from candle_factory import MARKET, holed_candles, make_candles, needs_market, two_symbols
from hypothesis import given, settings
from hypothesis import strategies as st

from alphabook.candles import Interval, MarketDir, as_candles, empty_candles, find_gaps
from alphabook.errors import CandleError, MarketDirError, StoreError, TimeRangeError
from alphabook.store import CandleStore, UpsertResult, import_folder
from alphabook.store.database import APPLICATION_ID
from alphabook.store.spans import Span, add_span, runs, subtract


@pytest.fixture
def store(tmp_path):
    with CandleStore(tmp_path / "market.sqlite") as opened:
        yield opened


def fresh(tmp_path_factory):
    return CandleStore(tmp_path_factory.mktemp("store") / "market.sqlite")


# --- upsert and read -----------------------------------------------------------------------------
def test_what_goes_in_comes_out(store):
    candles = two_symbols(48)
    assert store.upsert(candles) == (96, 0, 0)
    back = store.read("BTCUSDT,ETHUSDT")
    pd.testing.assert_frame_equal(back, candles)
    assert back.attrs == {
        "interval": "1h", "venue": "bybit", "source": "Bybit USDT perpetuals, 1h, 2024-01-01 to 2024-01-02"
    }  # fmt: skip


def test_a_second_time_changes_nothing(store):
    candles = two_symbols(48)
    store.upsert(candles)
    before = store.digest()
    assert store.upsert(candles) == UpsertResult(0, 0, 96)
    assert store.digest() == before


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume", "turnover"])
def test_a_revised_bar_replaces_the_old_one(store, column):
    candles = make_candles(24)
    store.upsert(candles)
    before = store.digest()
    candles.loc[7, column] *= 1.000001
    assert store.upsert(candles.iloc[5:10]) == (0, 1, 4)
    assert store.read("BTCUSDT")[column][7] == candles[column][7]
    assert store.digest() != before


def test_counts_of_a_mixed_batch(store):
    candles = make_candles(30)
    store.upsert(candles.iloc[10:20])
    changed = candles.copy()
    changed.loc[12:14, "volume"] += 1
    assert store.upsert(changed) == (20, 3, 7)


def test_a_missing_turnover_and_its_later_arrival(store):
    candles = make_candles(4)
    store.upsert(candles.assign(turnover=np.nan))
    assert store.read("BTCUSDT")["turnover"].isna().all()
    assert store.upsert(candles.assign(turnover=np.nan)) == (0, 0, 4)
    assert store.upsert(candles) == (0, 4, 0)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), candles=holed_candles(interval="1h", most=30))
def test_any_order_and_batches_give_one_digest(tmp_path_factory, data, candles):
    with fresh(tmp_path_factory) as whole, fresh(tmp_path_factory) as pieces:
        whole.upsert(candles)
        order = data.draw(st.permutations(range(len(candles))))
        cuts = sorted(data.draw(st.sets(st.integers(0, len(candles)), max_size=4)))
        for batch in np.split(np.array(order), cuts):
            if len(batch):
                pieces.upsert(candles.iloc[batch], interval="1h")
        pd.testing.assert_frame_equal(pieces.read("BTCUSDT,ETHUSDT"), candles)
        assert pieces.digest() == whole.digest()


def test_digest_of_known_content(store):
    """The documented bytes, hashed by hand."""
    import hashlib
    import struct

    candles = make_candles(2, symbol="X", venue="v").assign(turnover=[np.nan, 5.0])
    store.upsert(candles)
    body = b"v|X|1h|2\n"
    for row in candles.itertuples():
        ms = int(row.open_time.timestamp() * 1000)
        body += struct.pack("<q6d", ms, row.open, row.high, row.low, row.close, row.volume, row.turnover)
    assert store.digest() == hashlib.sha256(body).hexdigest()


def test_digest_does_not_depend_on_coverage_nor_on_empty_series(store, tmp_path):
    candles = make_candles(24)
    store.upsert(candles)
    before = store.digest()
    store.upsert(empty_candles("1h", "bybit"), symbol="ETHUSDT", covered=("2024-01-01", "2024-02-01"))
    store.upsert(candles, covered=("2023-01-01", "2024-06-01"))
    assert store.digest() == before
    with CandleStore(tmp_path / "other.sqlite") as other:
        assert other.digest() != before
        other.upsert(candles, venue="binance")
        assert other.digest() != before


def test_series_of_venue_symbol_and_interval_stay_apart(store):
    store.upsert(make_candles(5))
    store.upsert(make_candles(6), venue="binance")
    store.upsert(make_candles(7, interval="15m"))
    assert store.series()[["venue", "symbol", "interval", "bars"]].values.tolist() == [
        ["binance", "BTCUSDT", "1h", 6], ["bybit", "BTCUSDT", "15m", 7], ["bybit", "BTCUSDT", "1h", 5]
    ]  # fmt: skip
    assert len(store.read("BTCUSDT", "1h")) == 5
    assert len(store.read("BTCUSDT", "1h", venue="binance")) == 6
    with pytest.raises(StoreError, match=r"holds BTCUSDT at several intervals \(15m, 1h\); name one"):
        store.read("BTCUSDT")


def test_range_is_half_open_and_columns_can_be_chosen(store):
    candles = make_candles(24)
    store.upsert(candles)
    part = store.read("BTCUSDT", "1h", "2024-01-01 03:00", "2024-01-01 06:00", columns=["close"])
    assert list(part.columns) == ["close"]
    assert part["close"].tolist() == candles["close"][3:6].tolist()
    everything = store.read("BTCUSDT", columns=["close", "symbol", "open_time"])
    pd.testing.assert_frame_equal(everything, candles[["close", "symbol", "open_time"]])
    with pytest.raises(CandleError, match="no column vwap in a candle; it has open_time, symbol"):
        store.read("BTCUSDT", columns=["vwap"])


def test_absent_symbols_give_no_rows(store):
    assert store.read("BTCUSDT", "1h").empty
    store.upsert(make_candles(3))
    assert store.read("DOGEUSDT", "1h").empty
    assert store.read("BTCUSDT,DOGEUSDT", "1h")["symbol"].unique().tolist() == ["BTCUSDT"]
    assert store.read("BTCUSDT", "1h", "2030-01-01").dtypes.equals(make_candles(1).dtypes)


@pytest.mark.parametrize("interval", ["1M", "1w", "1m"])
def test_every_interval_survives(store, interval):
    candles = make_candles(6, interval=interval)
    store.upsert(candles)
    back = store.read("BTCUSDT")
    pd.testing.assert_frame_equal(back, candles)
    assert back.attrs["interval"] == interval
    assert len(store.coverage()) == 1


def test_repeats_in_a_batch(store):
    candles = make_candles(10)
    assert store.upsert(pd.concat([candles, candles.iloc[[3]]])) == (10, 0, 0)
    other = candles.iloc[[3]].assign(close=1.0)
    with pytest.raises(CandleError, match=r"BTCUSDT 2024-01-01 03:00: two rows tell different things"):
        store.upsert(pd.concat([candles, other]))


@pytest.mark.parametrize(("column", "value"), [("close", np.nan), ("volume", np.inf), ("turnover", np.inf)])
def test_what_is_no_number_is_refused_whole(store, column, value):
    candles = make_candles(10)
    candles.loc[6, column] = value
    with pytest.raises(CandleError, match=r"BTCUSDT 2024-01-01 06:00.*not a number; nothing was written"):
        store.upsert(candles)
    assert store.series().empty


# --- gaps and coverage ---------------------------------------------------------------------------
def test_gaps_are_flagged_never_filled(store):
    candles = make_candles(48, keep=~np.isin(np.arange(48), [5, 6, 30]))
    store.upsert(candles)
    pd.testing.assert_frame_equal(store.gaps("BTCUSDT"), find_gaps(candles))
    assert len(store.read("BTCUSDT")) == 45
    assert store.gaps("ETHUSDT", "1h").empty


def test_bars_cover_themselves_and_what_was_asked_for_covers_its_holes(store):
    candles = make_candles(48, keep=~np.isin(np.arange(48), [5, 6, 30]))
    store.upsert(candles)
    whole = ("2024-01-01", "2024-01-03")
    stamps = [pd.Timestamp(t, tz="UTC") for t in ("2024-01-01 05:00", "2024-01-01 07:00", "2024-01-02 06:00")]
    assert store.missing("BTCUSDT", "1h", *whole) == [
        (stamps[0], stamps[1]), (stamps[2], stamps[2] + pd.Timedelta(hours=1))
    ]  # fmt: skip
    store.upsert(candles, covered=whole)
    assert store.missing("BTCUSDT", "1h", *whole) == []
    covered = store.coverage()
    assert covered[["start", "end", "bars"]].values.tolist() == [[*(pd.Timestamp(t, tz="UTC") for t in whole), 45]]


def test_an_empty_window_is_covered_too(store):
    store.upsert(empty_candles("1h"), symbol="NEWUSDT", venue="bybit", covered=("2024-01-01", "2024-02-01"))
    assert store.missing("NEWUSDT", "1h", "2024-01-01", "2024-02-01", venue="bybit") == []
    assert store.read("NEWUSDT", "1h").empty


def test_missing_of_what_was_never_asked_for(store):
    assert store.missing("BTCUSDT", "1h", "2024-01-01", "2024-01-02") == [
        (pd.Timestamp("2024-01-01", tz="UTC"), pd.Timestamp("2024-01-02", tz="UTC"))
    ]
    with pytest.raises(TimeRangeError):
        store.missing("BTCUSDT", "1h", "2024-01-02", "2024-01-01")


SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)).map(lambda p: Span(p[0], p[0] + p[1])), max_size=8)


@given(spans=SPANS, whole=st.tuples(st.integers(0, 30), st.integers(1, 20)))
def test_spans_behave_like_sets_of_instants(spans, whole):
    merged: list[Span] = []
    for span in spans:
        merged = add_span(merged, span)
    instants = {i for a, b in spans for i in range(a, b)}
    assert {i for a, b in merged for i in range(a, b)} == instants
    assert all(a.stop < b.start for a, b in pairwise(merged))
    asked = Span(whole[0], sum(whole))
    left = subtract(asked, merged)
    assert {i for a, b in left for i in range(a, b)} == set(range(*asked)) - instants
    assert all(a.stop < b.start for a, b in pairwise(left))


def test_runs_of_months():
    candles = make_candles(5, interval="1M", keep=np.array([True, True, False, True, True]))
    ends = [tuple(pd.to_datetime(s, unit="ms").strftime("%Y-%m-%d")) for s in runs(candles["open_time"], Interval.MO1)]
    assert ends == [("2024-01-01", "2024-03-01"), ("2024-04-01", "2024-06-01")]


# --- transactions, threads, processes, crashes -----------------------------------------------------
def test_several_upserts_as_one(store):
    def half_done():
        with store.transaction():
            store.upsert(make_candles(10))
            assert len(store.read("BTCUSDT")) == 10
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_done()
    assert store.series().empty
    assert store.coverage().empty
    with store.transaction():
        store.upsert(make_candles(10))
        store.upsert(make_candles(10, symbol="ETHUSDT"))
    assert store.series()["bars"].tolist() == [10, 10]


def test_a_failure_in_the_middle_of_an_upsert_leaves_nothing(store, monkeypatch):
    from alphabook.store import candle_store

    monkeypatch.setattr(candle_store, "cover", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.upsert(make_candles(10))
    assert store.series().empty


def test_threads_share_a_store(store):
    parts = [make_candles(200, symbol=f"S{i}", seed=i) for i in range(6)]
    failures = []

    def work(part):
        try:
            for at in range(0, 200, 20):
                store.upsert(part.iloc[at : at + 20])
                store.read(part["symbol"].iloc[0])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(p,)) for p in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.series()["bars"].tolist() == [200] * 6


WRITER = """
import sys
sys.path.insert(0, {tests!r})
from candle_factory import make_candles
from alphabook.store import CandleStore
number = int(sys.argv[2])
candles = make_candles(300, symbol=f"S{{number}}", seed=number)
with CandleStore(sys.argv[1]) as store:
    for at in range(0, 300, 10):
        store.upsert(candles.iloc[at : at + 10])
"""


def writer(path, number):
    code = WRITER.format(tests=str(Path(__file__).parent))
    return subprocess.Popen([sys.executable, "-c", code, str(path), str(number)], stderr=subprocess.PIPE, text=True)


def test_processes_create_and_fill_one_file_together(tmp_path):
    processes = [writer(tmp_path / "market.sqlite", n) for n in range(3)]
    for process in processes:
        assert process.communicate(timeout=120)[1] == ""
    with CandleStore(tmp_path / "market.sqlite") as store:
        assert store.series()["bars"].tolist() == [300] * 3


def test_a_killed_writer_leaves_whole_batches_and_the_rest_can_follow(tmp_path):
    path = tmp_path / "market.sqlite"
    code = textwrap.dedent(WRITER.format(tests=str(Path(__file__).parent))).replace(
        "at + 10]", "at + 10]); print(at, flush=True"
    )
    for attempt in range(3):
        process = subprocess.Popen([sys.executable, "-c", code, str(path), "1"], stdout=subprocess.PIPE, text=True)
        seen = [process.stdout.readline() for _ in range(4 + attempt)]
        process.send_signal(signal.SIGKILL) if os.name == "posix" else process.kill()
        process.communicate()
        with CandleStore(path) as store:
            bars = store.series()["bars"].iloc[0]
            assert bars % 10 == 0
            assert bars >= int(seen[-1]) + 10
            assert store.coverage()["bars"].sum() == bars
    with CandleStore(path) as store, CandleStore(tmp_path / "clean.sqlite") as clean:
        store.upsert(make_candles(300, symbol="S1", seed=1))
        clean.upsert(make_candles(300, symbol="S1", seed=1))
        assert store.digest() == clean.digest()


def test_a_reader_does_not_wait_for_a_writer(store):
    store.upsert(make_candles(5))
    with CandleStore(store.path, read_only=True) as reader, store.transaction():
        store.upsert(make_candles(9))
        assert len(reader.read("BTCUSDT")) == 5
    with CandleStore(store.path, read_only=True) as reader:
        assert len(reader.read("BTCUSDT")) == 9


def test_a_busy_file_is_waited_for_and_then_named(store, monkeypatch):
    store.upsert(make_candles(5))
    monkeypatch.setattr("alphabook.store.database.BUSY_SECONDS", 0.2)
    with CandleStore(store.path) as second, store.transaction():
        started = time.monotonic()
        with pytest.raises(StoreError, match="another process kept it busy"):
            second.upsert(make_candles(9))
        assert time.monotonic() - started >= 0.19


# --- refusals --------------------------------------------------------------------------------------
def test_a_new_store_writes_nothing_before_its_first_candle(tmp_path):
    path = tmp_path / "new" / "market.sqlite"
    with CandleStore(path) as store:
        assert store.read("BTCUSDT", "1h").empty
        assert store.series().empty
        assert store.coverage().empty
        store.digest()
        assert not path.parent.exists()
        store.upsert(make_candles(3))
    assert path.exists()


def refused(path, message, **options):
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError, match=message) as caught:
        CandleStore(path, **options).upsert(make_candles(3))
    assert "\n" not in str(caught.value)
    if before is not None:
        assert path.read_bytes() == before
    assert not path.with_name(path.name + "-wal").exists()


def test_a_folder_is_no_store(tmp_path):
    refused(tmp_path, "is a folder, not a candle store; name a file in it")


def test_another_kind_of_file(tmp_path):
    (tmp_path / "a.sqlite").write_text("open,high,low,close\n" * 100)
    refused(tmp_path / "a.sqlite", "a.sqlite: not a candle store but another kind of file; name another file")


def test_another_programs_database(tmp_path):
    with sqlite3.connect(tmp_path / "a.sqlite") as connection:
        connection.execute("CREATE TABLE cookies (a)")
    connection.close()
    refused(tmp_path / "a.sqlite", "is an SQLite database, but not a candle store; name another file")


def test_a_newer_alphabooks_store(tmp_path):
    path = tmp_path / "a.sqlite"
    with CandleStore(path) as store:
        store.upsert(make_candles(3))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    refused(path, "has schema version 99, this alphabook knows 1; update alphabook")


def test_a_damaged_file(tmp_path):
    path = tmp_path / "a.sqlite"
    with CandleStore(path) as store:
        store.upsert(make_candles(3000))
    content = bytearray(path.read_bytes())
    content[8192:60_000] = b"\xfe" * (60_000 - 8192)
    path.write_bytes(bytes(content))
    with (
        CandleStore(path) as store,
        pytest.raises(StoreError, match="the file is damaged; restore a copy, or delete it"),
    ):
        store.digest()


def test_tables_that_are_missing(tmp_path):
    path = tmp_path / "a.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("CREATE TABLE series (id)")
    connection.close()
    with CandleStore(path) as store, pytest.raises(StoreError, match=r"a.sqlite: "):
        store.upsert(make_candles(3))


def test_below_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file" / "a.sqlite", "cannot be created: .*file is a file; choose another place with --store")


needs_nobody = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user without rights"
)
AS_NOBODY = """
import os, sys
sys.path.insert(0, sys.argv[2])
from candle_factory import make_candles
from alphabook.errors import StoreError
from alphabook.store import CandleStore
os.setgid(65534); os.setuid(65534)
try:
    with CandleStore(sys.argv[1], read_only=len(sys.argv) > 3) as store:
        print(len(store.read("BTCUSDT", "1h")))
        store.upsert(make_candles(9))
except StoreError as error:
    print(error)
"""


def as_nobody(path, *more):
    """What happens to a user without rights, in a process of its own."""
    temporary = Path(tempfile.gettempdir()).resolve()
    for folder in path.resolve().parents:
        if temporary in folder.parents:  # pytest's own folders are for its user alone
            folder.chmod(0o755)
    command = [sys.executable, "-c", AS_NOBODY, str(path), str(Path(__file__).parent), *more]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@needs_nobody
def test_no_permission_to_create(tmp_path):
    assert "cannot be created: no permission to write in" in as_nobody(tmp_path / "a.sqlite")
    assert not list(tmp_path.iterdir())


@needs_nobody
def test_no_permission_to_write_but_to_read(tmp_path):
    path = tmp_path / "a.sqlite"
    with CandleStore(path) as store:
        store.upsert(make_candles(5))
    path.chmod(0o444)
    before = path.read_bytes()
    assert "a.sqlite: no permission to write; choose another place" in as_nobody(path)
    assert as_nobody(path, "read_only").splitlines() == [
        "5", f"{path} was opened read-only; open it with CandleStore(path) to write"
    ]  # fmt: skip
    assert path.read_bytes() == before


def test_a_full_disk_rolls_back(store):
    store.upsert(make_candles(5))
    before = store.digest()
    with store.transaction() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match="the disk is full; free some space"):
        store.upsert(make_candles(5000))
    assert store.digest() == before


def test_a_closed_store(store):
    store.close()
    store.close()
    for use in (lambda: store.read("BTCUSDT", "1h"), lambda: store.upsert(make_candles(2)), store.digest):
        with pytest.raises(StoreError, match="the store is closed; open it again with CandleStore"):
            use()


def test_read_only_of_what_is_not_there(tmp_path):
    with CandleStore(tmp_path / "none.sqlite", read_only=True) as store:
        assert store.read("BTCUSDT", "1h").empty
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(StoreError, match="is empty; run `alphabook fetch` or `alphabook import DIR`"):
        CandleStore(tmp_path / "empty.sqlite", read_only=True)


# --- import ----------------------------------------------------------------------------------------
def write(folder, name, candles):
    candles.rename(columns={"open_time": "ts"}).to_parquet(folder / f"{name}.parquet")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    write(path, "bybit_linear_1h", two_symbols(48).sample(frac=1, random_state=0))
    write(path, "bybit_spot_1h", make_candles(24, keep=np.arange(24) != 9))
    pd.DataFrame({"x": [1]}).to_parquet(path / "notes.parquet")
    return path


def test_import_of_a_folder(store, folder):
    report = import_folder(store, folder)
    assert report.total == (96 + 23, 0, 0)
    assert [(f.file, f.venue, f.symbols, f.warnings) for f in report.files] == [
        ("bybit_linear_1h.parquet", "bybit", 2, 0), ("bybit_spot_1h.parquet", "bybit-spot", 1, 1)
    ]  # fmt: skip
    assert report.skipped["file"].tolist() == ["notes.parquet"]
    assert "notes.parquet: left aside, no column ts" in report.summary()
    pd.testing.assert_frame_equal(store.read("BTCUSDT,ETHUSDT"), MarketDir(folder).read("BTCUSDT,ETHUSDT"))
    assert store.gaps("BTCUSDT", venue="bybit-spot")["missing"].tolist() == [1]
    assert len(store.missing("BTCUSDT", "1h", "2024-01-01", "2024-01-02", venue="bybit-spot")) == 1


def test_a_second_import_changes_nothing(store, folder):
    import_folder(store, folder)
    before = store.digest()
    assert import_folder(store, MarketDir(folder)).total == (0, 0, 119)
    assert store.digest() == before


def test_broken_candles_are_refused_with_the_row_and_nothing_is_written(store, folder):
    bad = make_candles(24)
    bad.loc[3, "high"] = 1.0
    write(folder, "coinbase_spot", bad)
    with pytest.raises(
        CandleError, match=r"coinbase_spot.parquet: BTCUSDT 2024-01-01 03:00: high 1 is below .* \[ohlc\]"
    ):
        import_folder(store, folder)
    assert not store.path.exists()


def test_a_damaged_file_is_refused_and_nothing_is_written(store, folder):
    (folder / "zzz.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(MarketDirError, match=r"zzz.parquet is not a readable Parquet file"):
        import_folder(store, folder)
    assert not store.path.exists()


def test_only_one_interval(store, folder):
    write(folder, "bybit_linear_15m", make_candles(8, interval="15m"))
    assert import_folder(store, folder, interval="15m").total == (8, 0, 0)
    with pytest.raises(CandleError, match="holds no 4h candles; leave the interval out"):
        import_folder(store, folder, interval="4h")


def test_a_file_goes_in_whole_or_not_at_all(store, folder, monkeypatch):
    write(folder, "binance_um", as_candles(pd.concat([make_candles(8), make_candles(8, interval="15m", symbol="E")])))
    real, calls = CandleStore.upsert, []

    def failing(self, candles, **options):
        calls.append(options)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, candles, **options)

    monkeypatch.setattr(CandleStore, "upsert", failing)
    with pytest.raises(KeyboardInterrupt):
        import_folder(store, folder)
    assert store.series().empty


@needs_market
@pytest.mark.slow
def test_the_recorded_folder_goes_in_and_comes_out(store):
    market = MarketDir(MARKET)
    assert import_folder(store, market).total.inserted == market.catalogue()["bars"].sum()
    names = "BTCUSDT,ETHUSDT,SOLUSDT,XRPUSDT,BNBUSDT"
    one, two = store.read(names, "1h"), market.read(names, "1h")
    pd.testing.assert_frame_equal(one, two)
    assert one.attrs == two.attrs
    assert len(store.gaps("BTCUSDT", "1h", venue="binance-spot")) == 26
