"""A result in a notebook's output cell: its page without scripts, in a frame of its own.

The frame keeps the page's style, and the names inside its drawings, from the notebook and from other
cells. The drawings are static: a notebook that shows twenty results holds no megabytes of script.
"""

from __future__ import annotations

from html import escape
from importlib import import_module
from typing import TYPE_CHECKING

from reports import Page, render

if TYPE_CHECKING:
    from diag.shown import Shown

PAGES = {
    "calibration": "diag.outputs.calibration:built",
    "check": "diag.outputs.check_html:built",
    "comparison": "diag.outputs.html:built",
    "description": "diag.outputs.show_html:built",
    "file_description": "diag.outputs.file_html:built",
    "forecast": "diag.outputs.chance_html:built",
    "landscape": "diag.outputs.landscape_html:built",
    "probe": "diag.outputs.probe_html:built",
    "repair": "diag.outputs.repair_html:built",
    "study": "diag.outputs.study_html:built",
    "study_forecast": "diag.outputs.forecast_html:built",
    "subject": "diag.outputs.subject_html:built",
}
"""Where each kind of result is made a page."""

HEIGHT = 560
"""Pixels of the frame at first: a reader may pull it longer."""


def page_of(result: Shown) -> Page:
    """A result as a page, before it is rendered."""
    module, name = PAGES[result.kind].split(":")
    page: Page = getattr(import_module(module), name)(result)
    return page


def cell(result: Shown) -> str:
    """The page of a result for an output cell: a frame that runs no script and asks for nothing."""
    page = escape(render(page_of(result), live=False), quote=True)
    style = f"width:100%;height:{HEIGHT}px;border:1px solid #8884;resize:vertical;overflow:auto"
    return f'<iframe title="transfer-diag" sandbox="" style="{style}" srcdoc="{page}"></iframe>\n'
