"""A guess is kept before the truth is shown, and counts once."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from alphabook.teaching import calibration, forget, predict, reveal
from alphabook.teaching.predict import Calibration, guesses_file


def stored():
    return json.loads(guesses_file().read_text())


def revealed(key, actual, **unit):
    """Reveal, and return whether the guess was right; ``None`` without one."""
    reveal(key, actual, **unit)
    return (
        stored()[key]["hit"] if guesses_file().parent.is_dir() and guesses_file().exists() and key in stored() else None
    )


def test_a_chapter_as_committed_makes_no_guess_and_leaves_no_file(capsys):
    predict("truth.coin")
    assert revealed("truth.coin", 5, unit="heads") is None
    out = capsys.readouterr().out
    assert "make your guess first" in out
    assert "it is 5 heads" in out
    assert not guesses_file().exists()
    assert calibration().total == 0


def test_an_interval_is_kept_then_scored(capsys):
    predict("truth.coin", low=2, high=9, unit="heads")
    assert revealed("truth.coin", 5) is True
    assert revealed("truth.coin", 5) is True
    assert "you said 2 to 9 heads, which holds it" in capsys.readouterr().out
    assert stored()["truth.coin"]["hit"] is True


@pytest.mark.parametrize(("actual", "side"), [(1, "below"), (10, "above")])
def test_a_miss_says_on_which_side_the_truth_lies(capsys, actual, side):
    predict("truth.coin", 2, 9)
    assert revealed("truth.coin", actual) is False
    assert f"it lies {side}" in capsys.readouterr().out


def test_the_ends_belong_to_the_interval():
    predict("a.b", 2, 9)
    assert revealed("a.b", 9) is True


def test_a_guess_may_change_until_the_truth_is_shown_and_not_after(capsys):
    predict("truth.coin", 2, 3)
    predict("truth.coin", 2, 4)
    assert revealed("truth.coin", 5) is False
    predict("truth.coin", 2, 9)
    assert "your first guess, 2 to 4, stays in the score" in capsys.readouterr().out
    assert revealed("truth.coin", 5) is False
    assert calibration() == Calibration(hits=0, total=1)


def test_running_the_page_again_with_the_same_guess_is_quiet(capsys):
    predict("truth.coin", 2, 9)
    reveal("truth.coin", 5)
    capsys.readouterr()
    predict("truth.coin", 2, 9)
    assert capsys.readouterr().out == ""


def test_one_value_is_scored_by_its_distance_and_words_by_equality(capsys):
    predict("a.number", guess=4)
    assert revealed("a.number", 5) is False
    assert "off by 1" in capsys.readouterr().out
    predict("a.near", guess=100)
    assert revealed("a.near", 100.5) is True
    predict("a.word", guess=" Up ")
    assert revealed("a.word", "up") is True
    assert "the answer is: up; you said" in capsys.readouterr().out
    assert calibration().total == 0


def test_half_an_interval_or_one_turned_round_is_refused():
    with pytest.raises(ValueError, match="needs both ends, got low=2, high=None"):
        predict("a.b", low=2)
    with pytest.raises(ValueError, match="low 3 is above high 2; swap them"):
        predict("a.b", 3, 2)
    with pytest.raises(ValueError, match="low nan is above"):
        predict("a.b", math.nan, 2)
    with pytest.raises(ValueError, match="write the chapter's prefix"):
        predict("coin")


def test_calibration_counts_intervals_only():
    for number, actual in enumerate([0, 0, 0, 5]):
        predict(f"a.g{number}", 0, 1)
        reveal(f"a.g{number}", actual)
    predict("a.open", 0, 1)
    score = calibration()
    assert (score.hits, score.total, score.share) == (3, 4, 0.75)


@pytest.mark.parametrize(("total", "expected"), [(1, (0, 1)), (10, (6, 10)), (20, (13, 19)), (100, (73, 86))])
def test_what_a_calibrated_reader_would_score(total, expected):
    """The 5 % and 95 % quantiles of the binomial distribution, from its tables."""
    assert Calibration(hits=0, total=total).expected == expected


@pytest.mark.parametrize(
    ("hits", "total", "verdict"),
    [
        (4, 10, "too narrow"),
        (8, 10, "as it should be"),
        (20, 20, "too wide"),
        (2, 3, "so few guesses"),
        (0, 0, "no interval"),
    ],
)
def test_the_verdict_in_words(hits, total, verdict):
    assert verdict in str(Calibration(hits=hits, total=total))


def test_forget_drops_one_or_all():
    predict("a.one", 0, 1)
    predict("a.two", 0, 1)
    forget("a.one")
    assert set(stored()) == {"a.two"}
    forget()
    assert stored() == {}


@pytest.mark.parametrize("content", ["{torn", "[1, 2]", "\x00\xff"])
def test_an_unreadable_file_is_put_aside_not_lost(capsys, content):
    guesses_file().write_text(content)
    predict("a.b", 0, 1)
    assert "unreadable" in capsys.readouterr().out
    assert set(stored()) == {"a.b"}
    assert guesses_file().with_suffix(".unreadable").read_text() == content


def test_a_folder_that_cannot_be_written_is_told_not_raised(monkeypatch, tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("ALPHABOOK_GUESSES", str(blocked / "guesses.json"))
    predict("a.b", 0, 1)
    assert "not kept" in capsys.readouterr().out
    assert revealed("a.b", 1) is None


def test_a_write_that_fails_leaves_the_old_file_whole_and_no_litter(monkeypatch, capsys):
    predict("a.b", 0, 1)
    before = guesses_file().read_text()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    predict("a.c", 0, 1)
    assert "not kept" in capsys.readouterr().out
    assert guesses_file().read_text() == before
    assert [file.name for file in guesses_file().parent.iterdir()] == [guesses_file().name]


def test_guesses_live_at_the_root_of_the_book(monkeypatch, tmp_path):
    monkeypatch.delenv("ALPHABOOK_GUESSES")
    (tmp_path / "_toc.yml").touch()
    deep = tmp_path / "notebooks" / "data"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert guesses_file() == tmp_path / ".alphabook" / "guesses.json"
