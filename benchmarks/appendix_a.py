"""The first paper's appendix A, put to the test: what keeps a failed transfer where it is?

The appendix argues, informally, (1) that a wall stands between the mirrored embedding and the base's,
highest halfway, where all states cross 0 and the entropy losses peak; and (2) that freezing the dynamics
takes away the freedom to get out. Here failed transfers of bases that were chosen before looking (seeds
0 to 3) are led to a successful transfer of the same base and to their own mended copy (the best orthogonal
map folded into the encoder's last layer, then trained on), with the dynamics frozen and free; and training
is taken up again from each of them, frozen and free.

    python benchmarks/appendix_a.py --out runs/appendix          # about an hour on two cores; can be stopped
    python benchmarks/appendix_a.py --out runs/appendix --bases 0-1 --transfers 0-3 --set train.updates=20000
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from scipy import stats

import diag
import probes
from diag.commands.progress import progress_bar
from diag.landscapes.verdict import WALL
from diag.outputs.json import render
from diag.repairs.system import case_of
from diag.subject import SAMPLES
from diag.units.last_layer import folded
from trainers import checkpoint as files
from trainers.plan import named_plan
from trainers.processes import execute
from trainers.run import Run, prepare, seeds_from
from trainers.settings import Settings, preset

FAILED_PER_BASE = 2
"""Failed transfers looked at from each base: the first by their seeds."""

CONTINUED, MENDED = 10_000, 2_000
"""Updates for which training is taken up again; updates after mending."""

CONTINUATIONS = (0, 1, 2, 3)
"""Seeds of the trainings that are taken up again."""

MIDDLE = (0.35, 0.65)
"""Where a peak counts as halfway."""


def train(run: Run, what: str, jobs: int) -> None:
    members = prepare(run, resume=True, overwrite=False)
    if members:
        todo = sum(run.phase.updates - m.step for m in members)
        with progress_bar(what, todo, quiet=False) as advance:
            if not execute(run, members, min(jobs, len(members)), advance):
                raise KeyboardInterrupt


def continued(settings: Settings, updates: int) -> Settings:
    return settings.with_overrides([f"transfer.updates={updates}"])


def mend(failed: Path, base: Path, out: Path) -> None:
    """Fold the orthogonal map that leads the failed embedding back to the base's into the last layer."""
    case = case_of(diag.open_subject(base), diag.open_subject(failed))
    found = probes.fit("orthogonal", case.embedding(case.transfer), case.embedding(case.base, "source"))
    header = replace(files.read(failed).header, metrics={})
    files.save(out, header, folded(case.transfer, case.last, found))


