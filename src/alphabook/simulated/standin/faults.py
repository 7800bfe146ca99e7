"""Scripted faults: what goes wrong, on which call, and how often.

A script is a JSON list. Each entry names a ``kind`` and may say when it strikes:

``on``
    ``"every"`` (default) or a list of call numbers, counted from 1 over the calls this entry could strike.
``times``
    how many attempts of the same request (path and query) it strikes, 1 by default: the first attempt
    fails, the retry is clean. ``"always"`` never lets go.
``path``
    strikes only requests whose path contains this text.

Example::

    [
      {"kind": "too_many", "retry_after": 2, "on": [3]},
      {"kind": "gap", "path": "kline", "size": 2},
      {"kind": "revised", "beside": false},
      {"kind": "region", "times": "always", "path": "/fapi"}
    ]

Kinds that take the place of the answer (one per call, in the order of the script): ``retcode`` (Bybit's
10006; ``code``, ``message``, ``reset_after_ms``), ``forbidden`` (403), ``banned`` (418; ``retry_after``),
``too_many`` (429; ``retry_after``), ``region`` (451), ``server_error`` (``status``), ``timeout`` (no
answer for ``seconds``, then the connection closes), ``cut`` (connection closed in mid-body; on a
WebSocket after ``after`` messages). ``retry_after`` is in seconds; ``null`` leaves the header out.

Kinds that spoil the rows of a candle answer: ``gap`` (rows missing: ``size``, ``at`` is ``"middle"``,
``"first"``, ``"last"`` or a position from the oldest row; needs more than ``size + 1`` rows),
``duplicate`` (``size`` rows sent twice), ``unordered`` (shuffled), ``revised`` (a stale copy of a closed
bar, with another close and less volume, next to the final one, or with ``"beside": false`` in its place),
``half_open`` (one bar more at the end, half-way through its life), ``malformed`` (``variant``:
``"short_row"``, ``"not_a_number"``, ``"truncated"`` body, or ``"not_json"``). One that finds no suitable
rows waits for the next answer.

Everything is deterministic: the same script and the same calls give the same bytes.
"""

from __future__ import annotations

import json
import random
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ...errors import AlphabookError

Row = TypeVar("Row")
ON_ROWS = ("gap", "duplicate", "unordered", "revised", "half_open", "malformed")
INSTEAD = ("retcode", "forbidden", "banned", "too_many", "region", "server_error", "timeout", "cut")
_OPTIONS: dict[str, dict[str, Any]] = {
    "gap": {"size": 1, "at": "middle"},
    "duplicate": {"size": 1},
    "unordered": {},
    "revised": {"beside": True},
    "half_open": {},
    "malformed": {"variant": "short_row"},
    "retcode": {"code": 10006, "message": "Too many visits!", "reset_after_ms": 500},
    "forbidden": {},
    "banned": {"retry_after": 1},
    "too_many": {"retry_after": 1},
    "region": {},
    "server_error": {"status": 503},
    "timeout": {"seconds": 3600.0},
    "cut": {"after": 3},
}
_VARIANTS = ("short_row", "not_a_number", "truncated", "not_json")


class FaultScriptError(AlphabookError, ValueError):
    """A fault script with an unknown kind, option or value; the message names the entry and the remedy."""


@dataclass(frozen=True)
class Fault:
    """One entry of a script, checked; ``times`` is ``None`` for always, ``on`` is ``None`` for every call."""

    kind: str
    on: tuple[int, ...] | None = None
    times: int | None = 1
    path: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def read_faults(script: Sequence[Mapping[str, Any] | Fault] | str | Path | None, *, venue: str) -> tuple[Fault, ...]:
    """Check a script: a list of entries, or the path of a JSON file that holds one.

    Raises:
        FaultScriptError: the file is not readable JSON, or an entry is not understood.
    """
    if script is None:
        return ()
    if isinstance(script, (str, Path)):
        script = _load(Path(script))
    return tuple(e if isinstance(e, Fault) else _check(e, f"fault {i}", venue) for i, e in enumerate(script, start=1))


