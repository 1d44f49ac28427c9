"""The commands of forecasts: ``diag forecast`` and ``diag study forecast``."""

from __future__ import annotations

import json as plain_json
from pathlib import Path
from typing import Annotated, Literal

import typer

from diag.commands.answer import AnswerOptions, answer, percent
from diag.commands.bundles import bundled
from diag.commands.options import Seed
from diag.commands.output_files import UsageError


@bundled
def forecast(
    checkpoint: Annotated[
        Path,
        typer.Argument(metavar="CHECKPOINT", help="A checkpoint of an unfinished transfer, or of a base."),
    ],
    base: Annotated[
        Path | None,
        typer.Option(
            "--base", metavar="FILE", help="The transfer's base (default: the path that the transfer names)."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", metavar="FILE", help="A model of diag study forecast (default: the shipped one)."
        ),
    ] = None,
    *,
    shown: AnswerOptions,
) -> None:
    """Forecast how a transfer will end, from a checkpoint on its way, or what a base's transfers will do.

    The embedding at that checkpoint is held against the base's, and a model that was fitted to many
    finished transfers says how likely such a one was to end in the base's embedding space. The shipped
    model knows the simple maze; diag study forecast fits one to studies of your own. The exit status is 0
    whatever the forecast.

    \b
    Examples:
      diag forecast transfer.step8000.safetensors
      diag forecast transfer.step5000.safetensors --base base.safetensors --json
      diag forecast base.safetensors --html forecast.html
      diag forecast transfer.step5000.safetensors --model mine.json
    """
    from diag.forecasts.forecast import forecast as foretell

    outputs = shown.outputs(checkpoint, base, model)
    result = foretell(checkpoint, base=base, model=model)
    answer(result, "forecast", outputs, shown.quiet, shown.verbose)


@bundled
def study_forecast(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR", help="Folders of diag study run, finished or not.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="MODEL", help="Where the model goes, a JSON file.")
    ] = None,
    outcome: Annotated[
        Literal["matched", "succeeded"],
        typer.Option(
            "--outcome",
            metavar="matched|succeeded",
            help="What is forecast: matched by the ladder, or states in place.",
        ),
    ] = "matched",
    judge_bases: Annotated[
        str | None,
        typer.Option(
            "--judge-bases",
            metavar="SEEDS",
            help="Judge on these bases, by one fit to the others (default: each by a fit to others).",
        ),
    ] = None,
    judge_on: Annotated[
        list[Path] | None,
        typer.Option("--judge-on", metavar="DIR", help="Judge on this other study, by a fit to the first."),
    ] = None,
    seed: Seed = 0,
    *,
    shown: AnswerOptions,
) -> None:
    """Fit a forecast to the transfers of studies, and judge it on bases that it was not fitted to.

    The report says how often it is right at each share of the updates (beside always naming the commoner
    end, and beside what losses alone tell), whether its probabilities are calibrated, what stopping early
    would save, how many successes that would lose, and what a base alone tells. The model, fitted to all
    bases, goes to --out, for diag forecast --model and diag.watch.

    \b
    Examples:
      diag study forecast runs/bases -o forecast.json
      diag study forecast runs/bases runs/more --html forecast.html
      diag study forecast runs/bases --outcome succeeded
      diag study forecast runs/bases --judge-bases 20-39
      diag study forecast runs/bases --judge-on runs/maze
    """
    from diag.studies.forecasting import forecast_report
    from trainers.run import seeds_from

    outputs = shown.outputs(others={"--out": out})
    if judge_on and judge_bases is not None:
        raise UsageError("--judge-bases and --judge-on: found both, expected one of them")
    held = () if judge_bases is None else seeds_from(judge_bases)
    with percent("forecast", shown.quiet or outputs.printed) as step:
        result = forecast_report(folders, outcome, seed, held, judge_on or (), step)

    def fitted() -> str:
        return plain_json.dumps(result.forecaster.to_tree(), separators=(",", ":"))

    answer(result, "study_forecast", outputs, shown.quiet, shown.verbose, {"--out": fitted})
