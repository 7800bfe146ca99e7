"""One palette for the whole book: a thing keeps its colour from chapter to chapter.

Five hues carry all meanings. Each stands out from white and from the dark page by at least 3 : 1, and any two
stay apart for readers with deutan, protan or tritan vision (``tests/teaching/test_palette.py`` measures both),
so figures need no second set for the dark theme: only page, ink and grid change.
"""

from __future__ import annotations

import re
from types import MappingProxyType

BLUE, ORANGE, GREEN, PLUM, SLATE = "#2f74e6", "#e2590f", "#149c66", "#a835a3", "#687180"

COLORS = MappingProxyType(
    {
        # attention
        "dense": SLATE, "window": BLUE, "favor": ORANGE, "cross_asset": GREEN, "global": PLUM,
        # positions and money
        "long": BLUE, "short": ORANGE, "flat": SLATE, "gross": GREEN, "net": BLUE, "cost": ORANGE,
        # splits of a sample
        "train": BLUE, "validation": PLUM, "test": ORANGE,
        # the three markets
        "null": SLATE, "planted": PLUM, "real": BLUE, "simulated": GREEN,
        # time
        "known": BLUE, "future": ORANGE, "gap": PLUM, "fine": BLUE, "coarse": GREEN,
        # truth and error
        "truth": SLATE, "estimate": BLUE, "right": GREEN, "wrong": ORANGE, "threshold": PLUM,
        # code
        "slow": SLATE, "fast": BLUE,
        # venues
        "bybit": ORANGE, "binance": PLUM, "coinbase": BLUE, "yahoo": GREEN, "artemis": SLATE,
    }
)  # fmt: skip
"""What a colour means, by name."""

GROUPS = (
    ("dense", "window", "favor", "cross_asset", "global"),
    ("long", "short", "flat"),
    ("gross", "net", "cost"),
    ("train", "validation", "test"),
    ("null", "planted", "real", "simulated"),
    ("known", "future", "gap", "coarse"),
    ("truth", "estimate", "right", "wrong", "threshold"),
    ("slow", "fast"),
    ("bybit", "binance", "coinbase", "yahoo", "artemis"),
)
"""Names that may meet in one figure; within a group no two share a colour."""

CYCLE = (BLUE, ORANGE, GREEN, PLUM, SLATE)

LIGHT = MappingProxyType(
    {"page": "#fefefe", "ink": "#1c2430", "muted": "#5a6675", "grid": "#e2e6eb", "soft": "#f1f4f7"}
)
DARK = MappingProxyType({"page": "#14181e", "ink": "#e6eaf0", "muted": "#a3afbd", "grid": "#333d49", "soft": "#1f252d"})

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"


def themed_svg(svg: str, theme: str) -> str:
    """A figure of :func:`alphabook.teaching.show` for the site's ``"light"`` or ``"dark"`` theme.

    In a notebook a figure brings its own light page, so that it is readable whatever the notebook's theme;
    on the site the page is taken out, and in the dark ink and grid are exchanged.
    """
    if theme not in ("light", "dark"):
        raise ValueError(f"theme is 'light' or 'dark', got {theme!r}")
    swap = {LIGHT["page"]: "none"}
    if theme == "dark":
        swap |= {LIGHT[name]: DARK[name] for name in LIGHT if name != "page"}
    return re.sub("|".join(swap), lambda found: swap[found[0].lower()], svg, flags=re.IGNORECASE)


def plotly_ink(theme: str) -> dict[str, str]:
    """Arguments of ``Plotly.relayout`` that put a figure on the ``"light"`` or ``"dark"`` page.

    The axes' share is given once, for ``xaxis`` and ``yaxis``; numbered axes want the same.
    """
    ink = {"light": LIGHT, "dark": DARK}.get(theme)
    if ink is None:
        raise ValueError(f"theme is 'light' or 'dark', got {theme!r}")
    clear = "rgba(0,0,0,0)"
    out = {"paper_bgcolor": clear, "plot_bgcolor": clear, "font.color": ink["ink"], "legend.bgcolor": clear}
    for axis in ("xaxis", "yaxis"):
        out |= {
            f"{axis}.gridcolor": ink["grid"],
            f"{axis}.zerolinecolor": ink["grid"],
            f"{axis}.linecolor": ink["muted"],
        }
        out |= {f"{axis}.tickcolor": ink["muted"], f"{axis}.tickfont.color": ink["muted"]}
    return out | {"hoverlabel.bgcolor": ink["soft"], "hoverlabel.font.color": ink["ink"]}
