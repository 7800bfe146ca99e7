"""The one-minute verification works here, and says what is broken where it does not."""

from __future__ import annotations

import pytest

from alphabook.teaching import verify


def test_everything_a_chapter_needs_works_here(capsys):
    assert verify.main() == 0
    said = capsys.readouterr().out
    assert said.count("✓") == len(verify.ATTEMPTS)
    assert "make lab" in said


def test_one_broken_thing_is_named_and_the_rest_is_still_tried(monkeypatch, capsys):
    def broken():
        raise OSError("disk full")

    monkeypatch.setattr(verify, "ATTEMPTS", {"candle store": broken, "Python": verify.python})
    assert verify.main() == 1
    said = capsys.readouterr().out
    assert "✗ candle store: OSError: disk full" in said
    assert "✓ Python" in said
    assert "1 of 2 failed" in said
    assert "make setup" in said


@pytest.mark.parametrize(
    ("running", "fits"), [((3, 10, 9), False), ((3, 11, 0), True), ((3, 13, 5), True), ((3, 14, 0), False)]
)
def test_python_must_be_one_that_resolves(monkeypatch, running, fits):
    monkeypatch.setattr(verify.sys, "version_info", running)
    if fits:
        verify.python()
    else:
        with pytest.raises(RuntimeError, match=r"3\.11, 3\.12 or 3\.13 is needed"):
            verify.python()


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(verify, "PACKAGES", ("numpy", "no-such-package-at-all"))
    with pytest.raises(RuntimeError, match="no-such-package-at-all is not installed; run `make setup`"):
        verify.packages()
