"""``{benchmark-results}``: every file of ``benchmarks/results`` as tables, each target with its verdict.

``{benchmark-part} name part`` shows one part of one file where a page speaks of it.

Nothing on the page is typed by hand. A benchmark is a script ``benchmarks/<name>.py`` (or ``<name>_bench.py``) that
writes ``results/<name>.json``; the first line of its docstring, up to a colon, is its title. Two forms of result
are understood:

* ``seconds`` of jobs by contestant, with ``store_over`` (ratios to each rival) and one bound ``at_most``;
* parts, each with ``rows`` of contestants (or of what ``rows_are`` says), ``reasons`` for rows that ask for one,
  ``missing`` peers, ``targets``, and whatever else was measured.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

MET, MISSED = "✓ met", "✗ missed"
_COLUMNS = {  # of a contestant's row: key in the file, heading
    "ms": "Time (ms)",
    "times_ours": "Times ours",
    "floor_ms": "Floor (ms)",
    "times_floor": "Times its floor",
    "spread": "Spread",
}
_HEAD = ("machine", "measured", "benchmark", "at_most", "targets", "command")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What was aimed at, in the words of the benchmark, and what came out."""

    work: str
    measured: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool:
        """Judged here from the numbers; the file's own verdict is not asked."""
        low, high = self.at_least, self.at_most
        return (low is None or self.measured >= low) and (high is None or self.measured <= high)

    @property
    def bound(self) -> str:
        signs = ((self.at_most, "≤"), (self.at_least, "≥"))
        return " and ".join(f"{sign} {number(value)}" for value, sign in signs if value is not None)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One script and what it wrote; ``data`` is empty when it has not run, or when its file cannot be read."""

    name: str
    title: str
    command: str
    data: Mapping[str, Any]
    problem: str = ""

    @property
    def machine(self) -> str:
        told = self.data.get("machine") or "not recorded"
        if not isinstance(told, Mapping):
            return str(told)
        cores = told.get("cores")
        rest = [f"{key} {value}" for key, value in told.items() if key not in ("cpu", "cores")]
        return ", ".join([str(told.get("cpu", "unknown processor")), *([f"{cores} cores"] if cores else []), *rest])

    @property
    def targets(self) -> list[Target]:
        found = [_target(row) for row in self.data.get("targets", [])]
        for part in self.parts.values():
            found += [_target(row) for row in part.get("targets", [])]
        bound = self.data.get("at_most")
        for job, rivals in self.data.get("store_over", {}).items():
            found += [Target(work=f"{words(job)}: ours / {r}", measured=x, at_most=bound) for r, x in rivals.items()]
        return found

    @property
    def parts(self) -> dict[str, Mapping[str, Any]]:
        """The parts of the second form."""
        if "seconds" in self.data:
            return {}
        return {key: part for key, part in self.data.items() if key not in _HEAD and isinstance(part, Mapping)}


class BenchmarkResults(SphinxDirective):
    """A table of all targets, then a section for each benchmark."""

    def run(self) -> list[nodes.Node]:
        folder = Path(self.env.app.srcdir, self.config.alphabook_benchmarks).resolve()
        for file in sorted(folder.glob("results/*.json")):
            self.env.note_dependency(str(file))
        found = read_benchmarks(folder)
        content: list[nodes.Node] = [_html(summary(found))]
        for one in found:
            section = nodes.section(ids=[f"benchmark-{one.name.replace('_', '-')}"], names=[one.name])
            section += nodes.title(text=one.title)
            section += _html(details(one))
            content.append(section)
        return content


class BenchmarkPart(SphinxDirective):
    """One part of one benchmark: ``{benchmark-part} backtest_metrics one_definition_each``."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        name, part = self.arguments
        folder = Path(self.env.app.srcdir, self.config.alphabook_benchmarks).resolve()
        self.env.note_dependency(str(folder / "results" / f"{name}.json"))
        one = next((found for found in read_benchmarks(folder) if found.name == name), None)
        if one is None or part not in one.parts:
            raise self.error(f"benchmarks/results has no {part!r} of {name!r}")
        told = [("Measured", escape(_measured(one)))]
        told += [(words(k), escape(_value(k, v))) for k, v in one.data.items() if k not in _HEAD and _plain(v)]
        return [_html(_facts([*told, ("Command", f"<code>{escape(one.command)}</code>")]) + _part(one.parts[part]))]


def setup(app: Sphinx) -> None:
    app.add_config_value("alphabook_benchmarks", "../../benchmarks", "env")
    app.add_directive("benchmark-results", BenchmarkResults)
    app.add_directive("benchmark-part", BenchmarkPart)


