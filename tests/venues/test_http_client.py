"""Retries, waits, redirects, redaction: what the client does when the other side misbehaves."""

import logging
import traceback

import pytest
import requests
from exchange_double import Answer, Sleeper, client

from alphabook.errors import (
    AuthenticationError,
    BadRequestError,
    BannedError,
    MalformedReplyError,
    OutageError,
    RateLimitedError,
    RegionBlockedError,
    UnknownSymbolError,
)
from alphabook.venues import Artemis, BinanceFutures, Bybit, RateBudget, redact

TIME_OK = {"retCode": 0, "retMsg": "OK", "result": {}, "time": 1_700_000_000_000}
GOOD = Answer(TIME_OK)


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(error=requests.ConnectTimeout("x")),
        Answer(error=requests.ReadTimeout("x")),
        Answer(error=requests.ConnectionError("cut")),
        Answer(error=requests.exceptions.ChunkedEncodingError("cut in the body")),
        Answer("", status=500),
        Answer("", status=502),
        Answer("<html>", status=503),
        Answer("", status=504),
        Answer("", status=408),
        Answer("<html>not json</html>"),
        Answer({"retCode": 10016, "retMsg": "server error", "result": {}}),
        Answer({"retCode": 10002, "retMsg": "time window", "result": []}),
        Answer({"retCode": 10006, "retMsg": "Too many visits!", "result": {}}),
        Answer("", status=429, headers={"Retry-After": "3"}),
    ],
)
def test_what_passes_is_tried_again(trouble):
    bybit, exchange, time = client(Bybit, trouble, trouble, GOOD)
    assert bybit.server_time().year == 2023
    assert len(exchange.requests) == 3
    assert len(time.slept) >= 2
    assert all(s > 0 for s in time.slept)


def test_waits_double_and_never_exceed_thirty_seconds():
    bybit, _, time = client(Bybit, Answer("", status=503), attempts=12, backoff=1.0)
    with pytest.raises(OutageError):
        bybit.server_time()
    assert len(time.slept) == 11
    for i, slept in enumerate(time.slept):
        assert min(30, 2**i) * 0.5 <= slept <= min(30, 2**i)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer("", status=451), RegionBlockedError),
        (Answer("", status=400), BadRequestError),
        (Answer("", status=401), AuthenticationError),
        (Answer("", status=404), UnknownSymbolError),
        (Answer("", status=302, headers={"Location": "https://elsewhere.example"}), BadRequestError),
        (Answer({"retCode": 10001, "retMsg": "params error"}), BadRequestError),
        (Answer({"retCode": 10009, "retMsg": "ip region"}), RegionBlockedError),
    ],
)
def test_what_does_not_pass_is_not_tried_again(answer, error):
    bybit, exchange, time = client(Bybit, answer, GOOD)
    with pytest.raises(error):
        bybit.server_time()
    assert len(exchange.requests) == 1
    assert time.slept == []


def test_retry_after_is_honoured_in_seconds_as_date_and_in_milliseconds():
    for headers, wait in (
        ({"Retry-After": "17"}, 17),
        ({"Retry-After-Ms": "2500"}, 2.5),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:45 GMT", "Date": "Tue, 14 Nov 2023 22:13:20 GMT"}, 25),
    ):
        bybit, _, time = client(Bybit, Answer("", status=429, headers=headers), GOOD)
        bybit.server_time()
        assert max(time.slept) == pytest.approx(wait)


@pytest.mark.parametrize("value", ["-5", "soon", "", "Tue, 14 Nov 1999 22:13:45 GMT", "inf", "nan"])
def test_a_senseless_retry_after_is_no_negative_and_no_endless_sleep(value):
    bybit, _, time = client(Bybit, Answer("", status=429, headers={"Retry-After": value}), GOOD)
    bybit.server_time()
    assert all(0 <= s <= 1 for s in time.slept)


def limited(reset_ms, server_ms=1_700_000_000_000):
    body = {"retCode": 10006, "retMsg": "Too many visits!", "result": {}, "time": server_ms}
    return Answer(body, headers={"X-Bapi-Limit": "10", "X-Bapi-Limit-Reset-Timestamp": str(reset_ms)})


def test_bybits_reset_time_is_read_by_bybits_clock():
    bybit, _, time = client(Bybit, limited(1_700_000_004_500), GOOD)
    time.now = 1_900_000_000.0  # this machine's clock is years ahead: it does not matter
    bybit.server_time()
    assert max(time.slept) == pytest.approx(4.5)


def test_a_reset_time_in_the_past_is_no_negative_sleep():
    bybit, exchange, time = client(Bybit, limited(1_600_000_000_000), GOOD)
    bybit.server_time()  # Sleeper asserts that no sleep is negative
    assert len(exchange.requests) == 2
    assert all(0 <= s <= 1 for s in time.slept)


def test_a_wait_beyond_max_wait_is_raised_at_once_with_the_remedy():
    bybit, exchange, time = client(Bybit, Answer("", status=429, headers={"Retry-After": "3600"}), GOOD, max_wait=60)
    with pytest.raises(RateLimitedError, match="Wait 3600 s") as caught:
        bybit.server_time()
    assert caught.value.retry_after == 3600
    assert len(exchange.requests) == 1
    assert time.slept == []


