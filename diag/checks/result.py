"""Results of the gate: findings of checks on pairs, the exit status that follows, and a calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from diag.comparisons.result import Comparison
from diag.result import SCHEMA_VERSION, FileRef, Status, finite, measure_tree
from diag.shown import Shown
from diag.wording import plural
from probes import Measure

Outcome: TypeAlias = Literal["pass", "warn", "fail", "inconclusive", "skipped"]
Level: TypeAlias = Literal["error", "warn"]
Origin: TypeAlias = Literal["default", "world", "command", "call"]
"""The origin of a limit that no file sets: the setting's default, the world's own number where the setting
is unset, the command line, or the call in Python."""

WORST: tuple[Outcome, ...] = ("fail", "inconclusive", "warn", "pass", "skipped")
"""Outcomes, worst first."""


@dataclass(frozen=True)
class Threshold:
    """A limit and where it was set: ``file`` and ``line`` are None where no file sets it."""

    name: str
    """The setting's dotted name, ``check.r2.min``."""
    value: Any
    """The limit itself; the one that stands for it where the setting is unset."""
    file: str | None = None
    """Path from the working directory."""
    line: int | None = None
    """Counted from 1."""
    origin: Origin = "default"
    """The limit's origin where no file sets it."""


@dataclass(frozen=True)
class Finding:
    """The answer of one check about one pair, or about one part of it."""

    check: str
    """The check's name, ``r2``."""
    outcome: Outcome
    """The outcome that counts, after the level, ``on_inconclusive`` and the baseline were applied."""
    message: str
    """One sentence with the number, its interval and the limit."""
    of: str = ""
    """The loss term or variable that the answer is about; empty where the check has one answer."""
    level: Level = "error"
    measure: Measure | None = None
    """The number that was judged, where there is one."""
    threshold: Threshold | None = None
    better: Literal["higher", "lower"] = "higher"
    """The direction in which the measure gets better."""
    word: str = ""
    """The answer where it is no number: the relation."""
    accepted: bool = False
    """Whether it would fail or warn, but the baseline holds it and it is no worse."""
    before_baseline: Outcome | None = None
    """The outcome without the baseline, where it is accepted."""

    @property
    def counts(self) -> bool:
        """Whether it counts in the pair's outcome: an undecided check of level ``warn`` does not."""
        return self.outcome != "skipped" and (self.outcome != "inconclusive" or self.level == "error")

    @property
    def bad(self) -> bool:
        """Whether it fails or warns."""
        return self.outcome in ("fail", "warn")

    @property
    def name(self) -> str:
        """``loss_ratio[transition]``."""
        return f"{self.check}[{self.of}]" if self.of else self.check

    def to_tree(self) -> dict[str, Any]:
        limit = self.threshold
        return {
            "check": self.check,
            "of": self.of,
            "outcome": self.outcome,
            "level": self.level,
            "message": self.message,
            "measure": None if self.measure is None else measure_tree(self.measure),
            "threshold": None
            if limit is None
            else {
                "name": limit.name,
                "value": limit.value,
                "file": limit.file,
                "line": limit.line,
                "origin": "file" if limit.file is not None else limit.origin,
            },
            "accepted": self.accepted,
        }


@dataclass(frozen=True)
class Checked:
    """One transfer, checked against its base; or why it could not be."""

    base: str
    """The base's path as it was given."""
    transfer: str
    findings: tuple[Finding, ...] = ()
    error: str | None = None
    """One line where a file could not be used: then there are no findings."""
    refs: tuple[FileRef, FileRef] | None = None
    """Base and transfer as they were read; None with an error."""
    comparison: Comparison | None = field(default=None, repr=False)
    """The comparison that the embeddings' checks rest on, for the page."""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def outcome(self) -> Outcome:
        """The worst of the findings; ``skipped`` where no check was run."""
        counted = {f.outcome for f in self.findings if f.counts}
        if not counted and any(f.outcome != "skipped" for f in self.findings):
            return "inconclusive"
        return next((o for o in WORST if o in counted), "skipped")

    def to_tree(self) -> dict[str, Any]:
        refs = self.refs
        verdict = None if self.comparison is None else self.comparison.verdict.to_tree()
        return {
            "base": {"path": self.base, "sha256": None if refs is None else refs[0].sha256},
            "transfer": {"path": self.transfer, "sha256": None if refs is None else refs[1].sha256},
            "outcome": "error" if self.error is not None else self.outcome,
            "error": self.error,
            "verdict": verdict,
            "findings": [f.to_tree() for f in self.findings],
            "warnings": list(self.warnings),
            "seconds": finite(self.seconds),
        }


