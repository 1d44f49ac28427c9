"""A file that is no checkpoint of diag train as a page: its contents, and the diagnoses they suffice for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from diag.outputs.sections import made_by
from diag.outputs.show_file_text import facts, title
from diag.outputs.words import version
from diag.wording import listed, plural
from reports import Key, Page, Section
from trainers.safe_text import plain

if TYPE_CHECKING:
    from diag.sources.description import FileDescription


def page(file: FileDescription) -> Page:
    """A file's description as a page."""
    table = pd.DataFrame(
        [{"diagnosis": name, "lacks": lacking or "nothing"} for name, lacking in file.lacks.items()]
    )
    enough = [name for name, lacking in file.lacks.items() if not lacking]
    known = pd.DataFrame([row for row in facts(file) if row[0] != "sha256"], columns=["what", "value"])
    sections = [] if known.empty else [Section("What it holds", table=known)]
    sections.append(
        Section(
            "What can be asked of it",
            [f"It is enough for {listed(enough)}." if enough else "It is enough for no diagnosis."],
            table=table,
        )
    )
    subject = file.subject
    keys = [Key("diagnoses that it is enough for", str(len(enough)), f"of {len(file.lacks)}")]
    if subject.embeddings is not None:
        rows, *shape = subject.embeddings.shape
        keys += [Key("rows", f"{rows:,}"), Key("dimensions", " × ".join(f"{size:,}" for size in shape))]
    elif file.components:
        total = sum(file.components.values())
        keys.append(Key("parameters", f"{total:,}", f"in {plural(len(file.components), 'component')}"))
    identity = [
        ("file", plain(subject.path)),
        ("sha256", subject.sha256),
        ("transfer-diag", version() or "not installed"),
    ]
    name = plain(Path(subject.path).name)
    return Page(name, "", title(file), identity, sections, made_by(), kind="show", keys=keys)
