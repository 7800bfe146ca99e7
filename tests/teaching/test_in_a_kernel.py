"""All of it at once where it is used: a real kernel, then the renderer of the book."""

from __future__ import annotations

import copy
import re

import nbformat
import pytest

nbclient = pytest.importorskip("nbclient")

CELLS = [
    "import numpy as np, matplotlib.pyplot as plt\nfrom alphabook.teaching import *\nsetup('a-chapter')",
    "claim('demo.gaps', np.int64(14), low=10, high=20, unit='gaps')\n"
    "claim('demo.share', np.float64(0.123456), high=1)\n"
    "claim('demo.venue', 'bybit')\n"
    "claim('demo.equal', True);",
    "fig, ax = plt.subplots()\nax.plot([1, 2], [2, 1])\n"
    "show(fig, name='fig-demo-line', caption='A line.', alt='The line falls.')",
    "@exercise('demo.double', kind='implement', difficulty=1, minutes=1)\n"
    "def check_double(answer):\n"
    "    'Double.'\n"
    "    if answer(2) != 4: raise Wrong('two doubled is four')",
    "def mine(x):\n    y = {}\n    return y['close']\ncheck('demo.double', mine)",
    "check('demo.double', lambda x: x);\ncheck('demo.double', None);",
    "check('demo.doubel', 1)\npredict('demo.coin')\nreveal('demo.coin', 5)",
    "claim('demo.one-of-many', 3.5, low=3, quiet=True);",
]
PROSE = (
    "# A chapter\n\nThere are {glue:text}`demo.gaps:.0f` gaps, share {glue:text}`demo.share:.3f` "
    "({glue:text}`demo.share:.1%`), of {glue:text}`demo.venue`: {glue:text}`demo.equal`."
)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.cells = [nbformat.v4.new_markdown_cell(PROSE), *map(nbformat.v4.new_code_cell, CELLS)]
    home = tmp_path_factory.mktemp("kernel")
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(home)}}).execute()
    return notebook


def outputs(notebook, number):
    return notebook.cells[1 + number]["outputs"]


def test_a_quiet_claim_is_glued_and_can_be_linked_to_but_shows_nothing(executed):
    glue = pytest.importorskip("myst_nb.ext.glue")
    cell = copy.deepcopy(executed.cells[1 + 7])
    assert [key for key, _ in glue.extract_glue_data_cell(cell)] == ["demo.one-of-many"]
    (shown,) = cell["outputs"]
    assert 'id="claim-demo-one-of-many"' in shown["data"]["text/html"]
    assert not re.sub(r"<[^>]*>", "", shown["data"]["text/html"])


def test_a_claim_is_glued_as_myst_nb_does_it(executed):
    glue = pytest.importorskip("myst_nb.ext.glue")
    cell = copy.deepcopy(executed.cells[2])
    found = dict(glue.extract_glue_data_cell(cell))
    assert {k: v["data"]["text/plain"] for k, v in found.items()} == {
        "demo.gaps": "14",
        "demo.share": "0.123456",
        "demo.venue": "'bybit'",
        "demo.equal": "True",
    }
    shown = [o["data"]["text/plain"] for o in cell["outputs"] if "text/html" in o["data"]]
    assert len(shown) == 4, "gluing leaves the four small lines"


def test_the_renderer_puts_the_numbers_into_the_prose(executed, tmp_path):
    docutils = pytest.importorskip("myst_nb.docutils_")
    from docutils.core import publish_string

    page = publish_string(
        nbformat.writes(executed),
        source_path=str(tmp_path / "page.ipynb"),
        parser=docutils.Parser(),
        writer_name="html5",
        settings_overrides={
            "nb_execution_mode": "off",
            "output_encoding": "unicode",
            "nb_output_folder": str(tmp_path),
        },
    )
    text = re.sub(r"<[^>]+>", "", page)
    assert "There are 14 gaps, share 0.123 (12.3%), of bybit: True." in text
    assert "✓ demo.gaps = 14 gaps (must be between 10 and 20)" in " ".join(text.split())


def test_a_figure_is_drawn_once_with_its_words_in_the_metadata(executed):
    figures = [
        o for o in outputs(executed, 2) if "image/svg+xml" in o.get("data", {}) or "image/png" in o.get("data", {})
    ]
    assert len(figures) == 1
    assert figures[0]["metadata"]["alphabook"] == {
        "name": "fig-demo-line",
        "caption": "A line.",
        "alt": "The line falls.",
    }
    assert [o["metadata"]["alphabook"].get("role") for o in outputs(executed, 2)] == [None, "caption"]


def test_a_check_as_last_line_shows_once_and_names_the_readers_line(executed):
    (only,) = outputs(executed, 4)
    assert only["data"]["text/plain"] == (
        "✗ demo.double: your answer raised KeyError: 'close'\nin line 3 of your code, `return y['close']`"
    )


def test_a_semicolon_hides_no_diagnosis(executed):
    said = [o["data"]["text/plain"] for o in outputs(executed, 5)]
    assert said[0] == "✗ demo.double: two doubled is four"
    assert said[1].startswith("○ demo.double: not done yet")


def test_nothing_stops_a_notebook_that_is_not_done(executed):
    said = [o["data"]["text/plain"] for o in outputs(executed, 6)]
    assert "there is no such exercise; did you mean `demo.double`?" in said[0]
    assert "make your guess first" in said[1]
    assert said[2] == "● demo.coin: it is 5"
