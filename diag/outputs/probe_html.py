"""A probe as a page: what is read, what chance would give, the clusters, the embedding in colours."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.outputs.probe_text import (
    UNITS,
    fit,
    notes_in_words,
    rows_in_words,
    score,
    score_span,
)
from diag.outputs.sections import footer, warning_words
from diag.outputs.words import column_words, named, number
from diag.probing.result import Column, Finding, Probed
from diag.probing.verdict import ALIKE
from diag.wording import p_value
from probes import Projection, Variable
from reports import Figure, Page, Section, charts
from trainers.safe_text import plain

MOST_POINTS, LEAST_POINTS = 600, 100
"""Most points in a projection's panel, where there are few panels and where there are many."""

LONGEST = 18
"""Most characters of a variable's name in a table."""

PAGE_POINTS = 6_000
"""Most points on the whole page: each takes half a kilobyte, once as a picture and once as a number."""

MOST_PICTURES = 8
"""Most variables whose values colour a picture of the embedding."""


def page(result: Probed) -> Page:
    """A probe as a page."""
    facts = [
        (f"{name}" if len(result.columns) > 1 else "embedding", named(column.file))
        for name, column in zip(result.names, result.columns, strict=True)
    ]
    facts += [
        ("data", rows_in_words(result)),
        ("held out whole", result.grouping),
        ("seed", str(result.seed)),
    ]
    sections = [_probes(result), _correlations(result), *_clusters(result), *_pictures(result)]
    words = warning_words(result.warnings) + notes_in_words(result)
    if words:
        sections.append(Section("Notes", words))
    verdict = result.verdict
    return Page("probe", verdict.status, verdict.summary, facts, sections, footer())


def _file(column: Column) -> str:
    words = f"{column.file.path} ({column.file.label})" if column.file.label else column.file.path
    return words if column.columns is None else f"{words}: {column_words(column.columns)}"


CHANGES = (
    "The change rests on the 95% interval of the difference of the two scores. A variable is read less well, "
    "or better, from B where the interval excludes 0. It is kept where it is read from both and the interval "
    f"lies within ±{ALIKE:g}. Otherwise the scores cannot be told apart (unclear)."
)


def _each(result: Probed) -> list[tuple[str, str, Finding]]:
    """(column's name, variable's name, finding), the columns of a variable beside each other."""
    return [
        (letter, name, column.findings[name])
        for name in result.variables
        for letter, column in zip(result.names, result.columns, strict=True)
    ]


def _row(result: Probed, letter: str, name: str) -> dict[str, str]:
    return {"variable": fit(plain(name), LONGEST)} | ({"in": letter} if len(result.columns) > 1 else {})


def _probes(result: Probed) -> Section:
    table = pd.DataFrame(
        [
            _row(result, letter, name)
            | {
                "held out": f"{UNITS[f.probe.unit]} {score(f.probe.score.value)}",
                "95% interval": score_span(f.probe.score),
                "shuffled": score(f.probe.shuffled),
                "selectivity": score(f.probe.selectivity),
                "p": p_value(f.probe.p, f.probe.p_floor),
                "reading": f.reading or "–",
            }
            | ({"change": (result.changes[name] or "–") if letter == "B" else ""} if result.changes else {})
            for letter, name, f in _each(result)
        ]
    )
    words = (
        "The score says how well a linear map of the embedding predicts a variable on rows that the map was "
        "not fitted to: R² of a ridge regression for numbers, balanced accuracy of a logistic regression for "
        "categories. The grey marks are the scores of the same probe on shuffled targets, where there is "
        "nothing to read. The selectivity is the score minus the shuffled score (Hewitt and Liang, arXiv "
        "1909.03368).",
        "A variable counts as read if its whole interval lies above chance and above the shuffled score, if "
        "at most 5% of the shuffles do as well, and if the score goes at least half the way from chance to "
        "perfect. It counts as read in part if only the last condition fails.",
        *([CHANGES] if result.changes else []),
    )
    drawn = pd.DataFrame(
        [
            {
                "panel": letter,
                "name": plain(name),
                "value": f.probe.score.value,
                "low": f.probe.score.low,
                "high": f.probe.score.high,
                "chance": f.probe.shuffled,
                "chance_low": f.probe.shuffled,
                "chance_high": f.probe.shuffled,
                "p": f.probe.p,
            }
            for letter, name, f in _each(result)
            if f.probe.score.value is not None
        ]
    )
    figure = None
    if not drawn.empty:
        title = "score on held-out rows" + (" (cut at −1)" if (drawn["low"] < -1).any() else "")
        what = "Held-out scores of the linear probes with their intervals, next to shuffled targets."
        figure = Figure(charts.against_chance(drawn, title, "mean of shuffled targets"), what)
    return Section("How much a linear probe reads", words, figure, table)


