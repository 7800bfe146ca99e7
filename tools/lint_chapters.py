"""Hold every chapter against the book's rules: budgets, template, figures, numbers, seeds, exercises.

    python tools/lint_chapters.py                     every chapter under notebooks/
    python tools/lint_chapters.py notebooks/data/known_truth.ipynb

Prints ``file: cell: rule: what is wrong and what to do``; exit code 1 when there is anything to print.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from chapter import EXERCISE_KINDS, Chapter, called, keyword, literal_text, parse, read_chapter, without_blocks
from toc import ROOT

Finding = tuple[int | None, str, str]  # cell, rule, message
Rule = Callable[[Chapter], Iterator[Finding]]

WORDS, CODE_CELLS, FIGURES, EXERCISES = (1800, 3000), (20, 35), (4, 8), (4, 7)
MEDIAN_LINES, MOST_LINES, IN_A_ROW, COMPARED_CELLS = 8, 30, 2, 3
SECTIONS = (
    ("what you will be able to do", "**What you will be able to do**"),
    ("before you start", "**Before you start**"),
    ("what would prove us wrong", "**What would prove us wrong**"),
    ("key results", "## Key results"),
    ("exercises", "## Exercises"),
    ("further reading", "## Further reading"),
)
TYPED_NUMBER = re.compile(r"(?<![\w.{])[-+−]?\d+(?:[.,]\d+)*(?!\w)(?:\s*%)?")
LOCAL_PATH = re.compile(r"(?<![\w.])(/home/|/Users/|/root\b|/workspaces?/|/tmp/|/mnt/|[A-Za-z]:\\\\?[A-Za-z])")
SKIPPED_NUMBERS = re.compile(r"`[^`]*`|\{[\w:-]+\}`[^`]*`|\$[^$]*\$|\[[^\]]*\]\([^)]*\)|\bch-[\w-]+")
GLOBAL_RANDOM = {
    "np.random.seed", "numpy.random.seed", "random.seed", "torch.manual_seed", "np.random.normal", "np.random.rand",
    "np.random.randn", "np.random.randint", "np.random.uniform", "np.random.choice", "np.random.permutation",
    "np.random.shuffle", "np.random.standard_normal", "random.random", "random.choice", "random.shuffle",
}  # fmt: skip


def lint(path: Path) -> list[str]:
    """What is wrong with one chapter, a line each."""
    chapter = read_chapter(path)
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    findings = [finding for rule in RULES for finding in rule(chapter)]
    findings.sort(key=lambda finding: -1 if finding[0] is None else finding[0])
    return [f"{name}: {'' if cell is None else f'cell {cell}: '}{rule}: {text}" for cell, rule, text in findings]


# --- budgets -------------------------------------------------------------------------------------
def budgets(chapter: Chapter) -> Iterator[Finding]:
    words = sum(len(_visible_prose(source).split()) for _, source in chapter.prose())
    yield from _within("words", words, WORDS, "words of visible prose (folded hints and solutions not counted)")
    sizes = [(index, sum(bool(line.strip()) for line in source.splitlines())) for index, source, _ in chapter.code()]
    yield from _within("cells", len(sizes), CODE_CELLS, "code cells")
    median = statistics.median([size for _, size in sizes] or [0])
    if median > MEDIAN_LINES:
        yield None, "lines", f"the median code cell has {median:g} lines, at most {MEDIAN_LINES}: cut cells in two"
    for index, size in sizes:
        if size > MOST_LINES:
            yield index, "lines", f"{size} lines, at most {MOST_LINES}: move what is not the point into the package"
    run = 0
    for index, cell in enumerate(chapter.notebook.cells):
        run = run + 1 if cell.cell_type == "code" else 0
        if run == IN_A_ROW + 1:
            yield index, "rhythm", f"more than {IN_A_ROW} code cells in a row: say what the reader has just seen"


def _within(rule: str, value: int, limits: tuple[int, int], what: str) -> Iterator[Finding]:
    low, high = limits
    if not low <= value <= high:
        yield None, rule, f"{value} {what}, the budget is {low} to {high}"


def _visible_prose(source: str) -> str:
    text = without_blocks(
        source, "solution", "dropdown", "math", "python", "bash", "text", "code-block", "sh", "console"
    )
    text = re.sub(r"\$\$.*?\$\$(\s*\([\w-]+\))?", " ", text, flags=re.S)
    return re.sub(r"(?m)^(:{3,}.*|`{3,}.*|:[\w-]+:.*|\([\w-]+\)=)$", " ", text)


# --- shape ---------------------------------------------------------------------------------------
def shape(chapter: Chapter) -> Iterator[Finding]:
    titles = [index for index, source in chapter.prose() for _ in re.finditer(r"(?m)^# \S", without_blocks(source))]
    if len(titles) != 1:
        yield None, "title", f"{len(titles)} level-one headings, a chapter has one"
    label = f"(ch-{chapter.slug})="
    if not any(re.search(rf"(?m)^{re.escape(label)}\s*\n+# ", source) for _, source in chapter.prose()):
        yield None, "label", f"no {label} on the line before the title"
    text = "\n".join(without_blocks(source) for _, source in chapter.prose())
    if not re.search(r"(?m)^> \S", text):
        yield None, "template", "no question: put it in one sentence, as a quotation (>) under the title"
    position = -1
    for section, example in SECTIONS:
        found = re.search(rf"(?im)^(#+\s+|\*\*)(\d[\d.]*\s+)?{section}\b", text)
        if not found:
            yield None, "template", f"the section {example} is missing"
        elif found.start() < position:
            yield None, "template", f"{example} stands before the section it follows in the template"
        else:
            position = found.start()
    level = 1
    for index, source in chapter.prose():
        for found in re.finditer(r"(?m)^(#{2,6}) \S", without_blocks(source)):
            if re.fullmatch(r"#+ \d", found[0]):
                yield index, "headings", "a number typed into a heading: _toc.yml numbers the sections"
            if len(found[1]) > level + 1:
                yield (
                    index,
                    "headings",
                    f"a level-{len(found[1])} heading under a level-{level} one: do not skip levels",
                )
            level = len(found[1])


def parameters(chapter: Chapter) -> Iterator[Finding]:
    cells = list(chapter.code())
    tagged = [place for place, (_, _, tags) in enumerate(cells) if "parameters" in tags]
    if len(tagged) != 1:
        yield None, "parameters", f"{len(tagged)} cells are tagged parameters, a chapter has one"
        return
    index, source, _ = cells[tagged[0]]
    for name in ("SOURCE", "QUICK", "SEED"):
        if not re.search(rf"(?m)^{name}\b[^=\n]*=", source):
            yield index, "parameters", f"{name} is not set in the parameters cell"
    if not re.search(r"(?m)^SOURCE\b[^=\n]*=\s*[\"']sample[\"']", source) or "QUICK = True" not in source:
        yield index, "parameters", 'as committed, SOURCE is "sample" and QUICK is True'
    calls = [(cell, node) for cell, node in chapter.calls("setup") if called(node) == "setup"]
    if not calls:
        yield None, "setup", f'no setup("{chapter.slug}") after the parameters cell'
    for cell, node in calls:
        given = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        if given != chapter.slug:
            yield cell, "setup", f"setup({given!r}): the chapter's slug is {chapter.slug!r}"
    compared = sum("nbval-check-output" in tags for _, _, tags in cells)
    if compared < COMPARED_CELLS:
        yield None, "compared", f"{compared} cells tagged nbval-check-output, at least {COMPARED_CELLS}"


# --- figures, claims, numbers --------------------------------------------------------------------
def figures(chapter: Chapter) -> Iterator[Finding]:
    shown = [(cell, node) for cell, node in chapter.calls("show") if called(node) == "show"]
    yield from _within("figures", len(shown), FIGURES, "figures (calls of show)")
    prose = "\n".join(source for _, source in chapter.prose())
    names: Counter[str] = Counter()
    for cell, node in shown:
        for wanted in ("name", "caption", "alt"):
            if keyword(node, wanted) is None:
                yield cell, "figure", f"show(...) without {wanted}="
        name = literal_text(keyword(node, "name") or ast.Constant(""))
        names[name] += 1
        if name and f"{{numref}}`{name}`" not in prose and f"<{name}>`" not in prose:
            yield cell, "figure", f"no sentence refers to {{numref}}`{name}`: say what it shows and what to conclude"
        for part in ("caption", "alt"):
            text = literal_text(keyword(node, part) or ast.Constant(""))
            if found := _typed(text):
                yield cell, "typed number", f"{part} holds {found!r}: compute it, f'... {{value:.1f}} ...'"
        tree = parse(chapter.notebook.cells[cell].source)
        last = tree.body[-1] if tree and tree.body else None
        if not (isinstance(last, ast.Expr) and last.value is not None and ast.dump(last.value) == ast.dump(node)):
            yield cell, "figure", "show(...) is not the last line of its cell"
    for name, count in names.items():
        if count > 1:
            yield None, "figure", f"{count} figures are called {name}"
    for cell, node in chapter.calls("show", "imshow"):
        if called(node) in ("plt.show", "fig.show", "figure.show"):
            yield cell, "figure", f"{called(node)}(): use show(fig, name=..., caption=..., alt=...)"


def claims(chapter: Chapter) -> Iterator[Finding]:
    keys: Counter[str] = Counter()
    patterns = []
    for cell, node in chapter.calls("claim"):
        first = node.args[0] if node.args else keyword(node, "key")
        if isinstance(first, ast.Constant):
            keys[str(first.value)] += 1
        elif first is not None:
            fixed = [re.escape(part) for part in literal_text(first).split("\0")]
            patterns.append(re.compile(".+".join(fixed) or ".+"))
        else:
            yield cell, "claim", "claim() without a key"
    for key, count in keys.items():
        if count > 1:
            yield None, "claim", f"{key} is claimed {count} times"
    for index, source in chapter.prose():
        for found in re.finditer(r"\{glue:(\w*)\}`([^`]+)`", source):
            key = found[2].split("::")[-1].split(":")[0].split("<")[-1].rstrip(">").strip()
            if not (key in keys or any(pattern.fullmatch(key) for pattern in patterns)):
                yield index, "glue", f"{key} is no claim of this chapter"


def typed_numbers(chapter: Chapter) -> Iterator[Finding]:
    """Key results state claims: every number there is glued."""
    inside = False
    for index, source in chapter.prose():
        for line in without_blocks(source).splitlines():
            if heading := re.match(r"#+\s+(.*)", line):
                inside = "key results" in heading[1].lower()
            elif inside and (found := _typed(line)):
                yield index, "typed number", f"Key results hold {found!r}: claim it and write {{glue:text}}`key:.1f`"


def _typed(text: str) -> str | None:
    """The first hand-typed number; interval names (15m), code, roles, links and formulas do not count."""
    plain = re.sub(r"\{[\w:-]+\}`[^`]*`", " ", text)
    plain = SKIPPED_NUMBERS.sub(" ", plain)
    plain = re.sub(r"^\s*\d+\.\s", " ", plain)
    found = TYPED_NUMBER.search(plain)
    return found[0].strip() if found else None


# --- code ----------------------------------------------------------------------------------------
def hygiene(chapter: Chapter) -> Iterator[Finding]:
    for index, source, _ in chapter.code():
        tree = parse(source)
        if tree is None:
            yield index, "syntax", "not Python"
            continue
        if re.search(r"(?m)^\s*[%!]\s*pip|\bpip install\b", source):
            yield index, "install", "a chapter installs nothing: add the dependency to pyproject.toml"
        if "sys.path" in source:
            yield index, "sys.path", "the package is installed; no path tricks"
        if re.search(r"\b(filterwarnings|simplefilter)\b", source):
            yield index, "warnings", "a chapter ignores no warning: remove its cause"
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield from _randomness(index, node)
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                yield index, "except", "a bare except hides errors: name the exception"
    for index, cell in enumerate(chapter.notebook.cells):
        if found := LOCAL_PATH.search(cell.source):
            yield index, "local path", f"{found[0]!r} is a path of one machine"
    for index, source in chapter.prose():
        if found := re.search(r"\b(clearly|simply|obviously|of course)\b", without_blocks(source), re.I):
            yield index, "wording", f"{found[0]!r}: what is clear needs no such word"


def _randomness(index: int, node: ast.Call) -> Iterator[Finding]:
    name = called(node)
    if name in GLOBAL_RANDOM:
        yield index, "seed", f"{name} uses the global generator: rng = np.random.default_rng(SEED)"
    given = [*node.args, *(kw.value for kw in node.keywords)]
    if name.endswith("default_rng") and not any(_names_seed(value) for value in given):
        yield index, "seed", f"{name}(...) is not given SEED"
    seed = keyword(node, "seed")
    if seed is not None and not _names_seed(seed):
        yield index, "seed", f"seed={ast.unparse(seed)}: give SEED or a number made from it"
    if name.endswith(".manual_seed") and not any(_names_seed(value) for value in given):
        yield index, "seed", f"{name}(...) is not given SEED"
    if name == "simulate_market" and seed is None and not any(kw.arg is None for kw in node.keywords):
        yield index, "seed", "simulate_market(...) without seed=SEED"


def _names_seed(value: ast.AST) -> bool:
    return any(isinstance(part, ast.Name) and "seed" in part.id.lower() for part in ast.walk(value))


# --- exercises -----------------------------------------------------------------------------------
def exercises(chapter: Chapter) -> Iterator[Finding]:
    found = chapter.exercises
    yield from _within("exercises", len(found), EXERCISES, "exercises")
    if not any("bug" in exercise.kind for exercise in found):
        yield None, "exercises", "no find-the-bug exercise"
    for exercise in found:
        where = exercise.label or exercise.title
        if not exercise.label.startswith("ex-"):
            yield exercise.cell, "exercise", f"{where}: needs :label: ex-..."
        if not exercise.kind:
            yield exercise.cell, "exercise", f"{where}: needs the line *Implement* · difficulty 3 of 5 · 15 minutes"
        elif exercise.kind not in EXERCISE_KINDS:
            kinds = ", ".join(EXERCISE_KINDS)
            yield exercise.cell, "exercise", f"{where}: kind {exercise.kind!r} is none of {kinds}"
        if not exercise.check_ids:
            yield exercise.cell, "exercise", f"{where}: no cell calls check(...) or predict(...)"
        if not exercise.hints:
            yield exercise.cell, "exercise", f"{where}: no :::{{dropdown}} Hint"
        if exercise.solution is None:
            yield exercise.cell, "exercise", f"{where}: no {{solution}} {exercise.label}"
        elif exercise.kind != "predict" and not exercise.solution.code().strip():
            yield exercise.cell, "exercise", f"{where}: its solution holds no python fence"


RULES: tuple[Rule, ...] = (budgets, shape, parameters, figures, claims, typed_numbers, hygiene, exercises)


def main() -> int:
    given = [Path(word).resolve() for word in sys.argv[1:]]
    paths = given or sorted(path for path in (ROOT / "notebooks").glob("**/*.ipynb") if "checkpoint" not in str(path))
    problems = [line for path in paths for line in lint(path)]
    print("\n".join([*problems, f"{len(paths)} chapters, {len(problems)} problems"]))
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
