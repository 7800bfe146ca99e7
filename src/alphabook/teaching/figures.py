"""The book's figure style, and ``show``: a figure with a name, a caption and an alternative text.

The build (``tools/``) turns each output of :func:`show` into a numbered figure: it reads the ``alphabook``
entry of the output's metadata. Matplotlib and Plotly are imported when first used.
"""

from __future__ import annotations

import html
import io
import json
import os
import re
from typing import TYPE_CHECKING, Any

from ._page import emit, escape, in_notebook, open_page
from .ledgers import open_ledgers
from .palette import COLORS, CYCLE, FONT, LIGHT, plotly_ink

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = re.compile(r"fig-[a-z0-9]+(-[a-z0-9]+)*")
LIMIT = 3_000_000
WIDTH, HEIGHT = 6.6, 3.4
"""Usual size of a Matplotlib figure in inches; at this width its text has the size of the page's."""


def setup(chapter: str | None = None) -> None:
    """Set the figure style and, with a chapter's slug, open its page for claims and banners, and its ledgers.

    Seeds nothing: a chapter makes its own ``np.random.default_rng(SEED)``.
    """
    if chapter is not None:
        open_page(chapter)
        open_ledgers()
    _style_matplotlib()
    _style_plotly()
    _style_tables()
    _style_lines()