class FaultPlan:
    """Which faults strike a call; remembers what has struck before. Not thread-safe."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        self._calls: Counter[int] = Counter()
        self._struck: Counter[tuple[int, str]] = Counter()

    def due(self, path: str, request: str, *, kinds: Collection[str]) -> list[tuple[int, Fault]]:
        """Count a call for every entry of the given kinds; return the due ones with their position in the script."""
        found = []
        for i, fault in enumerate(self.faults):
            if fault.path not in path or fault.kind not in kinds:
                continue
            self._calls[i] += 1
            fits = fault.on is None or self._calls[i] in fault.on
            if fits and (fault.times is None or self._struck[i, request] < fault.times):
                found.append((i, fault))
        return found

    def strike(self, position: int, request: str) -> None:
        """Note that an entry has struck a request."""
        self._struck[position, request] += 1


class Alterations:
    """The row faults of one answer; a venue passes its rows, oldest first, through :meth:`rows`."""

    def __init__(self, faults: Sequence[tuple[int, Fault]] = (), *, seed: str = "") -> None:
        self._pending = list(faults)
        self._random = random.Random(zlib.crc32(seed.encode()))
        self.struck: list[tuple[int, Fault]] = []

    def rows(self, rows: list[Row], *, stale: Callable[[Row], Row], extra: Callable[[Row], Row]) -> list[Row]:
        """Rows with every fitting fault applied; ``stale`` spoils a row, ``extra`` makes the one after it."""
        out = list(rows)
        for entry in list(self._pending):
            changed = self._apply(entry[1], out, stale, extra)
            if changed is not None:
                out = changed
                self._take(entry)
        return out

    def malformed(self, variant: str) -> bool:
        """Whether the answer is to be malformed in this way; asking takes the fault."""
        for entry in self._pending:
            if entry[1].kind == "malformed" and entry[1].options["variant"] == variant:
                self._take(entry)
                return True
        return False

    def wire_rows(self, rows: list[Any]) -> list[Any]:
        """Formatted rows (lists or dictionaries) with the malformed one among them."""
        if not rows:
            return rows
        out, i = list(rows), len(rows) // 2
        if self.malformed("short_row"):
            row = out[i]
            out[i] = dict(list(row.items())[:-2]) if isinstance(row, dict) else row[:-2]
        if self.malformed("not_a_number"):
            row = out[i]
            key = list(row)[-2] if isinstance(row, dict) else 4
            out[i] = type(row)(row)
            out[i][key] = "n/a"
        return out

    def _take(self, entry: tuple[int, Fault]) -> None:
        self._pending.remove(entry)
        self.struck.append(entry)

    def _apply(
        self, fault: Fault, rows: list[Row], stale: Callable[[Row], Row], extra: Callable[[Row], Row]
    ) -> list[Row] | None:
        count = len(rows)
        size = fault.options.get("size", 1)
        middle = max(0, (count - size) // 2)
        if fault.kind == "gap" and count > size + 1:
            at = {"middle": middle, "first": 0, "last": count - size}.get(fault.options["at"], fault.options["at"])
            start = min(int(at), count - size)
            return rows[:start] + rows[start + size :]
        if fault.kind == "duplicate" and count >= size:
            again = rows[middle : middle + size]
            return rows[: middle + size] + again + rows[middle + size :]
        if fault.kind == "unordered" and count > 1:
            mixed = list(rows)
            while mixed == rows:
                self._random.shuffle(mixed)
            return mixed
        if fault.kind == "revised" and count > 1:
            i = (count - 1) // 2  # never the last row, which may be the open bar
            return [*rows[: i + fault.options["beside"]], stale(rows[i]), *rows[i + 1 :]]
        if fault.kind == "half_open" and count:
            return [*rows, extra(rows[-1])]
        return None


def _load(path: Path) -> list[Any]:
    try:
        script = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FaultScriptError(f"fault script {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise FaultScriptError(f"fault script {path} is not JSON: {error}") from None
    if not isinstance(script, list):
        raise FaultScriptError(f"fault script {path} must be a JSON list of entries, got {type(script).__name__}")
    return script


def _check(entry: Any, where: str, venue: str) -> Fault:
    if not isinstance(entry, Mapping) or "kind" not in entry:
        raise FaultScriptError(f'{where}: {entry!r} is not an entry; write {{"kind": "too_many"}}')
    kind = entry["kind"]
    if kind not in _OPTIONS:
        raise FaultScriptError(f"{where}: unknown kind {kind!r}; use one of {', '.join(_OPTIONS)}")
    if kind == "retcode" and venue != "bybit":
        raise FaultScriptError(f"{where}: retcode is Bybit's own, {venue} has none; use too_many or server_error")
    allowed = _OPTIONS[kind]
    for name in entry:
        if name not in ("kind", "on", "times", "path", *allowed):
            known = ", ".join(("on", "times", "path", *allowed))
            raise FaultScriptError(f"{where}: {kind} has no option {name!r}; it takes {known}")
    options = {name: entry.get(name, default) for name, default in allowed.items()}
    for name, value in options.items():
        _check_option(f"{where}: {kind}", name, value)
    return Fault(kind, _on(entry, where), _times(entry, where), str(entry.get("path", "")), options)


def _check_option(where: str, name: str, value: Any) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    real = whole or isinstance(value, float)
    ok, wanted = {
        "size": (whole and value >= 1, "a whole number of rows >= 1"),
        "at": (
            (whole and value >= 0) or value in ("middle", "first", "last"),
            "middle, first, last or a position >= 0",
        ),
        "beside": (isinstance(value, bool), "true or false"),
        "variant": (value in _VARIANTS, "one of " + ", ".join(_VARIANTS)),
        "status": (whole and 500 <= value <= 599, "an HTTP status from 500 to 599"),
        "seconds": (real and value >= 0, "a number of seconds >= 0"),
        "retry_after": (value is None or (real and value >= 0), "a number of seconds >= 0, or null for no header"),
        "after": (whole and value >= 0, "a number of messages >= 0"),
        "code": (whole, "a whole number, Bybit's retCode"),
        "message": (isinstance(value, str), "a text"),
        "reset_after_ms": (value is None or whole, "milliseconds, or null for no headers"),
    }[name]
    if not ok:
        raise FaultScriptError(f"{where}: {name} is {value!r}, must be {wanted}")


def _on(entry: Mapping[str, Any], where: str) -> tuple[int, ...] | None:
    on = entry.get("on", "every")
    if on == "every":
        return None
    if isinstance(on, list) and on and all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in on):
        return tuple(on)
    raise FaultScriptError(f'{where}: on is {on!r}, must be "every" or a list of call numbers from 1, like [1, 4]')


def _times(entry: Mapping[str, Any], where: str) -> int | None:
    times = entry.get("times", 1)
    if times == "always":
        return None
    if isinstance(times, int) and not isinstance(times, bool) and times >= 1:
        return times
    raise FaultScriptError(f'{where}: times is {times!r}, must be a whole number >= 1 or "always"')
