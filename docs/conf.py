"""How the documentation becomes a site: Sphinx, Markdown by MyST, and no request to anywhere (make site)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myst_parser.parsers.sphinx_ import MystParser
from pygments.lexers.special import TextLexer

if TYPE_CHECKING:
    from docutils.nodes import document
    from sphinx.application import Sphinx

project = "transfer-diag"
author = copyright = "The transfer-diag developers"  # noqa: A001 (Sphinx's name of it)
extensions = ["myst_parser"]
exclude_patterns = ["conf.py"]
html_theme = "furo"
html_title = "transfer-diag"
html_show_sourcelink = html_copy_source = False
html_show_sphinx = False
html_extra_path = [folder] if (folder := os.environ.get("DIAG_GALLERY")) else []
"""The folder that holds ``gallery/``, which ``python -m benchmarks.gallery`` made."""

myst_heading_anchors = 4
nitpicky = True


class NotebookParser(MystParser):
    """A notebook without outputs as the Markdown that it is made of: its words, and its code in blocks."""

    supported = ("ipynb",)

    def parse(self, inputstring: str, document: document) -> None:
        cells: list[dict[str, Any]] = json.loads(inputstring)["cells"]
        super().parse("\n\n".join(map(_markdown, cells)), document)


def _markdown(cell: dict[str, Any]) -> str:
    text = "".join(cell["source"])
    return text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"


def _out_of_docs(app: Sphinx, name: str, source: list[str]) -> None:
    """Links to files beside the documentation become their names: the site holds the documentation alone."""
    from re import sub

    folder = Path(app.srcdir)

    def shown(link: Any) -> str:
        words, place = link[1], link[2].partition("#")[0]
        inside = (folder / place).resolve().is_relative_to(folder.resolve())
        return link[0] if inside else f"{words} (`{place.removeprefix('../')}`)"

    source[0] = sub(r"(?<!!)\[([^\]]+)\]\((\.\./[^)\s]+)\)", shown, source[0])


def setup(app: Sphinx) -> None:
    """Notebooks are sources too; a diagram in words stays words."""
    app.add_source_suffix(".ipynb", "ipynb")
    app.add_source_parser(NotebookParser)
    app.add_lexer("mermaid", TextLexer)
    app.connect("source-read", _out_of_docs)