def show(fig: Any, *, name: str, caption: str, alt: str) -> None:
    """Show a Matplotlib or Plotly figure as figure ``name`` of the book; the last line of its cell.

    Args:
        fig: a Matplotlib figure (or axes), or a Plotly figure.
        name: ``fig-<chapter prefix>-<words>``, for ``{numref}`` in the text.
        caption: stands alone: what is drawn, of what data. Markdown; numbers computed, not typed.
        alt: the finding in words, for readers who do not see the figure; numbers computed.

    Raises:
        ValueError: the name is malformed, the caption or the alternative text is empty or holds a ``nan``,
            or the figure is larger than a page can carry.
        TypeError: ``fig`` is not a figure.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"figure name {name!r}: write fig-, the chapter's prefix and words, like 'fig-bars-clock'")
    for what, words in (("caption", caption), ("alt", alt)):
        if not words or not words.strip():
            raise ValueError(f"figure {name}: {what} is empty; say what the figure shows")
        if re.search(r"\b(nan|NaN|inf|None|NaT)\b", words):
            raise ValueError(f"figure {name}: {what} holds a number that was not computed: {words!r}")
    caption, alt = " ".join(caption.split()), " ".join(alt.split())
    bundle = _plotly_bundle(fig, name, alt) if _is_plotly(fig) else {"image/svg+xml": _svg(fig, name)}
    size = max(len(v if isinstance(v, str) else json.dumps(v)) for v in bundle.values())
    if size > LIMIT:
        raise ValueError(
            f"figure {name} weighs {size / 1e6:.1f} MB, more than {LIMIT / 1e6:.0f}; draw fewer points, "
            "or pass rasterized=True to the Matplotlib artist that has many"
        )
    described = {"name": name, "caption": caption, "alt": alt}
    emit({**bundle, "text/plain": f"Figure {name}: {alt}"}, {"alphabook": described})
    emit(
        {"text/html": f'<p class="ab-caption">{escape(caption)}</p>', "text/plain": caption},
        {"alphabook": {"role": "caption", "name": name}},
    )


def figure_svg(fig: Figure) -> str:
    """A Matplotlib figure as SVG text: the same bytes for the same figure, wherever it is drawn."""
    import matplotlib as mpl

    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "alphabook", "svg.fonttype": "path"}):
        fig.savefig(
            out,
            format="svg",
            bbox_inches="tight",
            pad_inches=0.06,
            facecolor=LIGHT["page"],
            metadata={"Date": None, "Creator": None},
        )
    svg = out.getvalue()
    return svg[svg.index("<svg") :]


def _svg(fig: Any, name: str) -> str:
    figure = getattr(fig, "figure", None) or fig
    if not hasattr(figure, "savefig"):
        raise TypeError(f"figure {name}: expected a Matplotlib or Plotly figure, got {type(fig).__name__}")
    svg = figure_svg(figure)
    if in_notebook():
        import matplotlib.pyplot as plt

        plt.close(figure)  # else the inline backend draws it a second time
    return svg


def _is_plotly(fig: Any) -> bool:
    return hasattr(fig, "to_plotly_json") and hasattr(fig, "layout")


def _plotly_bundle(fig: Any, name: str, alt: str) -> dict[str, Any]:
    """Two mime types: JupyterLab and VS Code draw the first; the site's own plotly.min.js the second.

    The site's script looks for ``script[data-plotly-for]`` and draws its JSON into the ``div.ab-plotly`` of
    that id.
    """
    import plotly.io as pio

    spec = json.loads(pio.to_json(fig, validate=False))
    spec["layout"].setdefault("height", 400)
    spec["config"] = {"displaylogo": False, "responsive": True}
    return {"application/vnd.plotly.v1+json": spec, "text/html": _plotly_html(spec, name, alt)}


def _plotly_html(spec: dict[str, Any], name: str, alt: str) -> str:
    div = f"{name}-plot"
    text = json.dumps(spec, sort_keys=True, ensure_ascii=False).replace("</", "<\\/")
    return (
        f'<div id="{div}" class="ab-plotly" style="width:100%;height:{spec["layout"]["height"]}px" role="figure" '
        f'aria-label="{html.escape(alt)}"></div><script type="application/json" data-plotly-for="{div}">{text}</script>'
    )


def _style_matplotlib() -> None:
    import matplotlib as mpl
    from cycler import cycler

    ink, muted, grid = LIGHT["ink"], LIGHT["muted"], LIGHT["grid"]
    mpl.rcParams.update(
        {
            "figure.figsize": (WIDTH, HEIGHT),
            "figure.dpi": 110,
            "figure.facecolor": LIGHT["page"],
            "figure.constrained_layout.use": True,
            "savefig.facecolor": LIGHT["page"],
            "svg.hashsalt": "alphabook",
            "svg.fonttype": "path",  # drawn letters look the same on every machine and never overflow
            "font.family": "DejaVu Sans",  # comes with Matplotlib
            "font.size": 9.5,
            "text.color": ink,
            "axes.facecolor": "none",
            "axes.edgecolor": muted,
            "axes.labelcolor": ink,
            "axes.titlecolor": ink,
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.prop_cycle": cycler(color=CYCLE) + cycler(linestyle=["-", "--", "-.", ":", (0, (5, 1, 1, 1))]),
            "grid.color": grid,
            "grid.linewidth": 0.8,
            "xtick.color": muted,
            "ytick.color": muted,
            "xtick.labelcolor": ink,
            "ytick.labelcolor": ink,
            "lines.linewidth": 1.7,
            "lines.markersize": 5,
            "patch.linewidth": 0.6,
            "hatch.color": muted,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "image.cmap": "cividis",  # readable with every kind of colour vision
            "timezone": "UTC",
            "date.converter": "concise",
        }
    )


def _style_plotly() -> None:
    import plotly.graph_objects as go
    import plotly.io as pio
    from plotly.io import renderers

    layout: dict[str, Any] = {"colorway": list(CYCLE), "font": {"family": FONT, "size": 13}, "hovermode": "closest"}
    for path, value in plotly_ink("light").items():
        node = layout
        *parents, last = path.split(".")
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    layout |= {
        "paper_bgcolor": LIGHT["page"],
        "margin": {"l": 60, "r": 20, "t": 30, "b": 50},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left"},
    }
    for axis in ("xaxis", "yaxis"):
        layout[axis] |= {"automargin": True, "showline": True, "ticks": "outside", "zerolinewidth": 1}
    pio.templates["alphabook"] = go.layout.Template(layout=layout)
    pio.templates.default = "alphabook"
    if not any(name in os.environ for name in ("COLAB_RELEASE_TAG", "COLAB_NOTEBOOK_ID", "PLOTLY_RENDERER")):
        renderers.default = "plotly_mimetype"


def _style_tables() -> None:
    import pandas as pd

    pd.set_option("display.precision", 4, "display.max_rows", 20, "display.max_columns", 14, "display.width", 110)


def _style_lines() -> None:
    """In a notebook, set the small lines of claims, checks and banners apart; the site has its own style for them."""
    left = {
        ".ab-claim, .ab-check-passed": COLORS["right"],
        ".ab-check-wrong, .ab-check-error, .ab-source-simulated, .ab-source-unknown": COLORS["wrong"],
        ".ab-check-not-done, .ab-check-unknown": COLORS["truth"],
        ".ab-predict": COLORS["planted"],
        ".ab-source-real": COLORS["real"],
    }
    rules = [
        f"{names} {{ border-left: 3px solid {color}; padding: 1px 10px; font-size: 90%; }}"
        for names, color in left.items()
    ]
    rules.append(".ab-source p { margin: 2px 0; } .ab-caption { font-size: 90%; opacity: .8; max-width: 46em; }")
    emit({"text/html": f"<style>{' '.join(rules)}</style>", "text/plain": ""}, {"alphabook": {"role": "style"}})


__all__ = ["COLORS", "figure_svg", "setup", "show"]
