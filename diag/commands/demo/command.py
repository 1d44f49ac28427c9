"""The command that shows what there is to see: ``diag demo``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from diag.commands.answer import say, stoppable, write_line
from diag.commands.options import Jobs, Overwrite, Quiet, Set, Verbose
from diag.commands.progress import progress_bar


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
    from diag.commands.demo.run import run_demo
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
