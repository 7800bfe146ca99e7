"""Build the book: execute outdated chapters, stage them, render, strictly.

    python tools/build_book.py            builds what changed
    python tools/build_book.py --fresh    renders again although nothing changed

Warnings are errors. The site is ``_build/html``; a second call with nothing changed renders nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from execute import build_parameters, execute_book, explain, opened_twice
from fingerprint import hash_files
from stage import STAGE, stage_book
from toc import ROOT

BUILD = ROOT / "_build"
SITE = BUILD / "html"
STAMP = BUILD / "site.stamp"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fresh", action="store_true", help="render again although nothing changed")
    parser.add_argument("--force", help="execute again the chapters whose path contains this text")
    options = parser.parse_args()
    records = execute_book(force=options.force)
    failed = [record for record in records if "error" in record]
    if failed:
        print(f"\n{len(failed)} of {len(records)} chapters failed; nothing was rendered\n", file=sys.stderr)
        print("\n\n".join(explain(record) for record in failed), file=sys.stderr)
        return 1
    if twice := opened_twice(records):
        print("\n".join(["", *twice, "nothing was rendered"]), file=sys.stderr)
        return 1
    stamp = site_stamp()
    if not options.fresh and STAMP.exists() and STAMP.read_text() == stamp and (SITE / "index.html").exists():
        print("site: nothing changed")
    else:
        STAMP.unlink(missing_ok=True)
        code = render()
        if code:
            return code
        STAMP.write_text(stamp)
    print(f"\nThe book: {SITE / 'index.html'}\nServe it: make serve")
    return 0


def render() -> int:
    """Stage and run Jupyter Book on the staged copy, executing nothing, forgiving nothing."""
    started = time.perf_counter()
    stage_book(BUILD / "executed", build_parameters())
    for leftover in (SITE, BUILD / ".doctrees", BUILD / "jupyter_execute"):
        shutil.rmtree(leftover, ignore_errors=True)
    command = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main()",
        "build",
        str(STAGE),
        "--path-output",
        str(ROOT),
    ]
    command += ["-n", "-W", "--keep-going", "-q"]
    done = subprocess.run(command, cwd=STAGE, env=os.environ, capture_output=True, text=True)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    problems = [line for line in lines if "WARNING" in line or "ERROR" in line]
    if done.returncode or problems:
        shown = problems or lines[-40:]
        print("\n".join(line.replace(f"{STAGE}{os.sep}", "") for line in shown), file=sys.stderr)
        print(f"\nsite: failed with {len(problems)} warnings (each is an error)", file=sys.stderr)
        return done.returncode or 1
    finish(SITE)
    print(f"site: {sum(1 for _ in SITE.glob('**/*.html'))} pages, {time.perf_counter() - started:.0f} s", flush=True)
    return 0


def finish(site: Path) -> None:
    """What a static host expects at the top: a page that leads to the book, no Jekyll."""
    (site / ".nojekyll").write_text("")
    (site / "index.html").write_text(
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Attention to Alpha</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="refresh" content="0; url=book/index.html"></head>'
        '<body><main><h1>Attention to Alpha</h1><p><a href="book/index.html">Open the book</a></p></main>'
        "</body></html>\n",
        encoding="utf-8",
    )


def site_stamp() -> str:
    """Hash of everything the rendering reads: pages, chapters, package (API page), benchmarks, settings."""
    folders = (ROOT / "book", ROOT / "src", ROOT / "benchmarks", BUILD / "executed")
    files = [path for folder in folders for path in folder.glob("**/*") if "__pycache__" not in path.parts]
    files += [ROOT / name for name in ("_config.yml", "_toc.yml", "requirements/lock.txt")]
    files += [ROOT / "tools" / name for name in ("stage.py", "build_book.py", "toc.py")]
    return hash_files(path for path in files if "egg-info" not in str(path))


if __name__ == "__main__":
    sys.exit(main())
