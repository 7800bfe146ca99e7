"""Opening a page and noting everything that goes wrong on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, Page

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@dataclass
class Visit:
    page: Page
    failed: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        return [
            *(f"request failed: {url}" for url in self.failed),
            *(f"request to another host: {url}" for url in self.foreign),
            *(f"console: {text}" for text in self.console),
        ]


@contextmanager
def visit(
    browser: Browser, address: str, name: str, *, theme: str = "light", size: dict[str, int] = DESK
) -> Iterator[Visit]:
    """Open a page in a context of its own and wait until its figures and formulas stand."""
    context = browser.new_context(viewport=size, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    seen = Visit(page)
    page.on("requestfailed", lambda request: seen.failed.append(request.url))
    page.on(
        "response", lambda reply: seen.failed.append(f"{reply.status} {reply.url}") if reply.status >= 400 else None
    )
    page.on("request", lambda request: None if local(request.url, address) else seen.foreign.append(request.url))
    page.on("console", lambda line: seen.console.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: seen.console.append(str(error)))
    page.goto(f"{address}/{name}", wait_until="load")
    settle(page)
    yield seen
    context.close()


def local(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:", "about:"))


def settle(page: Page) -> None:
    """Until fonts are there, every formula is typeset and every interactive figure is drawn."""
    page.wait_for_function(
        """() => {
          const figures = [...document.querySelectorAll('script[data-plotly-for]')]
            .every(s => document.getElementById(s.dataset.plotlyFor).querySelector('.main-svg'));
          const maths = [...document.querySelectorAll('span.math, div.math')]
            .every(m => m.querySelector('mjx-container'));
          return figures && maths;
        }""",
        timeout=30_000,
    )
    page.evaluate("document.fonts.ready.then(() => true)")
