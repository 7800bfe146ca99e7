"""A claim: a number of the book with the band it must lie in.

``claim("bars.gap-count", gaps, low=1, high=40, unit="gaps")`` in a chapter fails the build when the number
leaves its band, hands it to the prose (``{glue:text}`bars.gap-count:.0f` ``), and writes the row from which
the page of all claims is made. How to read one is told in :doc:`/book/trust`.
"""

from __future__ import annotations

import json
import math
import numbers
from pathlib import Path
from typing import Any

from ..errors import ClaimError
from ._page import KEY, PAGE, emit, escape, in_notebook, say, write_row

GLUE_PREFIX = "application/papermill.record/"


def claim(
    key: str,
    value: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    text: str | None = None,
    source: object = None,
    quiet: bool = False,
) -> Any:
    """Assert that ``value`` lies in ``low .. high`` (ends included), glue it, record it, show it; return it.

    A number without a band is *recorded*, not claimed: it must still be finite. A ``bool`` claims that it is
    true. A string is recorded as it is.

    Args:
        key: the chapter's prefix, a dot, lower-case words: ``"bars.gap-count"``.
        unit: what the number counts or measures, shown behind it (``"%"``, ``"bars"``, ``"bp"``).
        text: the claim in words, for the ledger.
        quiet: show no line, for one of many numbers that a figure or table beside it shows; all else is the same.
        source: candles or text saying on what data; default: what the latest banner of the
            page named, so a section on other data begins with a banner of its own.

    Raises:
        ClaimError: the value is outside its band, not finite, or a false ``bool``.
        ValueError: the key is not of that form, or the band is empty or given for something not a number.
    """
    if not KEY.fullmatch(key):
        raise ValueError(
            f"claim key {key!r}: write the chapter's prefix, a dot and lower-case words, like 'bars.gap-count'"
        )
    plain = _plain(key, value)
    band = _band(key, plain, low, high)
    fault = _fault(plain, low, high)
    row = {
        "kind": "claim" if band else "recorded",
        "key": key,
        "value": None if isinstance(plain, float) and not math.isfinite(plain) else plain,
        "low": _end(low),
        "high": _end(high),
        "unit": unit,
        "text": text,
        "source": _source(source),
        "holds": fault is None,
    }
    write_row(row)
    if fault is not None:
        raise ClaimError(f"claim {key}: {_exact(plain)} {unit}".rstrip() + f" {fault}" + (f" ({text})" if text else ""))
    _glue(key, plain)
    _show(key, plain, unit, band, text, quiet)
    return value


def read_rows(folder: str | Path) -> list[dict[str, Any]]:
    """Every row that chapters wrote into ``folder``, by chapter; of a key written twice the last row stays."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for file in sorted(Path(folder).glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            rows[(row["chapter"], row["kind"] == "source", row["key"])] = row  # type: ignore[index]
    return list(rows.values())


def _plain(key: str, value: object) -> bool | int | float | str:
    """The value as one of four Python types; numpy, pandas and torch scalars are unpacked."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return math.nan
    if isinstance(value, str):
        return str(value)
    if callable(getattr(value, "item", None)):
        try:
            value = value.item()  # type: ignore[attr-defined]
        except (ValueError, TypeError, RuntimeError):
            raise TypeError(f"claim {key}: a claim is one value, got {type(value).__name__} of many") from None
    if isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"claim {key}: a claim is a bool, a number or text, got {type(value).__name__}")


def _band(key: str, value: bool | int | float | str, low: float | None, high: float | None) -> str:
    """The band in words; empty when there is none."""
    if low is None and high is None:
        return "must be true" if isinstance(value, bool) else ""
    if isinstance(value, bool | str):
        raise ValueError(f"claim {key}: low and high are for numbers, the value is {value!r}")
    if (low is not None and math.isnan(low)) or (high is not None and math.isnan(high)):
        raise ValueError(f"claim {key}: the band {low} .. {high} holds a NaN, which no number can satisfy")
    if low is not None and high is not None and low > high:
        raise ValueError(f"claim {key}: the band {low:g} .. {high:g} is empty; swap low and high")
    if low == high:
        return f"must be {_number(low)}"
    if low is None:
        return f"must be at most {_number(high)}"
    if high is None:
        return f"must be at least {_number(low)}"
    return f"must be between {_number(low)} and {_number(high)}"


def _end(end: float | None) -> float | None:
    """An end of a band for a row; an infinite end is none."""
    return None if end is None or math.isinf(end) else float(end)


def _fault(value: bool | int | float | str, low: float | None, high: float | None) -> str | None:
    if isinstance(value, bool):
        return None if value else "should be True"
    if isinstance(value, str):
        return None
    band = f"{'-inf' if low is None else f'{low:.12g}'} .. {'inf' if high is None else f'{high:.12g}'}"
    if not math.isfinite(value):
        return f"is not a finite number (band {band})"
    if low is not None and value < low:
        return f"is below its band {band}"
    if high is not None and value > high:
        return f"is above its band {band}"
    return None


def _glue(key: str, value: object) -> None:
    """Hand the value to the prose: the same output ``myst_nb.glue(key, value, display=False)`` makes."""
    if in_notebook():
        emit(
            {GLUE_PREFIX + "text/plain": repr(value)},
            {"scrapbook": {"name": key, "mime_prefix": GLUE_PREFIX}},
        )


def _show(
    key: str, value: bool | int | float | str, unit: str, band: str, text: str | None, quiet: bool = False
) -> None:
    if not in_notebook():
        return
    anchor = "claim-" + key.replace(".", "-")
    if quiet:  # the ledger's link still leads to the cell
        emit({"text/html": f'<span class="ab-quiet" id="{anchor}"></span>', "text/plain": ""})
        return
    mark = "✓" if band else "·"
    note = band or "recorded"
    shown = _with_unit(value, unit)
    said = f" {text}" if text else ""
    say(
        f"{mark} {key} = {shown} ({note}){said}",
        f'<span class="ab-mark">{mark}</span> <code>{escape(key)}</code> = <strong>{escape(shown)}</strong> '
        f'<span class="ab-band">({escape(note)})</span>'
        + (f' <span class="ab-said">{escape(text)}</span>' if text else ""),
        css="ab-claim",
        anchor=anchor,
    )


def _source(source: object) -> str | None:
    if isinstance(source, str):
        return source
    attrs = getattr(source, "attrs", None)
    if attrs and attrs.get("source"):
        return str(attrs["source"])
    return PAGE.source


def _with_unit(value: bool | int | float | str, unit: str) -> str:
    shown = value if isinstance(value, str) else _number(value)
    return f"{shown} {unit}".rstrip()


def _exact(value: object) -> str:
    """All digits, for an error: 1.00001 above a band that ends at 1 must not read as 1."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _number(value: object) -> str:
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, int):
        return f"{value:,}"
    number = float(value)  # type: ignore[arg-type]
    if math.isfinite(number) and number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}"
    return f"{number:.4g}"
