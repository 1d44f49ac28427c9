"""A probe as a page: what is read, what chance would give, the clusters, the embedding in colours."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.outputs.names import short_names
from diag.outputs.probe_text import (
    UNITS,
    fit,
    notes_in_words,
    rows_in_words,
    score,
    score_span,
)
from diag.outputs.sections import footer, warning_words
from diag.outputs.words import named, number
from diag.probing.result import Column, Finding, Probed
from diag.probing.verdict import ALIKE
from diag.wording import listed, p_value, plural
from probes import Measure, Variable
from reports import Figure, Key, Page, Section, probes
from reports.palette import PALETTE
from trainers.safe_text import plain

MOST_POINTS, LEAST_POINTS = 600, 100
"""Most points in a projection's panel, where there are few panels and where there are many."""

LONGEST = 18
"""Most characters of a variable's name in a table."""

PAGE_POINTS = 3_000
"""Most points on the whole page: each takes 60 bytes of a drawing."""

MOST_PICTURES = 8
"""Most variables whose values colour a picture of the embedding."""


def page(result: Probed) -> Page:
    """A probe as a page."""
    several = len(result.columns) > 1
    facts = [
        (name if several else "embedding", named(column.file))
        for name, column in zip(result.names, result.columns, strict=True)
    ]
    facts += [
        ("data", rows_in_words(result)),
        ("held out whole", result.grouping),
        ("seed", str(result.seed)),
    ]
    sections = [_probes(result), *_pictures(result), _correlations(result), *_clusters(result)]
    words = warning_words(result.warnings) + notes_in_words(result)
    if words:
        sections.append(Section("Notes", words))
    sections.append(_next(result))
    verdict = result.verdict
    title = " beside ".join(short_names([column.file.path for column in result.columns]))
    return Page(
        title, verdict.status, verdict.summary, facts, sections, footer(), kind="probe", keys=_keys(result)
    )


def _keys(result: Probed) -> list[Key]:
    """How many variables are read from each embedding, and how many directions each has."""
    keys = []
    for letter, column in zip(result.names, result.columns, strict=True):
        where = f" from {letter}" if len(result.columns) > 1 else ""
        read = sum(finding.reading == "read" for finding in column.findings.values())
        keys.append(Key(f"variables read{where}", str(read), f"of {len(column.findings)}"))
    if result.changes:
        worse = sum(change in ("lost", "weaker") for change in result.changes.values())
        keys.append(Key("read less well from B", str(worse), f"of {len(result.changes)}"))
    ranks = [number(column.effective_rank, 1) for column in result.columns]
    sizes = dict.fromkeys(str(column.dimensions) for column in result.columns)
    name = "effective rank" + (", A and B" if len(ranks) > 1 else "")
    return [*keys, Key(name, ", ".join(ranks), f"of {', '.join(sizes)}")]


def _next(result: Probed) -> Section:
    """What a reader may do after this probe, with commands where the embeddings are files."""
    paths = [column.file.path for column in result.columns]
    files = shlex.join(paths)
    if len(paths) > 1:
        words = "A comparison says by which map the second embedding follows from the first."
        commands = [f"diag compare-embeddings {files}"]
    else:
        words = "Beside a second embedding it is seen what a transfer kept: name its file after this one."
        commands = [f"diag probe {files} OTHER --html probe.html"]
    takes = all(column.file.opens_alone for column in result.columns)
    return Section("What to do next", [words], commands=commands if takes else [], short="Next")


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
            | ({"change": result.changes[name] or "–"} if result.changes else {})
            for letter, name, f in _each(result)
        ]
    )
    notes = (
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
            _drawn(result, letter, name, f.probe.score, (f.probe.shuffled,) * 3)
            | {"p": p_value(f.probe.p, f.probe.p_floor)}
            for letter, name, f in _each(result)
            if f.probe.score.value is not None
        ]
    )
    figure = None
    if not drawn.empty:
        title = "score on held-out rows" + (" (cut at −1)" if (drawn["low"] < -1).any() else "")
        what = "Held-out scores of the linear probes with their intervals, next to shuffled targets."
        grey = "Grey: the same probe on shuffled targets."
        figure = Figure(probes.scores(drawn, title, "shuffled"), what, caption=grey)
    title, words = "How much a linear probe reads", _read_words(result)
    return Section(title, words, figure, table, notes, folded=figure is not None, short="Scores")