def _correlations(result: Probed) -> Section:
    correlations = [(letter, name, f.cca) for letter, name, f in _each(result)]
    table = pd.DataFrame(
        [
            _row(result, letter, name)
            | {
                "correlation": score(cca.value),
                "random, mean": score(cca.random_mean),
                "95% below": score(cca.random_high),
                "highest": score(cca.random_most),
                "factor": "–" if cca.factor is None else f"{number(cca.factor, 1)}×",
                "p": p_value(cca.p, cca.p_floor),
                "held out": f"{score(f.held_out.value.value)} {score_span(f.held_out.value)}".rstrip(),
                "random ": score(f.held_out.random_most),
            }
            for letter, name, f in _each(result)
            for cca in [f.cca]
        ]
    )
    words = (
        "The table shows the largest correlation that any direction of the embedding has with the variable "
        "(the leading canonical correlation). Random Gaussian embeddings of the same size stand beside it, "
        "because in many dimensions some direction always correlates. The factor is the correlation divided "
        "by the mean of the random ones, and p is how often a random one does as well.",
        "A correlation in sample flatters itself: of d random dimensions and n rows it is about √(d/n), so "
        "that the factor cannot exceed √(n/d), whatever the embedding knows. The last columns have the same "
        "correlation on rows that the directions were not fitted to, with its 95% interval, and the most "
        "that a random embedding reached there; rows that other episodes have as well are not counted.",
    )
    drawn = pd.DataFrame(
        [
            {
                "panel": letter,
                "name": plain(name),
                "value": cca.value,
                "low": cca.value,
                "high": cca.value,
                "chance": cca.random_mean,
                "chance_low": 0.0,
                "chance_high": cca.random_high,
                "p": cca.p,
            }
            for letter, name, cca in correlations
            if cca.value is not None
        ]
    )
    figure = None
    if not drawn.empty:
        title = "leading canonical correlation"
        what = "Canonical correlations of the embedding with each variable, next to random embeddings."
        figure = Figure(charts.against_chance(drawn, title, "95% of random embeddings, and their mean"), what)
    return Section("Correlation, next to random embeddings", words, figure, table)


def _clusters(result: Probed) -> list[Section]:
    rows = [
        _row(result, letter, name)
        | {
            "AMI": score(f.clusters.ami),
            "p": p_value(f.clusters.p, f.clusters.p_floor),
            "cluster": str(index),
            "rows": str(int(counts.sum())),
            "events in it": ", ".join(
                f"{plain(event)} {count}"
                for count, event in sorted(
                    zip(counts, f.clusters.events, strict=True), key=lambda pair: -int(pair[0])
                )[:6]
                if count
            ),
        }
        for letter, name, f in _each(result)
        if f.clusters is not None and f.clusters.counts is not None
        for index, counts in enumerate(f.clusters.counts)
    ]
    if not rows:
        return []
    words = (
        "The embedding is divided into clusters by k-means, into as many as the variable has categories "
        "unless --clusters says otherwise. The adjusted mutual information (AMI) is 1 if the clusters are "
        "the categories, and 0 if they agree no better than shuffled categories would.",
    )
    return [Section("Clusters against categories", words, table=pd.DataFrame(rows))]


