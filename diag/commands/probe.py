"""The command that looks for known variables in an embedding: ``diag probe``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from diag.commands.answer import AnswerOptions, answer, note, percent
from diag.commands.bundles import bundled
from diag.commands.file_options import FileOptions
from diag.commands.options import RowOptions, Seed

Projections = Literal["umap", "pca", "both", "none"]


@bundled
def probe(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint, or a .npy/.npz of embeddings.")
    ],
    other: Annotated[
        Path | None, typer.Argument(metavar="CHECKPOINT2", help="A second one, to be shown beside it.")
    ] = None,
    variables: Annotated[
        Path | None,
        typer.Option(
            "--variables", metavar="FILE", help="Known variables: a .npz of named arrays, one row per state."
        ),
    ] = None,
    categorical: Annotated[
        list[str] | None,
        typer.Option("--categorical", metavar="NAME", help="This variable's numbers are categories."),
    ] = None,
    *,
    rows: RowOptions,
    projection: Annotated[
        Projections,
        typer.Option(
            "--projection",
            metavar="umap|pca|both|none",
            help="Projections that the page draws; with --json=FILE alone, PCA at most.",
        ),
    ] = "both",
    clusters: Annotated[
        int | None,
        typer.Option(
            "--clusters",
            metavar="K",
            min=2,
            help="Number of clusters (default: that of a variable's categories).",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="TASK",
            help="source or target: the task shown where no file names one (default: source, then target).",
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--rows", metavar="N", min=2, help="Rows to draw, of a world model's histories."),
    ] = None,
    look: Annotated[
        str | None,
        typer.Option(
            "--look",
            metavar="NAME",
            help="The look that a world model is shown (default: the target's).",
        ),
    ] = None,
    sources: FileOptions,
    seed: Seed = 0,
    shown: AnswerOptions,
) -> None:
    """Look for known state variables in one embedding, or in two side by side.

    Three measures answer: each variable's canonical correlation with the embedding, in sample and on
    held-out rows, beside random embeddings; cross-validated linear probes, beside shuffled targets; and
    k-means clusters, beside categories. The page also draws the embedding. A checkpoint's world knows its
    variables; embeddings need --variables. Strings and booleans are categories. Rows of an episode stay
    together in every split and shuffle, where you say which they are.

    \b
    Examples:
      diag probe examples/base.safetensors examples/mirrored.safetensors
      diag probe embeddings.npy --variables known.npz --episodes episodes.npy
      diag probe base.onnx transfer.onnx --pairs pairs.npz --html probe.html
      diag probe b/seed0.safetensors --look breakout --rows 10000
    """
    from diag.probing.probe import probe as found_in
    from diag.probing.rows import Drawn

    outputs = shown.outputs(checkpoint, other, variables, rows.episodes, *sources.files)
    with percent("probe", shown.quiet or outputs.printed) as step:
        result = found_in(
            checkpoint,
            other,
            variables=variables,
            categorical=categorical or [],
            episodes=rows.episodes,
            rollout=rows.rollout,
            drop_nonfinite=rows.drop_nonfinite,
            projection=_drawn(projection, shown.html, outputs.written("--json")),
            clusters=clusters,
            task=task,
            drawn=Drawn(count, look),
            supplied=sources.supplied,
            seed=seed,
            progress=step,
            say=lambda words: None if shown.quiet else note(words),
        )
    answer(result, "probe", outputs, shown.quiet, shown.verbose)


def _drawn(asked: Projections, page: Path | None, saved: Path | None) -> Projections:
    """The projections to compute: nothing but pages draws them, and UMAP alone takes seconds."""
    if page is not None:
        return asked
    return "pca" if saved is not None and asked in ("both", "pca") else "none"
