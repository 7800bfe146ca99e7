"""The stand-in as Coinbase: low before high, 300 rows, and no row where nothing traded."""

from __future__ import annotations

import pytest
from standin_counter import HOUR, T0, Counter, make_candles, payload, same_shape

CANDLES = "/products/BTC-USD/candles?granularity=3600"
ADVANCED = "/api/v3/brokerage/market/products/BTC-USD/candles?granularity=ONE_HOUR"
S0 = T0 // 1000


@pytest.fixture(scope="module")
def coinbase() -> Counter:
    return Counter("coinbase")


def test_rows_are_numbers_low_high_open_close_newest_first(coinbase):
    rows = coinbase.get(f"{CANDLES}&start={S0}&end={S0 + 7200}")
    first = make_candles().query("symbol == 'BTCUSDT'").iloc[0]
    assert [r[0] for r in rows] == [S0 + 7200, S0 + 3600, S0]  # both ends inclusive
    assert rows[-1][1:] == [first[c] for c in ("low", "high", "open", "close", "volume")]


def test_whole_prices_print_without_a_fraction():
    flat = make_candles(2, symbols={"BTCUSDT": 994.0})
    flat[["open", "high", "low", "close"]] = 994.0
    text = Counter("coinbase", flat).reply(f"{CANDLES}&start={S0}&end={S0}").payload().decode()
    assert text.startswith(f"[[{S0},994,994,994,994,")


def test_times_are_read_as_iso_or_seconds(coinbase):
    want = coinbase.get(f"{CANDLES}&start={S0}&end={S0 + 7200}")
    for start, end in (
        ("2024-01-01T00:00:00Z", "2024-01-01T02:00:00Z"),
        ("2024-01-01T00:00:00", "2024-01-01T02:00:00"),
        ("2024-01-01T01:00:00%2B01:00", "2024-01-01T03:00:00+01:00"),
        (f"{S0}.0", f"{S0 + 7200}.5"),
    ):
        assert coinbase.get(f"{CANDLES}&start={start}&end={end}") == want


def test_301_rows_are_served_and_302_refused(coinbase):
    assert len(coinbase.get(f"{CANDLES}&start={S0}&end={S0 + 300 * 3600}")) == 301
    reply = coinbase.reply(f"{CANDLES}&start={S0}&end={S0 + 301 * 3600}")
    assert reply.status == 400
    assert reply.body == {
        "message": "granularity too small for the requested time range. Count of aggregations requested exceeds 300"
    }


@pytest.mark.parametrize("half", [f"&start={S0}", f"&end={S0 + 3600}", ""])
def test_without_both_ends_the_range_is_ignored(coinbase, half):
    rows = coinbase.get(CANDLES + half)
    assert len(rows) == 350
    assert rows[0][0] == S0 + 399 * 3600


def test_before_the_listing_is_an_empty_page_and_not_an_error(coinbase):
    reply = coinbase.reply(f"{CANDLES}&start={S0 - 36_000}&end={S0 - 3600}")
    assert (reply.status, reply.body) == (200, [])


def test_an_interval_without_trades_has_no_row():
    quiet = make_candles(6, symbols={"BTCUSDT": 100.0})
    quiet.loc[2, "volume"] = 0.0
    rows = Counter("coinbase", quiet).get(f"{CANDLES}&start={S0}&end={S0 + 4 * 3600}")
    assert [r[0] for r in rows] == [S0 + k * 3600 for k in (4, 3, 1, 0)]


@pytest.mark.parametrize("text", ["7200", "1h", "61"])
def test_other_granularities_are_refused(coinbase, text):
    reply = coinbase.reply(f"/products/BTC-USD/candles?granularity={text}")
    assert (reply.status, reply.body) == (400, {"message": "Unsupported granularity"})


@pytest.mark.parametrize("path", ["/products/NO-USD/candles", "/products/BTCUSDT/candles", "/products/NO-USD"])
def test_unknown_products_are_404(coinbase, path):
    reply = coinbase.reply(path)
    assert (reply.status, reply.body) == (404, {"message": "NotFound"})


def test_a_user_agent_is_wanted():
    reply = Counter("coinbase", headers={}).reply(CANDLES)
    assert (reply.status, reply.body) == (400, {"message": "User-Agent header is required."})


