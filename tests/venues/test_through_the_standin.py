"""The must-shows: call counts of a year, and every fault on every call leaves the same store behind."""

import logging

import pandas as pd
import pytest
from standin_support import CLIENTS, HOLE, START, hourly_market, quick

from alphabook.errors import AlphabookError, RegionBlockedError
from alphabook.simulated.standin import StandIn
from alphabook.store import CandleStore
from alphabook.venues import Bybit, RateBudget, download

BARS = 2600
END = START + pd.Timedelta(hours=BARS - 1)  # the last bar is still open
MARKET = hourly_market(BARS)
LIMITED = {"limits": False}  # the stand-in's own limits run on the wall clock, and these clients do not wait


def fetched(name, faults, path, **options):
    """Download until done, as a user would: run again after every error. Returns digest, report, runs, calls."""
    kind, symbol = CLIENTS[name]
    with StandIn(name, market=MARKET, faults=faults, **LIMITED) as exchange:
        runs = 0
        while True:
            runs += 1
            client = quick(kind, exchange.url, **options)
            try:
                report = download(client, symbol, "1h", START, END, path, progress=False)
                break
            except AlphabookError:
                assert runs < 60, "the download does not get any further"
        with CandleStore(path) as store:
            return store.digest(), report, runs, exchange.calls


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    return {name: fetched(name, [], folder / f"{name}.sqlite")[0] for name in CLIENTS}


KINDS = [
    "gap", "duplicate", "unordered", "revised", "half_open", "malformed", "forbidden", "banned", "too_many", "region",
    "server_error", "timeout", "cut",
]  # fmt: skip


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_on_every_call_leaves_the_same_store(name, kind, clean, tmp_path):
    options = {"timeout": 0.15} if kind == "timeout" else {}
    digest, _, runs, calls = fetched(name, [{"kind": kind}], tmp_path / "s.sqlite", **options)
    assert any(c.fault for c in calls), "no fault struck: the test shows nothing"
    assert digest == clean[name]
    assert runs == 1 or kind == "region"  # only a refused region needs the user


@pytest.mark.parametrize("variant", ["short_row", "not_a_number", "truncated", "not_json"])
def test_every_kind_of_malformed_reply(variant, clean, tmp_path):
    digest, _, runs, _ = fetched("bybit", [{"kind": "malformed", "variant": variant}], tmp_path / "s.sqlite")
    assert (digest, runs) == (clean["bybit"], 1)


@pytest.mark.parametrize("at", ["first", "middle", "last"])
@pytest.mark.parametrize("size", [1, 40])
def test_rows_left_out_anywhere_in_a_page_are_fetched_again(at, size, clean, tmp_path):
    digest, report, _, _ = fetched("bybit", [{"kind": "gap", "at": at, "size": size}], tmp_path / "s.sqlite")
    assert digest == clean["bybit"]
    assert report.rows[0].missing == HOLE.stop - HOLE.start  # the true hole, and nothing else


def test_bybits_own_limit_and_all_faults_together(clean, tmp_path):
    kinds = [k for k in KINDS if k not in ("region", "timeout")]
    script = [{"kind": "retcode"}, *({"kind": k} for k in kinds)]
    digest, _, runs, _ = fetched("bybit", script, tmp_path / "s.sqlite", attempts=30)
    assert (digest, runs) == (clean["bybit"], 1)


def test_a_stale_bar_in_place_of_the_final_one_is_found_only_by_asking_twice(clean, tmp_path):
    script = [{"kind": "revised", "beside": False}]
    trusting, _, _, _ = fetched("bybit", script, tmp_path / "trusting.sqlite")
    careful, _, _, _ = fetched("bybit", script, tmp_path / "careful.sqlite", verify=True)
    assert trusting != clean["bybit"]  # no single reply can show it
    assert careful == clean["bybit"]


@pytest.mark.parametrize("name", CLIENTS)
def test_the_true_hole_is_reported_and_never_filled(name, tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="alphabook.venues")
    _, report, _, _ = fetched(name, [], tmp_path / "s.sqlite")
    ((first, last, count),) = report.rows[0].gaps
    assert (first, last, count) == (START + pd.Timedelta(hours=1700), START + pd.Timedelta(hours=1702), 3)
    assert "3 missing from" in caplog.text
    with CandleStore(tmp_path / "s.sqlite") as store:
        kept = store.read(CLIENTS[name][1], "1h")
        assert len(kept) == BARS - 1 - 3
        assert store.gaps(CLIENTS[name][1], "1h")["missing"].tolist() == [3]


