"""Artemis: sentences where lists belong, nulls, batches that fail by themselves."""

import pandas as pd
import pytest
from exchange_double import Answer, client

from alphabook.errors import AuthenticationError, BadRequestError, MalformedReplyError, OutageError, VenueError
from alphabook.venues import Artemis
from alphabook.venues.artemis import SENTINELS


def series(*values):
    return [{"date": f"2024-01-0{i}", "val": v} for i, v in enumerate(values, start=1)]


def panel(symbols):
    return Answer({"data": {"symbols": symbols}})


def test_a_long_table_with_nulls_as_nan_and_sentences_reported():
    answer = panel({
        "btc": {"PRICE": series(42000.0, 43500.0), "FEES": "Metric not available for asset."},
        "eth": {"PRICE": series(2400.0, None), "FEES": series(6_500_000)},
    })  # fmt: skip
    artemis, exchange, _ = client(Artemis, answer, api_key="k")
    got = artemis.metrics("BTC,eth", ["PRICE", "FEES"], "2024-01-01", "2024-01-02")
    assert got.columns.tolist() == ["date", "symbol", "metric", "value"]
    assert len(got) == 5
    eth = got[(got["symbol"] == "eth") & (got["metric"] == "PRICE")]
    assert eth["value"].isna().tolist() == [False, True]
    assert got.attrs["unavailable"] == [("btc", "FEES", "Metric not available for asset.")]
    assert got.attrs["failed"] == []
    assert exchange.queries[0] == {"symbols": "btc,eth", "startDate": "2024-01-01", "endDate": "2024-01-02"}
    assert "/data/api/PRICE,FEES/" in exchange.requests[0].url.replace("%2C", ",")


@pytest.mark.parametrize("sentence", SENTINELS)
def test_no_sentence_is_ever_read_letter_by_letter(sentence):
    artemis, _, _ = client(Artemis, panel({"btc": {"PRICE": sentence}, "eth": sentence}), api_key="k")
    got = artemis.metrics("btc,eth", "PRICE", "2024-01-01", "2024-01-02")
    assert got.empty
    assert got.attrs["unavailable"] == [("btc", "PRICE", sentence), ("eth", "PRICE", sentence)]


def test_metrics_are_found_whatever_their_case_and_silence_is_reported():
    artemis, _, _ = client(Artemis, panel({"btc": {"price": series(1.0)}}), api_key="k")
    got = artemis.metrics("btc,eth", ["PRICE", "MC"], "2024-01-01", "2024-01-02")
    assert got["metric"].tolist() == ["PRICE"]
    assert got.attrs["unavailable"] == [
        ("btc", "MC", "Metric not in the reply."),
        ("eth", "PRICE", "Symbol not in the reply."),
        ("eth", "MC", "Symbol not in the reply."),
    ]


def test_five_symbols_a_call_and_a_failing_batch_fails_alone():
    names = [f"c{i}" for i in range(12)]

    def answer(path, query):
        batch = query["symbols"].split(",")
        assert len(batch) <= 5
        return Answer("", status=500) if "c7" in batch else panel({s: {"PRICE": series(1.0)} for s in batch})

    artemis, exchange, _ = client(Artemis, answer, api_key="k", attempts=2)
    got = artemis.metrics(names, "PRICE", "2024-01-01", "2024-01-02")
    assert sorted(got["symbol"]) == sorted(set(names) - {"c5", "c6", "c7", "c8", "c9"})
    ((symbols, error),) = got.attrs["failed"]
    assert symbols == ("c5", "c6", "c7", "c8", "c9")
    assert "500" in error
    assert len(exchange.requests) == 4


def test_when_every_batch_fails_the_error_is_raised():
    artemis, _, _ = client(Artemis, Answer("", status=500), api_key="k", attempts=1)
    with pytest.raises(OutageError):
        artemis.metrics([f"c{i}" for i in range(6)], "PRICE", "2024-01-01", "2024-01-02")


def test_the_vendors_pause_between_calls_is_kept():
    artemis = Artemis(api_key="k")
    assert artemis.budget.rate <= 1.0


@pytest.mark.parametrize(("key", "hint"), [(None, "no key was sent"), ("k", "the key was refused")])
def test_a_missing_or_refused_key_says_which(key, hint, monkeypatch):
    monkeypatch.delenv("ARTEMIS_API_KEY", raising=False)
    artemis, exchange, _ = client(Artemis, Answer("who are you", status=401), api_key=key)
    with pytest.raises(AuthenticationError, match=hint):
        artemis.metrics("btc", "PRICE", "2024-01-01", "2024-01-02")
    assert ("X-API-Key" in exchange.requests[0].headers) == (key is not None)


def test_key_and_address_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("ARTEMIS_API_KEY", "from-env")
    monkeypatch.setenv("ARTEMIS_BASE_URL", "http://127.0.0.1:9")
    artemis, exchange, _ = client(
        Artemis, Answer({"assets": [{"symbol": "btc", "title": "Bitcoin", "color": "#F7931A"}]})
    )
    assert artemis.symbols()["symbol"].tolist() == ["btc"]
    assert exchange.requests[0].headers["X-API-Key"] == "from-env"
    assert exchange.requests[0].url.startswith("http://127.0.0.1:9/asset/symbols/")


def test_supported_metrics_are_a_list_of_one_key_objects():
    body = {"metrics": [{"price": {"label": "Price", "unit": "USD"}}, {"fees": {"label": "Fees", "source": "x"}}]}
    artemis, _, _ = client(Artemis, Answer(body), api_key="k")
    assert artemis.supported_metrics("btc")["metric"].tolist() == ["price", "fees"]


@pytest.mark.parametrize(
    "point", [{"date": "2024-01-01"}, {"date": "soon", "val": 1}, {"date": "2024-01-01", "val": "x"}, 5]
)
def test_a_malformed_point_is_named(point):
    artemis, _, _ = client(Artemis, panel({"btc": {"PRICE": [*series(1.0), point]}}), api_key="k", attempts=1)
    with pytest.raises(MalformedReplyError, match="row 1 of PRICE of btc"):
        artemis.metrics("btc", "PRICE", "2024-01-01", "2024-01-02")


def test_there_are_no_candles_and_the_error_says_what_to_use():
    artemis, exchange, _ = client(Artemis, Answer({}), api_key="k")
    with pytest.raises(VenueError, match=r"no candles.*metrics\("):
        artemis.fetch_candles("btc", "1d", "2024-01-01", "2024-01-02")
    for call in (lambda: artemis.metrics("", "PRICE", "2024-01-01", "2024-01-02"),
                 lambda: artemis.metrics("btc", "PRICE", "2024-01-01", "2024-01-02", granularity="HOUR")):  # fmt: skip
        with pytest.raises(BadRequestError):
            call()
    assert exchange.requests == []


def test_a_row_that_comes_twice_counts_once():
    artemis, _, _ = client(
        Artemis, panel({"btc": {"PRICE": [*series(1.0), {"date": "2024-01-01", "val": 2.0}]}}), api_key="k"
    )
    got = artemis.metrics("btc", "PRICE", "2024-01-01", "2024-01-02")
    assert got["value"].tolist() == [2.0]
    assert got["date"][0] == pd.Timestamp("2024-01-01", tz="UTC")
