"""Each test has its own page, registry, guesses file and rows folder."""

from __future__ import annotations

import pytest

from alphabook.teaching import _page, checks


@pytest.fixture(autouse=True)
def fresh_page(monkeypatch, tmp_path):
    monkeypatch.setattr(_page.PAGE, "chapter", None)
    monkeypatch.setattr(_page.PAGE, "source", None)
    monkeypatch.delenv("ALPHABOOK_CLAIMS_DIR", raising=False)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("ALPHABOOK_GUESSES", str(tmp_path / "guesses.json"))


@pytest.fixture
def rows(monkeypatch, tmp_path):
    """The folder into which claims write while a build collects them."""
    folder = tmp_path / "rows"
    monkeypatch.setenv("ALPHABOOK_CLAIMS_DIR", str(folder))
    return folder


@pytest.fixture
def registry(monkeypatch):
    """A copy of the registry, so that exercises made up by a test do not outlive it."""
    checks.exercise_index()  # load all modules now: one first imported below would register into the copy
    copy = dict(checks._REGISTRY)
    monkeypatch.setattr(checks, "_REGISTRY", copy)
    return copy


@pytest.fixture
def notebook(monkeypatch):
    """Pretend to run in a notebook; the list collects (bundle, metadata) of every output."""
    outputs: list[tuple[dict, dict]] = []

    def emit(bundle, metadata=None):
        outputs.append((bundle, metadata or {}))

    import importlib

    for name in ("_page", "claims", "checks", "predict", "figures"):
        module = importlib.import_module(f"alphabook.teaching.{name}")
        for attribute, fake in (("emit", emit), ("in_notebook", lambda: True)):
            if hasattr(module, attribute):
                monkeypatch.setattr(module, attribute, fake)
    return outputs
