"""The rules of :func:`alphabook.candles.validate_candles`, each a few lines.

A rule looks at a whole table and returns its findings as a small table
(``symbol, open_time, count, detail``), or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from .derived import close_time
from .gaps import find_gaps
from .interval import Interval
from .resample import resample
from .table import PRICE_COLUMNS


class Rule(NamedTuple):
    """A rule's severity, what it asks for, and the argument it needs, if any."""

    severity: str
    meaning: str
    needs: str = ""


RULES: dict[str, Rule] = {
    "no_key": Rule("error", "every row has a symbol and an open time"),
    "order": Rule("error", "rows stand by symbol, then open time"),
    "duplicate": Rule("error", "no row is there twice"),
    "conflict": Rule("error", "no two rows tell different things about one bar"),
    "off_grid": Rule("error", "bars open on the interval's grid"),
    "non_finite": Rule("error", "prices and volume are numbers"),
    "non_positive": Rule("error", "prices are above zero"),
    "negative_volume": Rule("error", "volume and turnover are not below zero"),
    "ohlc": Rule("error", "the high is the highest price of the bar, the low the lowest"),
    "open_bar": Rule("error", "every bar is closed", "needs now="),
    "finer": Rule("error", "shorter bars add up to these", "needs finer="),
    "gap": Rule("warning", "no bar is missing between the first and the last"),
    "zero_volume": Rule("warning", "something traded in every bar"),
    "zero_volume_move": Rule("warning", "a price moves only when something trades"),
    "jump": Rule("warning", "no price lies implausibly far from the close before"),
}

RELATIVE_PRICE = 1e-9  # prices come from decimal text: equal ones differ by rounding alone
RELATIVE_VOLUME = 1e-6  # volumes are sums of many roundings


def breaches(
    table: pd.DataFrame, interval: Interval, *, now: pd.Timestamp | None, finer: pd.DataFrame | None, max_jump: float
) -> list[pd.DataFrame]:
    """Findings of every rule that applies, in the order of :data:`RULES`."""
    keyed = table[table["symbol"].notna() & table["open_time"].notna()]
    ordered = keyed.sort_values(["symbol", "open_time"], kind="stable")
    unique = ordered.drop_duplicates(["symbol", "open_time"])
    checks: dict[str, Callable[[], pd.DataFrame]] = {
        "no_key": lambda: _no_key(table),
        "order": lambda: _order(keyed),
        "duplicate": lambda: _twice(keyed, conflicting=False),
        "conflict": lambda: _twice(keyed, conflicting=True),
        "off_grid": lambda: _off_grid(ordered, interval),
        "non_finite": lambda: _non_finite(ordered),
        "non_positive": lambda: _below(ordered, PRICE_COLUMNS, np.less_equal, "is not above zero"),
        "negative_volume": lambda: _below(ordered, ("volume", "turnover"), np.less, "is below zero"),
        "ohlc": lambda: _ohlc(ordered),
        "gap": lambda: _gap(unique, interval),
        "zero_volume": lambda: _zero_volume(unique),
        "zero_volume_move": lambda: _zero_volume_move(ordered),
        "jump": lambda: _jump(unique, interval, max_jump),
    }
    if now is not None:
        checks["open_bar"] = lambda: _open_bar(ordered, interval, now)
    if finer is not None:
        checks["finer"] = lambda: _finer(unique, finer, interval)
    found = [checks[name]().assign(rule=name) for name in RULES if name in checks]
    return [f for f in found if len(f)]


def _findings(rows: pd.DataFrame, detail: list[str] | str, count: object = 1) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": rows["symbol"].to_numpy(),
            "open_time": rows["open_time"].array,
            "count": count,
            "detail": detail,
        }
    )


def _no_key(table: pd.DataFrame) -> pd.DataFrame:
    bad = table[table["symbol"].isna() | table["open_time"].isna()]
    return _findings(
        bad, [f"row {i} has no {'symbol' if pd.isna(s) else 'open time'}" for i, s in bad["symbol"].items()]
    )


def _order(table: pd.DataFrame) -> pd.DataFrame:
    if len(table) < 2:
        return _findings(table.iloc[:0], [])
    symbol, time = table["symbol"].to_numpy(), table["open_time"].to_numpy()
    wrong = (symbol[1:] < symbol[:-1]) | ((symbol[1:] == symbol[:-1]) & (time[1:] < time[:-1]))
    at = np.flatnonzero(wrong) + 1
    detail = [f"row {i} comes after {symbol[i - 1]} {_stamp(table['open_time'].iloc[i - 1])}" for i in at]
    return _findings(table.iloc[at], detail)


def _twice(table: pd.DataFrame, *, conflicting: bool) -> pd.DataFrame:
    again = table[table.duplicated(["symbol", "open_time"], keep=False)]
    if again.empty:
        return _findings(again, [])
    different = again.groupby(["symbol", "open_time"])[[*PRICE_COLUMNS, "volume", "turnover"]].nunique(dropna=False)
    differs = (different > 1).any(axis=1)
    rows = differs[differs == conflicting].index.to_frame(index=False)
    size = again.groupby(["symbol", "open_time"]).size().loc[list(differs[differs == conflicting].index)].to_numpy()
    words = "different" if conflicting else "identical"
    return _findings(rows, [f"{n} {words} rows for one bar" for n in size], size)


def _off_grid(table: pd.DataFrame, interval: Interval) -> pd.DataFrame:
    opens = pd.Series(interval.floor(table["open_time"]))
    bad = table[(opens != table["open_time"]).to_numpy()]
    return _findings(bad, [f"opens inside the {interval} bar of {_stamp(o)}" for o in opens[bad.index]])


