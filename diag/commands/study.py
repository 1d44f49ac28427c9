"""The commands of studies: ``diag study run``, ``diag study report`` and ``diag study list``."""

from __future__ import annotations

import json as plain_json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from diag.commands.answer import Stopped, answer, say, write_line
from diag.commands.forecast import study_forecast
from diag.commands.help import Group
from diag.commands.options import Device, Html, Jobs, Json, Quiet, Set, Static, Verbose
from diag.commands.output_files import Outputs
from diag.commands.progress import progress_bar
from diag.wording import about
from diag.wording import listed as listed_words

study_app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    help="Many bases, plans and seeds, and the table at the end.",
    rich_markup_mode=None,
    add_completion=False,
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of diag study run.")]


@study_app.command("run", short_help="Train, transfer and measure all of a study.")
def run(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A shipped study (diag study list) or a .toml file.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The study's folder.")],
    settings: Set = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option("--engine", metavar="local|ray", help="Processes here, or a Ray cluster."),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            "--address", metavar="HOST:PORT", help="The Ray cluster's address (default: a local one)."
        ),
    ] = None,
    device: Device = "cpu",
    jobs: Jobs = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and how long it takes; do nothing.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train the bases of a study, transfer them, measure every checkpoint, and write its report.

    Seeds are stacked, and stacks are spread over processes or a Ray cluster. Whatever stops it, a minute is
    lost at most: the same command goes on, and ends with the same weights. More seeds, plans or variants
    may be added to a folder later. --set changes bases, transfers, plans and keep of the study, takes some
    of its variants alone, or changes any setting.

    \b
    Examples:
      diag study run tiny --out /tmp/tiny
      diag study run simple-maze --out runs/maze --dry-run
      diag study run simple-maze --out runs/maze
      diag study run simple-maze --out runs/small --set transfers=4
      diag study run labyrinth-small --out runs/l --set variants=main,scratch
      diag study run mine.toml --out mine --engine ray --address 10.0.0.5:6379
    """
    from diag.studies.folder import Folder as Kept
    from diag.studies.run import engine_of, planned, run_study
    from diag.studies.study import read_study

    chosen = read_study(study, settings or [])
    if dry_run:
        number = jobs or os.cpu_count() or 1
        chosen = Kept(out).joined(chosen)
        plan = planned(chosen, Kept(out), number, device)
        write_line(_words(chosen, plan.seeds, plan.updates, sum(plan.behind.values())))
        if plan.pieces and engine == "local":
            write_line(_outlook(plan, number))
        return
    the_engine, number = engine_of(engine, address, jobs)
    say(quiet, _title(chosen))

    kinds = {p.cost for v in chosen.variants for p in (v.settings.train, v.settings.transfer)}
    unit = "updates" if len(kinds) == 1 else "of the cheapest updates' worth"

    def progress(total: int) -> Any:
        say(quiet, f"{total:,} {unit} to do, {number} at a time")
        return progress_bar(f"study {chosen.name}", total, quiet)

    def begun(plan: Any) -> None:
        if engine == "local" and not quiet:
            say(quiet, _outlook(plan, number))

    if not run_study(
        chosen, out, engine=the_engine, jobs=number, device=device, progress=progress, begun=begun
    ):
        raise Stopped(f"stopped; all is saved in {out}, and the same command goes on with it")
    _report(out, _page_in(out), quiet, verbose)


@study_app.command("measure", short_help="Measure a study's checkpoints again.")
def measure(
    folder: Folder,
    every: Annotated[
        bool, typer.Option("--all", help="Also what this very version of the code measured.")
    ] = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure again the checkpoints of a study that another version of the code measured.

    Nothing is trained. Rows whose checkpoints are gone stay as they are, and are counted. Whatever stops it,
    the same command goes on. The study's page is written anew.

    \b
    Examples:
      diag study measure runs/maze
      diag study measure runs/maze --all -j 1
    """
    from diag.studies.again import measure_again
    from diag.studies.folder import Folder as Kept

    def progress(total: int) -> Any:
        say(quiet, f"{total:,} checkpoints to measure")
        return progress_bar(f"measure {folder.name}", total, quiet)

    left = measure_again(Kept(folder), every=every, jobs=jobs or os.cpu_count() or 1, progress=progress)
    if left is None:
        raise Stopped(f"stopped; what was measured is saved in {folder}, and the same command goes on")
    if left.gone:
        say(quiet, _gone_words(left.gone))
    _report(folder, _page_in(folder), quiet, verbose)


