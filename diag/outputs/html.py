"""A result as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.outputs.text import MEASURES, below, column_words, counted, number, p_value, version
from diag.result import Comparison, FileRef, Picture
from probes import Measure
from reports import Figure, Page, Section, charts, render

if TYPE_CHECKING:
    from diag.checks.result import Calibration, Gate
    from diag.forecasts.forecast import Forecast
    from diag.forecasts.report import ForecastReport
    from diag.landscapes.result import Landscape
    from diag.probing.result import Probed
    from diag.repairs.result import Repair
    from diag.sources.description import Description, FileDescription
    from diag.studies.reported import StudyReport
    from diag.subject import Subject

MOST_POINTS = 2000
"""States drawn in an embedding's picture; more are thinned evenly, and the text says so."""


def comparison(result: Comparison) -> str:
    """The page of a comparison."""
    return render(built(result))


def built(result: Comparison) -> Page:
    """A comparison as a page."""
    sections = [
        Section(
            "The two embeddings",
            [*([result.conclusion] if result.conclusion else []), *picture_words(result.picture)],
            Figure(
                embedding_chart(panels(result.picture, "base", "transfer"), result.dimensions[0]),
                "Scatter plots of the base's and the transfer's embedding of the same states.",
            ),
        ),
        ladder_section(result),
        Section("Measures", [*MEASURE_WORDS, *warning_words(result.warnings)], table=measure_table(result)),
    ]
    facts = [
        ("base", named(result.base)),
        ("transfer", named(result.transfer)),
        (counted(result), str(result.states)),
        ("agreement", f"{result.agreement:.0%} of the resamples name the same relation"),
        ("margin", margin_words(result)),
    ]
    if result.columns is not None:
        facts.append(("columns", column_words(result.columns)))
    if result.success is not None:
        word = "success" if result.success else "no success"
        facts.append(
            (
                "states in place",
                f"{result.own_states} of {result.states}: {word} (from {result.success_states})",
            )
        )
    verdict = result.verdict
    return Page("compare-embeddings", verdict.status, verdict.summary, facts, sections, footer())


MEASURE_WORDS = (
    "Each measure compares the two embeddings of the same states. CKA, CCA and Procrustes do not change "
    "when an embedding is mirrored or rotated, so that they cannot tell a flipped transfer from a matched "
    "one; the flip metric is the R² of the best axis signs minus the R² without any.",
    "p is how often unrelated embeddings would score at least as much. The interval holds 95% of the "
    "resamples.",
)
"""How the table of measures is read."""


def named(ref: FileRef) -> str:
    """A file's path, with what it is where its source says."""
    return f"{ref.path} ({ref.label})" if ref.label else ref.path


def probe(result: Probed) -> str:
    """The page of a probe."""
    from diag.outputs.probe_html import built as page

    return render(page(result))


def repair(result: Repair) -> str:
    """The page of a repair."""
    from diag.outputs.repair_html import built as page

    return render(page(result))


def check(result: Gate) -> str:
    """The page of a gate."""
    from diag.outputs.check_html import built as page

    return render(page(result))


def calibration(result: Calibration) -> str:
    """The page of a gate's calibration."""
    from diag.outputs.calibration import built as page

    return render(page(result))


def landscape(result: Landscape) -> str:
    """The page of a landscape."""
    from diag.outputs.landscape_html import built as page

    return render(page(result))


def study(result: StudyReport) -> str:
    """The page of a study's report."""
    from diag.outputs.study_html import built as page

    return render(page(result))


def forecast(result: Forecast) -> str:
    """The page of one checkpoint's forecast."""
    from diag.outputs.chance_html import built as page

    return render(page(result))


def study_forecast(result: ForecastReport) -> str:
    """The page of a forecast that was fitted to studies."""
    from diag.outputs.forecast_html import built as page

    return render(page(result))


def description(result: Description) -> str:
    """The page of what a checkpoint is."""
    from diag.outputs.show_html import built as page

    return render(page(result))


def file_description(result: FileDescription) -> str:
    """The page of what a file is read as."""
    from diag.outputs.file_html import built as page

    return render(page(result))


def subject(result: Subject) -> str:
    """The page of what a subject is, and what can be asked of it."""
    from diag.outputs.subject_html import built as page

    return render(page(result))


