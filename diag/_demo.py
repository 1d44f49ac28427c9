"""demo: the whole road in one command, on the simple maze: train, transfer, compare, landscape, a page.

Bases are trained until one has both a failed and a successful transfer (or the last one is reached), in
the order of their seeds; what was tried is said and shown. Everything is written as it is made, so a
second run of the same command goes on where the first was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from textwrap import fill
from time import monotonic

import pandas as pd

from diag._compare import compare
from diag._landscape import landscape
from diag._progress import in_percent
from diag.landscapes.result import Landscape
from diag.outputs import html, landscape_html
from diag.outputs.text import WIDTH, number
from diag.result import Comparison
from reports import Figure, Page, Section, charts, render
from trainers.checkpoint import write_atomically
from trainers.plan import named_plan
from trainers.processes import execute
from trainers.run import Run, prepare
from trainers.settings import Settings
from trainers.settings import preset as read_preset

BASE_SEEDS = (3, 1, 4, 0, 2, 5, 6, 7)
"""Bases in the order they are tried, as many trained at once as there are processes. The first is one
whose transfers are known to go both ways: this is a demonstration, and no count of it is a result."""

TRANSFER_SEEDS = tuple(range(8))

Say = Callable[[str], None]
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


def run_demo(
    out: Path,
    preset: str,
    assignments: Sequence[str],
    jobs: int,
    overwrite: bool,
    say: Say,
    progress: Progress,
) -> Path:
    """Run the demo into the folder ``out`` and return the page's path; raises what its parts raise."""
    began = monotonic()
    settings = read_preset(preset).with_overrides(assignments)
    introduction = (
        f"A base agent learns the simple maze ({settings.train.updates} updates, "
        f"{settings.train.algorithm}); then {len(TRANSFER_SEEDS)} transfers of it learn the inverted maze "
        f"with everything but the encoder frozen ({settings.transfer.updates} updates, "
        f"{settings.transfer.algorithm})."
    )
    say(fill(introduction, WIDTH))
    tried: list[tuple[int, list[Comparison]]] = []
    for first in range(0, len(BASE_SEEDS), max(1, jobs)):
        seeds = BASE_SEEDS[first : first + max(1, jobs)]
        _train(Run(settings, seeds, str(out / "base")), jobs, overwrite, progress, "base")
        for seed in seeds:
            results = _transfers(out, seed, settings, jobs, overwrite, progress)
            tried.append((seed, results))
            failed, landed = _split(results)
            say(f"  base {seed}: {_counts(results)}")
            if failed and landed:
                return _finish(out, settings, tried, say, progress, began)
            missing = " and ".join(
                words for words, there in (("none failed", failed), ("none landed", landed)) if not there
            )
            say(f"  {missing} from base {seed}; going on to another base")
    return _finish(out, settings, tried, say, progress, began)


def _train(run: Run, jobs: int, overwrite: bool, progress: Progress, what: str) -> None:
    with run.alone():
        _trained(run, jobs, overwrite, progress, what)


def _trained(run: Run, jobs: int, overwrite: bool, progress: Progress, what: str) -> None:
    members = prepare(run, resume=not overwrite, overwrite=overwrite)
    if not members:
        return
    names = ", ".join(str(m.seed) for m in members) if what == "base" else ""
    words = f"bases {names}" if what == "base" else what
    with progress(words, sum(run.phase.updates - m.step for m in members)) as advance:
        if not execute(run, members, jobs, advance):
            raise KeyboardInterrupt


def _transfers(
    out: Path, seed: int, settings: Settings, jobs: int, overwrite: bool, progress: Progress
) -> list[Comparison]:
    base = out / "base" / f"seed{seed}.safetensors"
    folder = out / f"transfers-of-base{seed}"
    run = Run(settings, TRANSFER_SEEDS, str(folder), named_plan("freeze-dynamics"), str(base))
    _train(run, jobs, overwrite, progress, f"{len(TRANSFER_SEEDS)} transfers of base {seed}")
    return [compare(base, run.path(s)) for s in TRANSFER_SEEDS]


def _landed(result: Comparison) -> bool:
    return result.relation == "matched" and bool(result.success)


