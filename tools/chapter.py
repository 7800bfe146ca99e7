"""A chapter taken apart for the tools: its prose, its code as syntax trees, its exercises."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import nbformat
from nbformat import NotebookNode

FENCE = re.compile(r"^ {0,3}(?P<mark>`{3,}|~{3,}|:{3,})(?P<info>[^\n]*)$")
EXERCISE_KINDS = ("predict", "implement", "find the bug", "measure", "stretch")
CARD = re.compile(r"\*(?P<kind>[^*]+)\*\s*·\s*difficulty (?P<difficulty>[1-5]) of 5\s*·\s*(?P<minutes>\d+) minutes")


@dataclass
class Block:
    """A directive of a markdown cell: ``{exercise} Title`` and what is inside."""

    name: str
    argument: str
    body: str
    cell: int

    def option(self, name: str) -> str | None:
        found = re.search(rf"(?m)^:{name}:[ \t]*(.+)$", self.body)
        return found[1].strip() if found else None

    def code(self) -> str:
        """The python fences of the block, one after the other."""
        return "\n".join(block.body for block in blocks(self.body, self.cell) if block.name == "python")


@dataclass
class Exercise:
    """One exercise of a chapter with everything that belongs to it, up to the next one."""

    label: str
    title: str
    body: str
    cell: int
    kind: str = ""
    difficulty: int = 0
    minutes: int = 0
    check_ids: list[str] = field(default_factory=list)
    hints: int = 0
    solution: Block | None = None


@dataclass
class Chapter:
    path: Path
    notebook: NotebookNode

    @property
    def slug(self) -> str:
        return self.path.stem.replace("_", "-")

    def code(self) -> Iterator[tuple[int, str, list[str]]]:
        """Number, source and tags of every code cell."""
        for index, cell in enumerate(self.notebook.cells):
            if cell.cell_type == "code":
                yield index, cell.source, list(cell.metadata.get("tags", []))

    def prose(self) -> Iterator[tuple[int, str]]:
        for index, cell in enumerate(self.notebook.cells):
            if cell.cell_type == "markdown":
                yield index, cell.source

    @cached_property
    def blocks(self) -> list[Block]:
        return [block for index, source in self.prose() for block in blocks(source, index)]

    def calls(self, *names: str) -> Iterator[tuple[int, ast.Call]]:
        """Every call of a function (or method) of one of these names, with its cell."""
        for index, source, _ in self.code():
            tree = parse(source)
            for node in ast.walk(tree) if tree else []:
                if isinstance(node, ast.Call) and called(node).split(".")[-1] in names:
                    yield index, node

    @cached_property
    def exercises(self) -> list[Exercise]:
        found = [
            Exercise(
                label=block.option("label") or "",
                title=block.argument,
                body=block.body,
                cell=block.cell,
                **_card(block.body),  # type: ignore[arg-type]
            )
            for block in self.blocks
            if block.name == "exercise"
        ]
        solutions = {block.argument: block for block in self.blocks if block.name == "solution"}
        ends = [exercise.cell for exercise in found[1:]] + [len(self.notebook.cells)]
        for exercise, end in zip(found, ends, strict=True):
            exercise.solution = solutions.get(exercise.label)
            exercise.hints = sum(
                block.name == "dropdown"
                and block.argument.lower().startswith("hint")
                and exercise.cell <= block.cell < end
                for block in self.blocks
            )
            exercise.check_ids = [
                str(node.args[0].value)
                for cell, node in self.calls("check", "predict", "reveal")
                if exercise.cell <= cell < end and node.args and isinstance(node.args[0], ast.Constant)
            ]
        return found


def read_chapter(path: Path) -> Chapter:
    return Chapter(path, nbformat.read(path, as_version=4))


def blocks(source: str, cell: int) -> list[Block]:
    """Outermost fenced blocks of a markdown text, directives by their name, code by its language."""
    found: list[Block] = []
    lines, position = source.splitlines(), 0
    while position < len(lines):
        opening = FENCE.match(lines[position])
        if not opening:
            position += 1
            continue
        mark, end = opening["mark"], position + 1
        while end < len(lines) and not closes(lines[end], mark):
            end += 1
        info = opening["info"].strip()
        directive = re.match(r"\{([\w:-]+)\}\s*(.*)", info)
        name, argument = (directive[1], directive[2].strip()) if directive else (info, "")
        found.append(Block(name, argument, "\n".join(lines[position + 1 : end]), cell))
        position = end + 1
    return found


def closes(line: str, mark: str) -> bool:
    line = line.strip()
    return set(line) == {mark[0]} and len(line) >= len(mark)


def _card(body: str) -> dict[str, object]:
    found = CARD.search(body)
    if not found:
        return {}
    return {
        "kind": found["kind"].strip().lower(),
        "difficulty": int(found["difficulty"]),
        "minutes": int(found["minutes"]),
    }


def without_blocks(source: str, *names: str) -> str:
    """The text without its fenced blocks; with names, only blocks of these names go."""
    kept, lines, position = [], source.splitlines(), 0
    while position < len(lines):
        opening = FENCE.match(lines[position])
        if opening:
            end = position + 1
            while end < len(lines) and not closes(lines[end], opening["mark"]):
                end += 1
            info = opening["info"].strip().strip("{").split("}")[0]
            if names and info not in names:
                kept.extend(lines[position : end + 1])
            position = end + 1
            continue
        kept.append(lines[position])
        position += 1
    return "\n".join(kept)


def parse(source: str) -> ast.Module | None:
    """The cell's syntax tree without magics; ``None`` when it is not Python."""
    plain = "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())
    try:
        return ast.parse(plain)
    except SyntaxError:
        return None


def called(node: ast.Call) -> str:
    """Dotted name of what is called: ``np.random.default_rng``."""
    return ast.unparse(node.func) if isinstance(node.func, ast.Attribute | ast.Name) else ""


def keyword(node: ast.Call, name: str) -> ast.expr | None:
    return next((given.value for given in node.keywords if given.arg == name), None)


def literal_text(node: ast.AST) -> str:
    """What is typed by hand in a string expression: constants and the fixed parts of f-strings."""
    parts: list[str] = []

    def walk(part: ast.AST) -> None:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            parts.append(part.value)
        elif isinstance(part, ast.JoinedStr):
            for value in part.values:
                if isinstance(value, ast.Constant):
                    parts.append(str(value.value))
                else:
                    parts.append("\0")
        elif not isinstance(part, ast.FormattedValue | ast.Call | ast.Subscript):
            for child in ast.iter_child_nodes(part):
                walk(child)

    walk(node)
    return "".join(parts)
