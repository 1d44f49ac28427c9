"""The gate for a terminal: one line where all is well; else the transfers that did not pass, and why."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len, chop_cells

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
from diag.outputs.text import WIDTH, plain


def render(gate: Gate, verbose: bool = False) -> str:
    """The text of a gate, within 80 columns; everything with ``verbose``, else what did not pass."""
    tag = f"{gate.outcome.upper()}  "
    lines = wrapped(gate.summary, tag, " " * len(tag))
    if gate.outcome == "inconclusive":
        lines.append(" " * len(tag) + _undecided(gate))
    if words := warnings(gate):
        lines += ["", *(line for w in words for line in wrapped(f"warning: {w}", "  ", "    "))]
    bases = list(dict.fromkeys(c.base for c in gate.checked))
    if len(bases) == 1 and (verbose or gate.outcome != "pass"):
        lines += ["", f"  against {ending(bases[0], WIDTH - 10)}"]
    told = [c for c in worst_first(gate) if verbose or outcome(c) != "pass"]
    lines += [""] if told else []
    width = max((len(outcome(c)) for c in told), default=0)
    for checked in told:
        lines.append(f"  {outcome(checked).upper():{width}}  {ending(checked.transfer, WIDTH - width - 4)}")
        if len(bases) > 1:
            lines.append(f"    against {ending(checked.base, WIDTH - 12)}")
        lines += _findings(checked, verbose)
    lines += _notes(gate, verbose)
    return "\n".join(line.rstrip() for line in lines).rstrip("\n")


def brief(gate: Gate) -> str:
    """One line, for ``--quiet``."""
    held = f" ({status_words(gate)})" if gate.is_held else ""
    return f"{gate.outcome}  {plain(gate.summary)}{held}"


def _undecided(gate: Gate) -> str:
    return f"{'strict' if gate.strict else 'not strict'}: {status_words(gate)}"


def _findings(checked: Checked, verbose: bool) -> Iterator[str]:
    """Under a transfer: why it could not be checked, or its findings."""
    if checked.error is not None or (outcome(checked) == "error" and not verbose):
        yield from wrapped(reason(checked), "    ", "      ")
        return
    shown = list(checked.findings) if verbose else bad(checked)
    width = max((len(f.outcome) for f in shown), default=0)
    for one in shown:
        words = one.message if one.outcome in ("pass", "skipped") else told(one)
        yield from wrapped(f"{one.name}: {words}", f"    {one.outcome:{width}}  ", "      ")


def _notes(gate: Gate, verbose: bool) -> Iterator[str]:
    """What was left out, accepted, and by which limits it was judged."""
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


def wrapped(words: str, first: str, rest: str) -> list[str]:
    """Words in lines of at most :data:`WIDTH` cells, wide characters counted as two.

    >>> wrapped("埋め込み " * 10, "", "  ")[1]
    '  埋め込み'
    """
    lines, line, fresh = [], first, True
    for word in plain(words).split():
        if not fresh and cell_len(f"{line} {word}") > WIDTH:
            lines.append(line)
            line, fresh = rest, True
        line += "" if fresh else " "
        *whole, tail = chop_cells(word, WIDTH - max(cell_len(line), cell_len(rest))) or [word]
        for part in whole:
            lines.append(line + part)
            line = rest
        line, fresh = line + tail, False
    return [*lines, line]


def ending(path: str, room: int) -> str:
    """A path's end in at most ``room`` cells.

    >>> ending("ab/重み.npy", 10), ending("ab/重み.npy", 9)
    ('…/重み.npy', '…重み.npy')
    """
    shown = plain(path)
    if cell_len(shown) <= room:
        return shown
    shown = shown[-room:]
    while cell_len(shown) > room - 1:
        shown = shown[1:]
    return "…" + shown
