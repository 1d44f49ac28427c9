"""A checkpoint as a page: what it is, its components and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from diag.outputs.sections import made_by
from diag.outputs.show_text import components, facts, named, settings
from diag.outputs.words import three, version
from reports import Key, Page, Section
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
                "training": "trained" if trained else "frozen",
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
    known = pd.DataFrame(
        [row for row in joined(facts(description)) if row[0] != "sha256"], columns=["what", "value"]
    )
    path, role = named(description)
    sections = [
        Section("What it is", table=known),
        Section(
            "Components",
            table=parts,
            notes=["The widths lead from a component's input to its output."],
        ),
        Section("Settings", ["A setting that the file leaves out has its default."], table=tree, folded=True),
    ]
    checkpoint = description.checkpoint
    identity = [
        ("file", path),
        ("sha256", checkpoint.sha256),
        ("tensors", checkpoint.identity),
        ("transfer-diag", version() or "not installed"),
    ]
    name = plain(Path(checkpoint.path).name)
    return Page(
        name, "", _sentence(role), identity, sections, made_by(), kind="show", keys=_keys(description)
    )


def _sentence(role: str) -> str:
    return f"A checkpoint of diag train: {role}."


def _keys(description: Description) -> list[Key]:
    """How far it was trained, how large it is, what is frozen, and its last losses."""
    header = description.checkpoint.header
    total = sum(part.parameters for part in description.components)
    frozen = sum(not part.trained for part in description.components)
    keys = [
        Key("updates", f"{header.step:,}", f"of {description.updates:,}"),
        Key("parameters", f"{total:,}"),
        Key("components frozen", str(frozen), f"of {len(description.components)}"),
    ]
    losses = header.metrics.get("losses", {})
    last = {t: v[-1] for t, v in losses.items() if v and v[-1] is not None}
    if "total" in last:
        keys.append(Key("last total loss", three(last["total"])))
    return keys


def joined(facts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Facts with those that continue the one above them joined to it.

    >>> joined([("parent", "a"), ("", "sha256 b")])
    [('parent', 'a; sha256 b')]
    """
    rows: list[tuple[str, str]] = []
    for name, words in facts:
        if name or not rows:
            rows.append((name, words))
        else:
            rows[-1] = (rows[-1][0], f"{rows[-1][1]}; {words}")
    return rows
