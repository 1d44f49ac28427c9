"""The command that takes a study's environment metrics: ``diag environment-metrics``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diag.commands.answer import AnswerOptions, answer
from diag.commands.bundles import bundled


@bundled
def environment_metrics(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of diag study run.")],
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="RETURN",
            help="Count frames to this mean return (default: nine tenths of from-scratch's gain).",
        ),
    ] = None,
    *,
    shown: AnswerOptions,
) -> None:
    """Measure what each way of transfer earns over training from scratch, look by look.

    For each look of the world that a study transfers to: what a random agent, each plan and training from
    scratch earn, at the end and over the whole budget, each over from-scratch (ratios of means, with
    intervals over bases and seeds); the frames to a level, with the runs that never reach it counted; the
    relation and CKA of each embedding to its base's; and whether freezing the head is better than freezing
    the embedding exactly where the embedding is not matched. Where returns are negative, ratios of them say
    nothing: the returns are given, and ratios of a share where the world defines one.

    \b
    Examples:
      diag environment-metrics runs/catch-small
      diag environment-metrics runs/catch-small --html metrics.html
      diag environment-metrics runs/catch-small --threshold 0.8 --json
    """
    from diag.studies.environments.metrics import environment_metrics as take

    outputs = shown.outputs()
    answer(take(folder, threshold=threshold), "environment_metrics", outputs, shown.quiet, shown.verbose)
