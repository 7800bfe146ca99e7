"""Shared by all tests: one thread per worker, no foreign settings, folders of candles."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Two workers with two BLAS threads each are slower than one thread each; set before numpy is imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ["JUPYTER_PLATFORM_DIRS"] = "1"

import pytest  # noqa: E402

sys.path.insert(0, str(ROOT / "tools"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture
def no_market(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without real candles: no folder, and a store that does not exist."""
    monkeypatch.delenv("ALPHABOOK_MARKET_DIR", raising=False)
    monkeypatch.setenv("ALPHABOOK_STORE", str(tmp_path / "absent.sqlite"))


@pytest.fixture(scope="session")
def market_dir() -> Path:
    """The folder of real candles, where one is named; the test is skipped where not."""
    folder = os.environ.get("ALPHABOOK_MARKET_DIR")
    if not folder:
        pytest.skip("no real candles: ALPHABOOK_MARKET_DIR is not set")
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def quiet_kernels(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Kernels read no user's IPython files and do not write their transport's warning."""
    if "IPYTHONDIR" not in os.environ:
        profile = tmp_path_factory.mktemp("ipython") / "profile_default"
        profile.mkdir()
        (profile / "ipython_kernel_config.py").write_text("c = get_config()\nc.IPKernelApp.log_level = 40\n")
        os.environ["IPYTHONDIR"] = str(profile.parent)
