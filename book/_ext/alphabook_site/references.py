"""The bibliography's style: sorted by author, labelled as the text cites: ``Bailey and López de Prado 2014``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as Unsorted
from pybtex.style.labels import BaseLabelStyle
from sphinx.application import Sphinx


class AuthorYear(BaseLabelStyle):
    """Family names and year; letters tell apart what one author wrote in one year."""

    def format_labels(self, sorted_entries: Iterable[Entry]) -> Iterator[str]:
        labels = [label(entry) for entry in sorted_entries]
        many, seen = Counter(labels), Counter[str]()
        for text in labels:
            seen[text] += 1
            yield text + (chr(ord("a") + seen[text] - 1) if many[text] > 1 else "")


class AlphabookStyle(Unsorted):
    """Entries sorted by author, year, title; labels by :class:`AuthorYear`."""

    default_label_style = AuthorYear
    default_sorting_style = "author_year_title"


def label(entry: Entry) -> str:
    """``Cont 2001``, ``Newey and West 1987``, ``Harvey et al. 2016``."""
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [
        " ".join([*person.prelast_names, *person.last_names]).translate({ord(c): None for c in "{}"})
        for person in people
    ]
    if not names:
        return f"{entry.key} {entry.fields.get('year', '')}".strip()
    who = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
    return f"{who} {entry.fields.get('year', '')}".strip()


def setup(app: Sphinx) -> None:
    register_plugin("pybtex.style.formatting", "alphabook", AlphabookStyle)
