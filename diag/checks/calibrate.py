"""A/A test: how often the gate raises an alarm about pairs that are known to be equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from math import floor
from pathlib import Path

import numpy as np

from diag.checks import CheckError
from diag.checks.config import Config
from diag.checks.pair import Base
from diag.checks.result import Calibration, Checked, Finding, Rate
from diag.checks.run import checked
from diag.result import finite
from diag.sources import opened
from diag.sources.supplied import NOTHING, Supplied
from probes import share

MOST_PAIRS = 300
"""Most pairs that are checked, drawn at random where there are more: files recur, so more pairs tell little
more."""

CLEAR = 0.95
"""Least share of the equal pairs that a suggested limit lets pass outright."""

ROUNDING = 1e-9
"""Room for rounding: 1 − 0.95 is a little more than 0.05 in floating point, and 20 times it a little less
than 1."""


def calibrate(
    files: Sequence[str],
    base: str | None = None,
    *,
    config: Config | None = None,
    supplied: Supplied = NOTHING,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Calibration:
    """Run the gate on pairs of files that are known to be equal, and count its alarms.

    With a ``base``, each file is checked against it: these pairs are independent. Without one, files are
    checked against each other, every two of them (at most :data:`MOST_PAIRS`, drawn at random); since files
    recur, the intervals count only as many pairs as share no file. Raises CheckError for fewer than two
    files, and SubjectError or CheckpointError for one that cannot be used.
    """
    chosen = config or Config()
    if len(files) < 2:
        raise CheckError(f"found {len(files)} files to calibrate by, expected at least 2")
    possible = list(combinations(files, 2)) if base is None else [(base, file) for file in files]
    drawn = possible
    if len(possible) > MOST_PAIRS:
        rng = np.random.default_rng(chosen.settings.seed)
        drawn = [possible[i] for i in np.sort(rng.permutation(len(possible))[:MOST_PAIRS])]
    bases: dict[str, Base] = {}
    done = []
    for number, (left, right) in enumerate(drawn):
        progress(number, len(drawn))
        if left not in bases:  # pairs come sorted by their first file
            bases = {left: Base(opened(left, "base", supplied, "source"))}
        one = checked(bases[left], right, chosen, supplied, None)
        if one.error is not None:
            raise CheckError(one.error)
        if one.outcome == "skipped":
            raise CheckError(f"{right}: found nothing to check beside {left}, expected what a check looks at")
        done.append(replace(one, comparison=None))  # hundreds of pictures that nobody draws
    progress(len(drawn), len(drawn))
    independent = len(drawn) if base is not None else min(len(files) // 2, len(drawn))
    failed = [one.outcome == "fail" for one in done]
    return Calibration(
        tuple(files),
        base,
        len(drawn),
        len(possible),
        independent,
        share(float(np.mean(failed)), independent),
        float(np.mean([one.outcome == "inconclusive" for one in done])),
        tuple(_rates(done, independent)),
        tuple(done),
    )


def _rates(done: Sequence[Checked], independent: int) -> list[Rate]:
    by: dict[str, list[Finding]] = {}
    for one in done:
        for finding in one.findings:
            if finding.outcome != "skipped":
                by.setdefault(finding.name, []).append(finding)
    return [_rate(name, findings, independent) for name, findings in by.items()]


def _rate(name: str, findings: Sequence[Finding], independent: int) -> Rate:
    alarms = float(np.mean([f.bad for f in findings]))
    threshold = findings[0].threshold
    limit = threshold.value if threshold is not None and isinstance(threshold.value, float) else None
    clears = None
    if limit is not None and findings[0].check != "returns":
        # One of the ends, sorted with the worst first: a limit between two of them is passed by fewer pairs.
        worst = sorted((_end(f) for f in findings), reverse=findings[0].better == "lower")
        clears = finite(worst[floor((1 - CLEAR) * len(worst) + ROUNDING)])
    return Rate(
        name,
        findings[0].level,
        len(findings),
        share(alarms, min(independent, len(findings))),
        float(np.mean([f.outcome == "inconclusive" for f in findings])),
        limit,
        clears,
    )


def _end(finding: Finding) -> float:
    """The end of the interval that has to clear the limit; an undefined measure clears none."""
    higher = finding.better == "higher"
    measure = finding.measure
    if measure is None or measure.value is None or measure.reason is not None:
        return -np.inf if higher else np.inf
    end = measure.low if higher else measure.high
    return measure.value if end is None else end


def files_in(folder: Path) -> list[str]:
    """The files of a folder that may be checked, in order: no resume files, no early checkpoints."""
    if not folder.is_dir():
        raise CheckError(f"{folder}: found no folder, expected one of files that are known to be equal")
    return sorted(
        str(file)
        for file in folder.iterdir()
        if file.is_file()
        and not file.name.startswith(".")
        and file.suffix not in (".resume", ".json", ".toml", ".md", ".txt", ".html", ".xml")
        and ".step" not in file.name
    )
