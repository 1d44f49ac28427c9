"""The command that says what a file is: ``diag show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diag.commands.answer import AnswerOptions, answer
from diag.commands.bundles import bundled
from diag.commands.file_options import FileOptions


@bundled
def show(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A checkpoint, or another file (docs/sources.md).")
    ],
    *,
    sources: FileOptions,
    shown: AnswerOptions,
) -> None:
    """Say what a checkpoint is, or what another file is read as, and what can be asked of it.

    For a checkpoint these are its system, task, step, plan, parent and components; for any other file its
    embeddings or its encoder, and the diagnoses that they are enough for.

    \b
    Examples:
      diag show examples/mirrored.safetensors --verbose
      diag show embeddings.npy
      diag show net.pt --adapter mine:encoder --pairs pairs.npz
    """
    from diag.sources.description import show as describe

    outputs = shown.outputs(file, *sources.files)
    description = describe(file, supplied=sources.supplied)
    answer(description, description.kind, outputs, shown.quiet, shown.verbose)