def test_ten_a_second_after_a_burst_of_fifteen():
    counter = Counter("coinbase")
    ask = counter.ask(CANDLES)
    answers = [counter.venue.throttle(ask, 0.0) for _ in range(16)]
    assert answers[:15] == [None] * 15
    assert (answers[15].status, answers[15].body) == (429, {"message": "Public rate limit exceeded"})
    assert counter.venue.throttle(ask, 0.11) is None
    assert counter.venue.throttle(ask, 0.12).status == 429


def test_advanced_trade_sends_the_same_candles_as_text(coinbase):
    rows = coinbase.get(f"{ADVANCED}&start={S0}&end={S0 + 7200}")["candles"]
    plain = coinbase.get(f"{CANDLES}&start={S0}&end={S0 + 7200}")
    assert [int(r["start"]) for r in rows] == [r[0] for r in plain]
    assert [[float(r[k]) for k in ("low", "high", "open", "close", "volume")] for r in rows] == [r[1:] for r in plain]
    assert all(isinstance(v, str) for r in rows for v in r.values())


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (f"&start={S0}&end={S0 + 350 * 3600}", "should be less than 350"),
        (f"&start={S0}", "start and end"),
        ("&start=yesterday&end=today", "invalid start"),
    ],
)
def test_advanced_trade_refuses(coinbase, query, text):
    reply = coinbase.reply(ADVANCED + query)
    assert (reply.status, reply.body["error"]) == (400, "INVALID_ARGUMENT")
    assert text in reply.body["message"]
    assert len(coinbase.get(f"{ADVANCED}&start={S0}&end={S0 + 349 * 3600}")["candles"]) == 350


def test_advanced_trade_unknown_product(coinbase):
    reply = coinbase.reply(ADVANCED.replace("BTC-USD", "NO-USD") + f"&start={S0}&end={S0}")
    assert (reply.status, reply.body["error"]) == (404, "NOT_FOUND")


def test_products_ticker_book_and_time_agree(coinbase):
    ids = [p["id"] for p in coinbase.get("/products")]
    assert ids == ["BTC-USD", "ETH-USD"]
    assert coinbase.get("/products/BTC-USD")["quote_increment"] == "0.01"
    ticker = coinbase.get("/products/BTC-USD/ticker")
    assert float(ticker["price"]) == coinbase.get(CANDLES)[0][4]
    book = coinbase.get("/products/BTC-USD/book?level=2")
    assert (book["bids"][0][0], book["asks"][0][0]) == (ticker["bid"], ticker["ask"])
    assert len(coinbase.get("/products/BTC-USD/book")["bids"]) == 1
    assert coinbase.get("/time")["epoch"] * 1000 == coinbase.now
    advanced = coinbase.get("/api/v3/brokerage/market/product_book?product_id=BTC-USD&limit=3")["pricebook"]
    assert advanced["bids"][0]["price"] == ticker["bid"]
    assert coinbase.get("/api/v3/brokerage/market/products/BTC-USD")["price"] == ticker["price"]
    assert coinbase.get("/api/v3/brokerage/time")["epochMillis"] == str(coinbase.now)
    assert coinbase.get("/products/BTC-USD/stats")["last"] == ticker["price"]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("coinbase_exchange_candles_recorded", f"{CANDLES}&start={S0}&end={S0 + 3600}"),
        ("coinbase_advanced_candles_fixture", f"{ADVANCED}&start={S0}&end={S0 + 3600}"),
        ("coinbase_error_not_found", "/products/NO-USD/candles"),
        ("coinbase_error_too_many_candles", f"{CANDLES}&start=0&end={S0}"),
    ],
)
def test_replies_have_the_shape_of_recorded_ones(coinbase, name, url):
    theirs = payload(name)
    reply = coinbase.reply(url)
    assert reply.status == theirs["status"]
    same_shape(reply.body, theirs["body"])
    if "error" in name:
        assert reply.body == theirs["body"]


def test_open_bar_is_first(coinbase):
    newest = coinbase.get(f"{CANDLES}&start={S0 + 398 * 3600}&end={S0 + 400 * 3600}")[0]
    last = make_candles().query("symbol == 'BTCUSDT'").iloc[-1]
    assert newest[0] * 1000 == coinbase.now - HOUR // 2
    assert newest[5] < last["volume"]
