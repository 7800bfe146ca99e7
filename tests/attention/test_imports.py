"""Nothing of the attentions reaches elsewhere: no other part of the book, no peer library, one file at a time."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import alphabook.attention as attention

FOLDER = Path(attention.__file__).parent
PEERS = {"transformers", "local_attention", "performer_pytorch"}


def imported(path: Path) -> list[tuple[int, str]]:
    """(level of the relative import, module) of everything a file imports."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or ""))
    return found


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda p: p.name)
def test_attention_imports_nothing_else_of_the_book(path: Path) -> None:
    for level, name in imported(path):
        assert level <= 1, f"{path.name} reaches out of attention/: {'.' * level}{name}"
        assert level == 1 or not name.startswith("alphabook"), f"{path.name} imports {name}"


def test_no_peer_is_imported_by_the_package() -> None:
    for path in FOLDER.parent.rglob("*.py"):
        assert not PEERS & {name.split(".")[0] for level, name in imported(path) if level == 0}, path.name


def test_the_package_stays_light() -> None:
    code = "import sys, alphabook; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there() -> None:
    for name in attention.__all__:
        assert getattr(attention, name).__doc__, name


def test_dense_is_one_file(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "dense.py", tmp_path / "lifted_dense.py")
    lifted = load(tmp_path / "lifted_dense.py")
    x = torch.randn(1, 1, 5, 2)
    assert torch.equal(lifted.dense_attention(x, x, x), attention.dense_attention(x, x, x))


def test_the_window_is_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lifted_window"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("sliding_window.py", "_window_kernel.py"):
        shutil.copy(FOLDER / name, package / name)
    monkeypatch.syspath_prepend(tmp_path)
    lifted = importlib.import_module("lifted_window.sliding_window")
    x = torch.randn(1, 1, 50, 2)
    ours = attention.sliding_window_attention(x, x, x, window=3)
    assert torch.equal(lifted.sliding_window_attention(x, x, x, window=3), ours)


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
