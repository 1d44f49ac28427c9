"""The command line: one thin command per verb; whatever is heavy is imported inside the commands."""

from __future__ import annotations

import io
import os
import sys
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from diag.commands import exit_status as _exit
from diag.commands.answer import answer, note, percent, say, stoppable, write_line
from diag.commands.check import check
from diag.commands.file_options import files_of, reads_files
from diag.commands.forecast import forecast
from diag.commands.help import Group
from diag.commands.options import (
    Device,
    DropNonfinite,
    Episodes,
    Html,
    Jobs,
    Json,
    Overwrite,
    Quiet,
    Rollout,
    Seed,
    Set,
    Verbose,
)
from diag.commands.output_files import Outputs, UsageError
from diag.commands.progress import progress_bar
from diag.commands.repair import repair
from diag.commands.show import show
from diag.commands.study import study_app
from diag.commands.timing import Outlook
from diag.commands.train import train_app, transfer

if TYPE_CHECKING:
    from diag.sources.supplied import Supplied

app = typer.Typer(
    name="diag",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    help="""Did a transferred network land where it should, and if not, why not?

    Start with `diag demo`: it shows a transfer that landed and one that is mirrored, and trains more.
    With checkpoints of your own, or two arrays of paired embeddings:

    \b
      diag compare-embeddings base.safetensors transfer.safetensors
      diag compare-embeddings base.npy transfer.npy --html report.html
      diag landscape failed.safetensors successful.safetensors
      diag probe checkpoint.safetensors
      diag check base.safetensors 'runs/t0/*.safetensors'
      diag repair base.safetensors failed.safetensors -o mended.safetensors
      diag study run simple-maze --out runs/maze
    """,
)
app.add_typer(train_app, name="train")
app.add_typer(study_app, name="study")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"transfer-diag {version('transfer-diag')}\n")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
) -> None:
    """Did a transferred network land where it should, and if not, why not?"""


