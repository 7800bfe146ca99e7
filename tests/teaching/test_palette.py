"""Colours are measured, not trusted: contrast on both themes, distance under three kinds of colour vision."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from alphabook.teaching import COLORS, DARK, LIGHT, themed_svg
from alphabook.teaching.palette import CYCLE, GROUPS, plotly_ink

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB
VISION = {
    "usual": np.eye(3),
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(color: str) -> np.ndarray:
    c = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(color: str, vision: str) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as seen with the given vision."""
    rgb = np.clip(np.asarray(VISION[vision]) @ linear(color), 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    xyz = to_xyz @ rgb / [0.95047, 1, 1.08883]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_the_measures_themselves():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert lab("#ff0000", "usual") == pytest.approx([53.24, 80.09, 67.20], abs=0.02)


@pytest.mark.parametrize("color", sorted(set(COLORS.values())))
@pytest.mark.parametrize("page", ["#ffffff", LIGHT["page"], DARK["page"]])
def test_every_colour_stands_out_from_both_pages(color, page):
    assert contrast(color, page) >= 3, "WCAG 1.4.11 wants 3 : 1 for graphics"


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_words_are_readable_on_both_pages(theme):
    assert contrast(theme["ink"], theme["page"]) >= 7
    assert contrast(theme["muted"], theme["page"]) >= 4.5
    assert contrast(theme["muted"], theme["soft"]) >= 4.5


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("pair", list(itertools.combinations(CYCLE, 2)), ids="-".join)
def test_any_two_colours_stay_apart_for_every_reader(pair, vision):
    distance = np.linalg.norm(lab(pair[0], vision) - lab(pair[1], vision))
    assert distance >= 20, f"about ten times what the eye can just tell apart; got {distance:.1f}"


@pytest.mark.parametrize("group", GROUPS, ids="-".join)
def test_names_that_meet_in_one_figure_differ_in_colour(group):
    assert len({COLORS[name] for name in group}) == len(group)


def test_every_name_of_a_group_has_a_colour_and_colours_cannot_be_changed():
    assert {name for group in GROUPS for name in group} <= set(COLORS)
    with pytest.raises(TypeError):
        COLORS["long"] = "#000000"  # type: ignore[index]


def test_no_ink_is_also_a_series_colour_else_the_dark_twin_would_recolour_it():
    assert not set(LIGHT.values()) & set(COLORS.values())
    assert len(set(LIGHT.values())) == len(LIGHT)
    assert LIGHT.keys() == DARK.keys()


def test_the_dark_twin_swaps_page_ink_and_grid_and_nothing_else():
    svg = (
        f'<path style="fill: {LIGHT["page"]}"/><path stroke="{LIGHT["ink"].upper()}"/><path stroke="{LIGHT["grid"]}"/>'
        f'<path fill="#ffffff" stroke="{COLORS["long"]}"/>'
    )
    dark = themed_svg(svg, "dark")
    assert dark == (
        f'<path style="fill: none"/><path stroke="{DARK["ink"]}"/><path stroke="{DARK["grid"]}"/>'
        f'<path fill="#ffffff" stroke="{COLORS["long"]}"/>'
    )
    assert themed_svg(svg, "light") == svg.replace(LIGHT["page"], "none")
    with pytest.raises(ValueError, match="'light' or 'dark', got 'blue'"):
        themed_svg(svg, "blue")


def test_plotly_gets_the_same_ink_and_a_clear_page():
    dark = plotly_ink("dark")
    assert dark["font.color"] == DARK["ink"]
    assert dark["yaxis.gridcolor"] == DARK["grid"]
    assert dark["paper_bgcolor"] == "rgba(0,0,0,0)"
    assert plotly_ink("light").keys() == dark.keys()
    with pytest.raises(ValueError, match="got 'blue'"):
        plotly_ink("blue")
