"""``{chapter-graph}``: which chapter needs which, drawn from ``_toc.yml`` and ``book/chapters.yml``.

The drawing is an inline SVG whose boxes are links and whose colours follow the theme. On a narrow screen, and for
readers who do not see the drawing, the same graph is a list.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

WIDTH, HEIGHT, GAP_X, GAP_Y = 190, 62, 56, 22


@dataclass(frozen=True)
class Node:
    docname: str
    title: str
    part: str
    needs: tuple[str, ...]


class chapter_graph(nodes.General, nodes.Element):
    """Stands for the graph until titles and addresses are known."""


class ChapterGraph(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return [chapter_graph()]


def setup(app: Sphinx) -> None:
    app.add_node(chapter_graph)
    app.add_directive("chapter-graph", ChapterGraph)
    app.connect("doctree-resolved", _resolve)


def _resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for block in list(doctree.findall(chapter_graph)):
        graph = read_graph(Path(app.srcdir), lambda name: app.env.titles[name].astext())
        html = draw(graph, lambda target: app.builder.get_relative_uri(docname, target))
        block.replace_self(nodes.raw("", html, format="html"))


def read_graph(root: Path, title: Callable[[str], str]) -> list[Node]:
    """The chapters of the table of contents, in order, with what each needs."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    needs = yaml.safe_load((root / "book" / "chapters.yml").read_text(encoding="utf-8")) or {}
    listed = [
        (entry["file"], part.get("caption", ""))
        for part in toc.get("parts", [])
        for entry in part.get("chapters", [])
        if entry.get("file", "").startswith("notebooks/")
    ]
    known = {name for name, _ in listed}
    graph = []
    for name, part in listed:
        wanted = tuple((needs.get(name) or {}).get("needs", ()))
        if unknown := set(wanted) - known:
            raise ExtensionError(f"book/chapters.yml: {name} needs {sorted(unknown)}, which _toc.yml does not list")
        graph.append(Node(name, title(name), part, wanted))
    return graph


def levels(graph: list[Node]) -> dict[str, int]:
    """Column of each chapter: one more than the furthest chapter it needs."""
    column: dict[str, int] = {}

    def place(node: Node, path: tuple[str, ...]) -> int:
        if node.docname in path:
            raise ExtensionError(f"book/chapters.yml: {' needs '.join([*path, node.docname])}: a circle")
        if node.docname not in column:
            below = [place(by_name[need], (*path, node.docname)) for need in node.needs]
            column[node.docname] = 1 + max(below, default=-1)
        return column[node.docname]

    by_name = {node.docname: node for node in graph}
    for node in graph:
        place(node, ())
    return column


def draw(graph: list[Node], link: Callable[[str], str]) -> str:
    """The graph as HTML: a drawing for wide screens, a list for narrow ones."""
    if not graph:
        return ""
    column = levels(graph)
    rows: dict[int, int] = {}
    place: dict[str, tuple[int, int]] = {}
    for node in graph:
        level = column[node.docname]
        place[node.docname] = (level * (WIDTH + GAP_X), rows.get(level, 0) * (HEIGHT + GAP_Y))
        rows[level] = rows.get(level, 0) + 1
    width = (max(column.values()) + 1) * (WIDTH + GAP_X) - GAP_X
    height = max(rows.values()) * (HEIGHT + GAP_Y) - GAP_Y
    for level, count in rows.items():  # each column is centred on the tallest one
        shift = (height - (count * (HEIGHT + GAP_Y) - GAP_Y)) // 2
        for node in graph:
            if column[node.docname] == level:
                x, y = place[node.docname]
                place[node.docname] = (x, y + shift)
    edges = "".join(_edge(place[need], place[node.docname]) for node in graph for need in node.needs)
    boxes = "".join(_box(node, number, place[node.docname], link(node.docname)) for number, node in enumerate(graph, 1))
    picture = (
        f'<svg class="ab-graph" viewBox="-2 -2 {width + 4} {height + 4}" width="{width + 4}" height="{height + 4}" '
        'role="group" aria-label="Chapters and what they need">'
        '<defs><marker id="ab-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0 8 4 0 8Z"/></marker></defs>{edges}{boxes}</svg>'
    )
    return f'<div class="ab-graph-box">{picture}{_list(graph, link)}</div>'


def _edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1, x2, y2 = start[0] + WIDTH, start[1] + HEIGHT / 2, end[0] - 3, end[1] + HEIGHT / 2
    bend = (x1 + x2) / 2
    return f'<path class="ab-edge" d="M{x1} {y1}C{bend} {y1} {bend} {y2} {x2} {y2}" marker-end="url(#ab-arrow)"/>'


def _box(node: Node, number: int, place: tuple[int, int], uri: str) -> str:
    lines = textwrap.wrap(node.title, 24)[:2]
    x, y = place
    first = y + HEIGHT / 2 + (5 if len(lines) == 1 else -4)
    text = "".join(f'<tspan x="{x + 14}" y="{first + 18 * i}">{escape(line)}</tspan>' for i, line in enumerate(lines))
    return (
        f'<a href="{uri}" class="ab-node"><rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
        f'<rect class="ab-spine" x="{x}" y="{y}" width="4" height="{HEIGHT}" rx="2"/><text>{text}</text></a>'
    )


def _list(graph: list[Node], link: Callable[[str], str]) -> str:
    titles = {node.docname: node.title for node in graph}
    items = []
    for node in graph:
        needs = ", ".join(escape(titles[need]) for need in node.needs)
        note = f" <small>needs {needs}</small>" if needs else " <small>needs nothing</small>"
        items.append(f'<li><a href="{link(node.docname)}">{escape(node.title)}</a>{note}</li>')
    return f'<ol class="ab-graph-list">{"".join(items)}</ol>'
