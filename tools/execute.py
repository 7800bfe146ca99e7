"""Execute the chapters of ``_toc.yml``, each once, in parallel; reuse what nothing has changed.

    python tools/execute.py                 all chapters, into _build/executed
    python tools/execute.py --force known_truth

Each chapter runs in a process of its own (papermill), so that its run time and peak memory can be measured and a hung
kernel can be ended. The results: executed notebooks, the claims they recorded, ``_build/status.json``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from fingerprint import chapter_key
from toc import ROOT, Page, chapters

BUILD = ROOT / "_build"
CELL_TIMEOUT = 300  # seconds
CHAPTER_TIMEOUT = 900  # seconds


def execute_book(*, force: str | None = None) -> list[dict[str, Any]]:
    """Run every outdated chapter and write ``_build/status.json``; returns one record per chapter."""
    book = chapters()
    parameters = build_parameters()
    started = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        records = list(pool.map(lambda page: execute_chapter(page, parameters, force=force), book))
    ran = sum(not record["reused"] for record in records)
    print(f"chapters: {ran} executed, {len(records) - ran} reused, {time.perf_counter() - started:.0f} s", flush=True)
    write_status(records)
    return records


def build_parameters() -> dict[str, Any]:
    """The rendered book runs in full, and on real candles when there are any."""
    return {"SOURCE": "store" if _real_market() else "sample", "QUICK": False}


def execute_chapter(page: Page, parameters: dict[str, Any], *, force: str | None = None) -> dict[str, Any]:
    """Execute one chapter, or hand back its stored record when its key is unchanged."""
    done = BUILD / "executed" / f"{page.docname}.ipynb"
    record_path = done.with_suffix(".json")
    key = chapter_key(page.path, parameters)
    if record_path.exists() and done.exists() and not (force is not None and force in page.docname):
        record = json.loads(record_path.read_text(encoding="utf-8"))
        if record["key"] == key:
            return {**record, "reused": True}
    record = {"key": key, "docname": page.docname, "slug": page.slug, "part": page.part, "parameters": parameters}
    record.update(_run_apart(page, parameters, done))
    if "error" not in record:
        record["title"] = _title(page.path)
        record_path.write_text(json.dumps(record, indent=1), encoding="utf-8")
    else:
        record_path.unlink(missing_ok=True)
    word = "FAILED" if "error" in record else "ok"
    print(f"  {page.docname}: {word}, {record['seconds']:.1f} s, {record['peak_mb']:.0f} MB", flush=True)
    return {**record, "reused": False}


def explain(record: dict[str, Any]) -> str:
    """A failed chapter as a reader of the log needs it: chapter, cell, error, source."""
    error = record["error"]
    source = "\n".join(f"    | {line}" for line in error.get("source", "").splitlines())
    cell = f"cell {error['cell']}" if error.get("cell") is not None else "no single cell"
    trace = "\n".join(f"    {line}" for line in error.get("trace", [])[-12:])
    return f"{record['docname']}.ipynb, {cell}: {error['name']}: {error['value']}\n{source}\n{trace}".rstrip()


def write_status(records: list[dict[str, Any]]) -> None:
    status = {
        "machine": {"system": platform.system(), "processor": _processor(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "chapters": [{k: v for k, v in record.items() if k not in ("key", "reused")} for record in records],
    }
    BUILD.mkdir(exist_ok=True)
    (BUILD / "status.json").write_text(json.dumps(status, indent=1), encoding="utf-8")


# --- one chapter, in a process of its own --------------------------------------------------------
def _run_apart(page: Page, parameters: dict[str, Any], done: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="chapter-") as folder:
        claims, result, out = Path(folder, "claims"), Path(folder, "result.json"), Path(folder, "out.ipynb")
        ledgers = Path(folder, "ledgers")
        claims.mkdir()
        job = {"path": str(page.path), "out": str(out), "parameters": parameters, "result": str(result)}
        env = {**os.environ, "ALPHABOOK_CLAIMS_DIR": str(claims), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        env |= {"ALPHABOOK_SOURCE": str(parameters["SOURCE"]), "ALPHABOOK_LEDGER_DIR": str(ledgers)}
        started = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, __file__, "--one", json.dumps(job)],
            cwd=page.path.parent,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            output, _ = child.communicate(timeout=CHAPTER_TIMEOUT)
        except subprocess.TimeoutExpired:
            _end(child)
            seconds = time.perf_counter() - started
            late = {"cell": None, "name": "Timeout", "value": f"longer than {CHAPTER_TIMEOUT} s"}
            return {"seconds": seconds, "peak_mb": 0.0, "error": late}
        except BaseException:
            _end(child)
            raise
        if not result.exists():
            value = output.strip().splitlines()[-1] if output.strip() else f"exit code {child.returncode}"
            return {
                "seconds": time.perf_counter() - started,
                "peak_mb": 0.0,
                "error": {"cell": None, "name": "Crash", "value": value, "trace": output.splitlines()},
            }
        record = json.loads(result.read_text(encoding="utf-8"))
        rows = _rows(claims)
        record["claims"] = [row for row in rows if row.get("kind") != "source"]
        record["sources"] = [row for row in rows if row.get("kind") == "source"]
        record["studies"], record["looks"] = _studies(ledgers), _ledger_rows(ledgers, "looks")
        record["executed"] = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        kept = done if "error" not in record else BUILD / "failed" / f"{page.docname}.ipynb"
        kept.parent.mkdir(parents=True, exist_ok=True)
        if out.exists():
            shutil.copyfile(out, kept)
        return record


def _one(job: dict[str, Any]) -> None:
    """Runs in the child: papermill, then time, memory and the error if there was one."""
    import papermill

    started, result = time.perf_counter(), {}
    try:
        papermill.execute_notebook(
            job["path"],
            job["out"],
            parameters=job["parameters"],
            cwd=str(Path(job["path"]).parent),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            execution_timeout=CELL_TIMEOUT,
        )
        result.update(_stderr_error(Path(job["out"]), job["path"]))
    except papermill.PapermillExecutionError as error:
        result["error"] = {
            "cell": _as_in_the_file(error.cell_index, job["path"]),
            "name": error.ename,
            "value": error.evalue,
            "source": error.source,
            "trace": _plain(error.traceback),
        }
    except Exception as error:
        result["error"] = {"name": type(error).__name__, "value": str(error).split("\n")[0]}
        result["error"].update(_running_cell(Path(job["out"]), job["path"]))
    result["seconds"] = round(time.perf_counter() - started, 2)
    result["peak_mb"] = round(_children_peak_mb(), 1)
    Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")


def _running_cell(out: Path, chapter: str) -> dict[str, Any]:
    """The cell that was running when its time was over or its kernel died: the last one papermill saw start."""
    cells = nbformat.read(out, 4).cells if out.exists() else []
    started = [place for place, cell in enumerate(cells) if cell.metadata.get("papermill", {}).get("start_time")]
    if not started:
        return {"cell": None}
    return {"cell": _as_in_the_file(started[-1], chapter), "source": cells[started[-1]].source}


def _as_in_the_file(index: int, chapter: str) -> int:
    """A cell's number in the chapter's file: the run has one cell more, papermill's parameters."""
    cells = nbformat.read(chapter, 4).cells
    tagged = [place for place, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    return index - 1 if index > (tagged[0] + 1 if tagged else 0) else index


def _stderr_error(out: Path, chapter: str) -> dict[str, Any]:
    """A chapter that writes to stderr (a warning, a progress bar left on) is a chapter to repair."""
    for index, cell in enumerate(nbformat.read(out, 4).cells):
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                text = output["text"].strip()
                place = _as_in_the_file(index, chapter)
                return {"error": {"cell": place, "name": "StderrOutput", "value": text[:400], "source": cell.source}}
    return {}


def _children_peak_mb() -> float:
    """Peak resident memory of the kernel, the largest of this process's ended children."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _plain(trace: list[str]) -> list[str]:
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(trace)).splitlines()


def _end(child: subprocess.Popen) -> None:
    import psutil

    family = [*psutil.Process(child.pid).children(recursive=True), psutil.Process(child.pid)]
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    child.wait()


def _rows(folder: Path) -> list[dict[str, Any]]:
    """What a chapter recorded (claims, numbers, sources), the last row of each key, in the order of their making."""
    rows: dict[tuple[bool, str], dict[str, Any]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            rows[(row.get("kind") == "source", row["key"])] = row
    return list(rows.values())


def _ledger_rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    files = sorted(folder.glob(f"*.{kind}.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]


def _studies(folder: Path) -> list[dict[str, Any]]:
    """What a chapter's trial ledger counts, a row per study."""
    studies: dict[str, list[dict[str, Any]]] = {}
    for row in _ledger_rows(folder, "trials"):
        studies.setdefault(row["study"], []).append(row)
    return [
        {"study": name, "trials": len(rows), "markets": len({row["data"] for row in rows})}
        for name, rows in studies.items()
    ]


def opened_twice(records: list[dict[str, Any]]) -> list[str]:
    """A line for each holdout that two chapters opened; one that opens its own twice fails by itself."""
    seen: dict[str, str] = {}
    lines = []
    for record in records:
        for look in record.get("looks", []):
            who = f"{record['docname']} ({look['study']}: {look['reason']})"
            if look["holdout"] in seen:
                lines.append(
                    f"the holdout {look['holdout']} was opened by {seen[look['holdout']]} and again by {who}: "
                    "give one of them other candles"
                )
            seen.setdefault(look["holdout"], who)
    return lines


def _title(path: Path) -> str:
    for cell in nbformat.read(path, 4).cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else []:
            if line.startswith("# "):
                return line[2:].strip()
    return path.stem


def _real_market() -> bool:
    try:
        from alphabook.candles import real_market_available
    except ImportError:
        return bool(os.environ.get("ALPHABOOK_MARKET_DIR"))
    return bool(real_market_available())


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--force", help="run again the chapters whose path contains this text", default=None)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _one(json.loads(options.one))
        return 0
    records = execute_book(force=options.force)
    faults = [explain(record) for record in records if "error" in record] + opened_twice(records)
    for fault in faults:
        print(f"\n{fault}", file=sys.stderr)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
