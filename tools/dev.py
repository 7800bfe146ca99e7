#!/usr/bin/env python3
"""Every task of the repository behind one door; needs only Python 3.11, 3.12 or 3.13.

    make setup     make .venv: CPU torch, the locked packages, this package (done once)
    make book      execute the chapters, render the book to _build/html
    make serve     serve _build/html on this machine and print the address
    make test      all tests, the chapters included
    make quick     lint, types, chapter linter, fast tests (under five minutes)
    make lab       JupyterLab on the chapters
    make lint      ruff, mypy, chapter linter
    make format    ruff format, notebooks normalised
    make lock      rewrite requirements/lock.txt (needs uv)
    make peers     .peers: backtest engines to compare against; the tests that need them skip without it
    make student   _build/student: the chapters without solutions
    make clean     remove _build

Without make: python tools/dev.py book (Windows: py tools\\dev.py book). Extra words are handed on:
make test ARGS="-k candles".
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = Path(os.environ.get("ALPHABOOK_VENV", ROOT / ".venv"))
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PY = BIN / ("python.exe" if os.name == "nt" else "python")
if os.environ.get("ALPHABOOK_SKIP_SETUP"):  # conda and the like: use the Python that runs this file, as it is
    PY, BIN, VENV = Path(sys.executable), Path(sys.executable).parent, Path(sys.prefix)
PEERS = ROOT / ".peers"
REQUIREMENTS = ROOT / "requirements"
OLDEST, NEWEST = (3, 11), (3, 13)
UNFINISHED = 2  # exit code of a set-up that could not be completed


def main(arguments: list[str]) -> int:
    task, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if task in ("help", "-h", "--help"):
        print(__doc__)
        return 0
    if task not in TASKS:
        print(f"unknown task {task!r}; one of: {', '.join(TASKS)}, help", file=sys.stderr)
        return UNFINISHED
    if task not in ("clean", "serve", "lock", "peers"):
        ensure_environment()
    return TASKS[task](rest)


# --- the environment -----------------------------------------------------------------------------
def ensure_environment() -> None:
    """Make ``.venv`` once; repair it when it is half made; renew it when the lock or Python changes."""
    check_python()
    if os.environ.get("ALPHABOOK_SKIP_SETUP"):
        return
    stamp, wanted = VENV / ".alphabook-stamp", environment_stamp()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted and healthy():
        return
    stamp.unlink(missing_ok=True)
    if VENV.exists() and not healthy(same_version=True):
        say(f"removing {VENV.name}: half made, or made by another Python")
        shutil.rmtree(VENV)
    if not VENV.exists():
        make_venv()
    pip = [PY, "-m", "pip", "install", "--quiet", "--quiet", "--no-input", "--disable-pip-version-check"]
    # An unreachable extra index is no error: pip goes on with the user's own indexes and wheel folders.
    # This step reaches the big torch wheel; a short timeout keeps a dead index from stalling the set-up.
    step(
        "1/3 torch for the CPU",
        [*pip, "--no-deps", "--retries", "1", "--timeout", "30", "-r", REQUIREMENTS / "torch.txt"],
    )
    step("2/3 the locked packages (a minute or two)", [*pip, "--require-hashes", "-r", REQUIREMENTS / "lock.txt"])
    step("3/3 alphabook itself", [*pip, "--no-deps", "--no-build-isolation", "-e", "."])
    stamp.write_text(wanted, encoding="utf-8")
    say(f"environment ready: {VENV}")


def check_python() -> None:
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        fail(
            f"Python 3.11, 3.12 or 3.13 is needed, {sys.executable} is {platform.python_version()}; "
            "name another one: make book PYTHON=python3.12"
        )


def environment_stamp() -> str:
    digest = hashlib.sha256()
    for path in (REQUIREMENTS / "torch.txt", REQUIREMENTS / "lock.txt", ROOT / "pyproject.toml"):
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return f"{platform.python_version()} {platform.machine()} {ROOT} {digest.hexdigest()}"


def healthy(same_version: bool = False) -> bool:
    """Whether the environment's Python runs, has pip, and (if asked) is the version we were started with."""
    if not PY.exists():
        return False
    ask = "import pip, platform; print(platform.python_version())"
    answer = subprocess.run([str(PY), "-c", ask], capture_output=True, text=True)
    if answer.returncode:
        return False
    return not same_version or answer.stdout.strip() == platform.python_version()


def make_venv() -> None:
    say(f"making {VENV}")
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True)
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        reason = (made.stderr or made.stdout).strip().splitlines()
        fail(
            f"{sys.executable} cannot make a virtual environment ({reason[-1] if reason else 'no reason given'}); "
            "on Debian or Ubuntu: apt install python3-venv"
        )


def environment() -> dict[str, str]:
    """What child processes see: the virtual environment, one thread per worker, no foreign IPython files."""
    env = dict(os.environ)
    env["PATH"] = f"{BIN}{os.pathsep}{env.get('PATH', '')}"
    env["VIRTUAL_ENV"] = str(VENV)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        env.setdefault(name, "1")
    profile = ROOT / "_build" / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    # Silences ipykernel's "TCP without encryption" line, which would count as a chapter's stderr.
    (profile / "ipython_kernel_config.py").write_text("c = get_config()\nc.IPKernelApp.log_level = 40\n")
    env["IPYTHONDIR"] = str(profile.parent)
    env["JUPYTER_PREFER_ENV_PATH"] = "1"  # a python3 kernel in the home folder must not win
    env["PYTHONUTF8"] = "1"
    env.pop("PYTHONPATH", None)
    env.pop("PYTHONHOME", None)
    return env


