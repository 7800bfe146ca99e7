"""The stand-in as Artemis: sentences for lists, nulls, keys."""

from __future__ import annotations

import pandas as pd
import pytest
from standin_counter import Counter, make_candles, payload, shape

from alphabook.errors import CandleError
from alphabook.simulated.standin.artemis import CHAIN_METRICS, MARKET_METRICS, has_chain
from alphabook.simulated.standin.market import Asset

KEY = {"X-API-Key": "any"}
DAYS = "startDate=2024-01-02&endDate=2024-01-04"


@pytest.fixture(scope="module")
def artemis() -> Counter:
    coins = {"BTCUSDT": 42_000.0, "ETHUSDT": 2_300.0, "SOLUSDT": 100.0, "XRPUSDT": 0.6, "BNBUSDT": 300.0, "GS": 380.0}
    return Counter("artemis", make_candles(100 * 24, symbols=coins), headers=KEY)


def symbols(counter: Counter, url: str) -> dict:
    return counter.get(url)["data"]["symbols"]


def test_prices_are_the_daily_closes_of_closed_days(artemis):
    rows = symbols(artemis, f"/data/api/PRICE/?symbols=btc,eth&{DAYS}")
    daily = make_candles(100 * 24, symbols={"BTCUSDT": 42_000.0}).set_index("open_time")["close"].resample("D").last()
    assert [r["date"] for r in rows["btc"]["PRICE"]] == ["2024-01-02", "2024-01-03", "2024-01-04"]
    assert [r["val"] for r in rows["btc"]["PRICE"]] == daily["2024-01-02":"2024-01-04"].tolist()
    all_days = symbols(artemis, "/data/api/PRICE/?symbols=btc&startDate=2024-01-01")["btc"]["PRICE"]
    assert len(all_days) == 99, "the hundredth day is still open"


def test_a_metric_that_is_not_there_is_a_sentence(artemis):
    rows = symbols(artemis, f"/data/api/PRICE,FEES,NONSENSE/?symbols=btc,doge,eq-gs&{DAYS}")
    assert rows["btc"]["NONSENSE"] == "Metric not found."
    assert rows["doge"]["PRICE"] == "Market data not available for asset."
    assert rows["doge"]["FEES"] == "Metric not available for asset."
    assert rows["eq-gs"]["FEES"] == "Metric not available for asset."
    assert isinstance(rows["eq-gs"]["PRICE"], list)


def test_some_coins_have_a_chain_and_some_do_not():
    coins = [Asset(name, "USD") for name in ("BTC", "ETH", "SOL", "XRP", "BNB", "ADA", "DOT", "LINK", "AVAX", "DOGE")]
    assert 5 <= sum(map(has_chain, coins)) < 10


def test_values_are_sometimes_null_and_otherwise_positive(artemis):
    url = f"/data/api/{','.join((*MARKET_METRICS, *CHAIN_METRICS))}/?symbols=btc,eth,sol,xrp,bnb&startDate=2024-01-01"
    values = [
        r["val"] for m in symbols(artemis, url).values() for rows in m.values() if isinstance(rows, list) for r in rows
    ]
    nulls = values.count(None)
    assert 1 <= nulls < 0.03 * len(values)
    assert all(v is None or v >= 0 for v in values)


def test_metric_names_are_echoed_as_asked(artemis):
    assert list(symbols(artemis, f"/data/api/price,Mc?symbols=btc&{DAYS}")["btc"]) == ["price", "Mc"]


def test_weeks_take_the_last_price_and_the_sum_of_volumes(artemis):
    url = "/data/api/PRICE,24H_VOLUME/?symbols=btc&startDate=2024-01-01&endDate=2024-01-14"
    days, weeks = (symbols(artemis, url + g)["btc"] for g in ("", "&granularity=WEEK"))
    assert [r["date"] for r in weeks["PRICE"]] == ["2024-01-01", "2024-01-08"]
    assert weeks["PRICE"][0]["val"] == days["PRICE"][6]["val"]
    assert weeks["24H_VOLUME"][1]["val"] == pytest.approx(sum(r["val"] for r in days["24H_VOLUME"][7:]))


