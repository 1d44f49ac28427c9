"""A subject as a page: what it is, and what can be asked of it."""

from __future__ import annotations

import pandas as pd

from diag.outputs.html import footer
from diag.outputs.subject_text import facts, offers
from diag.outputs.text import plain
from diag.subject import Subject
from reports import Page, Section


def built(subject: Subject) -> Page:
    """A subject as a page."""
    table = pd.DataFrame([{"offers": name, "": words} for name, words in offers(subject)])
    words = ["A diagnosis can use a subject if it offers what that diagnosis needs."]
    title = f"{plain(subject.label) or 'subject'}: {plain(subject.path)}"
    return Page(
        "subject", "", title, facts(subject), [Section("What it offers", words, table=table)], footer()
    )