def panels(picture: Picture, base_name: str, transfer_name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and lines of the base's and of the transfer's panel."""
    shown = _thinned(len(picture.base))
    project = _projection(picture.base)
    points, lines = [], []
    groups = _groups(picture)
    for name, embedding, predictions in (
        (base_name, picture.base, picture.base_predictions),
        (transfer_name, picture.transfer, picture.transfer_predictions),
    ):
        own = project if embedding.shape[1] == picture.base.shape[1] else _projection(embedding)
        flat = own(embedding)
        points.append(
            pd.DataFrame(
                {
                    "panel": name,
                    "x": flat[shown, 0],
                    "y": flat[shown, 1],
                    "group": groups[shown],
                    "state": shown,
                }
            )
        )
        if predictions is not None:
            ends = own(predictions.reshape(-1, predictions.shape[-1])).reshape(*predictions.shape[:2], 2)
            lines += [
                pd.DataFrame(
                    {
                        "panel": name,
                        "x": flat[shown, 0],
                        "y": flat[shown, 1],
                        "x2": ends[shown, action, 0],
                        "y2": ends[shown, action, 1],
                    }
                )
                for action in range(ends.shape[1])
            ]
    return pd.concat(points, ignore_index=True), (
        pd.concat(lines, ignore_index=True)
        if lines
        else pd.DataFrame(columns=["panel", "x", "y", "x2", "y2"], dtype=float)
    )


def embedding_chart(drawn: tuple[pd.DataFrame, pd.DataFrame], dimensions: int) -> Any:
    """The chart of :func:`panels`; its axes carry the numbers that a verdict names them by."""
    axes = ("axis 0", "axis 1") if dimensions <= 2 else ("component 1", "component 2")
    return charts.embeddings(*drawn, axes=axes)


def _thinned(n: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).astype(np.int64))


def _projection(base: NDArray[np.float64]) -> Any:
    """To two dimensions: as they are, or the first two principal components of the base."""
    d = base.shape[1]
    if d == 1:
        return lambda x: np.concatenate([x, np.zeros_like(x)], 1)
    if d == 2:
        return lambda x: x
    centre = base.mean(0)
    axes = np.linalg.svd(base - centre, full_matrices=False)[2][:2].T
    return lambda x: (x - centre) @ axes


def _groups(picture: Picture) -> NDArray[Any]:
    room = picture.variables.get("room")
    return np.full(len(picture.base), "state") if room is None else room.astype(str)


def picture_words(picture: Picture) -> list[str]:
    """What the picture of the embeddings shows."""
    n, d = picture.base.shape
    words = ["Each point is a state, and both panels show the same states."]
    if picture.base_predictions is not None:
        words[0] += (
            " Each line leads from a state to the place where the transition model expects an action to lead."
        )
    if d > 2:
        words.append(
            f"The base has {d} dimensions; both panels show the first two principal components of its "
            "embedding."
        )
    if n > MOST_POINTS:
        words.append(f"Only {MOST_POINTS:,} of the {n:,} states are drawn.")
    return words


def ladder_section(result: Comparison) -> Section:
    """The ladder as a chart and a table."""
    known = [s for s in result.ladder if s.r2.value is not None]
    frame = pd.DataFrame(
        [{"transform": s.transform, "r2": s.r2.value, "low": s.r2.low, "high": s.r2.high} for s in known]
    )
    table = pd.DataFrame(
        [
            {"transform": s.transform + suffix, "R²": number(s.r2.value), "95% interval": span(s.r2)}
            for steps, suffix in (
                (result.ladder, ""),
                (result.shifted, " + offset"),
                (result.back, ", base to transfer"),
            )
            for s in steps
        ]
    )
    words = [
        "Each bar shows how much of the base's embedding a family of maps recovers from the transfer's (R²). "
        "The maps are fitted on one half of the states and scored on the other half.",
        "The relation is named by the smallest family that does about as well as the best one, either from "
        "the transfer to the base or back. Both directions count because noise or a bend in one of the "
        "embeddings favours shrinking maps in one direction only.",
    ]
    if result.channels:
        words.append("The maps act on channels, and in the same way at every place of the grid.")
    if frame.empty:
        return Section("The ladder of transformations", words, table=table)
    figure = Figure(charts.ladder(frame), "Bars of held-out R squared for each rung of the ladder.")
    return Section("The ladder of transformations", words, figure, table)


def measure_table(result: Comparison) -> pd.DataFrame:
    """The measures with their intervals."""
    return pd.DataFrame(
        [
            {
                "measure": label(name),
                "value": number(m.value),
                "95% interval": span(m),
                "p": "" if m.p is None else p_value(m.p, m.p_floor),
            }
            for name, m in result.measures.items()
        ]
    )


def margin_words(result: Comparison) -> str:
    """The margin, where it comes from, and what it is held against."""
    gap = "" if result.gap is None else f". Without any map, R² is {below(result.gap)}"
    return (
        f"A map counts as no worse than the best one while its R² is less than {number(result.margin, 3)} "
        f"lower ({result.margin_source}){gap}"
    )


def label(name: str) -> str:
    """A measure's name where no line above completes it."""
    alone = {"l2_relative": "L2 relative to the base's spread", "cka_debiased": "CKA without its bias"}
    return alone.get(name, MEASURES[name].strip())


def span(measure: Measure, digits: int = 2) -> str:
    """An interval for a table, or the reason why there is none."""
    if measure.low is None or measure.high is None:
        return measure.reason or ""
    return f"[{number(measure.low, digits)}, {number(measure.high, digits)}]"


def warning_words(warnings: Sequence[str]) -> list[str]:
    """Warnings as paragraphs."""
    return [f"Warning: {words.rstrip('.')}." for words in warnings]


def footer() -> str:
    """What made the page."""
    return f"transfer-diag {version() or '(not installed)'}. All intervals are 95% intervals."
