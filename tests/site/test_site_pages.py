"""Every page in a real browser with the network off: light, dark, and on a phone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from built import own_pages
from looking import PHONE, settle, visit

pytestmark = [pytest.mark.site, pytest.mark.xdist_group("browser")]

SERIOUS = ("serious", "critical")
WIDE = """() => {
  const inside = (e) => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(p).overflowX)) return true;
    return false;
  };
  if (document.documentElement.scrollWidth <= window.innerWidth) return [];
  return [...document.querySelectorAll('main *')]
    .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1 && !inside(e))
    .slice(0, 5).map(e => e.tagName + '.' + e.className).concat(['page: ' + document.documentElement.scrollWidth]);
}"""


def accessibility(page) -> list[str]:
    """Serious and critical violations that axe-core finds."""
    from axe_playwright_python.sync_playwright import Axe

    response = Axe().run(page).response
    return [
        f"{found['id']} ({found['impact']}): {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for found in response["violations"]
        if found["impact"] in SERIOUS
        for node in found["nodes"][:3]
    ]


@pytest.mark.parametrize("name", own_pages())
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_stands_alone_and_is_accessible(name: str, theme: str, browser, address: str) -> None:
    with visit(browser, address, name, theme=theme) as seen:
        assert seen.page.evaluate("document.documentElement.dataset.theme") in (theme, None)
        assert seen.problems == []
        assert accessibility(seen.page) == []
        blank = seen.page.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
        assert blank == []


@pytest.mark.parametrize("name", own_pages())
def test_a_page_fits_a_phone(name: str, browser, address: str) -> None:
    with visit(browser, address, name, size=PHONE) as seen:
        assert seen.page.evaluate(WIDE) == []
        assert seen.problems == []


def chapters() -> list[str]:
    return [name for name in own_pages() if name.startswith("notebooks/")]


@pytest.mark.parametrize("name", chapters())
def test_figures_are_drawn_numbered_and_captioned(name: str, browser, address: str) -> None:
    with visit(browser, address, name) as seen:
        figures = seen.page.evaluate(
            """() => [...document.querySelectorAll('main figure')].map(f => ({
                 caption: (f.querySelector('figcaption .caption-number') || {}).textContent || '',
                 visible: [...f.querySelectorAll('img')].filter(i => getComputedStyle(i).display !== 'none').length,
                 drawn: f.querySelectorAll('.main-svg').length,
                 label: (f.querySelector('.ab-plotly') || {getAttribute: () => 'x'}).getAttribute('aria-label') }))"""
        )
        assert len(figures) >= 4
        for number, figure in enumerate(figures, 1):
            assert figure["caption"].strip().startswith("Figure"), figure
            assert figure["caption"].strip().endswith(f".{number}"), figure
            assert figure["visible"] == 1 or figure["drawn"] > 0, figure
            assert figure["label"]
        assert any(figure["drawn"] for figure in figures), "a chapter has a figure to touch"


@pytest.mark.parametrize("name", chapters())
def test_formulas_are_typeset_and_facts_are_shown(name: str, browser, address: str) -> None:
    with visit(browser, address, name) as seen:
        assert seen.page.locator("mjx-container svg").count() > 0
        assert seen.page.locator("mjx-merror, [data-mml-node=merror]").count() == 0
        facts = seen.page.locator(".ab-facts").inner_text()
        assert "Run time" in facts
        assert "candles" in facts
        assert seen.page.locator(".ab-claim").count() > 0
        assert seen.page.locator("div.cell_input button.copybtn").count() > 0


def test_the_theme_switch_changes_page_and_figures(browser, address: str) -> None:
    with visit(browser, address, chapters()[0], theme="light") as seen:
        page = seen.page
        colour = "getComputedStyle(document.body).backgroundColor"
        ink = "(document.querySelector('.ab-plotly text') || document.body).getAttribute('style')"
        before = page.evaluate(colour), page.evaluate(ink)
        for _ in range(3):  # auto, light, dark, in whatever order the theme has them
            page.locator(".theme-switch-button:visible").first.click()
            if page.evaluate("document.documentElement.dataset.theme") == "dark":
                break
        page.wait_for_timeout(800)
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        after = page.evaluate(colour), page.evaluate(ink)
        assert after[0] != before[0]
        assert after[1] != before[1], "the interactive figure kept its light ink"
        assert page.locator("img.ab-dark:visible").count() == page.locator("img.ab-dark").count()
        assert page.locator("img.ab-light:visible").count() == 0
        assert seen.problems == []


def test_search_finds_a_word(browser, address: str) -> None:
    with visit(browser, address, "search.html?q=candle") as seen:
        seen.page.wait_for_selector("#search-results ul.search li a", timeout=20_000)
        links = seen.page.locator("#search-results ul.search li a")
        assert links.count() > 0
        seen.page.wait_for_load_state("networkidle")  # the theme fetches every page found, for its summary
        links.first.click()
        seen.page.wait_for_load_state("load")
        settle(seen.page)
        assert "search.html" not in seen.page.url
        assert seen.problems == []


@pytest.mark.parametrize("name", chapters())
def test_solutions_and_proofs_are_folded_and_unfold(name: str, browser, address: str) -> None:
    with visit(browser, address, name) as seen:
        folded = seen.page.locator(".bd-article .admonition.dropdown")
        assert folded.count() >= 4
        for number in range(folded.count()):
            fold = folded.nth(number)
            content = fold.locator(":scope > :not(.admonition-title)").first
            assert not content.is_visible()
            fold.locator(":scope > .admonition-title").click(position={"x": 8, "y": 8})
            content.wait_for(state="visible", timeout=10_000)


def test_previous_and_next_go_through_the_book(browser, address: str) -> None:
    with visit(browser, address, "book/index.html") as seen:
        passed = set()
        while (link := seen.page.locator("a.right-next")).count():
            link.click()
            seen.page.wait_for_load_state("load")
            assert seen.page.url not in passed
            passed.add(seen.page.url)
        listed = [name for name in own_pages() if name.startswith(("book/", "notebooks/"))]
        assert len(passed) == len(listed) - 1, "all pages but the first"


def test_the_first_tab_stop_skips_to_the_content(browser, address: str) -> None:
    with visit(browser, address, "book/index.html") as seen:
        seen.page.keyboard.press("Tab")
        focused = seen.page.evaluate("document.activeElement.textContent.trim()")
        assert focused.lower().startswith("skip to")


def test_the_front_door_leads_to_the_book(browser, address: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}/index.html")
    page.wait_for_url("**/book/index.html", timeout=10_000)
    context.close()


def test_the_book_opens_from_a_folder_too(browser, site: Path) -> None:
    """Without any server: by a double click on the file."""
    with visit(browser, site.as_uri(), chapters()[0]) as seen:
        assert seen.problems == []


def test_printing_hides_the_furniture(browser, address: str) -> None:
    with visit(browser, address, chapters()[0], theme="dark") as seen:
        seen.page.emulate_media(media="print")
        assert seen.page.locator(".bd-sidebar-primary").is_hidden()
        assert seen.page.locator("img.ab-light").first.is_visible()
        assert json.loads(seen.page.evaluate("JSON.stringify(getComputedStyle(document.body).color)"))
