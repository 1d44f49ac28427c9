"""A subject as a page: what it is, and what can be asked of it."""

from __future__ import annotations

import pandas as pd

from diag.outputs.sections import footer
from diag.outputs.subject_text import facts, offers, title
from diag.subject import Subject
from reports import Page, Section


def page(subject: Subject) -> Page:
    """A subject as a page."""
    table = pd.DataFrame([{"offers": name, "": words} for name, words in offers(subject)])
    words = ["A diagnosis can use a subject if it offers what that diagnosis needs."]
    offered = Section("What it offers", words, table=table)
    return Page("subject", "", title(subject), facts(subject), [offered], footer())