@dataclass(frozen=True, repr=False)
class Gate(Shown, kind="check"):
    """The result of ``diag check``: every pair, one status, one exit status."""

    checked: tuple[Checked, ...]
    strict: bool = False
    config: str | None = None
    """The configuration file; None where the defaults served."""
    baseline: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Every setting of the gate as it was used."""
    warnings: tuple[str, ...] = ()
    on_top: tuple[Threshold, ...] = ()
    """Settings that were set on top of the file or the defaults, on the command line or in the call."""
    held_by: str | None = None
    """The option that holds the exit status at 0 where a check fails; None where none does."""
    diagnosis: str = "check"

    def shown_state(self) -> list[str]:
        return [self.outcome, self.summary.rstrip(".")]

    def shown_files(self) -> list[str]:
        return list(dict.fromkeys(path for one in self.checked for path in (one.base, one.transfer)))

    @property
    def errors(self) -> tuple[Checked, ...]:
        """The pairs that could not be checked."""
        return tuple(c for c in self.checked if c.error is not None)

    @property
    def findings(self) -> tuple[tuple[Checked, Finding], ...]:
        """Every finding with its pair, worst first; equally bad ones in the order they were made."""
        every = [(c, f) for c in self.checked for f in c.findings]
        return tuple(sorted(every, key=lambda pair: WORST.index(pair[1].outcome)))

    @property
    def outcome(self) -> Status | Literal["error"]:
        """``error`` where a pair could not be checked or nothing was, else the worst outcome."""
        if self.errors or not self.checked or any(c.outcome == "skipped" for c in self.checked):
            return "error"
        worst = next(o for o in WORST if any(c.outcome == o for c in self.checked))
        return "pass" if worst == "skipped" else worst

    @property
    def exit_status(self) -> int:
        """The command's exit status: :attr:`own_status`, or 0 instead of 1 and 4 where an option says so."""
        return 0 if self.is_held else self.own_status

    @property
    def is_held(self) -> bool:
        """Whether an option keeps the exit status at 0 where it would otherwise be 1 or 4."""
        return self.held_by is not None and self.own_status in (1, 4)

    @property
    def own_status(self) -> int:
        """0 pass, 1 a check failed, 2 a pair could not be checked, 4 inconclusive under ``strict``."""
        match self.outcome:
            case "error":
                return 2
            case "fail":
                return 1
            case "inconclusive":
                return 4 if self.strict else 0
        return 0

    @property
    def summary(self) -> str:
        """One sentence: how many transfers passed, of how many, and the worst of them."""
        of = len(self.checked)
        words: dict[str, str] = {
            "error": "could not be checked",
            "fail": "failed",
            "inconclusive": "could not be decided",
            "warn": "passed with warnings",
            "pass": "passed",
        }
        counts = dict.fromkeys(words, 0)
        for one in self.checked:
            ended = one.outcome if one.error is None else "error"
            counts["error" if ended == "skipped" else ended] += 1
        if of == 0:
            return "No transfer was checked."
        if of == 1:
            if self.checked[0].outcome == "skipped" and not self.errors:
                return "No check could be run, which is no pass."
            return f"The transfer {next(words[o] for o, count in counts.items() if count)}."
        parts = [f"{count} {words[o]}" for o, count in counts.items() if count]
        return f"Of {of} transfers {', '.join(parts)}."

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "diagnosis": self.diagnosis,
            "outcome": self.outcome,
            "exit_status": self.exit_status,
            "own_status": self.own_status,
            "held_by": self.held_by if self.is_held else None,
            "summary": self.summary,
            "strict": self.strict,
            "config": self.config,
            "baseline": self.baseline,
            "settings": dict(self.settings),
            "checked": [c.to_tree() for c in self.checked],
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Rate:
    """The alarms of one check over all pairs that are known to be equal."""

    name: str
    level: str
    pairs: int
    """Number of pairs that the check had data for."""
    alarms: Measure
    """Share of the pairs in which the check was sure that something is wrong, with an interval over
    independent pairs."""
    undecided: float
    """Share of the pairs in which the data could not tell."""
    limit: float | None = None
    clears: float | None = None
    """The limit that 95% of the pairs would pass outright; None for a check that judges no number."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "level": self.level,
            "pairs": self.pairs,
            "alarms": measure_tree(self.alarms),
            "undecided": self.undecided,
            "limit": self.limit,
            "clears": self.clears,
        }


@dataclass(frozen=True, repr=False)
class Calibration(Shown, kind="calibration"):
    """The gate's alarms among pairs that are known to be equal."""

    files: tuple[str, ...]
    base: str | None
    """The base that each file was checked against; None where the files were checked against each other."""
    pairs: int
    possible: int
    """Number of possible pairs, of which ``pairs`` were drawn."""
    independent: int
    """Number of pairs that share no file, on which the intervals rest."""
    alarms: Measure
    """Share of the pairs that the gate failed."""
    undecided: float
    rates: tuple[Rate, ...]
    checked: tuple[Checked, ...]
    diagnosis: str = "calibration"

    def shown_state(self) -> list[str]:
        alarms = "–" if self.alarms.value is None else f"{self.alarms.value:.1%}"
        return [f"false alarms {alarms} of {plural(self.pairs, 'pair')}"]

    def shown_files(self) -> list[str]:
        return [*([] if self.base is None else [self.base]), *self.files]

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        alarmed = [{"base": c.base, "transfer": c.transfer} for c in self.checked if c.outcome == "fail"]
        return {
            "schema_version": SCHEMA_VERSION,
            "diagnosis": self.diagnosis,
            "files": list(self.files),
            "base": self.base,
            "pairs": self.pairs,
            "possible": self.possible,
            "independent": self.independent,
            "alarms": measure_tree(self.alarms),
            "undecided": self.undecided,
            "checks": [rate.to_tree() for rate in self.rates],
            "failed": alarmed,
        }
