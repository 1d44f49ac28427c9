"""What a file that is no checkpoint of diag train is read as, as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from diag.outputs.file_text import facts, title
from diag.outputs.html import footer
from reports import Page, Section

if TYPE_CHECKING:
    from diag.sources.description import FileDescription


def built(found: FileDescription) -> Page:
    """A file's description as a page."""
    table = pd.DataFrame(
        [{"diagnosis": name, "lacks": lacking or "nothing"} for name, lacking in found.lacks.items()]
    )
    sections = [Section("What can be asked of it", table=table)]
    return Page("show", "", title(found), facts(found), sections, footer())