def _pictures(result: Probed) -> list[Section]:
    if not any(c.projections for c in result.columns):
        return []
    shown = {n: v for n, v in result.variables.items() if v.unusable is None}
    colours = [(n, label, c) for n, v in shown.items() for label, c in _colours(n, v)]
    count = len(result.columns) * len(result.columns[0].projections) * min(len(colours), MOST_PICTURES)
    most = int(np.clip(PAGE_POINTS // count, LEAST_POINTS, MOST_POINTS))
    sections: list[Section] = []
    for name, label, colour in colours[:MOST_PICTURES]:
        panels = [
            panel
            for method in range(len(result.columns[0].projections))
            for letter, column in zip(result.names, result.columns, strict=True)
            if (panel := _panel(result, letter, column, column.projections[method], colour, most)) is not None
        ]
        words = _picture_words(result, most) if not sections else []
        if not panels:
            sections.append(Section("The embedding", words))
            break
        chart = charts.projections(panels, label, result.variables[name].kind)
        what = f"Projections of the embedding to two dimensions, coloured by {label}."
        sections.append(Section(f"The embedding, coloured by {label}", words, Figure(chart, what)))
    if len(colours) > MOST_PICTURES:
        left = ", ".join(label for _, label, _ in colours[MOST_PICTURES:])
        told = f"The page draws the first {MOST_PICTURES} variables and leaves out {left}."
        sections.append(Section("Not drawn", [told]))
    return sections


def _colours(name: str, variable: Variable) -> list[tuple[str, NDArray[np.generic]]]:
    """Names and values to colour points by: a variable's own, or those of each of its columns."""
    name = plain(name)  # characters that SVG does not allow would end the renderer, and the process with it
    if variable.kind == "categorical":
        return [(name, _merged(variable))]
    if variable.columns.shape[1] == 1:
        return [(name, variable.columns[:, 0])]
    return [(f"{name}[{j}]", variable.columns[:, j]) for j in range(variable.columns.shape[1])]


def _merged(variable: Variable) -> NDArray[np.str_]:
    """Category names; where there are more of them than colours, the rarest are merged into one."""
    names = np.array([plain(name) for name in variable.categories])
    room = len(charts.PALETTE)
    if len(names) > room:
        common = np.argsort(-np.bincount(variable.codes, minlength=len(names)), kind="stable")[: room - 1]
        names = np.where(np.isin(np.arange(len(names)), common), names, "(other)")
    return names[variable.codes]


def _panel(
    result: Probed,
    letter: str,
    column: Column,
    projection: Projection,
    colour: NDArray[np.generic],
    most: int,
) -> charts.Panel | None:
    if projection.points is None:
        return None
    shown = np.unique(np.linspace(0, len(projection.rows) - 1, most).astype(np.int64))
    points, axes, title = projection.points, ("", ""), "UMAP"
    if projection.method == "pca" and column.plane is not None:
        points, axes, title = column.plane[projection.rows], ("axis 0", "axis 1"), "as it is"
    elif projection.method == "pca":
        axes, title = _component_names(column), "principal components"
    place = f"{letter}: {title}" if len(result.columns) > 1 else title[0].upper() + title[1:]
    rows = projection.rows[shown]
    digits = 4 - int(np.floor(np.log10(np.abs(points).max() or 1.0)))
    x, y = np.round(points[shown], digits).T
    frame = pd.DataFrame({"x": x, "y": y, "value": colour[rows], "row": rows})
    return charts.Panel(place, axes, frame)


def _component_names(column: Column) -> tuple[str, str]:
    shares = [*column.explained[:2], 0.0][:2]
    return f"component 1 ({shares[0]:.0%} of the variance)", f"component 2 ({shares[1]:.0%})"


def _picture_words(result: Probed, drawn: int) -> list[str]:
    projections = [p for c in result.columns for p in c.projections]
    methods = {p.method for p in projections}
    words = []
    if "pca" in methods and all(c.plane is not None for c in result.columns):
        words.append("The embedding has no more than two dimensions, so that it is drawn as it is.")
    elif "pca" in methods:
        words.append(
            "Principal components keep distances as well as two dimensions can. Their signs are arbitrary, "
            "and so are their directions if two of them have about the same variance."
        )
    if "umap" in methods:
        words.append(
            "UMAP keeps neighbourhoods, that is, which rows lie close together. Its distances, sizes and "
            "directions mean nothing, and it draws clusters even if the data are noise."
        )
    for method in sorted(methods):
        rows = max(len(p.rows) for p in projections if p.method == method)
        if rows < result.of:
            words.append(f"{_NAMES[method]} was made of {rows:,} of the {result.of:,} rows.")
    if any(len(p.rows) > drawn for p in projections):
        words.append(f"Each panel draws {drawn:,} of the points.")
    words += [f"{_NAMES[p.method]} cannot be drawn: {p.reason}." for p in projections if p.reason is not None]
    return words


_NAMES = {"pca": "The projection to principal components", "umap": "UMAP"}