def test_a_rate_limit_holds_all_threads_that_share_the_budget():
    shared = Sleeper()
    budget = RateBudget(clock=shared.clock, sleep=shared.sleep)
    bybit, _, own = client(Bybit, Answer("", status=429, headers={"Retry-After": "9"}), GOOD, budget=budget)
    bybit.server_time()
    assert max(own.slept) == pytest.approx(9)
    assert shared.slept == [pytest.approx(9)]  # whoever comes next with this budget waits too


def test_bybits_403_is_a_ban_of_ten_minutes_or_a_region():
    bybit, exchange, _ = client(Bybit, Answer("access too frequent", status=403))
    with pytest.raises(BannedError, match="stop all requests until") as caught:
        bybit.server_time()
    assert caught.value.retry_after >= 600
    assert caught.value.until is not None
    assert len(exchange.requests) == 1
    bybit, _, time = client(Bybit, Answer("access too frequent", status=403), GOOD, max_wait=700)
    bybit.server_time()
    assert max(time.slept) >= 600
    blocked = "The Amazon CloudFront distribution is configured to block access from your country."
    bybit, _, _ = client(Bybit, Answer(blocked, status=403), max_wait=700)
    with pytest.raises(RegionBlockedError):
        bybit.server_time()


def test_binances_ban_tells_until_when():
    text = "Way too many requests; IP(1.2.3.4) banned until 1700000120000. Please use the websocket for live updates."
    for status in (418, 429, 400):
        binance, _, _ = client(BinanceFutures, Answer({"code": -1003, "msg": text}, status=status))
        with pytest.raises(BannedError, match="2023-11-14 22:15:20 UTC") as caught:
            binance.server_time()
        assert caught.value.retry_after == pytest.approx(120)
        assert caught.value.until.timestamp() == 1_700_000_120
    binance, _, _ = client(BinanceFutures, Answer("I'm a teapot", status=418))
    with pytest.raises(BannedError, match="two minutes to three days"):
        binance.server_time()


def test_binance_waits_for_the_next_minute_before_it_is_told_to():
    answer = Answer(
        {"serverTime": 1_700_000_000_000},
        headers={"X-MBX-USED-WEIGHT-1M": "2200", "Date": "Tue, 14 Nov 2023 22:13:20 GMT"},
    )
    binance, _, time = client(BinanceFutures, answer)
    binance.server_time()
    assert binance.used_weight == 2200
    assert time.slept == []
    binance.server_time()
    assert time.slept == [pytest.approx(40)]  # from second 20 to the full minute


def test_an_answer_that_stays_malformed_says_so():
    bybit, exchange, _ = client(Bybit, Answer({"retCode": 0, "result": None}), attempts=3)
    with pytest.raises(MalformedReplyError, match=r"GET /v5/market/time.*documented form"):
        bybit.server_time()
    assert len(exchange.requests) == 3


def test_an_outage_names_the_request_and_the_remedy():
    bybit, _, _ = client(Bybit, Answer(error=requests.ReadTimeout("x")), attempts=2, timeout=7)
    with pytest.raises(OutageError, match=r"no answer within 7 s for GET /v5/market/time .*run the same command again"):
        bybit.server_time()


def test_a_base_url_that_is_none_is_refused():
    for text in ("api.bybit.com", "ftp://x", ""):
        with pytest.raises(BadRequestError, match="is not an address"):
            Bybit(base_url=text or "x")


def test_the_client_names_itself():
    bybit, exchange, _ = client(Bybit, GOOD)
    bybit.server_time()
    assert exchange.requests[0].headers["User-Agent"].startswith("alphabook/")


# --- keys ------------------------------------------------------------------------------------------
KEY = "sk-live-THIS-IS-SECRET"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(error=requests.ConnectionError(f"https://x/?APIKey={KEY}")),
        Answer({"error": f"bad key, api_key={KEY}"}, status=400),
        Answer(f'{{"apiKey": "{KEY}"}}', status=500),
        Answer({"detail": "no"}, status=401),
        Answer(f"not json, X-API-Key: {KEY}"),
    ],
)
def test_a_key_shows_in_no_message_no_repr_no_log_and_no_traceback(answer, caplog):
    caplog.set_level(logging.DEBUG)
    artemis, exchange, _ = client(Artemis, answer, api_key=KEY, attempts=2)
    with pytest.raises(Exception) as caught:
        artemis.symbols()
    assert exchange.requests[0].headers["X-API-Key"] == KEY
    assert KEY not in (exchange.requests[0].url or "")
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    shown += repr(artemis) + repr(artemis.http) + repr(vars(artemis.http)) + str(artemis.http.session.headers)
    assert KEY not in shown


@pytest.mark.parametrize(
    "text",
    [
        f"GET /x?APIKey={KEY}&a=1", f"api_key={KEY}", f'"apiKey": "{KEY}"', f"X-API-Key: {KEY}", f"token={KEY}",
        f"https://user:{KEY}@host/x", f"{{'api-key': '{KEY}'}}", f"signature={KEY}",
    ],
)  # fmt: skip
def test_redact_removes_keys_and_keeps_the_rest(text):
    assert KEY not in redact(text)
    assert "***" in redact(text)


def test_redact_leaves_ordinary_text_alone():
    text = "GET /v5/market/kline?symbol=BTCUSDT&start=1"
    assert redact(text) == text
    assert redact("a b c", ["b"]) == "a *** c"


def test_a_redirect_does_not_carry_the_key_to_another_host():
    artemis, exchange, _ = client(
        Artemis, Answer("", status=301, headers={"Location": "https://evil.example/"}), api_key=KEY
    )
    with pytest.raises(BadRequestError):
        artemis.symbols()
    assert len(exchange.requests) == 1
