"""The bibliography's labels are those by which the text cites."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

database = pytest.importorskip("pybtex.database")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def references():
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    try:
        yield importlib.import_module("alphabook_site.references")
    finally:
        sys.path.pop(0)


def entry(authors, year="2001"):
    text = f"@misc{{key, author = {{{' and '.join(authors)}}}, year = {{{year}}}}}"
    return database.parse_string(text, "bibtex").entries["key"]


@pytest.mark.parametrize(
    ("authors", "expected"),
    [
        (["Cont, Rama"], "Cont 2001"),
        (["Newey, Whitney", "West, Kenneth"], "Newey and West 2001"),
        (["Bailey, David", "{López de Prado}, Marcos"], "Bailey and López de Prado 2001"),
        (["Harvey, C", "Liu, Y", "Zhu, H"], "Harvey et al. 2001"),
    ],
)
def test_a_label_names_up_to_two_people_and_the_year(references, authors, expected):
    assert references.label(entry(authors)) == expected


def test_works_of_one_author_and_year_are_told_apart(references):
    same = [entry(["Lo, Andrew"]), entry(["Lo, Andrew"]), entry(["Cont, Rama"])]
    assert list(references.AuthorYear().format_labels(same)) == ["Lo 2001a", "Lo 2001b", "Cont 2001"]


def test_every_entry_of_the_book_gets_a_label_of_its_own(references):
    entries = database.parse_file(str(ROOT / "book" / "references.bib"), "bibtex").entries.values()
    labels = list(references.AuthorYear().format_labels(entries))
    assert len(set(labels)) == len(labels)
    assert not [label for label in labels if set(label) & set("{}\\")]
