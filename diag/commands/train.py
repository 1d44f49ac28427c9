"""The commands that train: ``diag train SYSTEM``, one for each system, and ``diag transfer``."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from diag.commands.answer import Stopped, note, say, timed
from diag.commands.bundles import bundled
from diag.commands.help import Group
from diag.commands.options import Device, Jobs, Keep, Out, Overwrite, Quiet, Resume, Seeds, Set, Verbose
from diag.commands.output_files import UsageError
from trainers import registry

if TYPE_CHECKING:
    from trainers.plan import TransferPlan
    from trainers.settings import Settings


@dataclass(frozen=True)
class Training:
    """Options of every command that trains."""

    seeds: Seeds = "0"
    settings: Set = None
    device: Device = "cpu"
    jobs: Jobs = None
    keep: Keep = None
    resume: Resume = False
    overwrite: Overwrite = False
    quiet: Quiet = False
    verbose: Verbose = False

    def run(
        self, out: Path, tree: Settings, plan: TransferPlan | None = None, bases: list[Path] | None = None
    ) -> None:
        """Train with these settings into ``out``: bases without a plan, else transfers of ``bases``."""
        from trainers.run import Run, numbers_from, prepare, seeds_from

        if self.resume and self.overwrite:
            raise UsageError("--resume and --overwrite contradict each other")
        first, *more = [str(base) for base in bases] if bases else [None]
        tree = tree.with_overrides(self.settings or [])
        run = Run(
            tree,
            seeds_from(self.seeds),
            str(out),
            plan,
            first,
            self.device,
            numbers_from(self.keep, "--keep"),
            tuple(str(base) for base in more),
        )
        with run.alone():
            self._train(run, prepare(run, self.resume, self.overwrite))

    def _train(self, run: Any, members: list[Any]) -> None:
        from trainers.processes import execute

        quiet, todo = self.quiet, sum(run.phase.updates - m.step for m in members)
        if not members:
            say(quiet, f"{run.out}: all {len(run.seeds)} seeds are trained already")
            return
        count = self.jobs or (1 if run.device != "cpu" else min(os.cpu_count() or 1, len(members)))
        seeds = f"{len(members)} seed{'s' if len(members) > 1 else ''} × {run.phase.updates} updates"
        words = ", ".join(filter(None, (seeds, run.phase.algorithm)))
        with timed(words, todo, quiet, "; Ctrl-C saves, and --resume goes on") as advance:
            finished = execute(run, members, count, advance)
        if not finished:
            raise Stopped(
                f"stopped; {run.out} holds usable checkpoints, and the same command with --resume goes on"
            )
        lost = [m.seed for m in members if not run.is_finite(m.seed)]
        if lost:
            named = f"seed{'s' if len(lost) > 1 else ''} {', '.join(map(str, lost))}"
            note(f"warning: {named} diverged: weights not finite; try a smaller learning rate")
        say(quiet, f"wrote {len(members)} checkpoint{'s' if len(members) > 1 else ''} to {run.out}")


class SystemCommand(TyperCommand):
    """The command that trains one system; its help names the system's presets, read when it is shown."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from trainers.settings import default_preset, presets_of

        assert self.name is not None
        for parameter in self.params:
            if parameter.name == "preset":
                named = f"{', '.join(presets_of(self.name))} (default: {default_preset(self.name)})."
                parameter.help = named  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


class Systems(Group):
    """A command for each system: those that ship are listed at once, others when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(dict.fromkeys([*self.commands, *registry.known()]))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands and cmd_name in registry.known():
            self.add_command(_built(cmd_name), cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            for name in registry.known():  # before a word that is no command is asked after
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)


def _command_of(system: str) -> Callable[..., None]:
    """The function that trains bases of a system."""

    def train(
        out: Out,
        preset: Annotated[
            str | None, typer.Option("--preset", metavar="NAME", help="A preset of the system.")
        ] = None,
        *,
        training: Training,
    ) -> None:
        from trainers.settings import default_preset, presets_of
        from trainers.settings import preset as read_preset

        named = preset or default_preset(system)
        settings = read_preset(named)
        if settings.system != system:
            expected = f"one of {system!r}: {', '.join(presets_of(system))}"
            raise UsageError(f"--preset {named}: found a preset of {settings.system!r}, expected {expected}")
        training.run(out, settings)

    train.__doc__ = f"""Train {system} base models, one per seed, on the source task.

    Seeds are trained side by side; a seed's result does not depend on the others. Ctrl-C stops after
    saving; the same command with --resume goes on. Once it has begun, it says how long it will take.

    \b
    Examples:
      diag train {system} --seeds 0-3 --out runs/base
      diag train {system} --out runs/short --set train.updates=40000
      diag train {system} --out runs/base --resume
    """
    return bundled(train)


def _built(system: str) -> Any:
    """The command of a system that was made known since the others were built."""
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command(system, cls=SystemCommand, short_help=_line(system))(_command_of(system))
    return typer.main.get_command(app)


def _line(system: str) -> str:
    return f"Train {system} base models."


train_app = typer.Typer(
    cls=Systems, no_args_is_help=True, help="Train base models.", rich_markup_mode=None, add_completion=False
)
for _system in registry.shipped():
    train_app.command(_system, cls=SystemCommand, short_help=_line(_system))(_command_of(_system))


@bundled
def transfer(
    bases: Annotated[
        list[Path],
        typer.Argument(metavar="BASE...", help="Base checkpoints: several where the plan takes several."),
    ],
    out: Out,
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
            "from-scratch; freeze-embedding, freeze-head, update-all, freeze-all; fractional "
            "(fractional-0.3 for another share), full-copy, feature-space, meta-model; or a TOML file "
            "(see trainers/recipes/plans).",
        ),
    ] = "freeze-dynamics",
    *,
    training: Training,
) -> None:
    """Transfer a base model, or parts of several, to the target task, once per seed.

    The plan says what becomes of each component; by default all but the encoder are frozen. Its rules name
    a base by its number, as they are given here: `base = 0` is the first, `base = "all"` their mean.

    \b
    Examples:
      diag transfer runs/base/seed0.safetensors --seeds 0-7 --out runs/t0
      diag transfer runs/base/seed0.safetensors --plan fine-tune --out runs/fine
      diag transfer base.safetensors --out runs/t1 --set transfer.updates=20000
      diag transfer one.safetensors two.safetensors --plan both.toml --out runs/t2
      diag transfer one.safetensors two.safetensors --plan meta-model --out runs/m
    """
    from diag.sources.systems import trained
    from trainers.checkpoint import read
    from trainers.plan import read_plan
    from trainers.settings import preset as read_preset

    own = trained(read(bases[0])).system.settings
    training.run(out, own if preset is None else read_preset(preset), read_plan(plan), bases)
