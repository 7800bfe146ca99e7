"""A chapter's claims are about its method, not about one draw."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import every_chapter, run

pytestmark = pytest.mark.notebook


@every_chapter
def test_runs_with_another_seed(path: Path, tmp_path: Path) -> None:
    """The claims are about the method, not about one draw."""
    run(path, tmp_path, cwd=path.parent, SEED=11)
