"""``{exercise-index}``: every exercise of the book, read from the cards in the chapters themselves.

A card is the MyST directive ``{exercise}`` whose text begins with
``*Implement* · difficulty 3 of 5 · 15 minutes``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import nbformat
import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

LOGGER = logging.getLogger(__name__)
BLOCK = re.compile(r"^(`{3,}|:{3,})\{exercise(?:-start)?\}[ \t]*(.*)\n((?::.*\n)*)\n*(.*)", re.MULTILINE)
CARD = re.compile(r"\*(?P<kind>[^*]+)\*\s*·\s*difficulty\s+(?P<difficulty>[1-5]) of 5\s*·\s*(?P<minutes>\d+) minutes?")


@dataclass(frozen=True, kw_only=True)
class Card:
    """One exercise as its chapter announces it."""

    docname: str
    label: str
    title: str
    kind: str
    difficulty: int
    minutes: int


class exercise_index(nodes.General, nodes.Element):
    """Stands for the table until addresses are known."""


class ExerciseIndex(SphinxDirective):
    """A table of all exercises: chapter, kind, difficulty, minutes."""

    def run(self) -> list[nodes.Node]:
        return [exercise_index()]


def setup(app: Sphinx) -> None:
    app.add_node(exercise_index)
    app.add_directive("exercise-index", ExerciseIndex)
    app.connect("doctree-resolved", _resolve)


def _resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for block in list(doctree.findall(exercise_index)):
        cards = read_cards(Path(app.srcdir))
        titles = {card.docname: app.env.titles[card.docname].astext() for card in cards}
        html = index_table(cards, titles, lambda target: app.builder.get_relative_uri(docname, target))
        block.replace_self(nodes.raw("", html, format="html"))


def read_cards(root: Path) -> list[Card]:
    """The exercises of all chapters of the table of contents, in reading order."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    listed = [entry["file"] for part in toc.get("parts", []) for entry in part.get("chapters", [])]
    cards: list[Card] = []
    for docname in listed:
        file = root / f"{docname}.ipynb"
        if file.exists():
            cells = nbformat.read(file, 4).cells
            cards += [card for cell in cells if cell.cell_type == "markdown" for card in cards_in(cell.source, docname)]
    return cards


def cards_in(text: str, docname: str) -> list[Card]:
    """The exercises that one Markdown cell announces; one without a card is a warning, so an error of the build."""
    found = []
    for block in BLOCK.finditer(text):
        title, options, first = block[2].strip(), block[3], block[4]
        label = re.search(r"^:label:\s*(\S+)", options, re.MULTILINE)
        card = CARD.match(first)
        if label is None or card is None:
            LOGGER.warning(
                "%s: exercise %r needs a :label: and a first line like "
                "'*Implement* · difficulty 3 of 5 · 15 minutes', found %r",
                docname, title, first,
            )  # fmt: skip
            continue
        found.append(
            Card(
                docname=docname,
                label=label[1],
                title=title,
                kind=card["kind"].strip().capitalize(),
                difficulty=int(card["difficulty"]),
                minutes=int(card["minutes"]),
            )
        )
    return found


def index_table(cards: list[Card], titles: dict[str, str], link: Any) -> str:
    """The cards as an HTML table, one group per chapter."""
    if not cards:
        return '<p class="ab-empty">No chapter has exercises yet.</p>'
    bodies = []
    for docname in dict.fromkeys(card.docname for card in cards):
        mine = [card for card in cards if card.docname == docname]
        total = f"{len(mine)} exercise{'s' if len(mine) > 1 else ''}, {_duration(sum(card.minutes for card in mine))}"
        rows = "".join(_row(card, link(docname)) for card in mine)
        bodies.append(
            f'<tbody><tr class="ab-group"><th colspan="4" scope="rowgroup"><a href="{link(docname)}">'
            f"{escape(titles[docname])}</a><span>{total}</span></th></tr>{rows}</tbody>"
        )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Exercise", "Kind", "Difficulty", "Minutes"))
    return (
        '<div class="ab-scroll" tabindex="0" role="region" aria-label="Exercises"><table class="ab-ledger">'
        f"<thead><tr>{head}</tr></thead>{''.join(bodies)}</table></div>"
    )


def _row(card: Card, uri: str) -> str:
    level = "●" * card.difficulty + "○" * (5 - card.difficulty)
    return (
        f'<tr><th scope="row"><a href="{uri}#{escape(card.label)}">{_inline(card.title)}</a></th>'
        f"<td>{escape(card.kind)}</td>"
        f'<td><span role="img" aria-label="{card.difficulty} of 5">{level}</span></td>'
        f'<td class="ab-value">{card.minutes}</td></tr>'
    )


def _inline(title: str) -> str:
    """A title's Markdown as HTML: code and emphasis are all that titles have."""
    coded = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(title))
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", coded)


def _duration(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02d} min" if hours else f"{rest} min"
