"""The fault script: what strikes, when, how often, what it looks like on the wire, and bad scripts."""

from __future__ import annotations

import json
import time

import pytest
import requests
from standin_counter import BROWSER, HOUR, T0, make_candles

from alphabook.simulated.standin import Fault, FaultScriptError, StandIn, read_faults

WINDOW = f"&start={T0}&end={T0 + 9 * HOUR}"
URLS = {
    "bybit": f"/v5/market/kline?category=linear&symbol=BTCUSDT&interval=60{WINDOW}",
    "binance": f"/fapi/v1/klines?symbol=BTCUSDT&interval=1h&startTime={T0}&endTime={T0 + 9 * HOUR}",
    "coinbase": f"/products/BTC-USD/candles?granularity=3600&start={T0 // 1000}&end={T0 // 1000 + 9 * 3600}",
    "yahoo": f"/v8/finance/chart/BTC-USD?interval=1h&period1={T0 // 1000}&period2={T0 // 1000 + 10 * 3600}",
    "artemis": "/data/api/PRICE/?symbols=btc&startDate=2024-01-01&endDate=2024-01-10&APIKey=secret",
}
ROW_KINDS = ("gap", "duplicate", "unordered", "revised", "half_open")
CANDLES = make_candles(480)


def get(exchange: StandIn, url: str, **options) -> requests.Response:
    return requests.get(exchange.url + url, headers=BROWSER, timeout=options.pop("timeout", 5), **options)


def rows(venue: str, body) -> list[tuple[int, float]]:
    """Time and close of every row, oldest first as far as the venue sorts."""
    if venue == "bybit":
        return [(int(r[0]), float(r[4])) for r in reversed(body["result"]["list"])]
    if venue == "binance":
        return [(r[0], float(r[4])) for r in body]
    if venue == "coinbase":
        return [(r[0] * 1000, r[4]) for r in reversed(body)]
    if venue == "yahoo":
        result = body["chart"]["result"][0]
        closes = result["indicators"]["quote"][0]["close"]
        return [(t * 1000, c) for t, c in zip(result["timestamp"], closes, strict=True) if c is not None]
    return [(r["date"], r["val"]) for r in body["data"]["symbols"]["btc"]["PRICE"]]


def sizes(body) -> list[int]:
    """Lengths of all lists and objects in a reply, nested ones included."""
    inner = body.values() if isinstance(body, dict) else body if isinstance(body, list) else []
    own = [len(body)] if isinstance(body, (dict, list)) else []
    return own + [n for part in inner for n in sizes(part)]


@pytest.mark.parametrize("venue", URLS)
@pytest.mark.parametrize("kind", ROW_KINDS)
def test_row_faults_strike_the_first_attempt_only(venue, kind):
    with StandIn(venue, market=CANDLES, faults=[{"kind": kind}]) as exchange:
        spoiled = rows(venue, get(exchange, URLS[venue]).json())
        clean = rows(venue, get(exchange, URLS[venue]).json())
        assert [c.fault for c in exchange.calls] == [kind, ""]
    times = [t for t, _ in clean]
    assert len(clean) == 10
    assert times == sorted(set(times))
    assert spoiled != clean
    if kind == "gap":
        assert [r for r in clean if r not in spoiled] == [clean[4]]
    elif kind == "duplicate":
        assert len(spoiled) == 11
        assert sorted(spoiled) == sorted([*clean, clean[4]])
    elif kind == "unordered":
        assert sorted(spoiled) == clean
    elif kind == "revised":
        assert [t for t, _ in spoiled].count(times[4]) == 2
        assert len({c for t, c in spoiled if t == times[4]}) == 2
    else:
        assert spoiled[:10] == clean
        assert spoiled[10][0] not in times


def test_a_revised_bar_can_take_the_place_of_the_final_one():
    with StandIn("bybit", market=CANDLES, faults=[{"kind": "revised", "beside": False}]) as exchange:
        spoiled, clean = (get(exchange, URLS["bybit"]).json()["result"]["list"] for _ in range(2))
    different = [(a, b) for a, b in zip(spoiled, clean, strict=True) if a != b]
    assert len(different) == 1
    stale, final = different[0]
    assert stale[0] == final[0]
    assert float(stale[5]) == pytest.approx(0.75 * float(final[5]))
    assert float(stale[3]) <= float(stale[4]) <= float(stale[2]), "a stale bar is plausible, only not final"


def test_gap_size_and_place():
    script = [{"kind": "gap", "size": 3, "at": "first"}, {"kind": "gap", "at": "last"}]
    with StandIn("binance", market=CANDLES, faults=script) as exchange:
        found = [t for t, _ in rows("binance", get(exchange, URLS["binance"]).json())]
        assert exchange.calls[0].fault == "gap+gap"
    assert found == [T0 + k * HOUR for k in range(3, 9)]


def test_a_gap_spares_answers_too_short_to_show_it():
    short = URLS["bybit"].replace(str(T0 + 9 * HOUR), str(T0 + HOUR))
    with StandIn("bybit", market=CANDLES, faults=[{"kind": "gap"}]) as exchange:
        assert len(get(exchange, short).json()["result"]["list"]) == 2
        assert exchange.calls[0].fault == ""


