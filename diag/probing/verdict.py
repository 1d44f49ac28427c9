"""The verdict of a probe: what is read, what changed, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import probes
from diag.probing.result import Change, Column, Reading
from diag.result import Verdict
from diag.wording import listed
from probes import LinearProbe, Measure

EVIDENCE = 0.05
"""p-value above which nothing counts as read: shuffled targets do as well too often."""

MOSTLY = 0.5
"""Skill from which a variable counts as read, not only read in part: more of it is there than is missing."""

ALIKE = probes.MARGIN
"""Difference of two scores, R² or balanced accuracy, that counts as none: that of maps that are as good."""

NAMED = 4
"""Most variables of a kind that the summary names; the rest are counted."""


def reading(probe: LinearProbe) -> Reading | None:
    """Judge how much of its variable a probe reads; None where the probe is undefined.

    Nothing, unless the whole interval of the held-out score lies above chance and above the mean shuffled
    target, and at most 5% of the shuffles do as well. Then in part, unless the *skill*, the share of the way
    from chance to a perfect score, is at least a half.
    """
    score, low = probe.score.value, probe.score.low
    if score is None or low is None or probe.p is None or probe.shuffled is None:
        return None
    if low <= max(probe.chance, probe.shuffled) or probe.p > EVIDENCE:
        return "not"
    return "read" if (score - probe.chance) / (1 - probe.chance) >= MOSTLY else "in part"


def change_of(columns: Sequence[Column], name: str) -> tuple[Change | None, Measure | None]:
    """Change of a variable from A to B, and the difference of its scores with the interval that decides.

    Weaker or stronger where the whole interval lies on one side of 0, kept where all of it lies within
    :data:`ALIKE`, even if on one side; else unclear. Lost or gained where, besides, one of the two does not
    read the variable. None where a probe or the interval is undefined.
    """
    a, b = (c.findings[name] for c in columns)
    if a.reading is None or b.reading is None:
        return None, None
    change = probes.score_change(a.probe, b.probe)
    if a.reading == b.reading == "not":
        return "neither", change
    if change.low is None or change.high is None:
        return None, change
    if "not" in (a.reading, b.reading):
        surely = change.high < 0 if b.reading == "not" else change.low > 0
        return ("unclear" if not surely else "lost" if b.reading == "not" else "gained"), change
    if change.low >= -ALIKE and change.high <= ALIKE:
        return "kept", change
    return ("weaker" if change.high < 0 else "stronger" if change.low > 0 else "unclear"), change


def verdict_of(columns: Sequence[Column], changes: Mapping[str, Change | None]) -> Verdict:
    """Status and sentence of a probe of one embedding, or of two side by side."""
    if len(columns) == 1:
        return _verdict_of_one(columns[0])
    a, b = (c.findings for c in columns)
    told: dict[Change, list[str]] = {}
    for name, change in changes.items():
        if change is not None:
            told.setdefault(change, []).append(name)
    if not told:
        return Verdict("inconclusive", "Cannot tell: no variable could be probed in both embeddings.")
    words: dict[Change, str] = {
        "lost": "can no longer be read from B",
        "weaker": "is read less well from B",
        "gained": "can be read from B alone",
        "stronger": "is read better from B",
        "kept": "is kept",
        "unclear": "cannot be told apart",
        "neither": "can be read from neither",
    }
    parts: list[str] = []
    for change, phrase in words.items():
        if names := told.get(change, []):
            scores = [
                (name, f"{_score(a[name].probe)} in A, {_score(b[name].probe, brief=True)} in B")
                for name in names
            ]
            verb = phrase if len(names) == 1 else phrase.replace("is ", "are ", 1)
            of = "" if change != "unclear" else "the scores of " if parts else "The scores of "
            parts.append(f"{of}{_list(scores, change != 'neither')} {verb}")
    worse = "lost" in told or "weaker" in told or told.keys() == {"neither"}
    shown = told.keys() - {"unclear", "neither"}
    return Verdict("warn" if worse else "pass" if shown else "inconclusive", _sentence("; ".join(parts)))


def _verdict_of_one(column: Column) -> Verdict:
    by: dict[Reading, list[str]] = {}
    for name, finding in column.findings.items():
        if finding.reading is not None:
            by.setdefault(finding.reading, []).append(name)
    if not by:
        reasons = sorted({f.probe.score.reason or "" for f in column.findings.values()})
        return Verdict("inconclusive", f"Cannot tell: {reasons[0]}.")
    tails: dict[Reading, str] = {
        "read": "can be read from the embedding",
        "in part": "only in part",
        "not": "cannot be told from chance",
    }
    parts: list[str] = []
    for level, tail in tails.items():
        if names := by.get(level, []):
            scored = sorted(
                ((n, column.findings[n].probe) for n in names), key=lambda pair: -(pair[1].score.value or 0.0)
            )
            ordered = scored if len(names) > NAMED else [(n, column.findings[n].probe) for n in names]
            parts.append(f"{_list([(n, _score(p)) for n, p in ordered], True)} {tail}")
    return Verdict("pass" if by.keys() & {"read", "in part"} else "warn", _sentence("; ".join(parts)))


def _score(probe: LinearProbe, brief: bool = False) -> str:
    unit = "" if brief else "R² " if probe.unit == "r2" else "balanced accuracy "
    value = probe.score.value or 0.0
    return unit + (f"{value:.2f}" if abs(value) < 100 else f"{value:.2g}").replace("-0.00", "0.00")


def _list(named: Sequence[tuple[str, str]], scores: bool) -> str:
    """Variables in a sentence, with their scores, such as ``row (R² 0.99) and column (R² 0.98)``.

    Only the first four are named; the rest are counted.
    """
    words = [f"{name} ({score})" if scores else name for name, score in named[:NAMED]]
    if len(named) > NAMED:
        words.append(f"{len(named) - NAMED} more")
    return listed(words)


def _sentence(words: str) -> str:
    return f"{words}."