@app.command(short_help="A page from shipped checkpoints, then transfers trained here.")
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the page and the runs.")
    ] = Path("demo"),
    minutes: Annotated[
        float,
        typer.Option("--minutes", metavar="N", min=0.0, help="Time to keep to (0: only the first page)."),
    ] = 4.0,
    bases: Annotated[
        str | None,
        typer.Option(
            "--bases", metavar="SEEDS", help="Also train these bases from scratch, whatever time it takes."
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option("--preset", metavar="NAME", help="simple-maze, simple-maze-demo or simple-maze-summed."),
    ] = "simple-maze-demo",
    settings: Set = None,
    jobs: Jobs = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show a transfer that landed and one that is mirrored, and train twelve more.

    The first page comes from checkpoints that ship with the package. Then twelve transfers of the same
    base are trained here, six at a low learning rate and six at a higher one, as many as fit into the
    time; the page says what was left out. Run again, the command goes on where it was stopped.

    \b
    Examples:
      diag demo
      diag demo --minutes 0             (the first page alone)
      diag demo --bases 0,1             (bases from scratch too)
      diag demo --out /tmp/demo --minutes 10 --jobs 4
    """
    from diag.commands.demo import run_demo
    from trainers.run import numbers_from

    with stoppable(f"{out} holds what is trained, and the same command goes on with it"):
        run_demo(
            out,
            preset=preset,
            assignments=settings or [],
            bases=numbers_from(bases, "--bases"),
            minutes=minutes,
            jobs=jobs or os.cpu_count() or 1,
            overwrite=overwrite,
            say=lambda words: say(quiet, words),
            progress=lambda words, total: progress_bar(words, total, quiet),
        )
    if quiet:
        write_line(str(out / "index.html"))


app.command(short_help="Transfer a base model to the target task.")(transfer)


@app.command("compare-embeddings", short_help="Did the transfer land, and if not, how does it lie?")
@reads_files
def compare_embeddings(
    base: Annotated[
        Path, typer.Argument(metavar="BASE", help="A checkpoint, an array, or a file of docs/sources.md.")
    ],
    transfer: Annotated[Path, typer.Argument(metavar="TRANSFER", help="The same of the transfer.")],
    unfrozen: Annotated[
        bool, typer.Option("--unfrozen", help="Nothing frozen reads the embedding: no relation is a failure.")
    ] = False,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin", metavar="X", min=0.0, max=1.0, help="R² within which two maps are as good (0.05)."
        ),
    ] = None,
    good: Annotated[
        list[Path] | None,
        typer.Option(
            "--good", metavar="FILE", help="A transfer known to be good; three or more give the margin."
        ),
    ] = None,
    episodes: Episodes = None,
    rollout: Rollout = False,
    drop_nonfinite: DropNonfinite = False,
    *,
    supplied: Supplied,
    seed: Seed = 0,
    json: Json = None,
    html: Html = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say how the transfer's embedding lies to the base's: matched, flipped, rotated, …

    Arrays hold a row per state, (n, d) or (n, height, width, channels), the same states in the same
    order in both files; files larger than memory are read once, in batches. Rows of a rollout are not
    independent: say which episode each is of, or that they are one. The exit status is 0 whatever was
    found.

    \b
    Examples:
      diag compare-embeddings base.safetensors transfer.safetensors
      diag compare-embeddings base.npy transfer.npy --json
      diag compare-embeddings base.npy transfer.npy --episodes episodes.npy
      diag compare-embeddings b.npy t.npy --good 0.npy --good 1.npy --good 2.npy
      diag compare-embeddings base.onnx transfer.onnx --pairs pairs.npz
    """
    from diag import compare

    inputs = [base, transfer, *(good or []), *([] if episodes is None else [episodes]), *files_of(supplied)]
    outputs = Outputs.of({"--json": json, "--html": html}, *inputs)
    with percent("comparing", quiet or outputs.printed) as step:
        result = compare(
            base,
            transfer,
            unfrozen=unfrozen or None,
            margin=margin,
            good=good or [],
            episodes=episodes,
            rollout=rollout,
            drop_nonfinite=drop_nonfinite,
            supplied=supplied,
            seed=seed,
            progress=step,
        )
    answer(result, "comparison", outputs, quiet, verbose)


@app.command(short_help="Losses, and walls, between two checkpoints.")
@reads_files
def landscape(
    a: Annotated[Path, typer.Argument(metavar="A", help="The checkpoint at t = 0: the failed one.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The checkpoint at t = 1.")],
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
        Path | None, typer.Option("--base", metavar="FILE", help="Whose embedding R² is taken to.")
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
        typer.Option("--save", metavar="DIR", help="Keep the planes' rows here, and go on with them."),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", metavar="N", min=124, help="Transitions per task.")
    ] = 1240,
    *,
    supplied: Supplied,
    device: Device = "cpu",
    jobs: Jobs = None,
    seed: Seed = 0,
    json: Json = None,
    html: Html = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Take the losses between two checkpoints: how high is the wall, is it real, and who sits where?

    The wall is measured on the straight line between the weights, after B's hidden units are matched to
    A's, along a curve that was made to avoid it, and between the two embeddings. Then: which loss terms
    stand against the move, how the embedding changes on the way, and whether A and B sit in a minimum, at
    a saddle, on a plateau, or are still descending. Only what differs moves: frozen models stay frozen.

    \b
    Examples:
      diag landscape examples/mirrored.safetensors examples/matched.safetensors
      diag landscape failed.safetensors good.safetensors --html wall.html
      diag landscape failed.safetensors good.safetensors --move encoder --quick
      diag landscape a.pt b.pt --adapter mine:with_losses
      diag landscape a.safetensors b.safetensors --third base.safetensors
      diag landscape a.safetensors b.safetensors --trail 'a.step*.safetensors'
      diag landscape a.safetensors b.safetensors --random-plane --save rows
    """
    from diag import landscape as take

    inputs = [p for p in (a, b, third, base) if p is not None]
    inputs += [Path(p) for p in glob(trail or "")]  # noqa: PTH207 (a pattern may be absolute)
    outputs = Outputs.of({"--json": json, "--html": html}, *inputs, *files_of(supplied))
    planes = third is not None or random_plane or trail is not None
    if save is not None and not planes:
        raise UsageError(
            f"--save {save}: found no plane to save, expected --third, --random-plane or --trail"
        )
    outlook = Outlook(0, lambda left: None if quiet else note(f"landscape: {left} to go on this machine"))
    with (
        stoppable(_kept(save, planes)),
        percent("landscape", quiet or outputs.printed, brief=not planes) as bar,
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
            supplied=supplied,
            seed=seed,
            progress=step,
        )
    answer(result, "landscape", outputs, quiet, verbose)


def _kept(save: Path | None, planes: bool) -> str:
    """What a landscape that is stopped leaves, and how to go on."""
    if save is not None:
        return f"{save} holds the planes' rows that are done, and the same command goes on with them"
    more = "; with --save DIR the planes' rows are kept" if planes else "; --quick takes far less time"
    return f"nothing was written, and the same command begins anew{more}"


@app.command(short_help="What does an embedding hold of what is known of each state?")
@reads_files
def probe(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint, or a .npy/.npz of embeddings.")
    ],
    other: Annotated[
        Path | None, typer.Argument(metavar="CHECKPOINT2", help="Another, for a second column.")
    ] = None,
    variables: Annotated[
        Path | None,
        typer.Option("--variables", metavar="FILE", help="A .npz of named arrays, a row a state."),
    ] = None,
    categorical: Annotated[
        list[str] | None,
        typer.Option("--categorical", metavar="NAME", help="This variable's numbers are categories."),
    ] = None,
    episodes: Episodes = None,
    rollout: Rollout = False,
    drop_nonfinite: DropNonfinite = False,
    projection: Annotated[
        Literal["umap", "pca", "both", "none"],
        typer.Option("--projection", metavar="umap|pca|both|none", help="What the page draws."),
    ] = "both",
    clusters: Annotated[
        int | None,
        typer.Option(
            "--clusters", metavar="K", min=2, help="k of k-means (default: a variable's categories)."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="TASK",
            help="source or target: what the models see, where no file says (default: source, then target).",
        ),
    ] = None,
    *,
    supplied: Supplied,
    seed: Seed = 0,
    json: Json = None,
    html: Html = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Look for known state variables in one embedding, or in two side by side.

    Their canonical correlation with it, next to random embeddings; cross-validated linear probes, next to
    shuffled targets; k-means clusters against categories. The page also draws the embedding.
    A checkpoint's world knows its variables; embeddings need --variables. Strings and booleans are
    categories. Rows of an episode stay together in every split and shuffle, where you say which they are.

    \b
    Examples:
      diag probe examples/base.safetensors examples/mirrored.safetensors
      diag probe embeddings.npy --variables known.npz --episodes episodes.npy
      diag probe base.onnx transfer.onnx --pairs pairs.npz --html probe.html
    """
    from diag import probe as look

    inputs = [p for p in (checkpoint, other, variables, episodes) if p is not None]
    outputs = Outputs.of({"--json": json, "--html": html}, *inputs, *files_of(supplied))
    with percent("probe", quiet or outputs.printed) as step:
        result = look(
            checkpoint,
            other,
            variables=variables,
            categorical=categorical or [],
            episodes=episodes,
            rollout=rollout,
            drop_nonfinite=drop_nonfinite,
            projection="none" if html is None else projection,  # which nothing but the page draws
            clusters=clusters,
            task=task,
            supplied=supplied,
            seed=seed,
            progress=step,
            say=lambda words: None if quiet else note(words),
        )
    answer(result, "probe", outputs, quiet, verbose)


app.command(short_help="Say what a file is.")(show)
app.command(short_help="A gate for a CI: check transfers against limits.")(check)
app.command(short_help="How will a transfer end, from an early checkpoint or its base?")(forecast)
app.command(short_help="Lead a failed transfer back into the base's embedding.")(repair)


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit status."""
    return _exit.run(app, arguments)


def main() -> None:
    """The console script: run a command, and exit with its status."""
    # What a terminal cannot show is escaped, not a reason to fail.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
