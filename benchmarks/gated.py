"""What the gate says of every transfer of a study, beside how each ended.

    diag study run simple-maze-bases --out runs/bases
    python benchmarks/gated.py runs/bases

Its defaults as they are; a table of the gate's outcomes by what the study says of each transfer: a success
(29 or more of 31 states in place), matched without success, or neither; and which checks failed how often.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import diag
from diag.studies.folder import Folder

OUTCOMES = ("pass", "warn", "inconclusive", "fail")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("study", type=Path)
    study = parser.parse_args().study
    rows = Folder(study).results()
    rows = rows[rows["final"] & rows["finite"]]
    bases = rows[rows["phase"] == "base"].set_index(["variant", "base_seed"])["path"]
    ended: dict[str, Counter[str]] = {}
    checks: dict[str, Counter[str]] = {}
    for (variant, seed), own in rows[rows["phase"] == "transfer"].groupby(["variant", "base_seed"]):
        gate = diag.check(study / bases[variant, seed], *(study / path for path in own["path"]))
        for (_, row), one in zip(own.iterrows(), gate.checked, strict=True):
            kind = "neither" if row["relation"] != "matched" else "matched, no success"
            kind = "success" if row["succeeded"] is True else kind
            ended.setdefault(kind, Counter())[one.outcome if one.error is None else "error"] += 1
            for finding in one.findings:
                if finding.outcome in ("fail", "warn"):
                    checks.setdefault(finding.name, Counter())[kind] += 1
    kinds = [k for k in ("success", "matched, no success", "neither") if k in ended]
    print("| ended | transfers | " + " | ".join(OUTCOMES) + " |\n|---|" + "---|" * (len(OUTCOMES) + 1))
    for kind in kinds:
        counts = " | ".join(str(ended[kind][o]) for o in OUTCOMES)
        print(f"| {kind} | {ended[kind].total()} | {counts} |")
    print("\n| failed or warned | " + " | ".join(kinds) + " |\n|---|" + "---|" * len(kinds))
    for name, counts in checks.items():
        print(f"| `{name}` | " + " | ".join(f"{counts[k]}" for k in kinds) + " |")


if __name__ == "__main__":
    main()