@pytest.mark.parametrize(("name", "calls"), [("bybit", 9), ("binance", 6), ("coinbase", 30)])
def test_a_year_of_hours_takes_so_many_calls_and_no_more(name, calls):
    kind, symbol = CLIENTS[name]
    market = hourly_market(8760 + 24, hole=False)
    with StandIn(name, market=market, **LIMITED) as exchange:
        got = quick(kind, exchange.url).fetch_candles(symbol, "1h", START, START + pd.Timedelta(days=365))
        assert len(got) == 8760
        assert len(exchange.calls) == calls
        assert all(c.status == 200 for c in exchange.calls)


@pytest.mark.parametrize("name", CLIENTS)
def test_values_survive_the_wire_bit_for_bit(name):
    kind, symbol = CLIENTS[name]
    with StandIn(name, market=MARKET, **LIMITED) as exchange:
        got = quick(kind, exchange.url).fetch_candles(symbol, "1h", START, END)
    columns = ["open_time", "open", "high", "low", "close", "volume"]
    pd.testing.assert_frame_equal(got[columns], MARKET.iloc[:-1][columns].reset_index(drop=True), check_exact=True)


def test_the_default_budget_stays_inside_the_stand_ins_real_limits():
    kind, symbol = CLIENTS["coinbase"]
    with StandIn("coinbase", market=hourly_market(25 * 300, hole=False)) as exchange:
        kind(base_url=exchange.url).fetch_candles(symbol, "1h", START, START + pd.Timedelta(hours=24 * 300))
        assert {c.status for c in exchange.calls} == {200}


def test_many_symbols_in_parallel_share_one_budget():
    names = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
    market = hourly_market(1200, symbols=names, hole=False)
    budget = RateBudget(1000.0, 5.0)
    with StandIn("bybit", market=market, **LIMITED) as exchange:
        client = quick(Bybit, exchange.url, budget=budget)
        got = client.fetch_many(names, "1h", START, START + pd.Timedelta(hours=1100), workers=4)
        one = [client.fetch_candles(n, "1h", START, START + pd.Timedelta(hours=1100)) for n in sorted(names)]
    pd.testing.assert_frame_equal(got, pd.concat(one, ignore_index=True))
    assert budget.spent == 16
    assert got.attrs["interval"] == "1h"


def test_one_refused_symbol_stops_a_parallel_fetch():
    with StandIn("bybit", market=MARKET, **LIMITED) as exchange, pytest.raises(AlphabookError, match="NOSUCHUSDT"):
        quick(Bybit, exchange.url).fetch_many("BTCUSDT,NOSUCHUSDT", "1h", START, END)


def test_a_region_is_never_asked_twice():
    with StandIn("bybit", market=MARKET, faults=[{"kind": "region", "times": "always"}]) as exchange:
        with pytest.raises(RegionBlockedError, match="use another venue"):
            quick(Bybit, exchange.url).fetch_candles("BTCUSDT", "1h", START, END)
        assert len(exchange.calls) == 1


@pytest.mark.parametrize("name", CLIENTS)
def test_everything_else_a_venue_offers_works_against_the_stand_in(name):
    kind, symbol = CLIENTS[name]
    with StandIn(name, market=MARKET, **LIMITED) as exchange:
        client = quick(kind, exchange.url)
        assert client.server_time() == exchange.now
        ticker, book = client.ticker(symbol), client.order_book(symbol, 5)
        assert ticker.symbol == symbol
        assert book.bids[0].price < book.asks[0].price
        assert book.mid == pytest.approx(ticker.last_price, rel=0.01)
        assert -1 <= book.imbalance(5) <= 1
        assert symbol in [i.symbol for i in client.instruments()]
        if name != "coinbase":
            rates = client.funding_history(symbol, START, END)
            assert rates["time"].is_monotonic_increasing
            assert rates["time"].is_unique
            assert len(rates) > 200
