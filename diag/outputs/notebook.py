"""A page in a notebook's output cell: without scripts, in a frame of its own.

The frame keeps the page's style, and the names inside its drawings, from the notebook and from other
cells. The drawings are static: a notebook that shows twenty results holds no megabytes of script.
"""

from __future__ import annotations

from html import escape

from reports import Page, render

HEIGHT = 560
"""Pixels of the frame at first: a reader may pull it longer."""


def framed(page: Page) -> str:
    """A page for an output cell, in a frame that runs no script and asks for nothing."""
    content = escape(render(page, live=False), quote=True)
    style = f"width:100%;height:{HEIGHT}px;border:1px solid #8884;resize:vertical;overflow:auto"
    return f'<iframe title="transfer-diag" sandbox="" style="{style}" srcdoc="{content}"></iframe>\n'