def _split(results: Sequence[Comparison]) -> tuple[list[Comparison], list[Comparison]]:
    """The failed transfers, mirrored ones first, and those that landed, best first."""
    failed = [r for r in results if r.verdict.status == "fail"]
    failed.sort(key=lambda r: (r.relation != "flipped", -(r.measures["flip"].value or 0.0)))
    landed = [r for r in results if _landed(r)]
    landed.sort(key=lambda r: r.measures["l2"].value or 0.0)
    return failed, landed


def _counts(results: Sequence[Comparison]) -> str:
    names = [r.relation or "undecided" for r in results]
    found = ", ".join(f"{names.count(n)} {n}" for n in dict.fromkeys(sorted(names, key=names.count)[::-1]))
    return f"{found}; {sum(map(_landed, results))} landed with {_in_place(results)}"


def _in_place(results: Sequence[Comparison]) -> str:
    return f"{results[0].success_states} or more of {results[0].states} states in place"


def _finish(
    out: Path,
    settings: Settings,
    tried: Sequence[tuple[int, list[Comparison]]],
    say: Say,
    progress: Progress,
    began: float,
) -> Path:
    # The base with both outcomes if there is one (it is the last), else the one with the most failures.
    seed, results = max(tried, key=lambda t: (all(map(bool, _split(t[1]))), len(_split(t[1])[0])))
    failed, landed = _split(results)
    others = [r for r in results if r is not (failed or results)[0]]
    start = (failed or results)[0]
    # Without a success the path leads to the transfer nearest to the base, and the page says so.
    end = landed[0] if landed else min(others, key=lambda r: r.measures["l2"].value or 0.0)
    wall = _wall(start.transfer.path, end.transfer.path, progress)
    page = out / "index.html"
    write_atomically(page, _page(seed, results, tried, wall, settings).encode())
    say("")
    say(fill(_headline(seed, results), WIDTH))
    say(fill(wall.verdict.summary, WIDTH, initial_indent="  ", subsequent_indent="  "))
    say(f"  A is {start.transfer.path}, B is {end.transfer.path}.")
    say("")
    say(f"Look at {page}")
    say("  first at the embeddings: a flipped one has the rooms on the wrong sides;")
    say(f"  then at the losses {_path_in_words(bool(failed), bool(landed))}, and the wall between its ends.")
    say("Look closer:")
    say(f"  diag compare-embeddings {start.base.path} {start.transfer.path}")
    say(f"  diag landscape {start.transfer.path} {end.transfer.path}")
    say(f"{monotonic() - began:.0f} s in all.")
    return page


def _wall(a: str, b: str, progress: Progress) -> Landscape:
    """The landscape between two transfers, its progress shown in percent."""
    with progress("the losses between two of them", 100) as advance:
        return landscape(a, b, progress=in_percent(advance))


def _headline(seed: int, results: Sequence[Comparison]) -> str:
    failed, landed = _split(results)
    matched = sum(r.relation == "matched" for r in results)
    flipped = sum(r.relation == "flipped" for r in failed)
    parts = [f"{matched} matched ({len(landed)} of them with {_in_place(results)})", f"{len(failed)} failed"]
    if flipped:
        parts[1] += f" ({flipped} of them mirrored copies of the base's embedding)"
    if rest := len(results) - matched - len(failed):
        parts.append(f"{rest} cannot be told")
    return f"Of {len(results)} transfers of base {seed}, {', '.join(parts[:-1])} and {parts[-1]}."


