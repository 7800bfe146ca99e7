"""Every link, anchor and file of the built site leads somewhere; read from the files, no browser needed."""

from __future__ import annotations

import functools
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest
from built import pages

pytestmark = pytest.mark.site


class Reader(HTMLParser):
    """The ids a page has, the addresses it names, the images it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.sources: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name in ("id", "name"):
            if given.get(name) and (name == "id" or tag == "a"):
                self.ids.add(str(given[name]))
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if tag in ("img", "script", "source", "iframe") and given.get("src"):
            self.sources.append(str(given["src"]))
        if tag == "link" and given.get("href") and given.get("rel") != "canonical":
            self.sources.append(str(given["href"]))
        if tag == "img":
            self.images.append(given)


@functools.cache
def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def broken(path: Path, site: Path) -> list[str]:
    found = []
    for link in read(path).links:
        url = urlparse(link)
        if url.scheme or url.netloc:
            if url.scheme not in ("http", "https", "mailto"):
                found.append(f"{link}: what is {url.scheme}?")
            continue
        file, anchor = urldefrag(link)
        target = path if not file else (path.parent / unquote(urlparse(file).path)).resolve()
        if target.is_dir():
            target /= "index.html"
        if not target.exists():
            found.append(f"{link}: no such file")
        elif anchor and target.suffix == ".html" and unquote(anchor) not in read(target).ids:
            found.append(f"{link}: no such place on that page")
    for source in read(path).sources:
        url = urlparse(source)
        if url.scheme == "data":
            continue
        if url.scheme or url.netloc:
            found.append(f"{source}: loaded from another host")
        elif not (path.parent / unquote(url.path)).resolve().exists():
            found.append(f"{source}: no such file")
    return found


def test_there_are_pages(site: Path) -> None:
    names = pages()
    assert "book/index.html" in names
    assert any(name.startswith("notebooks/") for name in names)


@pytest.mark.parametrize("name", pages())
def test_every_link_leads_somewhere(name: str, site: Path) -> None:
    assert broken(site / name, site) == []


@pytest.mark.parametrize("name", pages())
def test_every_image_has_an_alternative_text(name: str, site: Path) -> None:
    for image in read(site / name).images:
        assert image.get("alt") is not None, f"no alt: {image.get('src')}"
        if "_images/" in str(image.get("src")):
            alt = str(image["alt"])
            assert len(alt) > 20, f"the alternative text of a figure states the finding, this is {alt!r}"
            assert not re.search(r"\.(svg|png)$", alt)


def test_every_figure_has_its_dark_twin(site: Path) -> None:
    figures = [path for path in (site / "_images").glob("*.svg") if not path.name.endswith(".dark.svg")]
    assert figures
    for path in figures:
        dark = path.with_name(path.stem + ".dark.svg")
        assert dark.exists()
        assert "#1c2430" not in dark.read_text(encoding="utf-8"), "light ink in the dark twin"


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<a href="other.html">x</a><a href="#nowhere">y</a><img src="https://example.org/a.png"><a href="#p" id="p">'
    )
    assert [line.split(": ")[1] for line in broken(page, tmp_path)] == [
        "no such file",
        "no such place on that page",
        "loaded from another host",
    ]
