"""The checks of *Five venues, one interface* accept right answers and tell planted wrong ones what is wrong."""

import math
import time

import pandas as pd
import requests
from support import assert_exercise

HOUR = pd.Timedelta(hours=1)


def test_windows():
    def by_range(bars, limit):
        return [(i, min(i + limit, bars)) for i in range(0, bars, limit)]

    def with_overlap(bars, limit):
        from alphabook.venues import plan_windows

        return plan_windows(bars, limit)

    def one_too_many(bars, limit):
        return [(i, min(i + limit + 1, bars)) for i in range(0, bars, limit + 1)]

    assert_exercise(
        "venues.windows",
        right=[by_range, with_overlap],
        wrong={
            "more than the venue returns": one_too_many,
            "never asks for bar": lambda bars, limit: [(i, i + limit) for i in range(0, bars - limit + 1, limit)],
            "asks for bars after the last": lambda bars, limit: [(i, i + limit) for i in range(0, bars, limit)],
            "are enough": lambda bars, limit: [(i, i + 1) for i in range(bars)],
            "no bars need no window": lambda bars, limit: by_range(bars, limit) or [(0, 0)],
        },
    )  # fmt: skip


def test_wait():
    name = "X-Bapi-Limit-Reset-Timestamp"

    def with_if(headers, now_ms):
        if name not in headers:
            return 2.0
        return max(0.0, (int(headers[name]) - now_ms) / 1000)

    def with_get(headers, now_ms):
        reset = float(headers.get(name, now_ms + 2000))
        wait = (reset - now_ms) / 1e3
        return wait if wait > 0 else 0

    def always_ten_minutes(headers, now_ms):
        wait = with_if(headers, now_ms)
        return wait if wait > 0 else 600.0

    assert_exercise(
        "venues.wait",
        right=[with_if, with_get],
        wrong={
            "time.sleep raises ValueError": lambda h, now: (int(h.get(name, now + 2000)) - now) / 1000,
            "count milliseconds": lambda h, now: max(0, int(h.get(name, now + 2000)) - now),
            "may leave the header out": lambda h, now: max(0.0, (int(h[name]) - now) / 1000),
            "take 2 s": lambda h, now: max(0.0, (int(h.get(name, now)) - now) / 1000),
            "there is nothing to wait for": always_ten_minutes,
        },
    )  # fmt: skip


def test_sentinel():
    def loops(symbols):
        rows, missing = [], []
        for symbol, answers in symbols.items():
            for metric, series in answers.items():
                if not isinstance(series, list):
                    missing.append((symbol, metric, series))
                    continue
                for point in series:
                    value = math.nan if point["val"] is None else point["val"]
                    rows.append((point["date"], symbol, metric, value))
        return rows, missing

    def comprehensions(symbols):
        flat = [(s, m, x) for s, answers in symbols.items() for m, x in answers.items()]
        rows = [
            (p["date"], s, m, float("nan") if p["val"] is None else float(p["val"]))
            for s, m, x in flat if not isinstance(x, str) for p in x
        ]  # fmt: skip
        return rows, [item for item in flat if isinstance(item[2], str)]

    def letters(symbols):
        rows = []
        for symbol, answers in symbols.items():
            for metric, series in answers.items():
                for point in series:
                    if isinstance(point, dict):
                        value = math.nan if point["val"] is None else point["val"]
                        rows.append((point["date"], symbol, metric, value))
                    else:
                        rows.append((point, symbol, metric, math.nan))
        return rows, []

    def zeros(symbols):
        rows, missing = loops(symbols)
        return [(d, s, m, 0.0 if v != v else v) for d, s, m, v in rows], missing

    def all_or_nothing(symbols):
        rows, missing = loops(symbols)
        return ([], missing) if missing else (rows, missing)

    assert_exercise(
        "venues.sentinel",
        right=[loops, comprehensions],
        wrong={
            "letter by letter": letters,
            "not 0": zeros,
            "took eth with it": all_or_nothing,
            "what is missing is not said": lambda s: (loops(s)[0], []),
            "a null is a row too": lambda s: ([r for r in loops(s)[0] if r[3] == r[3]], loops(s)[1]),
            "return two lists": lambda s: loops(s)[0],
        },
    )


def test_weight():
    from alphabook.venues.binance import kline_weight

    best = min(range(1, 1501), key=lambda n: math.ceil(8760 / n) * kline_weight(n))
    assert_exercise(
        "venues.weight",
        right=[499, lambda: best],
        wrong={"cost 60": 1500, "cost 45": 1000, "cost 89": 99, "outside what Binance accepts": 5000},
    )


def survivor(url, start, end, *, tries=4, size=300, skip=True, closed=True, sort=True, unique=True, order=(3, 2, 1, 4)):
    """A right answer with a switch for every mistake."""
    rows, at = [], start
    while at < end:
        stop = min(at + size * HOUR, end)
        page = None
        for _ in range(tries):
            query = {"granularity": 3600, "start": at.isoformat(), "end": (stop - HOUR).isoformat()}
            reply = requests.get(f"{url}/products/BTC-USD/candles", params=query, timeout=5)
            if reply.status_code == 200 and all(len(row) == 6 for row in reply.json()):
                page = reply.json()
                break
            time.sleep(0.001)
        if page is None:
            reply.raise_for_status()
            page = [row for row in reply.json() if len(row) == 6]
        if not page and not skip:
            break
        now = pd.Timestamp(reply.headers["Date"])
        for row in page:
            opened = pd.Timestamp(row[0], unit="s", tz="UTC")
            if not closed or opened + HOUR <= now:
                rows.append((opened, *(row[i] for i in order), row[5]))
        at = stop
    frame = pd.DataFrame(rows, columns=["open_time", "open", "high", "low", "close", "volume"])
    if unique:
        frame = frame.drop_duplicates("open_time", keep="last")
    return (frame.sort_values("open_time") if sort else frame).reset_index(drop=True)


def test_survivor():
    def with_a_dictionary(url, start, end):
        found = survivor(url, start, end, unique=False, sort=False)
        bars = {row.open_time: row for row in found.itertuples(index=False)}
        return pd.DataFrame([bars[t] for t in sorted(bars)])

    def wrong(**switch):
        return lambda url, start, end: survivor(url, start, end, **switch)

    def with_the_open_bar(url, start, end):
        return survivor(url, start, end + HOUR, closed=False)

    assert_exercise(
        "venues.survivor",
        right=[survivor, with_a_dictionary],
        wrong={
            "before the listing": wrong(skip=False),
            "still open": with_the_open_bar,
            "at most 300 candles": wrong(size=400, tries=1),
            "LOW, HIGH, OPEN, CLOSE": wrong(order=(1, 2, 3, 4)),
            "are there twice": wrong(unique=False),
            "not in order of time": wrong(sort=False),
            "429 means later": wrong(tries=1),
        },
    )
