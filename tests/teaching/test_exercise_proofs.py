"""Every registered exercise is proved by ``assert_exercise`` and used by a chapter, and the other way round."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from alphabook.teaching import exercise_index

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def proved() -> set[str]:
    """Ids that tests pass to ``assert_exercise``, which itself wants two right and three wrong answers."""
    found: set[str] = set()
    for file in sorted(HERE.glob("test_exercises_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "assert_exercise" and node.args:
                found.add(ast.literal_eval(node.args[0]))
    return found


def checked_in_chapters() -> set[str]:
    """Ids that chapters pass to ``check``."""
    found: set[str] = set()
    for file in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" in file.parts:
            continue
        for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                found |= set(re.findall(r"""\bcheck\(\s*["']([^"']+)["']""", "".join(cell["source"])))
    return found


def registered() -> set[str]:
    return set(exercise_index()["id"])


def test_every_exercise_is_proved_with_right_and_planted_wrong_answers():
    assert registered() - proved() == set(), "exercises without assert_exercise in tests/teaching"
    assert proved() - registered() == set(), "assert_exercise of exercises that are not registered"


def test_every_exercise_is_used_by_a_chapter_and_every_check_is_registered():
    assert checked_in_chapters() - registered() == set(), "a chapter checks an exercise that is not registered"
    assert registered() - checked_in_chapters() == set(), "a registered exercise that no chapter uses"
