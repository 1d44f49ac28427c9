"""The commands that train: ``diag train crar`` and ``diag transfer``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from diag.commands.answer import Stopped, note, say, timed
from diag.commands.help import Group
from diag.commands.options import Device, Jobs, Keep, Out, Overwrite, Quiet, Resume, Seeds, Set, Verbose
from diag.commands.output_files import UsageError

train_app = typer.Typer(
    cls=Group, no_args_is_help=True, help="Train base models.", rich_markup_mode=None, add_completion=False
)


@train_app.command("crar", short_help="Train CRAR base models.")
def train_crar(
    out: Out,
    seeds: Seeds = "0",
    preset: Annotated[
        str,
        typer.Option("--preset", metavar="NAME", help="simple-maze, simple-maze-demo or simple-maze-summed."),
    ] = "simple-maze",
    settings: Set = None,
    device: Device = "cpu",
    jobs: Jobs = None,
    keep: Keep = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train CRAR base models, one per seed, on the source task.

    Seeds are trained side by side; a seed's result does not depend on the others. Ctrl-C stops after
    saving; the same command with --resume goes on. Once it has begun, it says how long it will take.

    \b
    Examples:
      diag train crar --seeds 0-3 --out runs/base
      diag train crar --preset simple-maze-summed --out runs/summed
      diag train crar --out runs/short --set train.updates=40000
    """
    from trainers.run import Run, numbers_from, seeds_from
    from trainers.settings import preset as read_preset

    tree = read_preset(preset).with_overrides(settings or [])
    run = Run(tree, seeds_from(seeds), str(out), device=device, keep=numbers_from(keep, "--keep"))
    _train(run, jobs, resume, overwrite, quiet)


def transfer(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="A base checkpoint.")],
    out: Out,
    seeds: Seeds = "0",
    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME", help="A recipe's name (default: the base's own settings)."),
    ] = None,
    plan: Annotated[
        str,
        typer.Option(
            "--plan",
            metavar="NAME",
            help="freeze-dynamics, reset-encoder, fine-tune, no-random-entropy, delayed-structure, "
            "from-scratch, or a TOML file (see trainers/recipes/plans).",
        ),
    ] = "freeze-dynamics",
    settings: Set = None,
    device: Device = "cpu",
    jobs: Jobs = None,
    keep: Keep = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Transfer a base model to the target task, once per seed.

    The plan says what becomes of each component; by default all but the encoder are frozen.

    \b
    Examples:
      diag transfer runs/base/seed0.safetensors --seeds 0-7 --out runs/t0
      diag transfer runs/base/seed0.safetensors --plan fine-tune --out runs/fine
      diag transfer base.safetensors --out runs/t1 --set transfer.updates=20000
    """
    from diag.sources.systems import trained
    from trainers.checkpoint import read
    from trainers.plan import read_plan
    from trainers.run import Run, numbers_from, seeds_from
    from trainers.settings import preset as read_preset

    own = trained(read(base)).system.settings
    tree = own if preset is None else read_preset(preset)
    tree = tree.with_overrides(settings or [])
    kept = numbers_from(keep, "--keep")
    run = Run(tree, seeds_from(seeds), str(out), read_plan(plan), str(base), device, kept)
    _train(run, jobs, resume, overwrite, quiet)


def _train(run: Any, jobs: int | None, resume: bool, overwrite: bool, quiet: bool) -> None:
    from trainers.run import prepare

    if resume and overwrite:
        raise UsageError("--resume and --overwrite contradict each other")
    with run.alone():
        _trained(run, prepare(run, resume, overwrite), jobs, quiet)


def _trained(run: Any, members: list[Any], jobs: int | None, quiet: bool) -> None:
    from trainers.processes import execute

    todo = sum(run.phase.updates - m.step for m in members)
    if not members:
        say(quiet, f"{run.out}: all {len(run.seeds)} seeds are trained already")
        return
    count = jobs or (1 if run.device != "cpu" else min(os.cpu_count() or 1, len(members)))
    words = f"{len(members)} seed{'s' if len(members) > 1 else ''} × {run.phase.updates} updates"
    then = "; Ctrl-C saves, and --resume goes on"
    with timed(f"{words}, {run.phase.algorithm}", todo, quiet, then) as advance:
        finished = execute(run, members, count, advance)
    if not finished:
        raise Stopped(
            f"stopped; {run.out} holds usable checkpoints, and the same command with --resume goes on"
        )
    lost = [m.seed for m in members if not run.is_finite(m.seed)]
    if lost:
        words = f"seed{'s' if len(lost) > 1 else ''} {', '.join(map(str, lost))} diverged: weights not finite"
        note(f"warning: {words}; try a smaller learning rate")
    say(quiet, f"wrote {len(members)} checkpoint{'s' if len(members) > 1 else ''} to {run.out}")