def _read_words(result: Probed) -> list[str]:
    """Which variables are read from each embedding, in part or not; the verdict says what changed."""
    words = []
    for letter, column in zip(result.names, result.columns, strict=True):
        groups: dict[str, list[str]] = {"read": [], "in part": [], "not": []}
        for name, finding in column.findings.items():
            if finding.reading is not None:
                groups[finding.reading].append(plain(name))
        told = "; ".join(
            f"{_named(names)} {'is' if len(names) == 1 else 'are'} {READINGS[reading]}"
            for reading, names in groups.items()
            if names
        )
        if told:
            words.append(f"From {letter}, {told}." if len(result.columns) > 1 else f"From it, {told}.")
    return words


READINGS = {"read": "read", "in part": "read in part", "not": "not read"}
"""What is said of a variable in a sentence, by reading."""

MOST_NAMED = 8
"""Most variables of a kind that a sentence names."""


def _named(names: list[str]) -> str:
    kept = names[:MOST_NAMED]
    return listed([*kept, f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else kept)


def _drawn(
    result: Probed, letter: str, name: str, score: Measure, chance: tuple[float | None, ...]
) -> dict[str, Any]:
    """A row of a chart of scores; ``chance`` is its middle and its ends. Unknown ends are the value."""
    value = score.value
    low, high = (value if end is None else end for end in (score.low, score.high))
    middle, chance_low, chance_high = chance
    told = f"{plain(name)} {number(value)} {score_span(score)}".rstrip()
    return {
        "panel": letter,
        "name": fit(plain(name), LONGEST),
        "value": value,
        "low": low,
        "high": high,
        "chance": middle,
        "chance_low": chance_low,
        "chance_high": chance_high,
        "change": result.changes.get(name) or "",
        "told": f"{letter}: {told}" if len(result.columns) > 1 else told,
        "chance_told": number(middle),
    }


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
    notes = (
        "The correlation is the largest that any direction of the embedding has with the variable (the "
        "leading canonical correlation). Random Gaussian embeddings of the same size stand beside it, "
        "because in many dimensions some direction always correlates. The factor is the correlation divided "
        "by the mean of the random ones, and p is how often a random one does as well.",
        "A correlation in sample flatters itself: of d random dimensions and n rows it is about √(d/n), so "
        "that the factor cannot exceed √(n/d), whatever the embedding knows. The last columns have the same "
        "correlation on rows that the directions were not fitted to, with its 95% interval, and the most "
        "that a random embedding reached there; rows that other episodes have as well are not counted.",
    )
    drawn = pd.DataFrame(
        [
            _drawn(result, letter, name, Measure(cca.value), (cca.random_mean, 0.0, cca.random_high))
            | {"p": p_value(cca.p, cca.p_floor), "change": ""}
            for letter, name, cca in correlations
            if cca.value is not None
        ]
    )
    figure = None
    if not drawn.empty:
        what = "Canonical correlations of the embedding with each variable, next to random embeddings."
        grey = "Grey: 95% of random embeddings of the same size, and their mean."
        chart = probes.scores(drawn, "leading canonical correlation", "random, mean")
        figure = Figure(chart, what, caption=grey)
    title, words = "Correlation, next to random embeddings", [_factor_words(result)]
    return Section(title, words, figure, table, notes, folded=figure is not None, short="Correlation")


def _factor_words(result: Probed) -> str:
    """How many correlations exceed those of random embeddings, and by how much."""
    ccas = [f.cca for _, _, f in _each(result) if f.cca.factor is not None]
    factors = [cca.factor for cca in ccas if cca.factor is not None]
    if not factors:
        return "No correlation is defined."
    beyond = sum((cca.value or 0.0) > (cca.random_most or 1.0) for cca in ccas)
    ends = " to ".join(dict.fromkeys(number(end, 1) for end in (min(factors), max(factors))))
    return (
        f"{beyond} of {plural(len(factors), 'correlation')} exceed those of all random embeddings of the "
        f"same size; they are {ends} times the random ones' mean."
    )


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
    notes = (
        "The embedding is divided into clusters by k-means, into as many as the variable has categories "
        "unless --clusters says otherwise. The adjusted mutual information (AMI) is 1 if the clusters are "
        "the categories, and 0 if they agree no better than shuffled categories would.",
    )
    words = [
        f"{f'{letter}: ' if len(result.columns) > 1 else ''}{plain(name)} has an AMI of "
        f"{score(f.clusters.ami)} (p {p_value(f.clusters.p, f.clusters.p_floor)})."
        for letter, name, f in _each(result)
        if f.clusters is not None and f.clusters.counts is not None
    ]
    told, table = " ".join(words[:MOST_NAMED]), pd.DataFrame(rows)
    return [Section("Clusters against categories", [told], table=table, notes=notes, short="Clusters")]


def _pictures(result: Probed) -> list[Section]:
    if not any(c.projections for c in result.columns):
        return []
    shown = {n: v for n, v in result.variables.items() if v.unusable is None}
    colours = [(n, label, c) for n, v in shown.items() for label, c in _colours(n, v)]
    views = [_views(column) for column in result.columns]
    count = sum(map(len, views)) * min(len(colours), MOST_PICTURES)
    most = int(np.clip(PAGE_POINTS // max(1, count), LEAST_POINTS, MOST_POINTS))
    methods = list(dict.fromkeys(view.method for own in views for view in own))
    sections: list[Section] = []
    for name, label, colour in colours[:MOST_PICTURES]:
        panels = [
            _panel(letter if len(views) > 1 else "", view, colour, most, _shared(views, method))
            for method in methods
            for letter, own in zip(result.names, views, strict=True)
            for view in own
            if view.method == method
        ]
        notes = _picture_words(result, views, most) if not sections else []
        if not panels:
            sections.append(Section("The embedding", notes))
            break
        chart = probes.projections(panels, label, _values(result.variables[name], colour))
        what = f"Projections of the embedding to two dimensions, coloured by {label}."
        title = f"The embedding, coloured by {label}"
        words = [_score_words(result, name)]
        sections.append(Section(title, words, Figure(chart, what), notes=notes, short=f"By {label}"))
    if len(colours) > MOST_PICTURES:
        left = ", ".join(label for _, label, _ in colours[MOST_PICTURES:])
        told = f"The page draws the first {MOST_PICTURES} variables and leaves out {left}."
        sections.append(Section("Not drawn", [told]))
    return sections


def _score_words(result: Probed, name: str) -> str:
    """How well a variable is read from each embedding, and whether that changes."""
    told = []
    for letter, column in zip(result.names, result.columns, strict=True):
        one = column.findings[name]
        if one.probe.score.value is not None:
            where = f" from {letter}" if len(result.columns) > 1 else ""
            unit = {"r2": "R²", "balanced_accuracy": "balanced accuracy"}.get(one.probe.unit, one.probe.unit)
            told.append(
                f"{unit} {score(one.probe.score.value)} {score_span(one.probe.score)}".rstrip() + where
            )
    if not told:
        return "A linear probe of it is not defined."
    change = result.changes.get(name)
    return f"A linear probe reads it with {listed(told)}{f': {change}' if change else ''}."


def _values(variable: Variable, colour: NDArray[np.generic]) -> list[str] | tuple[float, float]:
    """All categories as they first appear, so that each keeps its colour, or the range of the numbers."""
    if variable.kind == "categorical":
        return list(dict.fromkeys(map(str, colour)))
    return float(colour.min()), float(colour.max())


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
    room = len(PALETTE)
    if len(names) > room:
        common = np.argsort(-np.bincount(variable.codes, minlength=len(names)), kind="stable")[: room - 1]
        names = np.where(np.isin(np.arange(len(names)), common), names, "(other)")
    return names[variable.codes]


AS_THEY_ARE = ("two of its axes", "as it is")
"""Names of the pictures whose axes are the embedding's own: in more than two dimensions, and in the plane."""


@dataclass(frozen=True)
class _View:
    """A picture of one embedding: its name, its axes, its points (m, 2) and the rows that they are of."""

    method: str
    axes: tuple[str, str]
    points: NDArray[np.float64]
    rows: NDArray[np.int64]


def _views(column: Column) -> list[_View]:
    """The pictures of an embedding: in the plane as it is; else its projections, and two of its axes."""
    views, rows = [], []
    for made in column.projections:
        if made.points is None:
            continue
        rows.append(made.rows)
        if made.method == "umap":
            views.append(_View("UMAP", ("", ""), made.points, made.rows))
        elif column.dimensions > 2 or column.plane is None:
            views.append(_View("principal components", _component_names(column), made.points, made.rows))
    if rows and column.plane is not None and (column.dimensions > 2 or not views):
        most = max(rows, key=len)
        axes = (f"axis {column.axes[0]}", f"axis {column.axes[1]}")
        name = AS_THEY_ARE[column.dimensions <= 2]
        views.append(_View(name, axes, column.plane[most], most))
    return views


Ranges = tuple[tuple[float, float], tuple[float, float]]


def _shared(views: Sequence[Sequence[_View]], method: str) -> Ranges | None:
    """Ends of the axes of all embeddings' pictures of a kind, where these show the same axes."""
    own = [view for views_of in views for view in views_of if view.method == method]
    if method not in AS_THEY_ARE or len(own) < 2 or len({view.axes for view in own}) > 1:
        return None
    every = np.concatenate([view.points for view in own])
    (left, bottom), (right, top) = every.min(0).tolist(), every.max(0).tolist()
    return (left, right), (bottom, top)


def _panel(
    letter: str, view: _View, colour: NDArray[np.generic], most: int, ranges: Ranges | None
) -> probes.Panel:
    shown = np.unique(np.linspace(0, len(view.rows) - 1, most).astype(np.int64))
    rows = view.rows[shown]
    digits = 4 - int(np.floor(np.log10(np.abs(view.points).max() or 1.0)))
    x, y = np.round(view.points[shown], digits).T
    frame = pd.DataFrame({"x": x, "y": y, "value": colour[rows], "row": rows})
    return probes.Panel(letter, view.method, view.axes, frame, ranges)


def _component_names(column: Column) -> tuple[str, str]:
    shares = [*column.explained[:2], 0.0][:2]
    return f"component 1 ({shares[0]:.0%})", f"component 2 ({shares[1]:.0%})"


def _picture_words(result: Probed, views: Sequence[Sequence[_View]], drawn: int) -> list[str]:
    projections = [p for c in result.columns for p in c.projections]
    methods = {view.method for own in views for view in own}
    words = []
    if "as it is" in methods:
        words.append("The embedding has no more than two dimensions, so that it is drawn as it is.")
    if "principal components" in methods:
        words.append(
            "Principal components keep distances as well as two dimensions can; each bears its share of the "
            "variance. Their signs are arbitrary, and so are their directions if two of them have about the "
            "same variance."
        )
    if "UMAP" in methods:
        words.append(
            "UMAP keeps neighbourhoods, that is, which rows lie close together. Its distances, sizes and "
            "directions mean nothing, and it draws clusters even if the data are noise."
        )
    if "two of its axes" in methods:
        words.append("The two axes are those of the embedding itself that vary most.")
    for method in sorted({p.method for p in projections}):
        rows = max(len(p.rows) for p in projections if p.method == method)
        if rows < result.of:
            words.append(f"{_NAMES[method]} was made of {rows:,} of the {result.of:,} rows.")
    if any(len(view.rows) > drawn for own in views for view in own):
        words.append(f"Each panel draws {drawn:,} of the points.")
    words += [f"{_NAMES[p.method]} cannot be drawn: {p.reason}." for p in projections if p.reason is not None]
    return words


_NAMES = {"pca": "The projection to principal components", "umap": "UMAP"}