@study_app.command("report", short_help="The table of a study, and its page.")
def report(
    folder: Folder,
    html: Html = None,
    json: Json = None,
    static: Static = False,
    events: Annotated[
        Path | None,
        typer.Option("--events", metavar="DIR", help="Also write the curves as TensorBoard events."),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make the table and the page of a study, finished or not.

    The page goes to DIR/report.html unless --html says otherwise. Part files in DIR/results and DIR/curves
    are Parquet, for pandas or anything else.

    \b
    Examples:
      diag study report runs/maze
      diag study report runs/maze --json
      diag study report runs/maze --events runs/maze/events
    """
    outputs = Outputs.of({"--json": json, "--html": html})
    if not outputs.places:
        outputs = _page_in(folder)
    outputs = outputs.with_static(static)
    if events is not None:
        from diag.studies.events import write_events

        count = write_events(folder, events)
        say(quiet or outputs.printed, f"{count} curves: tensorboard --logdir {events}")
    _report(folder, outputs, quiet, verbose)


study_app.command("forecast", short_help="Fit a forecast to studies, and judge it.")(study_forecast)


@study_app.command("list", short_help="The studies that ship with the package.")
def listed(
    json: Json = None,
) -> None:
    """Say which studies ship with the package, and what each is.

    \b
    Example:
      diag study list
    """
    from diag.studies.study import read_study, study_names

    studies = {name: read_study(name) for name in study_names()}
    outputs = Outputs.of({"--json": json})

    def trees() -> str:
        return plain_json.dumps({name: s.to_tree() for name, s in studies.items()}, indent=1)

    outputs.write({"--json": trees})
    if outputs.printed:
        return
    for name, study in studies.items():
        write_line(f"{name}\n  {study.about}")
        for v in study.variants:
            label = "" if v.name == "main" else f"{v.name}: "
            write_line(f"  {label}{_size(v)}")


def _outlook(plan: Any, jobs: int) -> str:
    from diag.studies.outlook import files_of, seconds_of

    seconds, files = seconds_of(plan, jobs), files_of(plan)
    words = f"{about(seconds)} on this machine, {jobs} at a time, judging by a moment of each kind of work"
    made = [f"before that, {about(sum(files.values()))} to make {listed_words(list(files))}"] if files else []
    return "; ".join([words, *made])


def _page_in(folder: Path) -> Outputs:
    """The page where it goes that nobody named a place for."""
    return Outputs({"--html": folder / "report.html"})


def _report(folder: Path, outputs: Outputs, quiet: bool, verbose: bool) -> None:
    from diag.studies.reading import report_of

    answer(report_of(folder), "study", outputs, quiet, verbose)


def _size(variant: Any) -> str:
    plans = ", ".join(p.name for p in variant.plans)
    return f"{len(variant.bases)} bases × {len(variant.transfers)} transfers × {plans}"


def _title(study: Any) -> str:
    return f"{study.name}: {study.about}" if study.about else str(study.name)


def _words(study: Any, seeds: int, updates: int, behind: int) -> str:
    lines = [_title(study)]
    for v in study.variants:
        lines.append(f"  {v.name}: {_size(v)}")
        both = f"{v.settings.train.updates:,} + {v.settings.transfer.updates:,} updates"
        lines.append("    " + ", ".join(filter(None, (both, v.settings.transfer.algorithm))))
    done = f", {behind:,} of them done" if behind else ""
    lines.append(f"to do: {seeds} trainings, {updates:,} updates{done}")
    return "\n".join(lines)


def _gone_words(rows: int) -> str:
    if rows == 1:
        return "1 row stays as it was: its checkpoint, or its base's, is gone"
    return f"{rows:,} rows stay as they were: their checkpoints, or their bases', are gone"
