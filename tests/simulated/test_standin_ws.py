"""The stand-in's streams: acknowledgements, open pushes before closed ones, pings, cuts and silence."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pandas as pd
import pytest
from standin_counter import HOUR, START, T0, in_a_loop, make_candles, payload, same_shape

from alphabook.simulated.standin import StandIn
from alphabook.simulated.standin.streams import StreamRules
from alphabook.simulated.standin.venue_streams import BinanceConnection, BybitConnection

CANDLES = make_candles(48)
LINEAR = "/v5/public/linear"
ROUTED = "/market/ws/btcusdt@kline_1h"
NOON = START + pd.Timedelta("12h30min")


@asynccontextmanager
async def dial(exchange: StandIn, path: str, **options):
    async with aiohttp.ClientSession() as session, session.ws_connect(exchange.ws_url + path, **options) as ws:
        yield ws


async def read(ws, count: int) -> list[dict]:
    return [json.loads(await ws.receive_str(timeout=5)) for _ in range(count)]


async def quiet(ws, seconds: float = 0.15) -> bool:
    """Whether nothing arrives."""
    try:
        await ws.receive(timeout=seconds)
    except TimeoutError:
        return True
    return False


async def step(exchange: StandIn, when) -> None:
    await asyncio.to_thread(exchange.set_now, when)


def subscribe(*topics: str) -> str:
    return json.dumps({"req_id": "10001", "op": "subscribe", "args": list(topics)})


def test_bybit_pushes_the_open_bar_then_its_confirmation():
    async def main(exchange: StandIn) -> list[dict]:
        async with dial(exchange, LINEAR) as ws:
            await ws.send_str(subscribe("kline.60.BTCUSDT"))
            first = await read(ws, 2)
            await step(exchange, START + pd.Timedelta("14h"))
            return first + await read(ws, 5)

    with StandIn("bybit", market=CANDLES, now=NOON) as exchange:
        ack, *pushes = in_a_loop(main(exchange))
    assert (ack["success"], ack["op"], ack["ret_msg"], ack["req_id"]) == (True, "subscribe", "", "10001")
    bars = [p["data"][0] for p in pushes]
    assert [(b["start"] - T0) // HOUR for b in bars] == [12, 12, 12, 13, 13, 13]
    assert [b["confirm"] for b in bars] == [False, False, True, False, False, True]
    assert [p["ts"] - T0 for p in pushes] == [
        12.5 * HOUR, 12 * HOUR + HOUR * 2 // 3, 13 * HOUR, 13 * HOUR + HOUR // 3, 13 * HOUR + HOUR * 2 // 3, 14 * HOUR,
    ]  # fmt: skip
    volumes = [float(b["volume"]) for b in bars[:3]]
    assert volumes == sorted(volumes)
    final = CANDLES.query("symbol == 'BTCUSDT'").iloc[12]
    assert [float(bars[2][k]) for k in ("open", "high", "low", "close", "volume")] == [
        final[k] for k in ("open", "high", "low", "close", "volume")
    ]
    assert bars[0]["end"] == T0 + 13 * HOUR - 1
    assert exchange.calls[0].status == 101


def test_advance_pushes_one_bar_after_another_for_every_topic():
    async def main(exchange: StandIn) -> list[dict]:
        async with dial(exchange, LINEAR) as ws:
            await ws.send_str(subscribe("kline.60.BTCUSDT", "kline.120.ETHUSDT"))
            await read(ws, 2)  # the acknowledgement and the open two-hour bar; the hour has only just begun
            for _ in range(2):
                await asyncio.to_thread(exchange.advance)
            return await read(ws, 9)

    with StandIn("bybit", market=CANDLES, now=START + pd.Timedelta("11h")) as exchange:
        pushes = in_a_loop(main(exchange))
    closed = [(p["topic"], p["ts"] - T0) for p in pushes if p["data"][0]["confirm"]]
    assert closed == [
        ("kline.60.BTCUSDT", 12 * HOUR), ("kline.120.ETHUSDT", 12 * HOUR), ("kline.60.BTCUSDT", 13 * HOUR),
    ]  # fmt: skip
    assert [p["ts"] for p in pushes] == sorted(p["ts"] for p in pushes)


def test_nothing_is_pushed_twice_when_the_clock_stops_on_a_push():
    async def main(exchange: StandIn) -> list[dict]:
        async with dial(exchange, LINEAR) as ws:
            await ws.send_str(subscribe("kline.60.BTCUSDT"))
            await read(ws, 1)
            for _ in range(3):
                await asyncio.to_thread(exchange.advance, pd.Timedelta("20min"))
            found = await read(ws, 3)
            assert await quiet(ws)
            return found

    with StandIn("bybit", market=CANDLES, now=START + pd.Timedelta("12h")) as exchange:
        pushes = in_a_loop(main(exchange))
    assert [p["ts"] - T0 for p in pushes] == [12 * HOUR + k * HOUR // 3 for k in (1, 2, 3)]


@pytest.mark.parametrize(("category", "has_id"), [("spot", False), ("linear", True), ("inverse", True)])
def test_bybit_ping_is_json(category, has_id):
    async def main(exchange: StandIn) -> list[dict]:
        async with dial(exchange, f"/v5/public/{category}") as ws:
            await ws.send_str('{"req_id": "100001", "op": "ping"}')
            return await read(ws, 1)

    with StandIn("bybit", market=CANDLES) as exchange:
        pong = in_a_loop(main(exchange))[0]
    assert (pong["success"], pong["ret_msg"], pong["op"]) == (True, "pong", "ping")
    assert ("req_id" in pong) == has_id


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (subscribe("kline.60.NOSUCHUSDT"), "Invalid topic: kline.60.NOSUCHUSDT"),
        (subscribe("kline.7.BTCUSDT"), "Invalid topic: kline.7.BTCUSDT"),
        (subscribe("invalid.topic.BTCUSDT"), "Invalid topic: invalid.topic.BTCUSDT"),
        (subscribe(*["kline.60.BTCUSDT"] * 11), "args size >10"),
        (subscribe(*["kline.60.BTCUSDT"] * 2000), "args size >10"),
        ('{"op": "dance"}', "Invalid op"),
        ("not json", "Invalid op"),
    ],
)
def test_bybit_refuses(message, problem):
    async def main(exchange: StandIn) -> list[dict]:
        async with dial(exchange, "/v5/public/spot") as ws:
            await ws.send_str(message)
            return await read(ws, 1)

    with StandIn("bybit", market=CANDLES) as exchange:
        answer = in_a_loop(main(exchange))[0]
    assert (answer["success"], answer["ret_msg"]) == (False, problem)


def test_bybit_linear_takes_long_lists_up_to_21000_characters():
    async def main(exchange: StandIn) -> list[dict]:
        async with dial(exchange, LINEAR) as ws:
            await ws.send_str(subscribe(*["kline.60.BTCUSDT"] * 1400))
            return await read(ws, 1)

    with StandIn("bybit", market=CANDLES) as exchange:
        assert "21000" in in_a_loop(main(exchange))[0]["ret_msg"]


def test_unsubscribing_ends_the_pushes():
    async def main(exchange: StandIn) -> bool:
        async with dial(exchange, LINEAR) as ws:
            await ws.send_str(subscribe("kline.60.BTCUSDT"))
            await read(ws, 2)
            await ws.send_str(subscribe("kline.60.BTCUSDT").replace("subscribe", "unsubscribe"))
            assert (await read(ws, 1))[0]["op"] == "unsubscribe"
            await asyncio.to_thread(exchange.advance)
            return await quiet(ws)

    with StandIn("bybit", market=CANDLES, now=NOON) as exchange:
        assert in_a_loop(main(exchange))


def test_binance_closing_frame_has_x_true_and_comes_a_little_late():
    async def main(exchange: StandIn) -> list[dict]:
        async with dial(exchange, ROUTED) as ws:
            first = await read(ws, 1)
            await step(exchange, START + pd.Timedelta("13h"))
            return first + await read(ws, 2)

    with StandIn("binance", market=CANDLES, now=NOON) as exchange:
        frames = in_a_loop(main(exchange))
    assert [f["k"]["x"] for f in frames] == [False, False, True]
    assert [f["e"] for f in frames] == ["kline"] * 3
    last = frames[-1]
    assert last["k"]["T"] == T0 + 13 * HOUR - 1
    assert 0 < last["E"] - (T0 + 13 * HOUR) < 1000
    final = CANDLES.query("symbol == 'BTCUSDT'").iloc[12]
    assert [float(last["k"][k]) for k in "ohlcv"] == [final[k] for k in ("open", "high", "low", "close", "volume")]


def test_binance_combined_streams_and_subscriptions():
    async def main(exchange: StandIn) -> tuple[list[dict], ...]:
        async with dial(exchange, "/market/stream?streams=btcusdt@kline_1h/ethusdt@kline_1h") as ws:
            opened = await read(ws, 2)
            await ws.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@kline_1h"], "id": 312})
            await ws.send_json({"method": "SUBSCRIBE", "params": ["btcusdt_perpetual@continuousKline_1h"], "id": 1})
            await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 2})
            await ws.send_str("?")
            return opened, await read(ws, 5)

    with StandIn("binance", market=CANDLES, now=NOON) as exchange:
        opened, answers = in_a_loop(main(exchange))
    assert [f["stream"] for f in opened] == ["btcusdt@kline_1h", "ethusdt@kline_1h"]
    assert answers[0] == {"result": None, "id": 312}
    assert answers[1] == {"result": None, "id": 1}
    assert (answers[2]["data"]["e"], answers[2]["data"]["ps"]) == ("continuous_kline", "BTCUSDT")
    assert answers[3] == {"result": ["ethusdt@kline_1h", "btcusdt_perpetual@continuousKline_1h"], "id": 2}
    assert answers[4]["error"]["code"] == 2


@pytest.mark.parametrize(
    "path", ["/ws/btcusdt@kline_1h", "/stream?streams=btcusdt@kline_1h", "/public/ws/btcusdt@kline_1h",
             "/market/ws/BTCUSDT@kline_1h", "/market/ws/nosuch@kline_1h", "/market/ws/btcusdt@kline_7m"],
)  # fmt: skip
def test_unrouted_and_misspelt_streams_stay_silent(path):
    async def main(exchange: StandIn) -> bool:
        async with dial(exchange, path) as ws:
            await ws.send_json({"method": "SUBSCRIBE", "params": [path.split("/")[-1].split("=")[-1]], "id": 7})
            assert await read(ws, 1) == [{"result": None, "id": 7}]
            await asyncio.to_thread(exchange.advance)
            return await quiet(ws)

    with StandIn("binance", market=CANDLES, now=NOON) as exchange:
        assert in_a_loop(main(exchange))


def test_a_running_clock_pushes_by_itself():
    async def main(exchange: StandIn) -> list[dict]:
        async with dial(exchange, ROUTED) as ws:
            return await read(ws, 4)

    with StandIn("binance", market=CANDLES, now=NOON, speed=36_000) as exchange:
        frames = in_a_loop(main(exchange))
    assert [f["k"]["x"] for f in frames][:3] == [False, False, True]


def test_the_server_pings_and_hangs_up_without_pong(monkeypatch):
    patient, strict = StreamRules(ping_every=0.05, pong_within=20.0), StreamRules(ping_every=0.05, pong_within=0.2)

    async def main(exchange: StandIn, answer: bool) -> list[aiohttp.WSMsgType]:
        kinds = []
        async with dial(exchange, ROUTED, autoping=False) as ws:
            for _ in range(12):
                message = await ws.receive(timeout=20)
                kinds.append(message.type)
                if message.type is aiohttp.WSMsgType.PING and answer:
                    await ws.pong(message.data)
                if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                    break
        return kinds

    with StandIn("binance", market=CANDLES) as exchange:
        monkeypatch.setattr(BinanceConnection, "rules", patient)
        assert in_a_loop(main(exchange, True)).count(aiohttp.WSMsgType.PING) == 11
        monkeypatch.setattr(BinanceConnection, "rules", strict)
        deaf = in_a_loop(main(exchange, False))
    assert aiohttp.WSMsgType.PING in deaf
    assert deaf[-1] in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


@pytest.mark.parametrize(
    ("venue", "connection", "path", "rules"),
    [
        ("bybit", BybitConnection, LINEAR, StreamRules(silence=0.1)),
        ("binance", BinanceConnection, ROUTED, StreamRules(life=0.1)),
    ],
)
def test_silence_and_old_age_end_a_connection(monkeypatch, venue, connection, path, rules):
    monkeypatch.setattr(connection, "rules", rules)

    async def main(exchange: StandIn) -> aiohttp.WSMsgType:
        async with dial(exchange, path) as ws:
            while True:
                message = await ws.receive(timeout=2)
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return message.type

    with StandIn(venue, market=CANDLES) as exchange:
        ended = in_a_loop(main(exchange))
    assert ended in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


def test_the_real_rules():
    assert BybitConnection.rules.silence == 600
    assert (BinanceConnection.rules.ping_every, BinanceConnection.rules.pong_within) == (180, 600)
    assert BinanceConnection.rules.life == 86_400


def test_more_than_ten_messages_a_second_end_a_binance_connection():
    async def main(exchange: StandIn) -> int:
        async with dial(exchange, "/market/ws") as ws:
            for i in range(11):
                await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": i})
            answers = 0
            while (await ws.receive(timeout=2)).type is aiohttp.WSMsgType.TEXT:
                answers += 1
            return answers

    with StandIn("binance", market=CANDLES) as exchange:
        assert in_a_loop(main(exchange)) == 10


def test_cut_drops_the_line_and_the_next_connection_lives():
    async def main(exchange: StandIn) -> tuple[int, int]:
        counts = []
        for _ in range(2):
            texts = 0
            async with dial(exchange, LINEAR) as ws:
                await ws.send_str(subscribe("kline.60.BTCUSDT"))
                await asyncio.sleep(0.05)
                await asyncio.to_thread(exchange.advance)
                while not await quiet_end(ws):
                    texts += 1
            counts.append(texts)
        return tuple(counts)

    async def quiet_end(ws) -> bool:
        try:
            return (await ws.receive(timeout=0.2)).type is not aiohttp.WSMsgType.TEXT
        except TimeoutError:
            return True

    with StandIn("bybit", market=CANDLES, now=NOON, faults=[{"kind": "cut", "after": 3}]) as exchange:
        first, second = in_a_loop(main(exchange))
        assert [c.fault for c in exchange.calls] == ["cut", ""]
    assert first == 3
    assert second > 3


@pytest.mark.parametrize(("kind", "closings"), [("gap", 1), ("duplicate", 3), ("malformed", 1)])
def test_row_faults_strike_closing_frames(kind, closings):
    async def main(exchange: StandIn) -> list[str]:
        async with dial(exchange, LINEAR) as ws:
            await ws.send_str(subscribe("kline.60.BTCUSDT"))
            await read(ws, 2)
            await step(exchange, START + pd.Timedelta("14h"))
            texts = []
            while len(texts) < {"gap": 4, "duplicate": 6, "malformed": 5}[kind]:
                texts.append(await ws.receive_str(timeout=5))
            assert await quiet(ws)
            return texts

    with StandIn("bybit", market=CANDLES, now=NOON, faults=[{"kind": kind}]) as exchange:
        texts = in_a_loop(main(exchange))
    assert sum('"confirm":true' in t and t.endswith("}") for t in texts) == closings
    assert sum(not t.endswith('"snapshot"}') for t in texts) == (1 if kind == "malformed" else 0)


@pytest.mark.parametrize(("kind", "status"), [("too_many", 429), ("forbidden", 403), ("server_error", 503)])
def test_refusals_also_strike_the_handshake(kind, status):
    async def main(exchange: StandIn) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            async with dial(exchange, LINEAR):
                pass
        assert error.value.status == status
        async with dial(exchange, LINEAR) as ws:
            await ws.send_str('{"op": "ping"}')
            assert (await read(ws, 1))[0]["ret_msg"] == "pong"

    with StandIn("bybit", market=CANDLES, faults=[{"kind": kind}]) as exchange:
        in_a_loop(main(exchange))
        assert [(c.status, c.fault) for c in exchange.calls] == [(status, kind), (101, "")]


def test_stopping_says_goodbye():
    async def main(exchange: StandIn) -> aiohttp.WSMsgType:
        async with dial(exchange, LINEAR) as ws:
            await ws.send_str('{"op": "ping"}')
            await read(ws, 1)
            await asyncio.to_thread(exchange.stop)
            return (await ws.receive(timeout=2)).type

    exchange = StandIn("bybit", market=CANDLES).start()
    assert in_a_loop(main(exchange)) in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


def test_frames_have_the_recorded_shape():
    bybit_doc = payload("bybit_ws_kline_open_doc")["body"]
    control = payload("bybit_ws_control_messages")
    recorded = payload("binance_fapi_ws_kline_recorded")["frames_one_symbol_in_order"][0]
    ack = payload("binance_ws_control_messages")["subscribe_ack"]

    async def bybit(exchange: StandIn, category: str) -> list[dict]:
        async with dial(exchange, f"/v5/public/{category}") as ws:
            await ws.send_str(subscribe("kline.60.BTCUSDT"))
            found = await read(ws, 2)
            await ws.send_str('{"op": "ping"}')
            return found + await read(ws, 1)

    async def binance(exchange: StandIn) -> list[dict]:
        async with dial(exchange, "/market/stream?streams=btcusdt@kline_1h") as ws:
            await ws.send_json({"method": "SUBSCRIBE", "params": ["ethusdt@kline_1h"], "id": 1})
            return await read(ws, 2)

    with StandIn("bybit", market=CANDLES, now=NOON) as exchange:
        for category in ("linear", "spot"):
            acknowledged, push, pong = in_a_loop(bybit(exchange, category))
            same_shape(acknowledged, control[f"subscribe_ack_{category}"])
            same_shape(pong, control[f"pong_{category}"])
            same_shape(push, bybit_doc)
    with StandIn("binance", market=CANDLES, now=NOON) as exchange:
        frame, acknowledged = in_a_loop(binance(exchange))
    same_shape(frame, recorded)
    assert acknowledged == ack