@pytest.mark.parametrize("venue", URLS)
@pytest.mark.parametrize("variant", ["short_row", "not_a_number", "truncated", "not_json"])
def test_malformed(venue, variant):
    with StandIn(venue, market=CANDLES, faults=[{"kind": "malformed", "variant": variant}]) as exchange:
        spoiled, clean = get(exchange, URLS[venue]), get(exchange, URLS[venue])
    assert (spoiled.status_code, clean.status_code) == (200, 200)
    if variant in ("truncated", "not_json"):
        with pytest.raises(json.JSONDecodeError):
            json.loads(spoiled.text)
        return
    assert spoiled.json() != clean.json()
    if variant == "not_a_number":
        assert "n/a" in spoiled.text
    else:
        assert len(spoiled.text) < len(clean.text)
        assert sorted(sizes(spoiled.json())) != sorted(sizes(clean.json()))


@pytest.mark.parametrize("venue", URLS)
@pytest.mark.parametrize(
    ("kind", "status"), [("forbidden", 403), ("banned", 418), ("too_many", 429), ("region", 451), ("server_error", 503)]
)
def test_refusals(venue, kind, status):
    with StandIn(venue, market=CANDLES, faults=[{"kind": kind}]) as exchange:
        answers = [get(exchange, URLS[venue]) for _ in range(2)]
        assert [(c.status, c.fault) for c in exchange.calls] == [(status, kind), (200, "")]
    assert [a.status_code for a in answers] == [status, 200]
    assert answers[0].headers.get("Retry-After") == ("1" if kind in ("banned", "too_many") else None)


def test_the_bodies_of_refusals_are_the_venues_own():
    kinds = ["forbidden", "banned", "too_many", "region", {"kind": "server_error", "status": 504}]
    script = [k if isinstance(k, dict) else {"kind": k} for k in kinds]
    with StandIn("binance", market=CANDLES, faults=script) as exchange:
        found = [get(exchange, URLS["binance"]) for _ in script]
    codes = [a.json()["code"] if a.text.startswith("{") else "text" for a in found]
    assert codes == ["text", -1003, -1003, 0, -1007]
    assert "banned until" in found[1].text
    assert "restricted location" in found[3].text
    with StandIn("bybit", market=CANDLES, faults=[{"kind": "forbidden"}]) as exchange:
        assert get(exchange, URLS["bybit"]).text == "access too frequent"
    with StandIn("yahoo", market=CANDLES, faults=[{"kind": "too_many", "retry_after": None}]) as exchange:
        answer = get(exchange, URLS["yahoo"])
        assert (answer.text, "Retry-After" in answer.headers) == ("Edge: Too Many Requests", False)


def test_bybit_10006_comes_with_its_headers():
    script = [
        {"kind": "retcode"},
        {"kind": "retcode", "code": 10016, "message": "Server error.", "reset_after_ms": None},
    ]
    with StandIn("bybit", market=CANDLES, faults=script) as exchange:
        first, second, third = (get(exchange, URLS["bybit"]) for _ in range(3))
        now = int(exchange.now.timestamp() * 1000)
    assert first.status_code == 200
    assert first.json() == {"retCode": 10006, "retMsg": "Too many visits!", "result": {}, "retExtInfo": {}, "time": now}
    assert first.headers["X-Bapi-Limit-Status"] == "0"
    assert int(first.headers["X-Bapi-Limit-Reset-Timestamp"]) == now + 500
    assert second.json()["retCode"] == 10016
    assert "X-Bapi-Limit" not in second.headers
    assert third.json()["retCode"] == 0


@pytest.mark.parametrize("venue", URLS)
def test_cut_closes_the_connection_in_mid_body(venue):
    with StandIn(venue, market=CANDLES, faults=[{"kind": "cut"}]) as exchange:
        with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
            get(exchange, URLS[venue])
        assert get(exchange, URLS[venue]).status_code == 200
        assert [c.fault for c in exchange.calls] == ["cut", ""]


def test_timeout_hangs_and_stopping_does_not_wait_for_it():
    with StandIn("bybit", market=CANDLES, faults=[{"kind": "timeout"}]) as exchange:
        with pytest.raises(requests.exceptions.ReadTimeout):
            get(exchange, URLS["bybit"], timeout=0.2)
        assert [(c.status, c.fault) for c in exchange.calls] == [(0, "timeout")]
        assert get(exchange, URLS["bybit"]).status_code == 200
        begun = time.monotonic()
    assert time.monotonic() - begun < 3
    with (
        StandIn("bybit", market=CANDLES, faults=[{"kind": "timeout", "seconds": 0.1}]) as exchange,
        pytest.raises(requests.exceptions.ConnectionError),
    ):
        get(exchange, URLS["bybit"])


