"""The command that compares two embeddings: ``diag compare-embeddings``."""

from __future__ import annotations

from glob import glob
from pathlib import Path
from typing import Annotated

import typer

from diag.commands.answer import AnswerOptions, answer, percent
from diag.commands.bundles import bundled
from diag.commands.file_options import FileOptions
from diag.commands.options import Picture, RowOptions, Seed


@bundled
def compare_embeddings(
    base: Annotated[
        Path,
        typer.Argument(
            metavar="BASE", help="The base: a checkpoint, an array, or another file (docs/sources.md)."
        ),
    ],
    transfer: Annotated[
        Path, typer.Argument(metavar="TRANSFER", help="The transfer: a file of the same kind.")
    ],
    unfrozen: Annotated[
        bool, typer.Option("--unfrozen", help="Nothing frozen reads the embedding: no relation is a failure.")
    ] = False,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin",
            metavar="X",
            min=0.0,
            max=1.0,
            help="R² within which two maps count as equally good (default: 0.05).",
        ),
    ] = None,
    good: Annotated[
        list[Path] | None,
        typer.Option(
            "--good", metavar="FILE", help="A transfer known to be good; three or more give the margin."
        ),
    ] = None,
    trail: Annotated[
        str | None,
        typer.Option(
            "--trail", metavar="PATTERN", help="Also checkpoints along the transfer's training, one by one."
        ),
    ] = None,
    *,
    rows: RowOptions,
    sources: FileOptions,
    seed: Seed = 0,
    picture: Picture = None,
    shown: AnswerOptions,
) -> None:
    """Say how the transfer's embedding relates to the base's: matched, flipped, rotated, …

    Arrays hold a row per state, (n, d) or planes (--channels), the same states in the same order in
    both files; files larger than memory are read once, in batches. Rows of a rollout are not
    independent: say which episode each row belongs to, or that all are one rollout. The exit status is 0
    whatever was found.

    \b
    Examples:
      diag compare-embeddings base.safetensors transfer.safetensors
      diag compare-embeddings base.npy transfer.npy --json
      diag compare-embeddings base.npy transfer.npy --episodes episodes.npy
      diag compare-embeddings b.npy t.npy --good 0.npy --good 1.npy --good 2.npy
      diag compare-embeddings b.safetensors t.safetensors --trail 't.step*'
      diag compare-embeddings base.onnx transfer.onnx --pairs pairs.npz
    """
    from diag.comparisons.compare import compare

    along = [Path(p) for p in glob(trail or "")]  # noqa: PTH207 (a pattern may be absolute)
    others = (*(good or []), rows.episodes, *along, *sources.files)
    outputs = shown.outputs(base, transfer, *others, picture=picture)
    with percent("comparing", shown.quiet or outputs.printed) as step:
        result = compare(
            base,
            transfer,
            unfrozen=unfrozen or None,
            margin=margin,
            good=good or [],
            trail=trail or (),
            episodes=rows.episodes,
            rollout=rows.rollout,
            drop_nonfinite=rows.drop_nonfinite,
            supplied=sources.supplied,
            seed=seed,
            progress=step,
        )
    answer(result, "comparison", outputs, shown.quiet, shown.verbose, picture=picture)