def test_without_dates_only_the_latest_day_is_sent(artemis):
    rows = symbols(artemis, "/data/api/PRICE/?symbols=btc")["btc"]["PRICE"]
    assert [r["date"] for r in rows] == ["2024-04-08"]
    early = Counter(
        "artemis", make_candles(30), headers=KEY, now=int(pd.Timestamp("2024-01-01T05Z").timestamp() * 1000)
    )
    assert symbols(early, "/data/api/PRICE/?symbols=btc")["btc"]["PRICE"] == "Latest data not available for this asset."


def test_limit_keeps_the_newest(artemis):
    rows = symbols(artemis, f"/data/api/PRICE/?symbols=btc&{DAYS}&limit=2")["btc"]["PRICE"]
    assert [r["date"] for r in rows] == ["2024-01-03", "2024-01-04"]


def test_a_key_is_wanted_in_header_or_query():
    counter = Counter("artemis", make_candles(72), headers={})
    url = f"/data/api/PRICE/?symbols=btc&{DAYS}"
    assert counter.reply(url).status == 401
    assert counter.reply(f"{url}&APIKey=abc").status == 200
    counter.venue.api_key = "right"
    assert counter.reply(f"{url}&APIKey=abc").status == 401
    assert counter.reply(f"{url}&APIKey=right").status == 200


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("symbols=", "1 to 250"),
        ("symbols=" + ",".join(f"c{i}" for i in range(251)), "got 251"),
        ("symbols=btc&startDate=1.1.2024", "YYYY-MM-DD"),
        ("symbols=btc&granularity=HOUR", "granularity"),
    ],
)
def test_bad_requests(artemis, query, text):
    reply = artemis.reply(f"/data/api/PRICE/?{query}")
    assert reply.status == 400
    assert text in reply.body["message"]


def test_supported_metrics_are_one_key_objects(artemis):
    every = [next(iter(m)) for m in artemis.get("/supported-metrics/")["metrics"]]
    stock = [next(iter(m)) for m in artemis.get("/supported-metrics/?symbol=eq-gs")["metrics"]]
    assert every == [m.lower() for m in (*MARKET_METRICS, *CHAIN_METRICS)]
    assert stock == [m.lower() for m in MARKET_METRICS]


def test_a_panel_replaces_what_is_invented():
    counter = Counter("artemis", make_candles(24 * 5), headers=KEY)
    panel = pd.DataFrame(
        {
            "date": ["2024-01-01", "2024-01-02", "2024-01-01"],
            "symbol": ["btc", "btc", "eth"],
            "PRICE": [1.0, None, 3.0],
            "fees": [5.0, 6.0, None],
        }
    )
    counter.venue.use_panel(panel)
    rows = symbols(counter, f"/data/api/PRICE,FEES,TVL/?symbols=btc,eth&{DAYS.replace('01-02', '01-01')}")
    assert rows["btc"]["PRICE"] == [{"date": "2024-01-01", "val": 1.0}, {"date": "2024-01-02", "val": None}]
    assert rows["btc"]["FEES"][1] == {"date": "2024-01-02", "val": 6.0}
    assert rows["eth"] == {
        "PRICE": [{"date": "2024-01-01", "val": 3.0}],
        "FEES": "Metric not available for asset.",
        "TVL": "Metric not found.",
    }
    with pytest.raises(CandleError, match="a panel has date"):
        counter.venue.use_panel(panel.drop(columns="date"))


def test_replies_have_the_documented_shape(artemis):
    theirs = payload("artemis_metrics_shape")["body"]["data"]["symbols"]["btc"]
    ours = symbols(artemis, f"/data/api/PRICE,MC/?symbols=btc&{DAYS}")["btc"]
    assert shape(ours) == shape({k: theirs[k] for k in ("PRICE", "MC")})
    assets = payload("artemis_asset_symbols_shape")["body"]
    assert list(artemis.get("/asset/symbols/")["assets"][0]) == list(assets["assets"][0])
    supported = payload("artemis_supported_metrics_shape")["body"]["metrics"]
    found = {k: v for m in artemis.get("/supported-metrics/")["metrics"] for k, v in m.items()}
    for entry in supported:
        for name, facts in entry.items():
            assert list(found[name]) == list(facts)
    sentences = payload("artemis_sentinel_strings")["sentinels"]
    from alphabook.simulated.standin import artemis as module

    assert sentences == [module.NOT_FOUND, module.NOT_FOR_ASSET, module.NO_MARKET_DATA, module.NO_LATEST]
