"""A file that is no checkpoint of diag train as a page: its contents, and the diagnoses they suffice for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from diag.outputs.sections import footer
from diag.outputs.show_file_text import facts, title
from reports import Page, Section

if TYPE_CHECKING:
    from diag.sources.description import FileDescription


def page(file: FileDescription) -> Page:
    """A file's description as a page."""
    table = pd.DataFrame(
        [{"diagnosis": name, "lacks": lacking or "nothing"} for name, lacking in file.lacks.items()]
    )
    sections = [Section("What can be asked of it", table=table)]
    return Page("show", "", title(file), facts(file), sections, footer())
