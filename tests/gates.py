"""Made-up results of the gate: pairs and findings as the engine returns them, without an engine."""

from __future__ import annotations

from typing import Literal

from hypothesis import strategies as st

from diag.checks.result import Checked, Finding, Gate, Level, Outcome, Threshold
from diag.result import FileRef
from probes import Measure

Better = Literal["higher", "lower"]
BASE = "runs/base/seed0.safetensors"
MEASURED = Measure(0.59, 0.40, 0.73)


NASTY = st.text(st.characters(exclude_categories=()), min_size=1, max_size=40)
"""Anything that a path or a message can hold: control characters, lone surrogates, markup."""


def finding(
    check: str = "r2",
    outcome: Outcome = "fail",
    message: str = "R² is 0.59 [0.4, 0.73]; wanted at least 0.8",
    *,
    of: str = "",
    measure: Measure | None = MEASURED,
    limit: tuple[str, object] | None = ("min", 0.8),
    file: str | None = "diag.toml",
    line: int | None = 12,
    accepted: bool = False,
    level: Level = "error",
) -> Finding:
    """A finding whose limit stands on line 12 of ``diag.toml``."""
    threshold = None if limit is None else Threshold(f"check.{check}.{limit[0]}", limit[1], file, line)
    level = "warn" if outcome == "warn" else level
    better: Better = "lower" if limit is not None and limit[0].startswith("max") else "higher"
    return Finding(check, outcome, message, of, level, measure, threshold, better=better, accepted=accepted)


def passed(check: str = "l2") -> Finding:
    """A finding that is well."""
    words = "the relative L2 distance is 0.09 [0.07, 0.12]; wanted at most 0.35"
    return finding(check, "pass", words, measure=Measure(0.09, 0.07, 0.12), limit=("max", 0.35))


def checked(transfer: str, *findings: Finding, base: str = BASE, seconds: float = 0.25) -> Checked:
    """A pair that was checked."""
    refs = (FileRef(base, "b" * 64), FileRef(transfer, "a" * 64))
    return Checked(base, transfer, findings, refs=refs, seconds=seconds)


def unread(transfer: str, error: str = "found a text file; expected a checkpoint") -> Checked:
    """A pair that could not be checked."""
    return Checked(BASE, transfer, error=error, seconds=0.01)


def gate(*pairs: Checked, strict: bool = False, **more: object) -> Gate:
    return Gate(pairs, strict, **more)  # type: ignore[arg-type]


FAILED = checked("runs/t/a.safetensors", finding(), passed())
UNDECIDED = checked(
    "runs/t/b.safetensors",
    finding("returns", "inconclusive", "across the margin: needs about 40 more episodes", limit=None),
    passed(),
)
WARNED = checked("runs/t/c.safetensors", finding("cka", "warn", "CKA is 0.7; wanted at least 0.8"), passed())
FINE = checked("runs/t/d.safetensors", passed("r2"), passed())
ACCEPTED = checked("runs/t/e.safetensors", finding(outcome="pass", accepted=True), passed())
NOTHING = checked("runs/t/f.safetensors", finding(outcome="skipped", message="no embeddings", measure=None))
UNSURE = checked("runs/t/u.safetensors", finding("cka", "inconclusive", level="warn"))
"""Nothing was found out but by a check that only warns, and that could not decide."""
UNREAD = unread("runs/t/g.safetensors")

MIXED = gate(FINE, WARNED, UNDECIDED, FAILED, ACCEPTED, config="diag.toml", baseline="accepted.json")
"""Every outcome a pair can have but an error."""
