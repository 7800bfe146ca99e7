"""Chapters under test find no real candles and no way out, except to this machine (the stand-in)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import NOWHERE


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, no_market: None) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, NOWHERE)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    monkeypatch.delenv("ALPHABOOK_CLAIMS_DIR", raising=False)
