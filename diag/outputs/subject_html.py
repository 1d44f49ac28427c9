"""A subject as a page: what it is, and what can be asked of it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from diag.outputs.sections import made_by
from diag.outputs.subject_text import facts, offers, title
from diag.outputs.words import version
from diag.subject import CAPABILITIES, Subject
from reports import Key, Page, Section
from trainers.safe_text import plain


def page(subject: Subject) -> Page:
    """A subject as a page."""
    table = pd.DataFrame([{"offers": name, "which is": words} for name, words in offers(subject)])
    words = ["A diagnosis can use a subject if it offers what that diagnosis needs."]
    offered = Section("What it offers", words, table=table)
    identity = [
        ("path", plain(subject.path)),
        *((name, words) for name, words in facts(subject) if name != "sha256"),
        ("sha256", subject.sha256),
        ("transfer-diag", version() or "not installed"),
    ]
    keys = [Key("capabilities", str(len(subject.offers)), f"of {len(CAPABILITIES)}")]
    name = plain(Path(subject.path).name) or "subject"
    return Page(name, "", title(subject), identity, [offered], made_by(), kind="subject", keys=keys)
