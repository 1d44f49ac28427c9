"""What a probe's numbers say: how much is read, what changed, and the sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from diag.probing.result import Change, Column, Reading
from diag.result import Verdict
from probes import LinearProbe

EVIDENCE = 0.05
"""The p-value above which a shuffled target does as well often enough to say that nothing is read."""

MOSTLY = 0.5
"""Skill from which a variable is read and not only read in part: more of it is there than is missing."""

NAMED = 4
"""Variables that the summary names of a kind; of more it names these and counts the rest."""


def reading(found: LinearProbe) -> Reading | None:
    """How much of its variable a probe reads.

    Nothing, unless the whole interval of the held-out score lies above chance and above the mean shuffled
    target, and at most 5% of the shuffles do as well. Then in part, unless the *skill*, the share of the way
    from chance to a perfect score, is at least a half.
    """
    score, low = found.score.value, found.score.low
    if score is None or low is None or found.p is None or found.shuffled is None:
        return None
    if low <= max(found.chance, found.shuffled) or found.p > EVIDENCE:
        return "not"
    return "read" if (score - found.chance) / (1 - found.chance) >= MOSTLY else "in part"


def change_of(columns: Sequence[Column], name: str) -> Change | None:
    """What becomes of a variable: weaker or stronger only where the two intervals do not meet."""
    a, b = (c.findings[name] for c in columns)
    if a.reading is None or b.reading is None:
        return None
    match a.reading != "not", b.reading != "not":
        case False, False:
            return "neither"
        case True, False:
            return "lost"
        case False, True:
            return "gained"
    one, two = a.probe.score, b.probe.score
    if one.low is None or one.high is None or two.low is None or two.high is None:
        return None
    return "weaker" if two.high < one.low else "stronger" if two.low > one.high else "kept"


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
        "neither": "can be read from neither",
    }
    parts = []
    for change, phrase in words.items():
        if names := told.get(change, []):
            scores = [
                (name, f"{_score(a[name].probe)} in A, {_score(b[name].probe, brief=True)} in B")
                for name in names
            ]
            verb = phrase if len(names) == 1 else phrase.replace("is ", "are ", 1)
            parts.append(f"{_list(scores, change != 'neither')} {verb}")
    worse = "lost" in told or "weaker" in told or told.keys() == {"neither"}
    return Verdict("warn" if worse else "pass", _sentence("; ".join(parts)))


def _verdict_of_one(column: Column) -> Verdict:
    by: dict[Reading, list[str]] = {}
    for name, found in column.findings.items():
        if found.reading is not None:
            by.setdefault(found.reading, []).append(name)
    if not by:
        reasons = sorted({f.probe.score.reason or "" for f in column.findings.values()})
        return Verdict("inconclusive", f"Cannot tell: {reasons[0]}.")
    tails: dict[Reading, str] = {
        "read": "can be read from the embedding",
        "in part": "only in part",
        "not": "cannot be told from chance",
    }
    parts = []
    for level, tail in tails.items():
        if names := by.get(level, []):
            scored = sorted(
                ((n, column.findings[n].probe) for n in names), key=lambda pair: -(pair[1].score.value or 0.0)
            )
            ordered = scored if len(names) > NAMED else [(n, column.findings[n].probe) for n in names]
            parts.append(f"{_list([(n, _score(p)) for n, p in ordered], True)} {tail}")
    return Verdict("pass" if by.keys() & {"read", "in part"} else "warn", _sentence("; ".join(parts)))


def _score(found: LinearProbe, brief: bool = False) -> str:
    unit = "" if brief else "R² " if found.unit == "r2" else "balanced accuracy "
    value = found.score.value or 0.0
    return unit + (f"{value:.2f}" if abs(value) < 100 else f"{value:.2g}").replace("-0.00", "0.00")


def _list(named: Sequence[tuple[str, str]], scores: bool) -> str:
    """``row (R² 0.99), column (R² 0.98) and room (balanced accuracy 1.00)``; beyond four they are counted."""
    words = [f"{name} ({score})" if scores else name for name, score in named[:NAMED]]
    if len(named) > NAMED:
        words.append(f"{len(named) - NAMED} more")
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _sentence(words: str) -> str:
    return f"{words}."
