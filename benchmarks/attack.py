"""Attacks `diag check` with damaged and harmful files, in one process whose memory is limited.

    nice python -m benchmarks.attack [--files 12000] [--seed 0] [--commands 100] [--only KIND] [--number N]

Every file is opened as the gate opens it; every fourth that can be opened goes through the whole gate and its
outputs. Prints what must not happen as it happens, then a table in Markdown. `--only` takes one kind,
`--number` one attack of it, whose outcome is printed.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TextIO

from tests.attacks.judge import MEMORY, PATIENCE, PROGRAM, Judge, Judged
from tests.attacks.kinds import KINDS, attack, numbered

DIAG = str(Path(sys.executable).parent / "diag")

WHOLE = 4
"""Of the files that can be opened, every so many go through the gate."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", type=int, default=100, help="so many of them through the command too")
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--number", type=int)
    options = parser.parse_args()
    began = time.monotonic()
    errors = os.fdopen(os.dup(2), "w")  # where a crash is told while what libraries print is held
    faulthandler.enable(errors)
    with tempfile.TemporaryDirectory(prefix="attack") as place:
        folder = Path(place) / "inner"  # so that ../ is seen too
        folder.mkdir()
        judge = Judge(folder, pages=True)
        chosen = [
            (kind, number)
            for kind, number in numbered(options.files)
            if options.only in (None, kind) and options.number in (None, number)
        ]
        found = _attacked(judge, chosen, options.seed, options.number is not None, errors)
        commands = chosen[:: max(1, len(chosen) // options.commands)] if options.commands else []
        wrong = [problem for one in commands if (problem := _commanded(judge, *one, options.seed))]
    print(_table(found))
    print(f"\n{len(chosen)} files, seed {options.seed}, {time.monotonic() - began:.0f} s by the clock")
    print(
        f"limit of anonymous memory beyond what was held before: {MEMORY >> 20} MiB, for ONNX {PROGRAM >> 20}"
    )
    print(f"{len(commands)} through the command, {len(wrong)} violations")
    sys.exit(any(one.outcome == "violation" for kind in found.values() for one in kind) or bool(wrong))


def _attacked(
    judge: Judge, chosen: list[tuple[str, int]], seed: int, verbose: bool, errors: TextIO
) -> dict[str, list[Judged]]:
    found: dict[str, list[Judged]] = {kind: [] for kind, _ in chosen}
    opened = 0
    for done, (kind, number) in enumerate(chosen):
        faulthandler.dump_traceback_later(3 * PATIENCE, exit=True, file=errors)
        made = attack(kind, number, judge.seeds, seed)
        one = judge.judge(made)
        if one.outcome == "accepted":
            opened += 1
            if verbose or opened % WHOLE == 0:
                one = judge.judge(made, whole=True)
        if one.outcome == "violation" or verbose:
            print(f"{one.outcome}: {kind} {number} ({made.name!a:.60}): {one.words!a}", flush=True)
        found[kind].append(one)
        if done % 500 == 499:
            print(f"{done + 1} of {len(chosen)}", file=sys.stderr, flush=True)
    faulthandler.cancel_dump_traceback_later()
    return found


def _commanded(judge: Judge, kind: str, number: int, seed: int) -> str | None:
    """What went wrong with one attack through the command; None where nothing did."""
    made = attack(kind, number, judge.seeds, seed)
    known = judge.judge(made, whole=True)
    with tempfile.TemporaryDirectory(dir=judge.folder) as folder:
        command = [DIAG, "check", *judge.arguments(made, made.placed(Path(folder)))]
        if any("\0" in part for part in command):
            return None
        run = subprocess.run(
            list(map(os.fsencode, command)),
            cwd=folder,
            capture_output=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
    words = run.stderr.decode("utf-8", "replace")
    allowed = (2,) if known.outcome == "refused" else (0, 1, 2, 4)
    wrong = (
        run.returncode not in allowed or "Traceback" in words or not words.removesuffix("\n").isprintable()
    )
    wrong = wrong or (run.returncode == 2 and len(words.splitlines()) != 1)
    if not wrong:
        return None
    problem = f"command: {kind} {number}: status {run.returncode}, {words[:500]!a}"
    print(f"violation: {problem}", flush=True)
    return problem


def _table(found: dict[str, list[Judged]]) -> str:
    lines = ["| kind | files | refused in one line | opened | violations | slowest, s | most memory, MiB |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|")
    rows = {**found, "**all**": [one for kind in found.values() for one in kind]}
    for kind, judged in rows.items():
        count = Counter(one.outcome for one in judged)
        numbers = len(judged), count["refused"], count["accepted"], count["violation"]
        slowest, most = (max(getattr(one, n) for one in judged) for n in ("seconds", "memory"))
        lines.append(f"| {kind} | {' | '.join(f'{n:,}' for n in numbers)} | {slowest:.1f} | {most >> 20:,} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
