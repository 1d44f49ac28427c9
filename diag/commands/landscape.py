"""The command that takes the losses between two checkpoints: ``diag landscape``."""

from __future__ import annotations

from glob import glob
from pathlib import Path
from typing import Annotated

import typer

from diag.commands.answer import AnswerOptions, answer, note, percent, stoppable
from diag.commands.bundles import bundled
from diag.commands.file_options import FileOptions
from diag.commands.options import Device, Jobs, Picture, Seed
from diag.commands.output_files import UsageError
from diag.commands.timing import Outlook
from diag.wording import plural


@bundled
def landscape(
    a: Annotated[Path, typer.Argument(metavar="A", help="The checkpoint at t = 0: the failed one.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The checkpoint at t = 1.")],
    more: Annotated[
        list[Path] | None,
        typer.Argument(metavar="C...", help="More checkpoints: walls between every two of them."),
    ] = None,
    all_pairs: Annotated[
        bool,
        typer.Option(
            "--all-pairs", help="Walls between every two checkpoints alone (without it from three on)."
        ),
    ] = False,
    third: Annotated[
        Path | None, typer.Option("--third", metavar="C", help="Also the plane through A, B and C.")
    ] = None,
    random_plane: Annotated[
        bool, typer.Option("--random-plane", help="Also a plane of two random directions through A.")
    ] = False,
    trail: Annotated[
        str | None,
        typer.Option("--trail", metavar="PATTERN", help="Also the plane of checkpoints along a training."),
    ] = None,
    move: Annotated[
        list[str] | None,
        typer.Option(
            "--move", metavar="NAME", help="A component that moves, or all (default: what differs)."
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            "--base",
            metavar="FILE",
            help="Base that R² compares with (default: the one they were made from).",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="source or target (default: both).")
    ] = None,
    points: Annotated[int, typer.Option("--points", metavar="N", min=3, help="Points from A to B.")] = 51,
    beyond: Annotated[
        float, typer.Option("--beyond", metavar="X", min=0.0, max=10.0, help="How far to go on past A and B.")
    ] = 0.2,
    curve_steps: Annotated[
        int, typer.Option("--curve-steps", metavar="N", min=0, help="Adam steps for a curve round the wall.")
    ] = 400,
    quick: Annotated[
        bool, typer.Option("--quick", help="Straight lines alone: no curve, curvature or gradients.")
    ] = False,
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", min=3, help="Points along each side of a plane.")
    ] = 25,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", metavar="DIR", help="Keep finished rows of planes in DIR, and go on from them."
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", metavar="N", min=124, help="Transitions per task.")
    ] = 1240,
    *,
    sources: FileOptions,
    device: Device = "cpu",
    jobs: Jobs = None,
    seed: Seed = 0,
    picture: Picture = None,
    shown: AnswerOptions,
) -> None:
    """Measure the losses between two checkpoints: is there a wall, and what kind of place is each end?

    The wall is measured on the straight line between the weights, after B's hidden units are matched to
    A's, along a curve that was made to avoid it, and between the two embeddings. Then: which loss terms
    stand against the move, how the embedding changes on the way, and whether A and B sit in a minimum, at
    a saddle, on a plateau, or are still descending. Only what differs moves: frozen models stay frozen.

    Of three checkpoints or more, the walls between every two, as one matrix, and which of them share a basin.

    \b
    Examples:
      diag landscape examples/mirrored.safetensors examples/matched.safetensors
      diag landscape failed.safetensors good.safetensors --html wall.html
      diag landscape failed.safetensors good.safetensors --move encoder --quick
      diag landscape a.pt b.pt --adapter mine:with_losses
      diag landscape a.safetensors b.safetensors --third base.safetensors
      diag landscape a.safetensors b.safetensors --trail 'a.step*.safetensors'
      diag landscape a.safetensors b.safetensors --random-plane --save rows
      diag landscape a.safetensors b.safetensors c.safetensors d.safetensors
    """
    if more or all_pairs:
        whole = {
            "--third": third is not None,
            "--random-plane": random_plane,
            "--trail": trail is not None,
            "--base": base is not None,
            "--save": save is not None,
        }
        if asked := [option for option, given in whole.items() if given]:
            found = plural(2 + len(more or []), "checkpoint")
            raise UsageError(
                f"{asked[0]}: found {found} to take in pairs, expected it with two of them alone"
            )
        _all_pairs([a, b, *(more or [])], move, task, points, samples, device, seed, sources, shown)
        return
    from diag.landscapes.landscape import landscape as take

    along = [Path(p) for p in glob(trail or "")]  # noqa: PTH207 (a pattern may be absolute)
    outputs = shown.outputs(a, b, third, base, *along, *sources.files, picture=picture)
    planes = third is not None or random_plane or trail is not None
    if save is not None and not planes:
        raise UsageError(
            f"--save {save}: found no plane to save, expected --third, --random-plane or --trail"
        )
    outlook = Outlook(
        0, lambda left: None if shown.quiet else note(f"landscape: {left} to go on this machine")
    )
    with (
        stoppable(_kept(save, planes)),
        percent("landscape", shown.quiet or outputs.printed, brief=not planes) as bar,
    ):

        def step(done: int, of: int) -> None:
            bar(done, of)
            outlook.step(done, of)

        result = take(
            a,
            b,
            third=third,
            random_plane=random_plane,
            trail=trail or (),
            move=move,
            base=base,
            task=task,
            points=points,
            beyond=beyond,
            curve_steps=curve_steps,
            quick=quick,
            steps=steps,
            save=save,
            samples=samples,
            device=device,
            jobs=jobs,
            supplied=sources.supplied,
            seed=seed,
            progress=step,
        )
    answer(result, "landscape", outputs, shown.quiet, shown.verbose, picture=picture)


def _all_pairs(
    checkpoints: list[Path],
    move: list[str] | None,
    task: str | None,
    points: int,
    samples: int,
    device: str,
    seed: int,
    sources: FileOptions,
    shown: AnswerOptions,
) -> None:
    """Walls between every two of the checkpoints, and the answer written."""
    from diag.landscapes.pairs import landscape_pairs

    outputs = shown.outputs(*checkpoints, *sources.files)
    outlook = Outlook(
        0, lambda left: None if shown.quiet else note(f"landscape: {left} to go on this machine")
    )
    with (
        stoppable("nothing was written, and the same command begins anew; fewer --points take less time"),
        percent("landscape", shown.quiet or outputs.printed) as bar,
    ):

        def step(done: int, of: int) -> None:
            bar(done, of)
            outlook.step(done, of)

        result = landscape_pairs(
            checkpoints,
            move=move,
            task=task,
            points=points,
            samples=samples,
            device=device,
            supplied=sources.supplied,
            seed=seed,
            progress=step,
        )
    answer(result, "landscape_pairs", outputs, shown.quiet, shown.verbose)


def _kept(save: Path | None, planes: bool) -> str:
    """Words on what a landscape that is stopped leaves, and how to go on."""
    if save is not None:
        return f"{save} holds the planes' rows that are done, and the same command goes on with them"
    more = "; with --save DIR the planes' rows are kept" if planes else "; --quick takes far less time"
    return f"nothing was written, and the same command begins anew{more}"