def _non_finite(table: pd.DataFrame) -> pd.DataFrame:
    values = table[[*PRICE_COLUMNS, "volume"]]
    bad = ~np.isfinite(values.to_numpy())
    infinite_turnover = np.isinf(table["turnover"].to_numpy())  # a missing turnover is allowed
    rows = table[bad.any(axis=1) | infinite_turnover]
    columns = [*PRICE_COLUMNS, "volume", "turnover"]
    first = [next(c for c in columns if not np.isfinite(row[c])) for _, row in rows.iterrows()]
    return _findings(rows, [f"{c} is {row[c]}" for c, (_, row) in zip(first, rows.iterrows(), strict=True)])


def _below(table: pd.DataFrame, columns: tuple[str, ...], is_bad: np.ufunc, words: str) -> pd.DataFrame:
    bad = is_bad(table[list(columns)].to_numpy(), 0)
    rows = table[bad.any(axis=1)]
    first = bad[bad.any(axis=1)].argmax(axis=1)
    values = zip(first, rows[list(columns)].to_numpy(), strict=True)
    return _findings(rows, [f"{columns[i]} {v[i]:g} {words}" for i, v in values])


def _ohlc(table: pd.DataFrame) -> pd.DataFrame:
    top, bottom = table[list(PRICE_COLUMNS)].max(axis=1), table[list(PRICE_COLUMNS)].min(axis=1)
    rows = table[(table["high"] < top) | (table["low"] > bottom)]
    numbers = zip(rows["high"], top[rows.index], rows["low"], bottom[rows.index], strict=True)
    detail = [
        f"high {high:g} is below {highest:g}" if high < highest else f"low {low:g} is above {lowest:g}"
        for high, highest, low, lowest in numbers
    ]
    return _findings(rows, detail)


def _open_bar(table: pd.DataFrame, interval: Interval, now: pd.Timestamp) -> pd.DataFrame:
    closes = close_time(table, interval)
    rows = table[closes > now]
    return _findings(rows, [f"closes at {_stamp(c)}, after {_stamp(now)}: not closed yet" for c in closes[rows.index]])


def _gap(table: pd.DataFrame, interval: Interval) -> pd.DataFrame:
    gaps = find_gaps(table, interval).rename(columns={"first_missing": "open_time"})
    detail = [
        f"{n:,} missing, the last {_stamp(t)}" for n, t in zip(gaps["missing"], gaps["last_missing"], strict=True)
    ]
    return _findings(gaps, detail, gaps["missing"].to_numpy())


def _zero_volume(table: pd.DataFrame) -> pd.DataFrame:
    still = table["volume"] == 0
    run = (still.ne(still.shift()) | table["symbol"].ne(table["symbol"].shift())).cumsum()
    runs = table[still].groupby(run[still])
    first = runs[["symbol", "open_time"]].first()
    last, size = runs["open_time"].max(), runs.size()
    is_end = last.to_numpy() == first["symbol"].map(table.groupby("symbol")["open_time"].max()).to_numpy()
    detail = [
        f"{n:,} bar{'s' if n > 1 else ''} without a trade, to {_stamp(t)}"
        + (" (to the end: delisted?)" if e and n > 1 else "")
        for n, t, e in zip(size, last, is_end, strict=True)
    ]
    return _findings(first, detail, size.to_numpy())


def _zero_volume_move(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[(table["volume"] == 0) & (table["high"] > table["low"])]
    return _findings(rows, [f"from {r.low:g} to {r.high:g} on no volume" for r in rows.itertuples()])


def _jump(table: pd.DataFrame, interval: Interval, max_jump: float) -> pd.DataFrame:
    before = table.groupby("symbol", sort=False)["close"].shift().where(table.groupby("symbol").cumcount() > 0)
    prices = table[list(PRICE_COLUMNS)].to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = np.abs(np.log(prices / before.to_numpy()[:, None]))
    moves = np.where(np.isfinite(moves), moves, 0.0)
    neighbours = close_time(table, interval).groupby(table["symbol"]).shift() == table["open_time"]
    far = (moves.max(axis=1) > max_jump) & neighbours.to_numpy()
    rows, which, close = table[far], moves[far].argmax(axis=1), before[far]
    detail = [
        f"{PRICE_COLUMNS[w]} {getattr(r, PRICE_COLUMNS[w]):g} after a close of {c:g}"
        for r, w, c in zip(rows.itertuples(), which, close, strict=True)
    ]
    return _findings(rows, detail)


def _finer(table: pd.DataFrame, finer: pd.DataFrame, interval: Interval) -> pd.DataFrame:
    columns = [*PRICE_COLUMNS, "volume"]
    key = ["symbol", "open_time"]
    built = resample(finer, interval).set_index(key)[columns].add_suffix("_built")
    both = table.set_index(key).join(built, how="inner")
    bad = pd.DataFrame(
        {
            c: ~np.isclose(
                both[c], both[f"{c}_built"], rtol=RELATIVE_VOLUME if c == "volume" else RELATIVE_PRICE, atol=0
            )
            for c in columns
        },
        index=both.index,
    )
    rows = both[bad.any(axis=1)].reset_index()
    first = bad[bad.any(axis=1)].idxmax(axis=1)
    detail = [
        f"{c} {row[c]:g}, but {row[f'{c}_built']:g} from shorter bars"
        for c, (_, row) in zip(first, rows.iterrows(), strict=True)
    ]
    return _findings(rows, detail)


def _stamp(time: pd.Timestamp) -> str:
    return f"{time:%Y-%m-%d %H:%M}"
