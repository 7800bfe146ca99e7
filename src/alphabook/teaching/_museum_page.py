"""How an exhibit of the museum looks on the page: its code first, what is wrong with it folded below."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ._page import emit, escape, in_notebook
from .predict import predict, reveal

if TYPE_CHECKING:
    from .museum import Exhibit


def display_exhibit(item: Exhibit, caught: Mapping[str, str], means: tuple[float, float], guess: int | None) -> None:
    """Show an exhibit; a guess is kept and scored like any other prediction of the book."""
    key = f"museum.{item.name}"
    if guess is not None:
        predict(key, guess=guess)
    text = f"{numbered(item.source)}\n\n{plain_verdict(item, caught, means)}"
    if in_notebook():
        said = verdict(item, caught, means)
        folded = f"<details><summary>Open when you have named the line</summary>{said}</details>"
        emit({"text/plain": text, "text/html": f'<div class="ab-exhibit">{coloured(item.source)}{folded}</div>'})
    else:
        print(text)
    if guess is not None:
        reveal(key, guess if guess in item.lines else item.lines[0])


def numbered(source: str) -> str:
    """The source with line numbers."""
    return "\n".join(f"{k:2d}  {line}" for k, line in enumerate(source.splitlines(), start=1))


def plain_verdict(item: Exhibit, caught: Mapping[str, str], means: tuple[float, float]) -> str:
    """Wrong lines, repairs, detectors, Sharpe ratios; without markup."""
    lines = item.source.splitlines()
    out = [f"line {k}: {lines[k - 1].strip()}\n    ->  {item.fix[lines[k - 1].strip()]}" for k in item.lines]
    out += [f"{detector}: {said}" for detector, said in caught.items()]
    return "\n".join([*out, f"mean Sharpe ratio: {means[0]:.2f} as reported, {means[1]:.2f} repaired"])


def verdict(item: Exhibit, caught: Mapping[str, str], means: tuple[float, float]) -> str:
    """The same as HTML."""
    lines = item.source.splitlines()
    out = []
    for k in item.lines:
        wrong = lines[k - 1].strip()
        out.append(f"<p>Line {k}, repaired:</p>{coloured(item.fix[wrong], first=k)}")
    rows = "".join(f"<li><strong>{escape(name)}</strong>: {escape(said)}</li>" for name, said in caught.items())
    out.append(f"<p>What fires:</p><ul>{rows}</ul>")
    out.append(
        f"<p>Mean annual Sharpe ratio on null markets: <strong>{means[0]:.2f}</strong> as the broken code reports it, "
        f"<strong>{means[1]:.2f}</strong> after costs once repaired.</p>"
    )
    return "".join(out)


def coloured(source: str, first: int = 1) -> str:
    """Python as HTML in the colours of the site's own code blocks."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer
    except ImportError:  # comes with IPython; without it the code is shown plain
        return f"<pre>{html.escape(source)}</pre>"
    page = highlight(source, PythonLexer(), HtmlFormatter(linenos="inline", linenostart=first, wrapcode=False))
    return f'<div class="highlight-python notranslate" style="overflow-x:auto" tabindex="0">{page}</div>'
