"""The command that compares several sources of one target: ``diag sources``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diag.commands.answer import AnswerOptions, answer, percent
from diag.commands.bundles import bundled
from diag.commands.options import Seed


@bundled
def sources(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            help="The target: a transfer, or a short training on its task. With --to, a source.",
        ),
    ],
    others: Annotated[
        list[Path] | None,
        typer.Argument(metavar="SOURCE…", help="The sources (default: the bases that the target names)."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="TASK", help="Before any transfer: which of these sources suits TASK?"),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--rows", metavar="N", min=64, help="Rows of histories to draw (default: 2,048)."),
    ] = None,
    *,
    seed: Seed = 0,
    shown: AnswerOptions,
) -> None:
    """Say which of several sources a target resembles, or which suits a task that is still to be learned.

    All are shown the same histories of the target's task. Of a target: relation, R² and CKA with each
    source, component by component, and what remains of each source's fraction. With --to: the losses of each
    source's world model as it stands, and what its latent state tells of the rewards. A source is named
    where it is told apart from every other. The exit status is 0 whatever was found.

    \b
    Examples:
      diag sources t/seed0.safetensors
      diag sources probe.safetensors a/seed0.safetensors b/seed0.safetensors
      diag sources a/seed0.safetensors b/seed0.safetensors --to cart-pole
      diag sources t/seed0.safetensors --html sources.html
    """
    from diag.sourcing.sourcing import ROWS, compare_sources

    outputs = shown.outputs(target, *(others or []))
    with percent("sources", shown.quiet or outputs.printed) as step:
        result = compare_sources(
            target,
            others or (),
            to=to,
            rows=ROWS if count is None else count,
            seed=seed,
            progress=step,
        )
    answer(result, "sources", outputs, shown.quiet, shown.verbose)
