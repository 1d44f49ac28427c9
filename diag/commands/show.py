"""The command that says what a file is: ``diag show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diag.commands.answer import answer
from diag.commands.file_options import files_of, reads_files
from diag.commands.options import Html, Json, Quiet, Verbose
from diag.commands.output_files import Outputs

if TYPE_CHECKING:
    from diag.sources.supplied import Supplied


@reads_files
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint, or a file of docs/sources.md.")],
    *,
    supplied: Supplied,
    json: Json = None,
    html: Html = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say what a checkpoint is, or what another file is read as, and what can be asked of it.

    Of a checkpoint: system, task, step, plan, parent and components. Of any other file: its embeddings or
    its encoder, and which diagnoses they are enough for.

    \b
    Examples:
      diag show examples/mirrored.safetensors --verbose
      diag show embeddings.npy
      diag show net.pt --adapter mine:encoder --pairs pairs.npz
    """
    from diag.sources.description import show as describe

    outputs = Outputs.of({"--json": json, "--html": html}, file, *files_of(supplied))
    description = describe(file, supplied=supplied)
    answer(description, description.kind, outputs, quiet, verbose)
