"""Does everything that a chapter needs work here? Answers in well under a minute, without a network.

    python -m alphabook.teaching.verify

Each line is one thing a chapter relies on, tried out and not only looked for; a line that fails names the remedy.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .claims import claim

PACKAGES = ("numpy", "pandas", "pyarrow", "torch", "matplotlib", "plotly", "ipykernel")
REMEDY = "run `make setup` (Windows: py tools\\dev.py setup) and start Python from .venv"


def main() -> int:
    """Try everything, print a line each; exit code 0 when all of it works."""
    started = time.perf_counter()
    failures = 0
    for name, attempt in ATTEMPTS.items():
        try:
            print(f"✓ {name}: {attempt()}", flush=True)
        except Exception as error:
            failures += 1
            print(f"✗ {name}: {type(error).__name__}: {error}", flush=True)
    took = time.perf_counter() - started
    if failures:
        print(f"{failures} of {len(ATTEMPTS)} failed in {took:.0f} s; {REMEDY}")
        return 1
    print(f"all {len(ATTEMPTS)} work, {took:.0f} s; open the chapters with `make lab`")
    return 0


def python() -> str:
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        raise RuntimeError(f"Python 3.11, 3.12 or 3.13 is needed, this is {sys.version.split()[0]}")
    return f"{sys.version.split()[0]}, {sys.executable}"


def packages() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            raise RuntimeError(f"{name} is not installed; {REMEDY}") from None
    return ", ".join(found)


def tensors() -> str:
    """Softmax attention over one key returns that key's value, in float64 to the last bit."""
    import torch

    query, key, value = (
        torch.randn(1, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in range(3)
    )
    weight = torch.softmax(query @ key.T, dim=-1)
    claim("verify.one-key", bool(torch.equal(weight @ value, value)))
    return f"softmax attention over one key is exact; {torch.get_num_threads()} threads"


def candles() -> str:
    from ..candles import load_candles, validate_candles

    table = load_candles("BTCUSDT", "1h", source="sample")
    validate_candles(table).raise_if_bad("the bundled sample market")
    return f"{len(table):,} candles, {table.attrs['source']}"


def store() -> str:
    from ..candles import load_candles
    from ..store import CandleStore

    table = load_candles("BTCUSDT", "1h", source="sample").head(500)
    with tempfile.TemporaryDirectory() as folder, CandleStore(Path(folder, "market.sqlite")) as kept:
        first = kept.upsert(table)
        again = kept.upsert(table)
        claim("verify.written", first.inserted, low=500, high=500)
        claim("verify.written-again", again.inserted + again.updated, low=0, high=0)
    return "500 candles written twice are 500 candles"


def figures() -> str:
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.use("Agg")
        from matplotlib.figure import Figure

        from .figures import figure_svg

        figure = Figure()
        figure.subplots().plot([0, 1], [1, 0])
        size = len(figure_svg(figure))
    return f"an SVG of {size:,} characters was drawn"


def kernel() -> str:
    """Start the kernel that runs the chapters and let it import the package."""
    from jupyter_client.manager import KernelManager

    manager = KernelManager(kernel_name="python3")  # the name that the chapters ask for
    manager.start_kernel(extra_arguments=["--log-level=40"])
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=40)
        reply = client.execute_interactive("import alphabook.teaching", timeout=40, store_history=False)
        content = reply["content"]
        if content["status"] != "ok":
            raise RuntimeError(f"the kernel cannot import alphabook: {content.get('evalue')}; {REMEDY}")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return "a notebook kernel starts and imports alphabook"


def real_candles() -> str:
    from ..candles import real_market_available

    if real_market_available():
        return "present: the next `make book` is computed on them"
    return "absent, which is fine: chapters run on the simulated market (`alphabook fetch --preset book` gets them)"


ATTEMPTS: dict[str, Callable[[], str]] = {
    "Python": python,
    "packages": packages,
    "tensors": tensors,
    "sample market": candles,
    "candle store": store,
    "figures": figures,
    "kernel": kernel,
    "real candles": real_candles,
}


if __name__ == "__main__":
    sys.exit(main())
