"""Guess first, then look: interval guesses, the truth beside them, and how well the reader is calibrated.

``predict("truth.coin", low=2, high=9)`` keeps the guess in a small file of the reader's own,
``.alphabook/guesses.json`` beside the book (or ``$ALPHABOOK_GUESSES``); ``reveal("truth.coin", 6)`` shows the
truth and scores it; ``calibration()`` says how many of the 80 % intervals held the truth. A chapter as
committed makes no guess, which is never an error.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._page import KEY, escape, in_notebook, now, say

LEVEL = 0.8
GUESSES = "ALPHABOOK_GUESSES"


def predict(
    key: str,
    low: float | None = None,
    high: float | None = None,
    *,
    guess: float | str | None = None,
    unit: str = "",
) -> None:
    """Keep a guess: an interval that you believe holds the truth with 80 % probability, or one value.

    A guess made again after :func:`reveal` does not count: the first one stays in the score.

    Raises:
        ValueError: ``low`` is above ``high``, only one of them is given, or the key is malformed.
    """
    _check_key(key)
    if guess is None and low is None and high is None:
        _tell(
            "○",
            key,
            "make your guess first: put `low=` and `high=` into the call so that you would bet 4 to 1 "
            "on the truth lying between them, run this cell, then read on",
        )
        return
    if guess is None and (low is None or high is None):
        raise ValueError(f"guess {key}: an interval needs both ends, got low={low}, high={high}")
    if low is not None and high is not None and not low <= high:
        raise ValueError(f"guess {key}: low {low:g} is above high {high:g}; swap them")
    guesses = _read()
    made = {"low": low, "high": high, "guess": guess, "unit": unit}
    before = guesses.get(key)
    if before is not None and "actual" in before:
        if {k: before.get(k) for k in made} != made:
            _tell("○", key, f"you have seen the answer; your first guess, {_words(before)}, stays in the score")
        return
    guesses[key] = {**made, "made_at": now()}
    saved = _write(guesses)
    _tell(
        "○", key, f"your guess: {_words(made)}" + ("" if saved else " (not kept: the guesses file cannot be written)")
    )


def reveal(key: str, actual: float | str, *, unit: str = "") -> None:
    """Show the truth beside the guess, and score the guess when this is the first time.

    An interval is right when it holds the truth, ends included; a number when it is within 1 % of it; a word when
    it is the same.
    """
    _check_key(key)
    actual = actual if isinstance(actual, str) else float(actual)
    shown = f"the answer is: {actual}" if isinstance(actual, str) else f"it is {_value(actual)} {unit}".rstrip()
    guesses = _read()
    made = guesses.get(key)
    if made is None:
        _tell("●", key, shown)
        return
    hit = _hit(made, actual)
    if "actual" not in made:
        made.update(actual=actual, hit=hit, revealed_at=now())
        _write(guesses)
    _tell("✓" if hit else "✗", key, f"{shown}; you said {_words(made)}{_distance(made, actual, hit)}")


@dataclass(frozen=True)
class Calibration:
    """How many of the reader's 80 % intervals held the truth."""

    hits: int
    total: int

    @property
    def share(self) -> float:
        """``hits / total``; NaN before the first revealed interval."""
        return self.hits / self.total if self.total else math.nan

    @property
    def expected(self) -> tuple[int, int]:
        """The middle 90 % of what a perfectly calibrated reader would get in as many guesses."""
        chance = [math.comb(self.total, k) * LEVEL**k * (1 - LEVEL) ** (self.total - k) for k in range(self.total + 1)]
        below = [sum(chance[: k + 1]) for k in range(self.total + 1)]
        first = next(k for k, p in enumerate(below) if p > 0.05 - 1e-12)
        last = next(k for k, p in enumerate(below) if p >= 0.95 - 1e-12)
        return first, last

    def __str__(self) -> str:
        if not self.total:
            return "no interval guess has been revealed yet: use predict(), then reveal()"
        first, last = self.expected
        verdict = "as it should be, as far as so few guesses can tell" if self.total < 10 else "as it should be"
        if self.hits < first:
            verdict = "too few: your intervals are too narrow, you know less than you think"
        elif self.hits > last:
            verdict = "too many: your intervals are too wide, you know more than you say"
        return (
            f"{self.hits} of your {self.total} intervals ({self.share:.0%}) held the truth; {LEVEL:.0%} should, "
            f"{first} to {last} of {self.total} by luck alone: {verdict}"
        )

    def _ipython_display_(self) -> None:
        """Nothing: ``calibration`` has shown it already."""


