"""A figure of the book is named, captioned, described, the same bytes twice, and readable on both themes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from alphabook.teaching import COLORS, LIGHT, setup, show, themed_svg
from alphabook.teaching.figures import figure_svg

WORDS = {"name": "fig-demo-lines", "caption": "Two lines of `x`.", "alt": "The first line rises, the second falls."}


@pytest.fixture(autouse=True)
def style():
    import matplotlib as mpl
    import pandas as pd
    import plotly.io as pio

    with mpl.rc_context():
        mpl.use("Agg")
        options = {
            k: pd.get_option(k)
            for k in ("display.precision", "display.max_rows", "display.max_columns", "display.width")
        }
        template, renderer = pio.templates.default, pio.renderers.default
        setup()
        yield
        pio.templates.default, pio.renderers.default = template, renderer
        for key, value in options.items():
            pd.set_option(key, value)


def lines():
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    ax.plot([0, 1, 2], [0, 1, 4], label="rises")
    ax.plot([0, 1, 2], [4, 1, 0], color=COLORS["short"], label="falls")
    ax.set(xlabel="bar (hours)", ylabel="return (bp)", title="Two lines")
    ax.legend()
    return fig


def touchable():
    import plotly.graph_objects as go

    return go.Figure([go.Scatter(y=np.array([1.0, 3.0, 2.0]), name="</script>")]).update_layout(xaxis_title="bar")


def test_a_matplotlib_figure_becomes_an_svg_with_its_words(notebook):
    show(lines(), **WORDS)
    (bundle, metadata), (caption, role) = notebook
    assert metadata == {"alphabook": WORDS}
    assert bundle["text/plain"] == f"Figure fig-demo-lines: {WORDS['alt']}"
    assert set(bundle) == {"image/svg+xml", "text/plain"}
    ElementTree.fromstring(bundle["image/svg+xml"])
    assert caption["text/html"] == '<p class="ab-caption">Two lines of <code>x</code>.</p>'
    assert role == {"alphabook": {"role": "caption", "name": "fig-demo-lines"}}


def test_a_shown_figure_is_closed_so_that_it_is_not_drawn_twice(notebook):
    import matplotlib.pyplot as plt

    fig = lines()
    show(fig, **WORDS)
    assert not plt.fignum_exists(fig.number)


def test_axes_do_as_well_as_their_figure(notebook):
    show(lines().axes[0], **WORDS)
    assert "image/svg+xml" in notebook[0][0]


def test_a_plotly_figure_becomes_json_for_the_lab_and_a_div_for_the_site(notebook):
    show(touchable(), **WORDS | {"alt": 'It is "1 < 3".'})
    bundle = notebook[0][0]
    spec = bundle["application/vnd.plotly.v1+json"]
    page = bundle["text/html"]
    assert spec["config"]["displaylogo"] is False
    assert re.search(r'<div id="fig-demo-lines-plot" class="ab-plotly"[^>]*height:400px', page)
    assert 'aria-label="It is &quot;1 &lt; 3&quot;."' in page
    inner = re.search(r'<script type="application/json" data-plotly-for="fig-demo-lines-plot">(.*)</script>', page)[1]
    assert "</script>" not in inner, "a name with </script> in it must not close the block"
    assert json.loads(inner) == spec
    assert spec["data"][0]["name"] == "</script>"


def test_a_plotly_figure_carries_the_books_template(notebook):
    show(touchable(), **WORDS)
    layout = notebook[0][0]["application/vnd.plotly.v1+json"]["layout"]["template"]["layout"]
    assert layout["font"]["color"] == LIGHT["ink"]
    assert layout["xaxis"]["gridcolor"] == LIGHT["grid"]
    assert layout["colorway"][0] == COLORS["long"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "clock"}, "write fig-, the chapter's prefix"),
        ({"name": "fig-Bars_x"}, "write fig-, the chapter's prefix"),
        ({"caption": ""}, "caption is empty"),
        ({"alt": "  \n"}, "alt is empty"),
        ({"alt": f"The correlation is {float('nan'):.2f}."}, "alt holds a number that was not computed"),
        ({"caption": f"Of {None} bars."}, "caption holds a number that was not computed"),
        ({"alt": f"A speed-up of {float('inf'):.1f}."}, "alt holds a number that was not computed"),
    ],
)
def test_a_figure_without_words_is_an_error(change, message):
    with pytest.raises(ValueError, match=message):
        show(lines(), **WORDS | change)


def test_words_that_only_contain_those_letters_are_fine():
    show(lines(), **WORDS | {"alt": "Finance informs: no infinite nanosecond, Nonesuch."})


def test_what_is_not_a_figure_is_refused():
    with pytest.raises(TypeError, match="fig-demo-lines: expected a Matplotlib or Plotly figure, got list"):
        show([1, 2], **WORDS)


def test_a_figure_too_heavy_for_a_page_says_what_to_do():
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    ax.plot(np.random.default_rng(0).normal(size=(60, 3000)).T, marker="o")
    with pytest.raises(ValueError, match=r"weighs .* MB, more than 3; draw fewer points, or pass rasterized=True"):
        show(fig, **WORDS)
    plt.close(fig)


def test_line_breaks_in_words_do_not_reach_the_page(notebook):
    show(lines(), **WORDS | {"alt": "One\n   sentence."})
    assert notebook[0][1]["alphabook"]["alt"] == "One sentence."


DRAW = """
import sys; sys.path.insert(0, {here!r})
import matplotlib; matplotlib.use("Agg")
from alphabook.teaching import setup
from alphabook.teaching.figures import figure_svg
from test_figures import lines
setup()
sys.stdout.write(figure_svg(lines()))
"""


def test_the_same_figure_is_the_same_bytes_in_another_process():
    from pathlib import Path

    import matplotlib.pyplot as plt

    here = str(Path(__file__).parent)
    other = subprocess.run([sys.executable, "-c", DRAW.format(here=here)], capture_output=True, text=True, check=True)
    mine = figure_svg(lines())
    plt.close("all")
    assert other.stdout == mine
    assert "<dc:date>" not in mine


def test_every_colour_of_the_style_has_a_dark_twin():
    svg = figure_svg(lines())
    used = set(re.findall(r"#[0-9a-f]{6}\b", svg))
    known = set(LIGHT.values()) | set(COLORS.values()) | {"#ffffff", "#000000"}
    assert used <= known, "a colour outside the palette would not follow the theme"
    dark = themed_svg(svg, "dark")
    assert not {LIGHT[k] for k in ("page", "ink", "muted", "grid")} & set(re.findall(r"#[0-9a-f]{6}\b", dark))


def test_letters_are_drawn_so_that_no_font_is_needed():
    svg = figure_svg(lines())
    assert "<text" not in svg
    assert "font-family" not in svg


HEAVY = """
import sys, alphabook.teaching
print([name for name in ("matplotlib", "plotly", "torch", "IPython") if name in sys.modules])
"""


def test_importing_the_package_loads_no_plotting_library():
    said = subprocess.run([sys.executable, "-c", HEAVY], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_the_small_lines_are_styled_in_a_notebook_by_an_output_that_the_site_drops(notebook):
    setup()
    ((bundle, metadata),) = notebook
    assert ".ab-claim" in bundle["text/html"]
    assert metadata == {"alphabook": {"role": "style"}}


def test_setup_seeds_nothing():
    import random

    np_state, state = np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    setup()
    assert np.random.get_state()[1].tolist() == np_state  # noqa: NPY002
    assert random.getstate() == state
