"""probe: look for known variables of each state in one embedding, or in two side by side.

It asks four questions of each variable: how strongly some direction of the embedding correlates with it,
next to embeddings that know nothing (the factor of latent-space generalisation with DreamerV2, section 3.3);
how much of it a linear map reads on states that it was not fitted on, next to shuffled targets; whether the
clusters that the embedding falls into are its categories; and how it lies in a picture of the embedding.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import probes
from diag.probing.result import COMPONENTS, Column, Finding, Probed
from diag.probing.rows import Drawn, Rows, gathered, neighbours_alike
from diag.probing.verdict import change_of, reading, verdict_of
from diag.result import Columns, FileRef, Grouping
from diag.sources import Source, opened
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Subject, SubjectError
from probes import ProbeError, Projection, Variable

PROJECTIONS: Mapping[str, tuple[probes.Method, ...]] = {
    "both": ("pca", "umap"),
    "pca": ("pca",),
    "umap": ("umap",),
    "none": (),
}
"""Values of ``projection``, and the methods that each stands for."""


def probe(
    checkpoint: Source,
    other: Source | None = None,
    *,
    variables: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    categorical: Sequence[str] = (),
    episodes: str | os.PathLike[str] | NDArray[Any] | None = None,
    rollout: bool = False,
    drop_nonfinite: bool = False,
    projection: str = "pca",
    clusters: int | None = None,
    task: str | None = None,
    drawn: Drawn = Drawn(),  # noqa: B008 (it is frozen)
    supplied: Supplied = NOTHING,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
    say: Callable[[str], None] = lambda words: None,
) -> Probed:
    """Look for known state variables in one embedding, or in two side by side.

    A source is a path (a checkpoint, or embeddings (n, ...) as ``.npy``/``.npz``), an array, tensor or table
    of embeddings, or a Subject. ``variables``, a ``.npz`` file, a mapping or a table, holds the known
    variables of each row, in the same order or by the same key (``supplied.key``) or index: (n,) numbers,
    booleans or strings, or (n, k) numbers. A checkpoint's world knows some by itself; given ones of the same
    name replace them. Strings and booleans are categories, as are the numbers named in ``categorical``.

    ``episodes`` (n,), or a ``.npy`` of them, names the episode of each row, as does an array ``episodes``
    beside the embeddings or the variables; ``rollout=True`` says that the rows are the steps of one rollout,
    in order. Rows that hang together are held out, resampled and shuffled together.
    ``drop_nonfinite=True`` leaves out rows with NaN or infinity, which are refused otherwise.

    ``supplied`` is what files of weights alone do not say: paired observations, an adapter, … ``task``
    (``source`` or ``target``) is the task shown to models whose files do not name theirs; by default the
    first is shown the source task and the second the target task.

    ``drawn`` says how many rows are drawn, and of which look, where a checkpoint's world draws them (world
    models): a base can be probed on a game that it was trained on.

    ``clusters`` replaces the number of a variable's categories in k-means. ``projection`` is what a page
    draws: ``pca``, which costs nothing more, ``umap`` (half a minute for the first one), ``both`` or
    ``none``; no number of the result depends on it, and of an embedding in the plane ``both`` is ``pca``.
    ``progress`` is called with the steps done and the steps in all, ``say`` with words before something
    slow. Raises SubjectError, CheckpointError or ProbeError for bad input.
    """
    _check_options(projection, clusters, rollout and episodes is not None, task)
    subjects = [opened(checkpoint, "first array", supplied, task or "source")]
    if other is not None:
        subjects.append(opened(other, "second array", supplied, task or "target"))
    given = gathered(subjects, variables, categorical, episodes, rollout, supplied, seed, drawn)
    warnings = given.warnings
    rows = _used_rows(given, drop_nonfinite, seed, warnings)
    known = given.variables(rows)
    matrices = [
        probes.as_matrix(e[rows], f"{s.path}: the embedding")
        for s, e in zip(given.subjects, given.embeddings, strict=True)
    ]
    groups = given.groups(known, rows)
    if given.labels is None and not rollout:
        warnings += neighbours_alike(given)
    methods = PROJECTIONS[projection]
    if projection == "both" and all(x.shape[1] <= 2 for x in matrices):
        methods = PROJECTIONS["pca"]  # a plane is seen as it is
    steps = len(matrices) * (len(known) + len(methods) + 1)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, steps)

    columns = []
    for subject, x in zip(given.subjects, matrices, strict=True):
        findings = {}
        for name, variable in known.items():
            findings[name] = _finding(x, variable, groups[name], clusters, seed)
            step()
        # Both embeddings are seen along the same axes, where they have them.
        axes = _widest(matrices[0] if x.shape[1] == matrices[0].shape[1] else x)
        columns.append(_column(subject, x, findings, methods, axes, seed, step, say))
    both = {} if len(columns) == 1 else {name: change_of(columns, name) for name in known}
    changes = {name: change for name, (change, _) in both.items()}
    grouping: Grouping = "blocks of a rollout" if rollout else "states"
    return Probed(
        columns=tuple(columns),
        verdict=verdict_of(columns, changes),
        variables=known,
        changes=changes,
        differences={name: difference for name, (_, difference) in both.items()},
        rows=len(rows),
        of=len(given.embeddings[0]),
        grouping=given.grouping or ("episodes" if given.labels is not None else grouping),
        clusters=clusters,
        seed=seed,
        warnings=tuple(warnings),
    )


def _check_options(projection: str, clusters: int | None, grouped_twice: bool, task: str | None) -> None:
    if projection not in PROJECTIONS:
        raise ProbeError(f"projection is {projection!r}, expected umap, pca, both or none")
    if clusters is not None and clusters < 2:
        raise ProbeError(f"clusters is {clusters}, expected at least 2")
    if grouped_twice:
        raise ProbeError("found episodes and one rollout, expected one of them")
    if task not in (None, "source", "target"):
        raise ProbeError(f"task is {task!r}, expected source or target")


def _used_rows(given: Rows, drop_nonfinite: bool, seed: int, warnings: list[str]) -> NDArray[np.int64]:
    """The rows that are probed: a sample where there are many, without those that are left out."""
    rows = probes.sampled_rows(len(given.embeddings[0]), seed)
    if not drop_nonfinite:
        return rows
    stay = given.finite(rows)
    if not stay.all():
        warnings.append(f"{int((~stay).sum())} rows with NaN or infinity were left out")
    rows = rows[stay]
    if len(rows) < 2:
        raise SubjectError(given.subjects[0].path, f"{len(rows)} finite rows", "at least 2")
    return rows


def _finding(
    x: NDArray[np.float64], variable: Variable, groups: NDArray[Any] | None, clusters: int | None, seed: int
) -> Finding:
    score = probes.linear_probe(x, variable, groups=groups, seed=seed)
    events = variable.kind == "categorical"
    return Finding(
        cca=probes.variable_cca(x, variable, groups=groups, seed=seed),
        held_out=probes.held_out_cca(x, variable, groups=groups, seed=seed),
        probe=score,
        reading=reading(score),
        clusters=probes.cluster_events(x, variable, clusters=clusters, groups=groups, seed=seed)
        if events
        else None,
    )


def _widest(x: NDArray[np.float64]) -> tuple[int, int]:
    """The two axes that vary most, in their order."""
    first, second = sorted(np.argsort(-x.var(0), kind="stable")[:2].tolist()) if x.shape[1] > 2 else (0, 1)
    return first, second


def _column(
    subject: Subject,
    x: NDArray[np.float64],
    findings: Mapping[str, Finding],
    methods: Sequence[probes.Method],
    axes: tuple[int, int],
    seed: int,
    step: Callable[[], None],
    say: Callable[[str], None],
) -> Column:
    principal = probes.project(x, "pca", seed=seed)
    shares = () if principal.explained is None else tuple(principal.explained[:COMPONENTS].tolist())
    rank = probes.effective_rank(x)
    step()
    drawn: list[Projection] = []
    for method in methods:
        if method == "umap":
            say("preparing UMAP…")
        drawn.append(principal if method == "pca" else probes.project(x, method, seed=seed))
        step()
    plane = x[:, list(axes)] if x.shape[1] > 1 else np.pad(x, ((0, 0), (0, 1)))
    return Column(
        FileRef.of(subject),
        x.shape[1],
        rank,
        shares,
        findings,
        tuple(drawn),
        plane,
        axes,
        Columns.of(subject),
    )
