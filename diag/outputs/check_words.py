"""Words that the outputs of the gate share: outcomes, findings that did not pass, and their limits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from diag.checks.result import Checked, Finding, Gate, Origin, Outcome, Threshold
from trainers.safe_text import in_words

PairOutcome: TypeAlias = Outcome | Literal["error"]

ORDER: tuple[PairOutcome, ...] = ("error", "fail", "inconclusive", "warn", "pass")
"""Outcomes of pairs, worst first; a pair on which no check was run is an error."""

BAD: tuple[Outcome, ...] = ("fail", "inconclusive", "warn")
"""Outcomes of findings that did not pass, worst first."""


def outcome(checked: Checked) -> PairOutcome:
    """A pair's outcome as the gate counts it: a pair on which no check was run is an error."""
    own = checked.outcome
    return "error" if checked.error is not None or own == "skipped" else own


def worst_first(gate: Gate) -> list[Checked]:
    """The pairs, worst first; equally bad ones in the order given."""
    return sorted(gate.checked, key=lambda c: ORDER.index(outcome(c)))


def bad(checked: Checked) -> list[Finding]:
    """Findings of one pair that did not pass, worst first.

    Undecided checks of level ``warn`` are left out, unless the pair has no other finding.
    """
    findings = [f for f in checked.findings if f.counts and f.outcome in BAD]
    if not findings and checked.outcome == "inconclusive":
        findings = [f for f in checked.findings if f.outcome == "inconclusive"]
    return sorted(findings, key=lambda f: BAD.index(f.outcome))


def every_bad(gate: Gate) -> list[tuple[Checked, Finding]]:
    """Findings of all pairs that did not pass, worst first; equally bad ones in the order they were made."""
    pairs = [(checked, finding) for checked in gate.checked for finding in bad(checked)]
    return sorted(pairs, key=lambda pair: BAD.index(pair[1].outcome))


def fails(gate: Gate, checked: Checked, finding: Finding) -> bool:
    """Whether a finding of a pair alone makes the exit status other than 0."""
    undecided = gate.strict and finding.outcome == "inconclusive" and finding in bad(checked)
    return finding.outcome == "fail" or undecided


def reason(checked: Checked) -> str:
    """Why a pair could not be checked, in one line that need not name the transfer again."""
    if checked.error is not None:
        return checked.error.removeprefix(f"{in_words(checked.transfer)}: ")
    why = list(dict.fromkeys(f.message for f in checked.findings))
    return f"no check could be run: {'; '.join(why)}" if why else "no check was run"


def limit(threshold: Threshold) -> str:
    """The limit of a finding as a setting: ``check.r2.min = 0.8``."""
    value = setting_value(threshold.value)
    return f"{threshold.name}, unset" if threshold.value is None else f"{threshold.name} = {value}"


def setting_value(value: Any) -> str:
    """A setting's value in words: ``0.8``, ``matched, flipped``, ``true``, ``unset``.

    >>> setting_value(0.8), setting_value(["matched", "flipped"]), setting_value(True), setting_value(None)
    ('0.8', 'matched, flipped', 'true', 'unset')
    """
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {setting_value(one)}" for key, one in value.items()) or "none"
    return ", ".join(map(setting_value, value)) if isinstance(value, list | tuple) else str(value)


ORIGINS: dict[Origin, tuple[str, str]] = {
    "default": ("the default", "default {name}"),
    "world": ("the world's own number", "the world's own number; {name} is unset"),
    "command": ("set on the command line", "{name}, set on the command line"),
    "call": ("set in the call", "{name}, set in the call"),
}
"""Origins of limits that no file sets, in words: beside the limit's name, and with its name."""


def place(threshold: Threshold) -> str:
    """The place where a limit was set: ``diag.toml:12``, the default, the command line or the call."""
    if threshold.file is None:
        return ORIGINS[threshold.origin][0]
    return threshold.file if threshold.line is None else f"{threshold.file}:{threshold.line}"


def told(finding: Finding) -> str:
    """A finding's message and where its limit was set: ``R² is 0.59 …; wanted … (diag.toml:12)``."""
    own = finding.threshold
    if own is None:
        return finding.message
    where = place(own) if own.file is not None else ORIGINS[own.origin][1].format(name=own.name)
    return f"{finding.message} ({where})"


def limits_words(gate: Gate) -> str:
    """The origin of the limits: ``diag.toml, and check.r2.min = 0.9 (set on the command line)``."""
    on_top = "; ".join(f"{limit(one)} ({place(one)})" for one in gate.on_top)
    return (gate.config or "the defaults") + (f", and {on_top}" if on_top else "")


def status_words(gate: Gate) -> str:
    """The exit status in words; where an option holds it at 0, the option and the status without it."""
    if not gate.is_held:
        return f"exit status {gate.exit_status}"
    return f"exit status 0, held there by {gate.held_by}; it would be {gate.own_status}"


def counted(words: Iterable[str]) -> dict[str, int]:
    """Number of times that each of these stands in ``words``, in order of first appearance."""
    counts: dict[str, int] = {}
    for one in words:
        counts[one] = counts.get(one, 0) + 1
    return counts


def warnings(gate: Gate) -> list[str]:
    """The gate's warnings and those of its pairs, each once, with the number of pairs where it is not all."""
    own = counted(w for c in gate.checked for w in dict.fromkeys(c.warnings))
    of = len(gate.checked)
    return [*gate.warnings, *(w if n == of else f"{w} ({n} of {of} transfers)" for w, n in own.items())]


MOST_NAMED = 3
"""Most transfers that are named where a check could not be made; further ones are counted."""


def not_checked(gate: Gate) -> list[str]:
    """Checks that could not be made, with transfers and reason: ``l2 of w.npy: the embeddings have …``.

    A line for each check and reason; transfers are named where it is not all of them. Pairs that are errors
    say it themselves, and are left out.
    """
    looked = [c for c in gate.checked if outcome(c) != "error"]
    of: dict[tuple[str, str], list[str]] = {}
    for checked in looked:
        skipped = [(f.name, f.message) for f in checked.findings if f.outcome == "skipped"]
        for why in dict.fromkeys(skipped):
            of.setdefault(why, []).append(checked.transfer)
    return [
        f"{name}{'' if len(pairs) == len(looked) else f' of {_named(pairs)}'}: {message}"
        for (name, message), pairs in of.items()
    ]


def _named(paths: list[str]) -> str:
    """Names of transfers in words: ``a.npy, b.npy and 3 more``."""
    first = ", ".join(paths[:MOST_NAMED])
    more = len(paths) - MOST_NAMED
    return f"{first} and {more} more" if more > 0 else first


def accepted(gate: Gate) -> list[tuple[Checked, Finding]]:
    """Findings that pass only because the baseline accepts them."""
    return [(c, f) for c in gate.checked for f in c.findings if f.accepted]


def accepted_words(gate: Gate) -> str | None:
    """The number of findings that the baseline accepts, in words; None where there are none."""
    count = len(accepted(gate))
    words = f"{count} finding{'' if count == 1 else 's'} accepted by the baseline {gate.baseline or ''}"
    return words.rstrip() if count else None


def source_root() -> Path:
    """The root of the source tree around the working directory, or that itself where it is in no repository.

    Public CIs resolve relative paths against the root of the checkout, wherever the command was run in it.
    """
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


def whole(path: str) -> Path:
    """A path as an absolute one, not resolved: a link is what its users know, whatever it points to."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def in_tree(path: str, root: Path) -> str | None:
    """A path relative to ``root`` with forward slashes; None where it lies outside."""
    place = whole(path)
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else None