def _page(
    seed: int,
    results: Sequence[Comparison],
    tried: Sequence[tuple[int, list[Comparison]]],
    wall: Landscape,
    settings: Settings,
) -> str:
    failed, landed = _split(results)
    rows = [
        {
            "name": f"transfer {number}",
            "l2": r.measures["l2"].value,
            "low": r.measures["l2"].low,
            "high": r.measures["l2"].high,
            "relation": r.relation or "undecided",
            "status": r.verdict.status,
        }
        for number, r in zip(TRANSFER_SEEDS, results, strict=True)
    ]
    states = results[0].states
    required = range(max(1, states - 10), states + 1)
    counts = pd.DataFrame(
        [{"required": n, "count": sum((r.own_states or 0) >= n for r in results)} for n in required]
    )
    sections = [
        Section(
            "The embeddings",
            [
                "A point is a place in the maze, coloured by its room; a line leads to where the transition "
                "model expects an action to lead. Every transfer was started from the base's encoder and "
                "shown the inverted maze, with the base's transition model frozen. A transfer that landed "
                "looks like the base. In a flipped one the rooms have changed sides; the frozen model, which "
                "expects them on the other, bends the picture, and the losses stay small all the same."
            ],
            Figure(
                html.embedding_chart(all_panels(results), results[0].dimensions[0]),
                "Small multiples: the base's embedding and that of each transfer.",
            ),
        ),
        Section(
            "The verdicts",
            [
                "Similarity scores such as CKA do not change when an axis is flipped; the ladder of "
                "transformations tells how each transfer lies to the base."
            ],
            Figure(charts.distances(pd.DataFrame(rows)), "Bars of the mean L2 distance of each transfer."),
            _verdicts(results),
        ),
        Section(
            "How many succeed",
            [
                f"A transfer counts as a success when at least {results[0].success_states} of the {states} "
                "states are nearest to their own base state. The count, as that number moves:"
            ],
            Figure(charts.success_margin(counts), "Steps: transfers that succeed against states required."),
        ),
        *_landscape_sections(wall, bool(failed), bool(landed)),
    ]
    if len(tried) > 1:
        table = pd.DataFrame([{"base": s, "found": _counts(r)} for s, r in tried])
        sections.append(
            Section("All bases tried", ["Bases are tried in order until one has both."], table=table)
        )
    facts = [
        ("base", f"{results[0].base.path} ({results[0].base.label})"),
        ("transfers", f"{len(results)}, seeds {TRANSFER_SEEDS[0]} to {TRANSFER_SEEDS[-1]}"),
        ("base training", f"{settings.train.updates} updates, {settings.train.algorithm}"),
        ("transfer training", f"{settings.transfer.updates} updates, {settings.transfer.algorithm}"),
    ]
    status = "fail" if failed else "pass" if len(landed) == len(results) else "inconclusive"
    return render(
        Page("One base, eight transfers", status, _headline(seed, results), facts, sections, html.footer())
    )


def _path_in_words(failed: bool, landed: bool) -> str:
    return f"from a {'failed' if failed else 'first'} to {'a successful' if landed else 'another'} transfer"


def _landscape_sections(wall: Landscape, failed: bool, landed: bool) -> list[Section]:
    a = f"A is {wall.base.path}, {'which failed' if failed else 'which did not fail'}"
    b = "which landed" if landed else "the nearest to the base, though none landed"
    ends = f"{a}; B is {wall.transfer.path}, {b}."
    lead = Section(f"The losses {_path_in_words(failed, landed)}", [ends, wall.verdict.summary])
    first, *rest = landscape_html.sections(wall)
    return [replace(lead, words=[*lead.words, *first.words], figure=first.figure, table=first.table), *rest]


def all_panels(results: Sequence[Comparison]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and lines of the base's panel and of each transfer's."""
    points: list[pd.DataFrame] = []
    lines: list[pd.DataFrame] = []
    for seed, result in zip(TRANSFER_SEEDS, results, strict=True):
        name = f"{seed}: {result.relation or 'undecided'}"
        drawn, joined = html.panels(result.picture, "base", name)
        keep = ["base", name] if not points else [name]
        points.append(drawn[drawn["panel"].isin(keep)])
        lines.append(joined[joined["panel"].isin(keep)])
    return pd.concat(points, ignore_index=True), pd.concat(lines, ignore_index=True)


def _verdicts(results: Sequence[Comparison]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "transfer": seed,
                "verdict": r.verdict.status,
                "relation": r.relation or "undecided",
                "axes": ", ".join(map(str, r.verdict.axes)) or "–",
                "L2": number(r.measures["l2"].value),
                "flip metric": number(r.measures["flip"].value),
                "R² as it is": number(r.ladder[0].r2.value),
                "R² flipped": number(r.ladder[1].r2.value),
                "in place": f"{r.own_states}/{r.states}",
                "CKA": number(r.measures["cka"].value),
            }
            for seed, r in zip(TRANSFER_SEEDS, results, strict=True)
        ]
    )