def calibration() -> Calibration:
    """The score over all revealed interval guesses on this machine; shown on the page."""
    scored = [g for g in _read().values() if "hit" in g and g.get("low") is not None]
    result = Calibration(hits=sum(bool(g["hit"]) for g in scored), total=len(scored))
    say(str(result), escape(result), css="ab-predict ab-calibration")
    return result


def forget(key: str | None = None) -> None:
    """Drop one guess, or all of them."""
    guesses = _read()
    _write({} if key is None else {k: v for k, v in guesses.items() if k != key})


def guesses_file() -> Path:
    """``$ALPHABOOK_GUESSES``, else ``.alphabook/guesses.json`` at the root of the book, else in this folder."""
    if os.environ.get(GUESSES):
        return Path(os.environ[GUESSES])
    here = Path.cwd()
    root = next((p for p in (here, *here.parents) if (p / "_toc.yml").is_file()), here)
    return root / ".alphabook" / "guesses.json"


def _read() -> dict[str, dict[str, Any]]:
    file = guesses_file()
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        data = None
    if not isinstance(data, dict):
        aside = file.with_suffix(".unreadable")
        try:
            file.replace(aside)
        except OSError:
            return {}
        _tell("○", str(file.name), f"was unreadable and is now called {aside.name}; guesses start afresh")
        return {}
    return data


def _write(guesses: dict[str, dict[str, Any]]) -> bool:
    """Replace the file as a whole; ``False`` where this machine does not allow it."""
    file = guesses_file()
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(guesses, indent=1, sort_keys=True), encoding="utf-8")
        draft.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        return False
    return True


def _hit(made: dict[str, Any], actual: float | str) -> bool:
    if made.get("low") is not None and not isinstance(actual, str):
        return bool(made["low"] <= actual <= made["high"])
    guess = made.get("guess")
    if isinstance(guess, str) or isinstance(actual, str):
        return str(guess).strip().casefold() == str(actual).strip().casefold()
    return guess is not None and math.isclose(float(guess), actual, rel_tol=0.01)


def _distance(made: dict[str, Any], actual: float | str, hit: bool) -> str:
    if isinstance(actual, str) or isinstance(made.get("guess"), str):
        return ""
    if made.get("low") is not None:
        if hit:
            return ", which holds it"
        side = "below" if actual < made["low"] else "above"
        return f", and it lies {side}"
    return f", off by {_value(abs(float(made['guess']) - actual))}"


def _words(made: dict[str, Any]) -> str:
    unit = f" {made['unit']}" if made.get("unit") else ""
    if made.get("low") is not None:
        return f"{_value(made['low'])} to {_value(made['high'])}{unit}"
    return f"{_value(made['guess'])}{unit}"


def _value(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _tell(mark: str, key: str, text: str) -> None:
    if in_notebook():
        say(
            f"{mark} {key}: {text}",
            f'<span class="ab-mark">{mark}</span> <code>{escape(key)}</code> {escape(text)}',
            css="ab-predict",
        )
    else:
        print(f"{mark} {key}: {text}")


def _check_key(key: str) -> None:
    if not KEY.fullmatch(key):
        raise ValueError(
            f"guess key {key!r}: write the chapter's prefix, a dot and lower-case words, like 'truth.coin'"
        )
