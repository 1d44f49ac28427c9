"""What the gate writes for machines, held to the schemas that public CIs use.

    python benchmarks/validate_outputs.py --junit-xsd junit-10.xsd --sarif-schema sarif-schema-2.1.0.json

``junit-10.xsd`` is of Jenkins' xunit plugin (it lies in pytest's source distribution too), the other of
OASIS. Needs `pip install xmlschema "jsonschema[format-nongpl]"`. The results are made up: every outcome,
beside paths and messages of any characters.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

import jsonschema
import xmlschema

from diag.checks.result import Checked, Finding, Gate, Threshold
from diag.outputs import check_junit, check_sarif
from probes import Measure

OUTCOMES = ("pass", "warn", "fail", "inconclusive", "skipped")
CHECKS = ("relation", "r2", "l2", "loss_ratio", "returns", "no such check")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--junit-xsd", type=Path, required=True)
    parser.add_argument("--sarif-schema", type=Path, required=True)
    parser.add_argument("--results", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    xsd = xmlschema.XMLSchema(str(chosen.junit_xsd))
    schema = json.loads(chosen.sarif_schema.read_text(encoding="utf-8"))
    formats = jsonschema.FormatChecker()
    sarif = jsonschema.validators.validator_for(schema)(schema, format_checker=formats)
    rng = random.Random(chosen.seed)
    bad = 0
    for number in range(chosen.results):
        gate = made(rng)
        errors = [f"JUnit: {e.reason}" for e in xsd.iter_errors(check_junit.render(gate))]
        log: Any = json.loads(check_sarif.render(gate))
        errors += [f"SARIF: {'/'.join(map(str, e.path))}: {e.message}" for e in sarif.iter_errors(log)]
        bad += bool(errors)
        for error in errors:
            print(f"result {number}: {error}")
    known = [f for f in ("uri", "uri-reference") if f in formats.checkers]
    print(
        f"{chosen.results - bad} of {chosen.results} results are valid as JUnit and as SARIF; "
        f"formats checked: {', '.join(known) or 'none'}"
    )
    sys.exit(bad > 0)


def made(rng: random.Random) -> Gate:
    """A gate of any outcome."""
    pairs = tuple(pair(rng) for _ in range(rng.randrange(5)))
    warnings = tuple(words(rng) for _ in range(rng.randrange(3)))
    config = words(rng) if rng.random() < 0.5 else None
    return Gate(pairs, rng.random() < 0.5, config, config, warnings=warnings)


def pair(rng: random.Random) -> Checked:
    base, transfer = words(rng), words(rng)
    if rng.random() < 0.2:
        return Checked(base, transfer, error=words(rng), seconds=rng.random())
    findings = tuple(finding(rng) for _ in range(rng.randrange(6)))
    return Checked(base, transfer, findings, warnings=(words(rng),), seconds=10 ** rng.uniform(-5, 5))


def finding(rng: random.Random) -> Finding:
    numbers = [rng.choice([rng.gauss(0, 10), float("inf"), float("nan")]) for _ in range(3)]
    file = words(rng) if rng.random() < 0.7 else None
    line = rng.randrange(1, 99) if file is not None else None
    return Finding(
        rng.choice(CHECKS),
        rng.choice(OUTCOMES),
        words(rng),
        of=words(rng) if rng.random() < 0.5 else "",
        level=rng.choice(("error", "warn")),
        measure=Measure(*numbers) if rng.random() < 0.7 else None,
        threshold=Threshold("check.r2.min", 0.8, file, line) if rng.random() < 0.7 else None,
        accepted=rng.random() < 0.2,
    )


def words(rng: random.Random) -> str:
    """Characters of every plane: letters, markup, control characters, lone surrogates."""
    ranges = ((0, 0x20), (0x20, 0x7F), (0x20, 0x7F), (0x80, 0x2FFF), (0xD800, 0xE000), (0xFFF0, 0x10FFFF))
    return "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randrange(1, 30)))


if __name__ == "__main__":
    main()
