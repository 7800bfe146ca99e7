"""The student release holds no solution; the set-up says in one line what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dev
import nbformat
import pytest
from factory import find, good_chapter
from student import release, withhold, without_solutions

ROOT = Path(__file__).resolve().parents[2]


def test_solutions_go_and_everything_else_stays() -> None:
    before = good_chapter()
    exercises = sum("{exercise}" in cell.source for cell in before.cells)
    after = withhold(good_chapter())
    source = "\n".join(cell.source for cell in after.cells)
    assert "{solution}" not in source
    assert "return x" not in source
    assert source.count("{exercise}") == exercises
    assert source.count("{dropdown} Hint") == exercises
    assert source.count('check("good.') == exercises


def test_a_solution_that_nests_fences_goes_whole() -> None:
    source = "Before.\n\n````{solution} ex-a\n```python\nsecret = 1\n```\nsecret words\n````\n\nAfter."
    assert without_solutions(source) == "Before.\n\nAfter."


def test_a_cell_tagged_solution_goes() -> None:
    notebook = good_chapter()
    find(notebook, "1 + 1").metadata["tags"] = ["solution"]
    assert not any("1 + 1" in cell.source for cell in withhold(notebook).cells)


def test_the_release_of_this_book_has_no_solution(tmp_path: Path) -> None:
    for path in release(tmp_path / "student", ROOT):
        notebook = nbformat.read(path, 4)
        assert "{solution" not in "\n".join(cell.source for cell in notebook.cells)
    assert (tmp_path / "student" / "tools" / "dev.py").exists()
    assert (tmp_path / "student" / "src" / "alphabook" / "candles").is_dir()


def test_a_release_never_overwrites_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit, match="is no student release"):
        release(tmp_path, ROOT)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


# --- set-up --------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", [(3, 10, 9), (3, 14, 0)])
def test_a_python_that_is_too_old_or_too_new_is_refused_in_one_line(
    version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev.sys, "version_info", version)
    with pytest.raises(SystemExit) as stopped:
        dev.check_python()
    line = str(stopped.value)
    assert "Python 3.11, 3.12 or 3.13 is needed" in line
    assert "PYTHON=" in line
    assert "\n" not in line


def test_a_half_made_environment_is_removed_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text("torn")
    steps: list[str] = []
    for name, value in {"VENV": venv, "BIN": venv / "bin", "PY": venv / "bin" / "python"}.items():
        monkeypatch.setattr(dev, name, value)
    monkeypatch.delenv("ALPHABOOK_SKIP_SETUP", raising=False)
    monkeypatch.setattr(dev, "step", lambda name, command: steps.append(name))
    monkeypatch.setattr(dev, "healthy", lambda same_version=False: bool(steps))
    monkeypatch.setattr(dev, "make_venv", lambda: (venv.mkdir(), steps.append("venv")))
    dev.ensure_environment()
    assert not (venv / "bin").exists()
    assert [step.split()[0] for step in steps] == ["venv", "1/3", "2/3", "3/3"]
    dev.ensure_environment()
    assert len(steps) == 4, "a second set-up does nothing"


def test_a_failing_step_shows_the_reason_and_stops(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="set-up stopped at 2/3"):
        dev.step("2/3 packages", [sys.executable, "-c", "print('no such hash'); raise SystemExit(1)"])
    assert "no such hash" in capfd.readouterr().err


def test_an_unknown_task_and_the_help_name_the_tasks() -> None:
    wrong = subprocess.run([sys.executable, "tools/dev.py", "bok"], cwd=ROOT, capture_output=True, text=True)
    assert wrong.returncode != 0
    assert "unknown task 'bok'" in wrong.stderr
    shown = subprocess.run([sys.executable, "tools/dev.py", "help"], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0
    makefile = (ROOT / "Makefile").read_text()
    for task in dev.TASKS:
        assert f"make {task}" in shown.stdout
        assert task in makefile


def test_dev_needs_the_standard_library_only() -> None:
    code = "import sys; sys.path.insert(0, 'tools'); import dev"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
