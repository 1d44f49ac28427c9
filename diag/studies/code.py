"""Which code measured a row: rows of two versions need not stand in one table."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import probes
import trainers
from trainers.checkpoint import running_environment

UNKNOWN = "an earlier version"
"""Name of the code that measured rows before they said which it was."""

_SILENT = ("commands", "outputs")
"""Folders of ``diag`` that say or draw what was measured, and change no row."""


@cache
def code_version() -> str:
    """The package's version and eight digits of the SHA-256 of all its sources that a row may rest on.

    Two rows of equal ``code`` were measured by the same lines; of another one they may have been, since a
    comment counts too.
    """
    digest = hashlib.sha256()
    roots = Path(__file__).parents[1], *(Path(str(package.__file__)).parent for package in (probes, trainers))
    for root in roots:
        for source in sorted(root.rglob("*.py")):
            place = source.relative_to(root)
            if root.name == "diag" and place.parts[0] in _SILENT:
                continue
            digest.update(f"{root.name}/{place.as_posix()}".encode())
            digest.update(source.read_bytes())
    return f"{running_environment('cpu')['transfer-diag']}+{digest.hexdigest()[:8]}"
