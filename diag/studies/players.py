"""What a study's checkpoints show of agents that act: returns on the way, episodes, and planes.

A folder that was copied without its checkpoints has none of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from diag.landscapes.episodes import PLAYED, typical
from diag.sources import open_subject
from diag.studies.result import StudyReport
from diag.studies.scored import Episodes, Planes, Strip
from diag.studies.table import TRAINING
from diag.subject import Filmed, Subject, SubjectError, require
from trainers import checkpoint as files
from trainers.checkpoint import CheckpointError

SEED = 0
"""Seed of the episodes that are shown."""

Outcome = Literal["base", "success", "failure"]

OUTCOMES: tuple[Outcome, ...] = ("success", "failure")


def returns_in(root: Path, results: pd.DataFrame) -> pd.DataFrame:
    """Returns that training took on its way, from the checkpoints: a row a point with ``step`` and ``score``.

    Where an agent has several modes of acting, the first is taken.
    """
    rows = []
    if len(results):
        for row in results[results["final"] & results["finite"]].to_dict("records"):
            try:
                metrics = files.read(root / row["path"], finite=False).header.metrics
            except CheckpointError:
                continue
            modes = metrics.get("returns") or {}
            for step, score in zip(metrics.get("updates", []), next(iter(modes.values()), []), strict=False):
                if score is not None:
                    rows.append({**{k: row[k] for k in TRAINING}, "step": step, "score": float(score)})
    return pd.DataFrame(rows)


def episodes_of(report: StudyReport, root: Path, results: pd.DataFrame) -> Episodes | None:
    """The same episode played by a base, and by a successful and a failed transfer; None without pictures.

    The base is that of the reference's whose transfers end most evenly; of its successes and of its failures
    those of the middle score are shown, and where it has none, another base's.
    """
    players = list(_players(report, root, results))
    if len(players) < 2:
        return None
    number = typical([p.returns() for p in players])
    return Episodes(tuple(p.strip(number) for p in players), number, PLAYED)


class _Player:
    """A checkpoint that plays, and what the report says of it."""

    def __init__(self, subject: Subject, row: Mapping[str, Any], outcome: Outcome) -> None:
        self.subject, self.row, self.outcome = subject, row, outcome
        self.parameters = require(subject, "parameters", subject.parameters)
        self.task = require(subject, "task", subject.task)

    def returns(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        assert self.subject.actor is not None
        return np.asarray(self.subject.actor.returns(self.parameters, self.task, PLAYED, SEED), np.float64)

    def strip(self, number: int) -> Strip:
        assert isinstance(self.subject.actor, Filmed)
        film = self.subject.actor.film(self.parameters, self.task, PLAYED, number, SEED)
        of_base = self.outcome == "base"
        return Strip(
            int(self.row["base_seed"]),
            None if of_base else int(self.row["seed"]),
            self.outcome,
            float(self.row["score"]),
            "" if of_base else str(self.row["relation"]),
            film,
        )


def _players(report: StudyReport, root: Path, results: pd.DataFrame) -> Iterator[_Player]:
    for row, path, outcome in _chosen(report, results):
        try:
            subject = open_subject(root / path)
        except (CheckpointError, SubjectError):
            return
        if not isinstance(subject.actor, Filmed):
            return
        yield _Player(subject, row, outcome)


def _chosen(report: StudyReport, results: pd.DataFrame) -> Iterator[tuple[Mapping[str, Any], str, Outcome]]:
    """Rows and paths of a base, a success and a failure of the reference."""
    first = report.reference
    if first is None:
        return
    mine = _mine(report)
    if mine.empty:
        return
    counts = mine.groupby("base_seed")["outcome"].value_counts().unstack(fill_value=0)
    even = counts.reindex(columns=list(OUTCOMES), fill_value=0).min(axis=1)
    base = int(even.index[int(even.to_numpy().argmax())])
    if (found := _base(report, results, base)) is not None:
        yield found, str(found["path"]), "base"
    paths = _paths(results, first.variant, first.plan)
    for outcome in OUTCOMES:
        some = mine[mine["outcome"] == outcome].sort_values("score")
        own = some[some["base_seed"] == base]
        some = own if len(own) else some
        if len(some):
            row = _row(some.iloc[(len(some) - 1) // 2])
            if path := paths.get((row["base_seed"], row["seed"])):
                yield row, path, outcome


def _mine(report: StudyReport) -> pd.DataFrame:
    """The reference's transfers with a score."""
    first, every = report.groups[0], report.transfers
    own = every[(every["variant"] == first.variant) & (every["plan"] == first.plan)]
    return pd.DataFrame(own.loc[np.isfinite(own["score"])])


def _base(report: StudyReport, results: pd.DataFrame, seed: int) -> Mapping[str, Any] | None:
    """The last row of a base of the reference's."""
    variant = report.groups[0].variant
    known = report.facts.variants.get(variant)
    owner = variant if known is None else known.owner
    own = results[
        (results["phase"] == "base")
        & (results["variant"] == owner)
        & (results["base_seed"] == seed)
        & results["final"]
        & results["finite"]
    ]
    return None if own.empty else _row(own.iloc[-1])


def _row(row: pd.Series) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _paths(results: pd.DataFrame, variant: str, plan: str) -> dict[tuple[int, int], str]:
    rows = results[(results["variant"] == variant) & (results["plan"] == plan) & results["final"]]
    return {(int(r["base_seed"]), int(r["seed"])): str(r["path"]) for r in rows.to_dict("records")}


def planes_of(report: StudyReport, root: Path, results: pd.DataFrame) -> tuple[Planes, ...]:
    """The embedding of one state by each base of the reference, and by its best and its worst transfer.

    Only of embeddings (c, h, w) of at most three planes, which can be drawn in colours.
    """
    found: list[Planes] = []
    mine = _mine(report)
    paths = _paths(results, report.groups[0].variant, report.groups[0].plan) if len(mine) else {}
    for seed in sorted(set(mine["base_seed"])):
        base = _base(report, results, int(seed))
        if base is None:
            continue
        own = mine[mine["base_seed"] == seed].sort_values("score", kind="stable")
        chosen: list[tuple[Mapping[str, Any], str, Outcome]] = [(base, str(base["path"]), "base")]
        for row in own.iloc[sorted({len(own) - 1, 0}, reverse=True)].to_dict("records"):
            path = paths.get((row["base_seed"], row["seed"]))
            if path:
                chosen.append((row, path, row["outcome"]))
        for row, path, outcome in chosen:
            try:
                subject = open_subject(root / path)
                one = _planes(subject, row, outcome)
            except (CheckpointError, SubjectError):
                continue
            if one is None:
                return ()
            found.append(one)
    return tuple(found)


def _planes(subject: Subject, row: Mapping[str, Any], outcome: Outcome) -> Planes | None:
    import torch

    tasks, task = require(subject, "tasks", subject.tasks), require(subject, "task", subject.task)
    encoder = require(subject, "encoder", subject.encoder)
    parameters = require(subject, "parameters", subject.parameters)
    seen = tasks.paired_observations(None, SEED).observations[task][:1]
    with torch.inference_mode():
        planes = encoder.embed(parameters, seen)[0].double().cpu().numpy()
    shown = seen[0].double().cpu().numpy()
    if planes.ndim != 3 or len(planes) > 3 or shown.ndim != 2:
        return None
    of_base = outcome == "base"
    return Planes(
        int(row["base_seed"]),
        None if of_base else int(row["seed"]),
        outcome,
        "" if of_base else str(row["relation"]),
        planes,
        shown,
    )