def work(task: dict[str, Any]) -> None:
    """One landscape, kept as its JSON."""
    torch.set_num_threads(1)
    out = Path(task["out"])
    if out.exists():
        return
    found = diag.landscape(task["a"], task["b"], task="target", base=task["base"], move=task["move"], jobs=1)
    files.write_atomically(out, render(found).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/appendix"))
    parser.add_argument("--preset", default="simple-maze")
    parser.add_argument("--bases", default="0-3")
    parser.add_argument("--transfers", default="0-7")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    began = monotonic()
    short = ["train.updates=80000", "transfer.updates=40000"] if options.preset == "simple-maze" else []
    settings = preset(options.preset).with_overrides([*short, *options.set])
    bases, seeds = seeds_from(options.bases), seeds_from(options.transfers)
    train(Run(settings, bases, str(options.out / "base")), "bases", options.jobs)
    cases: list[dict[str, Any]] = []
    for number in bases:
        cases += cases_of(number, options.out, settings, seeds, options.jobs)
    todo = [task for case in cases for task in case["landscapes"].values()]
    with ProcessPoolExecutor(options.jobs) as pool, progress_bar("landscapes", len(todo), False) as advance:
        for _ in pool.map(work, todo):
            advance(1)
    report(cases, options.out, monotonic() - began)


def cases_of(
    number: int, out: Path, settings: Settings, seeds: tuple[int, ...], jobs: int
) -> list[dict[str, Any]]:
    """The failed transfers of one base, what came of them, and the landscapes to be taken."""
    base = out / "base" / f"seed{number}.safetensors"
    folder = out / f"transfers-of-base{number}"
    frozen, free = named_plan("freeze-dynamics"), named_plan("fine-tune")
    run = Run(settings, seeds, str(folder), frozen, str(base))
    train(run, f"transfers of base {number}", jobs)
    results = {seed: diag.compare(base, run.path(seed)) for seed in seeds}
    names = [r.relation or "undecided" for r in results.values()]
    kinds = ", ".join(f"{names.count(n)} {n}" for n in sorted(set(names)))
    sys.stdout.write(f"base {number}: {kinds}; {sum(bool(r.success) for r in results.values())} succeed\n")
    failed = [s for s, r in results.items() if r.verdict.status == "fail"][:FAILED_PER_BASE]
    landed = [s for s, r in results.items() if r.relation == "matched"]
    best = max(landed, key=lambda s: results[s].own_states or 0) if landed else None
    cases = []
    for seed in failed:
        start = run.path(seed)
        home = folder / f"from-seed{seed}"
        home.mkdir(exist_ok=True)
        if not (home / "folded.safetensors").exists():
            mend(start, base, home / "folded.safetensors")
        after = {}
        for name, plan, origin, updates, which in (
            ("mended", frozen, home / "folded.safetensors", MENDED, (0,)),
            ("frozen", frozen, start, CONTINUED, CONTINUATIONS),
            ("free", free, start, CONTINUED, CONTINUATIONS),
        ):
            again = Run(continued(settings, updates), which, str(home / name), plan, str(origin))
            train(again, f"base {number}, transfer {seed}, {name}", jobs)
            after[name] = [diag.compare(base, again.path(s)) for s in which]
        ends = {"mended": home / "mended" / "seed0.safetensors"}
        if best is not None:
            ends["successful"] = run.path(best)
        landscapes = {
            f"{end} {how}": {
                "a": str(start),
                "b": str(path),
                "base": str(base),
                "move": move,
                "out": str(home / f"{end}-{how}.json"),
            }
            for end, path in ends.items()
            for how, move in (("frozen", ["encoder"]), ("free", ["all"]))
        }
        cases.append(
            {"base": number, "seed": seed, "from": results[seed], "after": after, "landscapes": landscapes}
        )
    return cases


WAYS = {"raw": "straight", "aligned": "units matched", "curve": "curve", "embedding": "between embeddings"}
ENTROPIES = ("entropy_random", "entropy_successive")


def report(cases: list[dict[str, Any]], out: Path, seconds: float) -> None:
    """The tables for docs/results.md."""
    lines = [
        "| base, transfer | relation | to | loss at A | straight | units matched | curve, frozen "
        "| curve, free | between embeddings | entropies highest at | A sits |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    walls: dict[tuple[str, str], list[bool]] = {}
    peaks: dict[tuple[str, str], list[bool]] = {}
    for case in cases:
        for end in ("successful", "mended"):
            if f"{end} frozen" not in case["landscapes"]:
                continue
            frozen, free = (
                json.loads(Path(case["landscapes"][f"{end} {how}"]["out"]).read_text())
                for how in ("frozen", "free")
            )
            start = frozen["slice"]["losses"]["total"][frozen["slice"]["t"].index(0.0)]
            # Between transfers of one base the models on the embedding are equal, so that freeing them
            # changes the curve, and no straight line.
            found = {WAYS[way]: frozen["paths"][way]["escape"] for way in WAYS if way != "curve"}
            found |= {
                f"curve, {how}": t["paths"]["curve"]["escape"]
                for how, t in (("frozen", frozen), ("free", free))
            }
            for way, height in found.items():
                if height["low"] is not None:
                    walls.setdefault((end, way), []).append(height["low"] > WALL * start)
            line = frozen["paths"]["embedding"]["slice"]
            at = []
            for term in ENTROPIES:
                curve = line["losses"][term]
                top = max(range(len(curve)), key=curve.__getitem__)
                at.append(f"{line['t'][top]:.2f}")
                halfway = MIDDLE[0] <= line["t"][top] <= MIDDLE[1]
                peaks.setdefault((end, term), []).append(halfway)
            order = ("straight", "units matched", "curve, frozen", "curve, free", "between embeddings")
            cells = " | ".join(shown(found[way]) for way in order)
            relation = case["from"].relation or "undecided"
            lines.append(
                f"| {case['base']}, {case['seed']} | {relation} | {end} | {start:.3f} | {cells} | "
                f"{', '.join(at)} | {frozen['sharpness']['A']['place']} |"
            )
    lines += ["", "Walls (escape height with its whole interval above 5% of the loss at A):", ""]
    lines += [f"- to the {end} end, {way}: {share(sum(v), len(v))}" for (end, way), v in walls.items()]
    lines += ["", f"Highest between t = {MIDDLE[0]} and {MIDDLE[1]} of the line between the embeddings:", ""]
    lines += [f"- {term}, to the {end} end: {share(sum(v), len(v))}" for (end, term), v in peaks.items()]
    lines += ["", *continuations(cases), ""]
    lines.append(
        "Two failed transfers of a base, two ends of a transfer and four continuations of it are not "
        "independent: read intervals and p as lower bounds."
    )
    words = "\n".join(lines) + f"\n\n{seconds:.0f} s, of which training only what was not there\n"
    files.write_atomically(out / "report.md", words.encode())
    sys.stdout.write(words)


def continuations(cases: list[dict[str, Any]]) -> list[str]:
    """What came of training on: frozen, free, and after mending."""
    counts = {}
    lines = [
        "| training taken up from the failed transfer | matched | success | states in place, median | loss |"
    ]
    lines.append("|---|---|---|---|---|")
    starts = [total_loss(case["from"].transfer.path) for case in cases]
    lines.append(f"| not at all | | | | {statistics.median(starts):.3f} |")
    for name in ("frozen", "free", "mended"):
        results = [r for case in cases for r in case["after"][name]]
        if not results:
            continue
        matched = sum(r.relation == "matched" for r in results)
        success = sum(bool(r.success) for r in results)
        places = sorted(r.own_states or 0 for r in results)
        counts[name] = matched, len(results)
        total = len(results)
        lines.append(
            f"| {name} | {share(matched, total)} | {share(success, total)} | {places[len(places) // 2]} | "
            f"{statistics.median(total_loss(r.transfer.path) for r in results):.3f} |"
        )
    if {"frozen", "free"} <= set(counts):
        (a, n), (b, m) = counts["frozen"], counts["free"]
        p = stats.boschloo_exact([[a, n - a], [b, m - b]]).pvalue
        lines += [
            "",
            f"Matched, frozen against free: Boschloo's exact test, p = {p:.3f} (continuations of one",
        ]
        lines[-1] += " failed transfer are not independent: read it as a lower bound)."
    return lines


def total_loss(path: str) -> float:
    """On the target task, over all states and actions alike."""
    subject = diag.open_subject(path)
    assert subject.tasks is not None
    assert subject.objective is not None
    assert subject.parameters is not None
    batch = subject.tasks.batch("target", SAMPLES, 0).batch
    found = subject.objective.losses(subject.parameters, batch)
    return sum(weight * float(found[term].mean()) for term, weight in subject.objective.terms.items())


def shown(height: dict[str, Any]) -> str:
    if height["value"] is None:
        return "–"
    return f"{height['value']:.3f} [{height['low']:.3f}, {height['high']:.3f}] at {height['at']:.2f}"


def share(count: int, of: int) -> str:
    if not of:
        return "–"
    interval = stats.binomtest(count, of).proportion_ci(method="wilson")
    return f"{count} of {of} [{interval.low:.0%}, {interval.high:.0%}]"


if __name__ == "__main__":
    main()
