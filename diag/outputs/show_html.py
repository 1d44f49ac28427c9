"""A checkpoint as a page: what it is, its components and its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from diag.outputs.sections import footer
from diag.outputs.show_text import components, facts, settings, title
from reports import Page, Section
from trainers.safe_text import plain

if TYPE_CHECKING:
    from diag.sources.description import Description


def page(description: Description) -> Page:
    """A checkpoint's description as a page."""
    parts = pd.DataFrame(
        [
            {
                "component": plain(name),
                "parameters": f"{parameters:,}",
                "widths": shape,
                "": "trained" if trained else "frozen",
            }
            for name, parameters, shape, trained in components(description)
        ]
    )
    tree = pd.DataFrame(
        [
            {"setting": plain(name), "value": plain(str(value))}
            for name, value in settings(description.settings)
        ]
    )
    sections = [
        Section("Components", ["The widths lead from a component's input to its output."], table=parts),
        Section("Settings", ["A setting that the file leaves out has its default."], table=tree),
    ]
    return Page("show", "", title(description), facts(description), sections, footer())
