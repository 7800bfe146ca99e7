"""What an executed chapter depends on, as one hash: change any of it and the chapter runs again.

The notebook's cells, the parts of the package it imports (directly or not), the bundled data, the folder of real
candles, the parameters, the lock and the interpreter. Prose-only edits do change the hash: claims and glue live in
the same file, and a wrongly reused execution would be worse than a minute of work.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "alphabook"


def chapter_key(notebook: Path, parameters: dict[str, Any], *, root: Path = ROOT) -> str:
    """Hash of everything that can change a chapter's outputs."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    content = [[cell["cell_type"], cell["metadata"], "".join(cell["source"])] for cell in cells]
    parts = {
        "cells": _hash(json.dumps(content, sort_keys=True).encode()),
        "package": hash_files(imported_sources("\n".join(code), root=root), root=root),
        "data": hash_files(_bundled_data(root), root=root),
        "market": market_identity(),
        "parameters": parameters,
        "lock": hash_files([root / "requirements" / "lock.txt", root / "requirements" / "torch.txt"], root=root),
        "pipeline": hash_files([root / "tools" / "execute.py"], root=root),
        "python": platform.python_version(),
    }
    return _hash(json.dumps(parts, sort_keys=True).encode())


def imported_sources(code: str, *, root: Path = ROOT) -> list[Path]:
    """Files of the package that ``code`` can reach by imports, at the grain of its top-level modules and folders."""
    package = root / "src" / PACKAGE
    waiting, seen, files = _imported_units(code, package), set(), {package / "__init__.py"}
    while waiting:
        unit = waiting.pop()
        if unit in seen:
            continue
        seen.add(unit)
        found = _unit_files(package, unit)
        files.update(found)
        for path in found:
            if path.suffix == ".py":
                waiting |= _imported_units(path.read_text(encoding="utf-8"), package, path) - seen
    return sorted(path for path in files if path.exists())


def market_identity() -> str:
    """The folder of real candles by name, size and time of its files; empty when there is none."""
    folder = os.environ.get("ALPHABOOK_MARKET_DIR")
    if folder:
        files = sorted(Path(folder).glob("**/*.parquet"))
        stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        return _hash(json.dumps([str(Path(folder).resolve()), stats]).encode())
    store = Path(os.environ.get("ALPHABOOK_STORE", ROOT / "data" / "market.sqlite"))
    if store.exists():
        return _hash(json.dumps([str(store.resolve()), store.stat().st_size, store.stat().st_mtime_ns]).encode())
    return ""


def hash_files(paths: Iterable[Path], *, root: Path = ROOT) -> str:
    """One hash over names and contents; files that are absent count as absent, not as empty."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        if path.is_file():
            name = path.relative_to(root) if path.is_relative_to(root) else path
            digest.update(name.as_posix().encode() + b"\0" + _hash(path.read_bytes()).encode())
    return digest.hexdigest()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _bundled_data(root: Path) -> list[Path]:
    return [
        path
        for path in (root / "data").glob("**/*")
        if path.is_file() and ".sqlite" not in path.name and "store" not in path.relative_to(root / "data").parts
    ]


def _imported_units(code: str, package: Path, path: Path | None = None) -> set[str]:
    """Top-level names below the package (``candles``, ``store``) that the code imports, also inside functions."""
    try:
        tree = ast.parse(_without_magics(code))
    except SyntaxError:  # a chapter that cannot be parsed depends on everything
        return {entry.stem for entry in package.iterdir()}
    units: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = _absolute(node, package, path)
        else:
            continue
        for name in names:
            words = name.split(".")
            if words[0] == PACKAGE and len(words) > 1:
                units.add(words[1])
    return units


def _absolute(node: ast.ImportFrom, package: Path, path: Path | None) -> list[str]:
    base = node.module or ""
    if node.level and path is not None:
        folder = path.relative_to(package.parent).parent
        for _ in range(node.level - 1):
            folder = folder.parent
        base = ".".join([*folder.parts, *([base] if base else [])])
    return [f"{base}.{alias.name}" for alias in node.names]


def _unit_files(package: Path, unit: str) -> list[Path]:
    folder, module = package / unit, package / f"{unit}.py"
    if folder.is_dir():
        return [path for path in folder.glob("**/*") if path.is_file() and "__pycache__" not in path.parts]
    return [module] if module.exists() else []


def _without_magics(code: str) -> str:
    return "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in code.splitlines())
