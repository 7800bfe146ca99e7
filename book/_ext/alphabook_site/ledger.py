"""``{claims-ledger}``, ``{trials-ledger}`` and ``{chapter-status}``: tables made from what the build measured."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from .status import anchor, band, market, memory, number, read_status, seconds


class live_block(nodes.General, nodes.Element):
    """Stands for a table until the page is written and links can be made."""


class ClaimsLedger(SphinxDirective):
    """Every claim of the book: value, band, chapter, data, when it was computed."""

    def run(self) -> list[nodes.Node]:
        return [live_block(kind="claims")]


class TrialsLedger(SphinxDirective):
    """How many backtests each study of the book ran, and every look at a holdout."""

    def run(self) -> list[nodes.Node]:
        return [live_block(kind="trials")]


class ChapterStatus(SphinxDirective):
    """Run time, peak memory and data source of every chapter."""

    def run(self) -> list[nodes.Node]:
        return [live_block(kind="status")]


def setup(app: Sphinx) -> None:
    app.add_node(live_block)
    app.add_directive("claims-ledger", ClaimsLedger)
    app.add_directive("trials-ledger", TrialsLedger)
    app.add_directive("chapter-status", ChapterStatus)
    app.connect("doctree-resolved", _resolve)


def _resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    def link(target: str) -> str:
        return app.builder.get_relative_uri(docname, target)

    for block in list(doctree.findall(live_block)):
        html = {"claims": claims_table, "trials": trials_table, "status": status_table}[block["kind"]](
            read_status(app), link
        )
        block.replace_self(nodes.raw("", html, format="html"))


def claims_table(status: dict[str, Any], link: Callable[[str], str]) -> str:
    bodies, total = [], 0
    for record in status["chapters"]:
        rows = [row for row in record.get("claims", []) if row.get("kind", "claim") == "claim"]
        noted = [row for row in record.get("claims", []) if row.get("kind", "claim") != "claim"]
        if not rows and not noted:
            continue
        total += len(rows)
        uri = link(record["docname"])
        title = f'<a href="{uri}">{escape(record["title"])}</a>'
        summary = f"{_count(len(rows), 'claim')}, {_count(len(noted), 'recorded number')}"
        bodies.append(
            f'<tbody><tr class="ab-group"><th colspan="5" scope="rowgroup">{title}<span>{summary}</span></th></tr>'
            + "".join(_claim_row(row, uri, record) for row in rows + noted)
            + "</tbody>"
        )
    if not bodies:
        return '<p class="ab-empty">No claim was recorded: the chapters were not executed by this build.</p>'
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Claim", "Value", "Band", "Data", "Computed"))
    return (
        f'<p class="ab-count"><strong>{_count(total, "claim")}</strong>, every one inside its band.</p>'
        '<p class="ab-filter"><label>Find a claim <input type="search" data-filters="ab-claims" '
        'placeholder="gap, kurtosis, calls …"></label></p>'
        + _scroll(
            f'<table id="ab-claims" class="ab-ledger"><thead><tr>{head}</tr></thead>{"".join(bodies)}</table>', "Claims"
        )
    )


def _claim_row(row: dict[str, Any], uri: str, record: dict[str, Any]) -> str:
    unit = f" {escape(row['unit'])}" if row.get("unit") else ""
    text = f"<br>{escape(row['text'])}" if row.get("text") else ""
    when = str(row.get("computed_at") or record.get("executed", ""))[:10]
    data = escape(row.get("source") or "no market")  # drawn or counted before the page's first banner
    return (
        f'<tr><th scope="row"><a href="{uri}#{anchor(row["key"])}"><code>{escape(row["key"])}</code></a>{text}</th>'
        f'<td class="ab-value">{number(row["value"])}{unit}</td><td class="ab-band">{band(row)}</td>'
        f'<td>{data}</td><td class="ab-date">{escape(when)}</td></tr>'
    )


def trials_table(status: dict[str, Any], link: Callable[[str], str]) -> str:
    rows, total, looks = [], 0, []
    for record in status["chapters"]:
        title = f'<a href="{link(record["docname"])}">{escape(record["title"])}</a>' if "title" in record else ""
        for study in record.get("studies", []):
            total += study["trials"]
            rows.append(
                f'<tr><th scope="row"><code>{escape(study["study"])}</code></th><td>{title}</td>'
                f'<td class="ab-value">{study["trials"]:,}</td><td class="ab-value">{study["markets"]:,}</td></tr>'
            )
        looks += [
            f"{title}: {escape(look['reason'])} (<code>{escape(look['study'])}</code>)"
            for look in record.get("looks", [])
        ]
    if not rows:
        return '<p class="ab-empty">No backtest was recorded: the chapters were not executed by this build.</p>'
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Study", "Chapter", "Trials", "Markets"))
    opened = "".join(f"<li>{look}</li>" for look in looks)
    return (
        f'<p class="ab-count"><strong>{_count(total, "trial")}</strong> in {_count(len(rows), "study", "studies")}.</p>'
        + _scroll(
            f'<table class="ab-ledger"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>', "Trials"
        )
        + (f"<p>Holdouts opened, each once:</p><ul>{opened}</ul>" if looks else "<p>No holdout was opened.</p>")
    )


def status_table(status: dict[str, Any], link: Callable[[str], str]) -> str:
    if not status["chapters"]:
        return '<p class="ab-empty">No chapter was executed by this build.</p>'
    rows = []
    for record in status["chapters"]:
        claims = sum(row.get("kind", "claim") == "claim" for row in record.get("claims", []))
        figures = (seconds(record["seconds"]), memory(record["peak_mb"]), claims)
        time, peak, count = (f'<td class="ab-value">{figure}</td>' for figure in figures)
        rows.append(
            f'<tr><th scope="row"><a href="{link(record["docname"])}">{escape(record["title"])}</a></th>'
            f"{time}{peak}<td>{market(record)}</td>{count}"
            f'<td class="ab-date">{escape(record["executed"][:10])}</td></tr>'
        )
    total = sum(record["seconds"] for record in status["chapters"])
    names = ("Chapter", "Run time", "Peak memory", "Data", "Claims", "Executed")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    machine = status.get("machine", {})
    where = f"{escape(str(machine.get('processor', 'unknown processor')))}, {machine.get('cores', '?')} cores"
    return (
        _scroll(
            f'<table class="ab-ledger"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>', "Status"
        )
        + f'<p class="ab-count">All chapters together: {seconds(total)} of execution, one thread each, on '
        f"{where}, {escape(str(machine.get('system', '')))}, Python {escape(str(status.get('python', '')))}.</p>"
    )


def _scroll(table: str, label: str) -> str:
    return f'<div class="ab-scroll" tabindex="0" role="region" aria-label="{label}">{table}</div>'


def _count(number_of: int, thing: str, things: str = "") -> str:
    return f"{number_of:,} {thing if number_of == 1 else things or thing + 's'}"
