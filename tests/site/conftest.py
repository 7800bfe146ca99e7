"""The built site, served on this machine, in a Chromium that reaches nothing else."""

from __future__ import annotations

import functools
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SITE = Path(os.environ.get("ALPHABOOK_SITE", Path(__file__).resolve().parents[2] / "_build" / "html"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip


def pages() -> list[str]:
    """Every page of the site by its address below the root; the theme's own snippets are no pages."""
    if not (SITE / "index.html").exists():
        return []
    found = sorted(path.relative_to(SITE).as_posix() for path in SITE.glob("**/*.html"))
    return [name for name in found if not name.startswith("_static/")]


def own_pages() -> list[str]:
    """Without the front door, which only leads on, and with one listing of source code for all."""
    listings = [name for name in pages() if name.startswith("_modules/")]
    return [name for name in pages() if name not in listings[1:] and name != "index.html"]


def absent(reason: str) -> None:
    """Skip where a reader may lack something; fail where everything must be there (CI)."""
    if os.environ.get("ALPHABOOK_REQUIRE_SITE"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "index.html").exists():
        absent("the book is not built: make book")
    return SITE


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """The site over HTTP, as a reader's host serves it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        absent("no Chromium on this machine (Debian: apt install chromium); CHROMIUM=/path/to/it names one")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()