def test_every_request_has_its_own_first_attempt():
    other = URLS["bybit"].replace("BTC", "ETH")
    with StandIn("bybit", market=CANDLES, faults=[{"kind": "too_many", "times": 2}]) as exchange:
        got = [get(exchange, u).status_code for u in (URLS["bybit"], other, URLS["bybit"], other, URLS["bybit"], other)]
    assert got == [429, 429, 429, 429, 200, 200]


def test_on_names_calls_and_path_narrows():
    script = [{"kind": "server_error", "on": [2, 4], "path": "kline", "times": "always"}]
    with StandIn("bybit", market=CANDLES, faults=script) as exchange:
        got = []
        for _ in range(4):
            got.append(get(exchange, URLS["bybit"]).status_code)
            assert get(exchange, "/v5/market/time").status_code == 200
    assert got == [200, 503, 200, 503]


def test_always_never_lets_go():
    with StandIn("binance", market=CANDLES, faults=[{"kind": "region", "times": "always"}]) as exchange:
        assert {get(exchange, URLS["binance"]).status_code for _ in range(5)} == {451}


def test_one_of_every_kind_strikes_one_after_another():
    kinds = ["retcode", "forbidden", "too_many", "server_error", "cut", "gap", "duplicate", "unordered"]
    with StandIn("bybit", market=CANDLES, faults=[{"kind": k} for k in kinds]) as exchange:
        for _ in range(7):
            try:
                last = get(exchange, URLS["bybit"])
            except requests.exceptions.RequestException:
                continue
        assert [c.fault for c in exchange.calls] == [*kinds[:5], "gap+duplicate+unordered", ""]
        assert len(last.json()["result"]["list"]) == 10


def test_the_same_script_gives_the_same_bytes_twice():
    script = [{"kind": k, "times": "always"} for k in ("unordered", "duplicate", "revised", "half_open")]
    bodies = []
    for _ in range(2):
        with StandIn("binance", market=CANDLES, faults=script) as exchange:
            bodies.append([get(exchange, URLS["binance"]).content for _ in range(2)])
    assert bodies[0] == bodies[1]


def test_a_script_can_be_a_file(tmp_path):
    file = tmp_path / "faults.json"
    file.write_text('[{"kind": "too_many", "retry_after": 30, "on": [1]}]', encoding="utf-8")
    with StandIn("binance", market=CANDLES, faults=file) as exchange:
        assert get(exchange, URLS["binance"]).headers["Retry-After"] == "30"
        assert [f.kind for f in exchange.faults] == ["too_many"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([{"kind": "gremlin"}], "fault 1: unknown kind 'gremlin'; use one of gap, duplicate"),
        ([{"kind": "gap"}, "cut"], "fault 2: 'cut' is not an entry; write"),
        ([{"on": "every"}], "is not an entry"),
        ([{"kind": "gap", "seize": 2}], "gap has no option 'seize'; it takes on, times, path, size, at"),
        ([{"kind": "gap", "size": 0}], "size is 0, must be a whole number of rows >= 1"),
        ([{"kind": "gap", "at": "end"}], "at is 'end', must be middle, first, last or a position"),
        ([{"kind": "revised", "beside": 1}], "beside is 1, must be true or false"),
        ([{"kind": "malformed", "variant": "xml"}], "variant is 'xml', must be one of short_row"),
        ([{"kind": "server_error", "status": 404}], "status is 404, must be an HTTP status from 500 to 599"),
        ([{"kind": "too_many", "retry_after": "1s"}], "retry_after is '1s', must be a number of seconds"),
        ([{"kind": "timeout", "seconds": -1}], "seconds is -1"),
        ([{"kind": "cut", "after": 1.5}], "after is 1.5"),
        ([{"kind": "gap", "on": [0]}], 'on is [0], must be "every" or a list of call numbers from 1'),
        ([{"kind": "gap", "on": "first"}], "on is 'first'"),
        ([{"kind": "gap", "times": 0}], 'times is 0, must be a whole number >= 1 or "always"'),
    ],
)
def test_bad_scripts_say_what_is_wrong(script, message):
    with pytest.raises(FaultScriptError) as error:
        read_faults(script, venue="bybit")
    assert message in str(error.value)


def test_retcode_belongs_to_bybit():
    with pytest.raises(FaultScriptError, match="retcode is Bybit's own, binance has none; use too_many"):
        read_faults([{"kind": "retcode"}], venue="binance")


@pytest.mark.parametrize(
    ("text", "message"), [("[{]", "is not JSON"), ('{"kind": "gap"}', "must be a JSON list of entries, got dict")]
)
def test_bad_files_say_what_is_wrong(tmp_path, text, message):
    file = tmp_path / "faults.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(FaultScriptError, match=message):
        read_faults(file, venue="bybit")
    with pytest.raises(FaultScriptError, match="cannot be read: No such file"):
        read_faults(tmp_path / "absent.json", venue="bybit")


def test_a_checked_fault_passes_unchanged():
    fault = read_faults([{"kind": "gap"}], venue="bybit")[0]
    assert read_faults([fault], venue="bybit") == (fault,)
    assert fault == Fault("gap", None, 1, "", {"size": 1, "at": "middle"})
    assert read_faults(None, venue="bybit") == ()
