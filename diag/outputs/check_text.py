"""The gate for a terminal: one line where all is well; else the transfers that did not pass, and why."""

from __future__ import annotations

from collections.abc import Iterator

from diag.checks.result import Checked, Gate
from diag.outputs.check_words import (
    accepted_words,
    bad,
    limits_words,
    not_checked,
    outcome,
    reason,
    status_words,
    told,
    warnings,
    worst_first,
)
from diag.outputs.layout import ending, width, wrapped
from trainers.safe_text import plain


def render(gate: Gate, verbose: bool = False) -> str:
    """The text of a gate; everything with ``verbose``, else what did not pass."""
    tag = f"{gate.outcome.upper()}  "
    lines = wrapped(gate.summary, tag, " " * len(tag))
    if gate.outcome == "inconclusive":
        lines.append(" " * len(tag) + _undecided(gate))
    if words := warnings(gate):
        lines += ["", *(line for w in words for line in wrapped(f"warning: {w}", "  ", "    "))]
    bases = list(dict.fromkeys(c.base for c in gate.checked))
    if len(bases) == 1 and (verbose or gate.outcome != "pass"):
        lines += ["", f"  against {ending(bases[0], width() - 10)}"]
    told = [c for c in worst_first(gate) if verbose or outcome(c) != "pass"]
    lines += [""] if told else []
    tags = max((len(outcome(c)) for c in told), default=0)
    for checked in told:
        lines.append(f"  {outcome(checked).upper():{tags}}  {ending(checked.transfer, width() - tags - 4)}")
        if len(bases) > 1:
            lines.append(f"    against {ending(checked.base, width() - 12)}")
        lines += _findings(checked, verbose)
    lines += _notes(gate, verbose)
    return "\n".join(line.rstrip() for line in lines).rstrip("\n")


def brief(gate: Gate) -> str:
    """The gate's outcome in one line, for ``--quiet``."""
    held = f" ({status_words(gate)})" if gate.is_held else ""
    return f"{gate.outcome}  {plain(gate.summary)}{held}"


def _undecided(gate: Gate) -> str:
    return f"{'strict' if gate.strict else 'not strict'}: {status_words(gate)}"


def _findings(checked: Checked, verbose: bool) -> Iterator[str]:
    """The lines under a transfer: why it could not be checked, or its findings."""
    if checked.error is not None or (outcome(checked) == "error" and not verbose):
        yield from wrapped(reason(checked), "    ", "      ")
        return
    shown = list(checked.findings) if verbose else bad(checked)
    tags = max((len(f.outcome) for f in shown), default=0)
    for one in shown:
        words = one.message if one.outcome in ("pass", "skipped") else told(one)
        yield from wrapped(f"{one.name}: {words}", f"    {one.outcome:{tags}}  ", "      ")


def _notes(gate: Gate, verbose: bool) -> Iterator[str]:
    """Checks that were left out or accepted by the baseline, the exit status, and the limits."""
    notes = []
    bare = any(c.comparison is None for c in gate.checked)  # then the word "pass" says little
    if not verbose and (bare or gate.outcome != "pass"):
        notes += [f"not checked: {words}" for words in not_checked(gate)]
    if taken := accepted_words(gate):
        notes.append(taken)
    if gate.is_held and gate.outcome != "inconclusive":
        notes.append(status_words(gate))
    if verbose:
        notes.append(f"limits: {limits_words(gate)}")
        seconds = sum(c.seconds for c in gate.checked)
        notes.append(f"{seconds:.1f} s")
    if notes:
        yield ""
    for words in notes:
        yield from wrapped(words, "  ", "    ")
