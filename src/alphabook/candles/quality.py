"""What is wrong with a table of candles, rule by rule, row by row. Nothing is repaired.

Taught in :doc:`/notebooks/data/when_is_a_bar_known`.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from ..errors import CandleError
from .interval import Interval
from .rules import RULES, breaches
from .table import TIME_DTYPE, as_candles, interval_of, parse_time

ISSUE_COLUMNS = ("rule", "severity", "symbol", "open_time", "count", "detail")


class Span(NamedTuple):
    """One symbol of a checked table: how many bars, from when to when."""

    symbol: str
    bars: int
    first: pd.Timestamp
    last: pd.Timestamp


def validate_candles(
    candles: pd.DataFrame,
    interval: str | int | Interval | None = None,
    *,
    now: object | None = None,
    finer: pd.DataFrame | None = None,
    max_jump: float = 1.0,
) -> QualityReport:
    """Hold a table against every rule of :data:`RULES` and report what breaks them.

    An *error* makes a row unusable or two rows contradict each other; a *warning* is something that
    happens on real markets and that the reader of the table has to know (an outage, a delisting).

    Args:
        candles: the table as it came, in its own order.
        interval: when the table does not carry it.
        now: the time on the venue's clock; needed to find bars that were not closed yet.
        finer: candles of a shorter interval that should add up to these.
        max_jump: a bar whose open, high, low or close lies further than this from the close before,
            in log points, is reported (1.0 is a factor of 2.7).

    Raises:
        CandleError: the table breaks the contract itself: a column is missing, times are naive.
        IntervalError: the interval is neither given, carried by the table, nor inferable from it.
    """
    table = as_candles(candles, sort=False)
    bar = interval_of(table, interval) if len(table) else None
    found = []
    if bar is not None:
        instant = None if now is None else parse_time(now, name="now")
        found = breaches(table, bar, now=instant, finer=finer, max_jump=max_jump)
    issues = pd.concat(found, ignore_index=True) if found else _no_issues()
    issues["severity"] = issues["rule"].map({name: rule.severity for name, rule in RULES.items()})
    issues = issues[list(ISSUE_COLUMNS)].astype(_no_issues().dtypes.to_dict())
    spans = [
        Span(str(name), len(part), part["open_time"].min(), part["open_time"].max())
        for name, part in table.groupby("symbol", sort=True)
    ]
    skipped = [name for name, given in (("open_bar", now), ("finer", finer)) if given is None]
    return QualityReport(interval=bar, spans=tuple(spans), issues=issues, skipped=tuple(skipped))


@dataclass(frozen=True, kw_only=True, repr=False)
class QualityReport:
    """What :func:`validate_candles` found.

    Attributes:
        interval: length of a bar; ``None`` for a table without rows.
        spans: for each symbol its bars, first and last open time.
        issues: one row per finding: ``rule``, ``severity``, ``symbol``, ``open_time`` (of the first
            row concerned), ``count`` (rows concerned), ``detail``.
        skipped: rules that were not checked for want of an argument.
    """

    interval: Interval | None
    spans: tuple[Span, ...]
    issues: pd.DataFrame
    skipped: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no rule of severity ``error`` is broken; warnings do not count."""
        return self.errors.empty

    @property
    def errors(self) -> pd.DataFrame:
        """The issues that make the table unusable."""
        return self.issues[self.issues["severity"] == "error"]

    @property
    def warnings(self) -> pd.DataFrame:
        """The issues that its user has to know about."""
        return self.issues[self.issues["severity"] == "warning"]

    @property
    def bars(self) -> int:
        """Rows of the checked table."""
        return sum(span.bars for span in self.spans)

    def by_rule(self) -> pd.DataFrame:
        """One row per rule, broken or not: ``severity``, ``findings``, ``rows``, ``meaning``."""
        grouped = self.issues.groupby("rule")["count"].agg(["size", "sum"])
        out = pd.DataFrame(
            [(name, rule.severity, rule.meaning) for name, rule in RULES.items()],
            columns=["rule", "severity", "meaning"],
        ).set_index("rule")
        out.insert(1, "findings", grouped["size"].reindex(out.index).fillna(0).astype("int64"))
        out.insert(2, "rows", grouped["sum"].reindex(out.index).fillna(0).astype("int64"))
        return out.drop(index=list(self.skipped))

    def summary(self) -> str:
        """A few lines of plain text: what was checked, the verdict, and each broken rule once."""
        shown = self.spans if len(self.spans) <= 8 else self.spans[:7]
        lines = [f"{_many(self.bars, 'candle')}, {_many(len(self.spans), 'symbol')}"]
        lines[0] += (f", {self.interval}" if self.interval else "") + f": {self._verdict()}"
        lines += [f"  {s.symbol}: {_many(s.bars, 'bar')}, {_minute(s.first)} to {_minute(s.last)}" for s in shown]
        if len(shown) < len(self.spans):
            lines.append(f"  and {len(self.spans) - len(shown)} more symbols")
        rules = self.by_rule()
        for name, row in rules[rules["findings"] > 0].iterrows():
            first = self.issues[self.issues["rule"] == name].iloc[0]
            found = f"{_many(row['findings'], 'finding')}, {_many(row['rows'], 'bar')}"
            lines.append(f"  {row['severity']} {name}: {found}; first: {_place(first)}")
        if self.skipped:
            lines.append(f"  not checked: {', '.join(f'{n} ({RULES[n].needs})' for n in self.skipped)}")
        return "\n".join(lines)

    def raise_if_bad(self, name: str = "candles") -> QualityReport:
        """Return the report itself when no error was found.

        Raises:
            CandleError: names the first broken row, its rule, and how many more there are.
        """
        if self.ok:
            return self
        first = self.errors.iloc[0]
        more = len(self.errors) - 1
        raise CandleError(
            f"{name}: {_place(first)} [{first['rule']}]"
            + (f", and {_many(more, 'more error')}" if more else "")
            + "; list them with validate_candles(...).errors, then mend or drop those rows"
        )

    def __repr__(self) -> str:
        return self.summary()

    def _verdict(self) -> str:
        errors, warnings = len(self.errors), len(self.warnings)
        return f"{_many(errors, 'error') if errors else 'no errors'}, {_many(warnings, 'warning')}"

    def _repr_html_(self) -> str:
        rows = []
        for name, row in self.by_rule().iterrows():
            count, hits = int(row["findings"]), self.issues[self.issues["rule"] == name]
            mark = {"error": "✗", "warning": "!"}[row["severity"]] if count else "✓"
            first = html.escape(_place(hits.iloc[0])) if count else ""
            cells = (
                mark,
                f"<code style='white-space:nowrap'>{name}</code>",
                html.escape(row["meaning"]),
                f"{count:,}",
                first,
            )
            verdict = row["severity"] if count else "pass"
            rows.append(f"<tr class='{verdict}'>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        head = "<tr><th></th><th>rule</th><th>asks that</th><th>findings</th><th>the first</th></tr>"
        title = html.escape(self.summary().splitlines()[0])
        return (
            f"<div class='quality-report'><p><strong>{title}</strong></p>"
            f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"
        )


def _place(issue: pd.Series) -> str:
    symbol = "no symbol" if pd.isna(issue["symbol"]) else issue["symbol"]
    return f"{symbol} {_minute(issue['open_time'])}: {issue['detail']}"


def _minute(time: pd.Timestamp) -> str:
    return "no time" if pd.isna(time) else f"{time:%Y-%m-%d %H:%M}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _no_issues() -> pd.DataFrame:
    dtypes = {
        "rule": "str", "severity": "str", "symbol": "str", "open_time": TIME_DTYPE, "count": "int64", "detail": "str",
    }  # fmt: skip
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in dtypes.items()})