# --- tasks ---------------------------------------------------------------------------------------
def setup(rest: list[str]) -> int:
    return 0


def book(rest: list[str]) -> int:
    return run(PY, "tools/build_book.py", *rest)


def serve(rest: list[str]) -> int:
    """Serve the built site; the standard library is enough."""
    import functools
    import http.server

    site = ROOT / "_build" / "html"
    if not (site / "index.html").exists():
        fail("there is no book yet: make book")
    first = int(rest[0]) if rest else int(os.environ.get("PORT", "8000"))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    for port in range(first, first + 20):
        try:
            server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError:
            continue
        say(f"the book is at http://127.0.0.1:{server.server_port}/ (Ctrl-C stops it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            server.server_close()
        return 0
    fail(f"ports {first} to {first + 19} are all taken; name a free one: make serve ARGS=9000")
    return UNFINISHED


def test(rest: list[str]) -> int:
    workers = os.environ.get("ALPHABOOK_WORKERS", str(min(os.cpu_count() or 1, 8)))
    paths = (
        [] if any(not word.startswith("-") and Path(ROOT, word).exists() for word in rest) else ["tests", "notebooks"]
    )
    return run(PY, "-m", "pytest", "-n", workers, "--dist", "loadfile", *NBVAL, *rest, *paths)


def quick(rest: list[str]) -> int:
    marks = "not slow and not notebook and not site"
    workers = os.environ.get("ALPHABOOK_WORKERS", str(min(os.cpu_count() or 1, 8)))
    codes = [lint([])]
    codes.append(run(PY, "-m", "pytest", "-q", "-n", workers, "--dist", "loadfile", "-m", marks, "tests", *rest))
    return max(codes)


def lint(rest: list[str]) -> int:
    code = ["src", "tools", "tests", "book/_ext"]
    return max(
        run(PY, "-m", "ruff", "check", *code),
        run(PY, "-m", "ruff", "format", "--check", *code),
        run(PY, "-m", "mypy"),
        run(PY, "tools/lint_chapters.py"),
        run(PY, "tools/normalise_notebooks.py", "--check"),
    )


def format_(rest: list[str]) -> int:
    code = ["src", "tools", "tests", "book/_ext"]
    return max(
        run(PY, "-m", "ruff", "check", "--fix", *code),
        run(PY, "-m", "ruff", "format", *code),
        run(PY, "tools/normalise_notebooks.py", *rest),
    )


def lab(rest: list[str]) -> int:
    return run(PY, "-m", "jupyterlab", "--notebook-dir", "notebooks", *rest)


def lock(rest: list[str]) -> int:
    """Resolve once for Python 3.11 to 3.13 on every platform; torch itself stays out."""
    uv = shutil.which("uv") or fail("uv makes the lock and is not on PATH: pip install uv")
    return run(
        uv, "pip", "compile", "pyproject.toml", "requirements/torch-deps.in", "--all-extras", "--universal",
        "--python-version", "3.11", "--override", "requirements/no-torch.override", "--generate-hashes",
        "--no-header", "--quiet", "-o", "requirements/lock.txt", *rest,
    )  # fmt: skip


def peers(rest: list[str]) -> int:
    """Other people's backtest engines in ``.peers``, whose pins stay out of the book's environment."""
    wanted = ROOT / "requirements" / "peers.txt"
    stamp = PEERS / "installed.txt"
    if stamp.exists() and stamp.read_bytes() == wanted.read_bytes():
        return 0
    made = subprocess.run([sys.executable, "-m", "venv", str(PEERS)], capture_output=True, text=True)
    if made.returncode:
        fail(f"{sys.executable} cannot make {PEERS}: {(made.stderr or made.stdout).strip()}")
    python = PEERS / ("Scripts" if os.name == "nt" else "bin") / "python"
    step("of the peers (a minute or two)", [python, "-m", "pip", "install", "-q", "-r", wanted])
    shutil.copyfile(wanted, stamp)
    return 0


def student(rest: list[str]) -> int:
    return run(PY, "tools/student.py", *rest)


def clean(rest: list[str]) -> int:
    shutil.rmtree(ROOT / "_build", ignore_errors=True)
    return 0


NBVAL = [
    "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "300",
    "--nbval-sanitize-with", "tests/nbval_sanitize.cfg",
]  # fmt: skip
TASKS = {
    "setup": setup, "book": book, "serve": serve, "test": test, "quick": quick, "lab": lab, "lint": lint,
    "format": format_, "lock": lock, "peers": peers, "student": student,
    "clean": clean,
}  # fmt: skip


# --- small helpers -------------------------------------------------------------------------------
def say(line: str) -> None:
    print(line, flush=True)


def fail(line: str):
    sys.exit(line)


def step(name: str, command: list) -> None:
    say(f"set-up {name}")
    done = subprocess.run(
        [str(word) for word in command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        fail(f"set-up stopped at {name} (pip's reasons are above); make setup goes on from there")


def run(*command: object) -> int:
    try:
        return subprocess.run([str(word) for word in command], cwd=ROOT, env=environment()).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
