"""What the gate says of every transfer of a study, beside how each ended.

    diag study run simple-maze-bases --out runs/bases
    python benchmarks/gated.py runs/bases

Its defaults as they are; a table of the gate's outcomes by what the study's report says of each transfer (by
its states, by its score, or by its relation, whichever its world offers); and for each check, with Wilson's
intervals, how many of the failures it lets pass and how many of the successes it alarms at.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import diag
from diag.studies.folder import Folder
from diag.studies.reading import report_of
from diag.studies.sentence import of, percent
from diag.studies.statistics import wilson

OUTCOMES = ("pass", "warn", "inconclusive", "fail")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("study", type=Path)
    root = parser.parse_args().study
    report, study = report_of(root), Folder(root).study()
    rows = Folder(root).results()
    rows = rows[rows["final"] & rows["finite"]]
    bases = rows[rows["phase"] == "base"].set_index(["variant", "base_seed"])["path"]
    owners = {v.name: study.base_of(v).name for v in study.variants}
    where = ["variant", "plan", "base_seed", "seed"]
    paths = rows[rows["phase"] == "transfer"].set_index(where)["path"]
    ended: dict[str, Counter[str]] = {}
    checks: dict[str, dict[str, Counter[str]]] = {}
    for (variant, seed), own in report.transfers.groupby(["variant", "base_seed"], sort=False):
        keys = [tuple(key) for key in own[where].itertuples(index=False, name=None)]
        known = [(key, kind) for key, kind in zip(keys, own["outcome"], strict=True) if key in paths.index]
        files = [root / paths[key] for key, _ in known]
        gate = diag.check(root / bases[owners[str(variant)], seed], *files)
        for (_, kind), one in zip(known, gate.checked, strict=True):
            ended.setdefault(kind, Counter())[one.outcome if one.error is None else "error"] += 1
            for finding in one.findings:
                checks.setdefault(finding.name, {}).setdefault(kind, Counter())[finding.outcome] += 1
    print(f"A transfer succeeds if {report.rule}.\n")
    print("| ended | transfers | " + " | ".join(OUTCOMES) + " |\n|---|" + "---|" * (len(OUTCOMES) + 1))
    for kind in ("success", "failure"):
        counts = ended.get(kind, Counter())
        print(f"| {kind} | {counts.total()} | " + " | ".join(str(counts[o]) for o in OUTCOMES) + " |")
    print("\n| check | failures that pass | successes that fail or warn | inconclusive |\n|---|---|---|---|")
    for name, by in {"all": ended, **checks}.items():
        good, bad = by.get("success", Counter()), by.get("failure", Counter())
        judged = [c.total() - c["skipped"] - c["error"] for c in (bad, good)]
        if not any(judged):
            continue
        passes, alarms = wilson(bad["pass"], judged[0]), wilson(good["fail"] + good["warn"], judged[1])
        told = [f"{of(rate)}, {percent(rate)}" for rate in (passes, alarms)]
        print(f"| `{name}` | {told[0]} | {told[1]} | {good['inconclusive'] + bad['inconclusive']} |")


if __name__ == "__main__":
    main()