# --- reading ---------------------------------------------------------------------------------------
def read_benchmarks(folder: Path) -> list[Benchmark]:
    """Every script and every result of a folder of benchmarks, by name; either may lack the other."""
    scripts = {_name(file): file for file in sorted(folder.glob("*.py")) if not file.name.startswith("_")}
    results = {file.stem: file for file in sorted(folder.glob("results/*.json"))}
    return [_read(name, scripts.get(name), results.get(name)) for name in sorted({*scripts, *results})]


def _read(name: str, script: Path | None, result: Path | None) -> Benchmark:
    data, problem = {}, ""
    if result is not None:
        try:
            data = json.loads(result.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            problem = f"its file {result.name} cannot be read ({type(error).__name__})"
        if not isinstance(data, dict) or not data:
            data, problem = {}, problem or f"its file {result.name} holds no result"
    told = (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "") if script else ""
    title = told.strip().splitlines()[0].split(":")[0].replace("`", "").rstrip(".") if told.strip() else words(name)
    command = data.get("command") or (f"python benchmarks/{script.name}" if script else "not recorded")
    return Benchmark(name=name, title=title, command=command, data=data, problem=problem)


def _name(script: Path) -> str:
    return script.stem.removesuffix("_bench")


def _target(row: Mapping[str, Any]) -> Target:
    bounds = {key: row[key] for key in ("at_most", "at_least") if row.get(key) is not None}
    return Target(work=str(row.get("name", "unnamed")), measured=float(row["measured"]), **bounds)


# --- tables ----------------------------------------------------------------------------------------
def summary(found: list[Benchmark]) -> str:
    """All targets of all benchmarks in one table, and how many of them are met."""
    if not found:
        return '<p class="ab-empty">There is no benchmark in this checkout.</p>'
    held = [target for one in found for target in one.targets if target.bound]
    met = sum(target.met for target in held)
    bodies = []
    for one in found:
        link = f'<a href="#benchmark-{one.name.replace("_", "-")}">{escape(one.title)}</a>'
        note = f"<span>{escape(_measured(one))}</span>"
        rows = "".join(_target_row(target) for target in one.targets) or _row(
            [f'<td colspan="4">{escape(_nothing(one))}</td>']
        )
        bodies.append(
            f'<tbody><tr class="ab-group"><th colspan="4" scope="rowgroup">{link}{note}</th></tr>{rows}</tbody>'
        )
    count = f'<p class="ab-count"><strong>{met} of {len(held)} targets met</strong>, as of the files shown here.</p>'
    return count + _table(("Work", "Verdict", "Measured", "Target"), "".join(bodies), "Targets")


def details(one: Benchmark) -> str:
    """What one benchmark measured: where and when, how to repeat it, and its tables."""
    if not one.data:
        return f'<p class="ab-empty">{escape(_nothing(one))}</p>' + _facts(
            [("Command", f"<code>{escape(one.command)}</code>")]
        )
    facts = [("Machine", escape(one.machine)), ("Measured", escape(_measured(one)))]
    facts += [(words(k), escape(_value(k, v))) for k, v in one.data.items() if k not in _HEAD and _plain(v)]
    facts.append(("Command", f"<code>{escape(one.command)}</code>"))
    html = _facts(facts)
    if isinstance(one.data.get("seconds"), Mapping):
        html += _jobs(one)
    for key, part in one.parts.items():
        html += f"<h3>{escape(words(key))}</h3>{_part(part)}"
    return html


def _jobs(one: Benchmark) -> str:
    """Seconds of jobs: ours beside each rival."""
    bound, rows = one.data.get("at_most"), []
    for job, seconds in one.data["seconds"].items():
        rivals = one.data.get("store_over", {}).get(job, {})
        ours = next((seconds[name] for name in seconds if name not in rivals), None)
        for rival, ratio in rivals.items():
            target = Target(work=job, measured=ratio, at_most=bound)
            cells = [_cell(words(job), head=True), _cell(_value("seconds", ours)), _cell(rival)]
            cells += [_cell(_value("seconds", seconds.get(rival))), _cell(f"{number(ratio)} ×"), *_verdict(target)]
            rows.append(_row(cells))
    return _table(("Work", "Ours", "Peer", "Peer's", "Ours / peer", "Target", "Verdict"), _body(rows), "Jobs")


def _part(part: Mapping[str, Any]) -> str:
    """One part of the second form: its setting, contestants, missing peers, series, targets."""
    html = _facts([(words(k), escape(_value(k, v))) for k, v in [*part.get("setting", {}).items(), *_scalars(part)]])
    if rows := part.get("rows"):
        html += _contestants(rows, str(part.get("rows_are", "Contestant")))
    for row, reason in part.get("reasons", {}).items():
        html += f'<p class="ab-count"><strong>{escape(str(row))}:</strong> {escape(str(reason))}</p>'
    for peer, reason in part.get("missing", {}).items():
        html += f'<p class="ab-count">Not measured here: {escape(str(peer))} ({escape(str(reason))}).</p>'
    html += "".join(_series(part))
    if targets := [_target(row) for row in part.get("targets", [])]:
        html += _table(("Target", "Verdict", "Measured", "Bound"), _body([_target_row(t) for t in targets]), "Targets")
    return html


def _contestants(rows: list[Mapping[str, Any]], head: str) -> str:
    told = dict.fromkeys(key for row in rows for key in row if key != "name")
    columns = {key: head for key, head in _COLUMNS.items() if key in told}
    columns |= {key: words(key) for key in told if key not in columns}
    body = [
        _row([_cell(str(row.get("name", "")), head=True), *(_cell(_value(key, row.get(key))) for key in columns)])
        for row in rows
    ]
    return _table((head, *columns.values()), _body(body), f"{head}s")


def _series(part: Mapping[str, Any]) -> Iterator[str]:
    """Lists over ``lengths`` as one table, and every mapping of names to numbers as another."""
    lengths = part.get("lengths")
    columns = {k: v for k, v in part.items() if isinstance(v, list) and lengths and len(v) == len(lengths)}
    columns.pop("lengths", None), columns.pop("rows", None), columns.pop("targets", None)
    if columns:
        body = [
            _row([_cell(number(n), head=True), *(_cell(_value(k, v[i])) for k, v in columns.items())])
            for i, n in enumerate(lengths)
        ]
        yield _table(("Length", *map(words, columns)), _body(body), "By length")
    for key, values in part.items():
        if (
            key not in ("setting", "missing", "reasons")
            and isinstance(values, Mapping)
            and all(v is None or _plain(v) for v in values.values())
        ):
            body = [_row([_cell(str(name), head=True), _cell(_value(key, v))]) for name, v in values.items()]
            yield _table((words(key), "Value"), _body(body), words(key))


def _scalars(part: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in part.items() if _plain(value) and key != "rows_are"]


def _target_row(target: Target) -> str:
    bound, verdict = _verdict(target)
    return _row([_cell(target.work, head=True), verdict, _cell(number(target.measured)), bound])


def _verdict(target: Target) -> list[str]:
    """Bound and verdict; the verdict is a sign and a word, the colour only repeats it."""
    if not target.bound:
        return [_cell("none"), _cell("recorded")]
    colour, word = ("green", MET) if target.met else ("orange", MISSED)
    return [
        f'<td class="ab-band">{escape(target.bound)}</td>',
        f'<td class="ab-date"><strong style="color:var(--ab-{colour})">{word}</strong></td>',
    ]


# --- words and HTML --------------------------------------------------------------------------------
def words(key: str) -> str:
    """``head_dim`` as a reader's word: ``Head dim``; units at the end of a key belong to its values."""
    plain = re.sub(r"_(bytes|seconds|ms)$", "", key).replace("_", " ").strip()
    return plain[:1].upper() + plain[1:]


def number(value: float) -> str:
    """Three significant digits; whole numbers whole, thousands separated."""
    if isinstance(value, float) and not value.is_integer() and abs(value) < 1000:
        return f"{value:.3g}" if abs(value) < 0.01 else f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
    return f"{value:,.0f}"


def _value(key: str, value: Any) -> str:
    """A value with the unit that its key names."""
    if value is None:
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if key.endswith("bytes"):
        return f"{value / 1e9:,.1f} GB" if value >= 1e9 else f"{value / 1e6:,.1f} MB"
    if key.endswith("seconds"):
        return f"{value:,.2f} s" if value >= 1 else f"{1e3 * value:,.1f} ms"
    return number(value)


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and value != ""


def _measured(one: Benchmark) -> str:
    return str(one.data.get("measured") or "date not recorded") if one.data else "not measured yet"


def _nothing(one: Benchmark) -> str:
    why = one.problem or f"there is no file results/{one.name}.json"
    return f"No result to show: {why}." if not one.data else "This benchmark states no target."


def _facts(facts: list[tuple[str, str]]) -> str:
    """Names and values in a line that wraps; values are HTML."""
    if not facts:
        return ""
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in facts)
    return f'<div class="ab-facts"><dl>{listed}</dl></div>'


def _cell(text: str, *, head: bool = False) -> str:
    return f'<th scope="row">{escape(text)}</th>' if head else f'<td class="ab-value">{escape(text)}</td>'


def _row(cells: list[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _body(rows: list[str]) -> str:
    return f"<tbody>{''.join(rows)}</tbody>"


def _table(heads: tuple[str, ...], bodies: str, label: str) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    return (
        f'<div class="ab-scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table class="ab-ledger">'
        f"<thead><tr>{head}</tr></thead>{bodies}</table></div>"
    )


def _html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")
