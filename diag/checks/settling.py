"""The outcome of a check's answer: what its level, and its ``on_inconclusive``, make of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from diag.checks.config import Config
from diag.checks.judging import Found
from diag.checks.kind import Check
from diag.checks.result import Finding, Outcome

_AS: dict[Outcome, str] = {"pass": "a pass", "warn": "a warning", "fail": "a failure"}


def settled(found: Found, config: Config) -> Finding:
    """The finding that counts.

    What an error check finds bad fails; a warn check never does more than warn. What the data cannot tell is
    as the check's ``on_inconclusive`` says; without it, it is inconclusive. A check that the configuration
    asks for and that has no data is inconclusive too: nobody is to believe that it passed.
    """
    own: Check = getattr(config.settings.check, found.check)
    level: Literal["error", "warn"] = "warn" if own.level == "warn" else "error"
    bad: Outcome = "fail" if level == "error" else "warn"
    state, message = found.state, found.message
    if state == "absent" and found.check in config.given:
        state, message = "unsure" if level == "error" else "odd", f"asked for, but {message}"
    outcome: Outcome
    match state:
        case "good":
            outcome = "pass"
        case "odd":
            outcome = "warn"
        case "bad":
            outcome = bad
        case "absent" | "idle":
            outcome = "skipped"
        case "unsure":
            outcome = own.on_inconclusive or "inconclusive"
            outcome = bad if outcome == "fail" else outcome
            if own.on_inconclusive is not None:
                taken = _AS[outcome]
                message += f"; that counts as {taken} (check.{found.check}.on_inconclusive)"
    threshold = None if found.limit is None else config.threshold(f"check.{found.check}.{found.limit}")
    if threshold is not None and threshold.value is None and found.instead is not None:
        threshold = replace(threshold, value=found.instead, origin="world")
    return Finding(
        found.check, outcome, message, found.of, level, found.measure, threshold, found.better, found.word
    )
