"""The API page: docstrings read as they are written, references that lead somewhere.

A reference to an object of the API page becomes a link, whatever path it was imported by. A reference to something
that exists but is not on the page (a type of pandas, a private alias) is shown as code. A reference to something that
does not exist stays a warning, and a warning stops the build.
"""

from __future__ import annotations

import enum
import importlib
import sys
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.util.nodes import make_refnode

SHORT = {"np": "numpy", "pd": "pandas", "dt": "datetime", "nn": "torch.nn", "go": "plotly.graph_objects"}


def setup(app: Sphinx) -> None:
    GoogleDocstring._consume_inline_attribute = _whole_text  # type: ignore[method-assign]
    app.connect("autodoc-process-signature", _enum_signature)
    app.connect("missing-reference", _resolve)


def _enum_signature(app: Sphinx, what: str, name: str, obj: Any, *rest: Any) -> tuple[str, str] | None:
    """An enumeration is called with a value; the machinery of ``enum`` is nobody's interface."""
    return ("(value)", "") if what == "class" and issubclass(obj, enum.Enum) else None


def _whole_text(self: Any) -> tuple[str, list[str]]:
    """The text under an attribute is text; napoleon would take what stands before a colon for its type."""
    lines = [self._lines.next(), *self._dedent(self._consume_to_end())]
    return "", self.__class__(lines, self._config).lines()


def _resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element) -> nodes.Element | None:
    if node.get("refdomain") != "py":
        return None
    target, module = node["reftarget"], node.get("py:module") or ""
    found = documented(target, env.domaindata["py"]["objects"])
    if found is not None:
        entry = env.domaindata["py"]["objects"][found]
        return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, found)
    return contnode if exists(target, module) or exists(target, f"{module}.{node.get('py:class') or ''}") else None


def documented(target: str, objects: Any) -> str | None:
    """The one object of the page that a longer, shorter or bare name means."""
    words = target.split(".")
    if words[0] == "alphabook":
        for cut in range(len(words) - 2, 1, -1):  # alphabook.candles.quality.Report -> alphabook.candles.Report
            name = ".".join([*words[:cut], words[-1]])
            if name in objects:
                return name
        tails = [name for name in objects if name.endswith("." + ".".join(words[-2:]))]
    else:
        tails = [name for name in objects if name.endswith("." + target)]
    return tails[0] if len(tails) == 1 else None


def exists(target: str, module: str) -> bool:
    """Whether a name can be imported, from the top or from a module or any package around it."""
    first, *rest = target.split(".")
    names = [".".join([SHORT.get(first, first), *rest]), f"builtins.{target}", f"typing.{target}"]
    around = [word for word in module.split(".") if word]
    names += [".".join([*around[:cut], target]) for cut in range(len(around), 0, -1)]
    return any(_imports(name) for name in names) or _in_a_module_of(".".join(around[:2]), first)


def _in_a_module_of(package: str, name: str) -> bool:
    """Annotations that autodoc could not evaluate are written as their own module knows them."""
    inside = [module for key, module in sys.modules.items() if package and key.startswith(package + ".")]
    return any(hasattr(module, name) for module in inside)


def _imports(name: str) -> bool:
    words = name.split(".")
    for cut in range(len(words), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(words[:cut]))
        except (ImportError, ValueError):
            continue
        try:
            for word in words[cut:]:
                value = getattr(value, word)
        except AttributeError:
            annotations = getattr(value, "__annotations__", {})
            return words[-1] in annotations
        return True
    return False
