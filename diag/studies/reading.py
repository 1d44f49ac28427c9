"""A study's folder -> its report: the tables, the facts, and the embeddings worth showing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diag.comparisons.picture import colour_variable
from diag.embed import embedding
from diag.sources import open_subject
from diag.studies.code import UNKNOWN
from diag.studies.dreams import dreams_of
from diag.studies.folder import Folder
from diag.studies.players import episodes_of, planes_of, returns_in
from diag.studies.report import EmbeddingPicture, PlannedCell, StudyFacts, StudyReport, report
from diag.studies.scored import VariantFacts
from diag.studies.study import Study
from diag.subject import Predictor, Subject, SubjectError, colour_of, require
from trainers.checkpoint import CheckpointError
from trainers.system import Looks, Standard, Standards, system_of

MOST_PER_CELL = 24
"""Last embeddings that are drawn of one base's transfers under one plan."""


def report_of(path: Path) -> StudyReport:
    """The report of the study in a folder, finished or not; raises StudyError."""
    folder = Folder(path)
    study = folder.study()
    results, curves = folder.results(), folder.curves()
    facts = _facts(study, folder, results)
    whole = report(results, curves, facts, list(_pictures(study, path, results)), returns_in(path, results))
    if whole.arms:
        return replace(whole, dreamt=dreams_of(whole, path, results))
    if whole.by != "score":
        return whole
    return replace(whole, episodes=episodes_of(whole, path, results), planes=planes_of(whole, path, results))


def _facts(study: Study, folder: Folder, results: pd.DataFrame) -> StudyFacts:
    sessions = folder.sessions()
    last = sessions[-1].get("environment", {}) if sessions else {}
    variant, worlds = study.variants[0], {v.settings.world for v in study.variants}
    phases = {"train": variant.settings.train, "transfer": variant.settings.transfer}
    settings = {
        f"{phase}.{name}": str(getattr(values, name))
        for phase, values in phases.items()
        for name in ("algorithm", "updates", "learning_rate")
        if getattr(values, name, "") != ""
    }
    planned = [
        PlannedCell(v.name, plan.name, base, len(v.transfers))
        for v in study.variants
        for plan in v.plans
        for base in v.bases
    ]
    return StudyFacts(
        name=study.name,
        preset=", ".join(dict.fromkeys(v.settings.preset for v in study.variants)),
        settings=settings,
        base_seeds=tuple(sorted({b for v in study.variants for b in v.bases})),
        transfer_seeds=tuple(sorted({t for v in study.variants for t in v.transfers})),
        versions={name: str(last[name]) for name in ("transfer-diag", "torch", "python") if name in last},
        seconds=sum(session.get("seconds", 0.0) for session in sessions),
        device=str(last.get("device", "unknown")),
        planned=tuple(planned),
        world=worlds.pop() if len(worlds) == 1 else "several",
        variants=_variants(study),
        measured_by=_measured_by(results),
    )


def _measured_by(results: pd.DataFrame) -> dict[str, int]:
    """Rows with measures by the code that they name, the most first."""
    if results.empty:
        return {}
    measured = results[results["finite"]]
    named = measured.get("code", pd.Series(None, measured.index, dtype=object)).fillna(UNKNOWN)
    return {str(name): int(count) for name, count in named.value_counts().items()}


def _variants(study: Study) -> dict[str, VariantFacts]:
    first = _flat(study.variants[0].settings.model_dump(exclude={"preset"}))
    standards: dict[tuple[str, str], tuple[Standard, ...]] = {}
    known = {}
    for variant in study.variants:
        settings = _flat(variant.settings.model_dump(exclude={"preset"}))
        system = system_of(variant.settings)
        shared = variant.settings.model_dump_json(exclude={"train", "transfer", "preset"})
        here = shared, system.variant("target") if isinstance(system, Looks) else ""
        if here not in standards:
            standards[here] = system.standards() if isinstance(system, Standards) else ()
        names = dict.fromkeys([*settings, *first])
        differs = {n: (settings.get(n), first.get(n)) for n in names if settings.get(n) != first.get(n)}
        fresh = tuple(p.name for p in variant.plans if all(rule.action == "reset" for rule in p.rules))
        unread = tuple(p.name for p in variant.plans if all(r.action != "freeze" for r in p.rules))
        owner = study.base_of(variant).name
        known[variant.name] = VariantFacts(owner, standards[here], differs, fresh, unread)
    return known


def _flat(tree: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """A tree of settings by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        here = f"{place}{name}"
        flat |= _flat(value, f"{here}.") if isinstance(value, dict) else {here: value}
    return flat


def _pictures(study: Study, root: Path, results: pd.DataFrame) -> Iterator[EmbeddingPicture]:
    if results.empty:
        return
    finite = results[results["finite"]]
    owners = {v.name: study.base_of(v).name for v in study.variants}
    bases = {
        (row["variant"], row["base_seed"]): row["path"]
        for row in finite[finite["final"] & (finite["phase"] == "base")].to_dict("records")
    }
    opened: dict[str, Subject] = {}
    drawn: dict[str, bool] = {}
    for row in _worth_showing(finite).to_dict("records"):
        owner = owners.get(row["variant"], row["variant"])
        of = bases.get((owner, row["base_seed"]))
        if of is None or not drawn.get(row["variant"], True):
            continue
        try:
            base = opened.setdefault(of, open_subject(root / of))
            picture = _picture(row, open_subject(root / row["path"]), base)
        except (CheckpointError, SubjectError):
            continue  # a folder copied without its checkpoints still has its table
        drawn[row["variant"]] = picture is not None
        if picture is not None:
            yield picture


def _worth_showing(rows: pd.DataFrame) -> pd.DataFrame:
    """Bases at every step, the last of some transfers of each cell, and the way of a success and failures."""
    chosen = [rows[rows["phase"] == "base"]]
    transfers = rows[rows["phase"] == "transfer"]
    for _, cell in transfers.groupby(["variant", "plan", "base_seed"]):
        last = cell[cell["final"]].sort_values("seed")
        chosen.append(last.head(MOST_PER_CELL))
        landed = last["succeeded"].fillna(False).astype(bool)
        flipped = last["relation"] == "flipped"
        for kind in (landed, flipped & ~landed, ~landed):
            way = last[kind].head(1)["seed"]
            chosen.append(cell[cell["seed"].isin(way) & ~cell["final"]])
    return pd.concat(chosen).drop_duplicates(["variant", "phase", "plan", "base_seed", "seed", "step"])


def _picture(row: Mapping[Any, Any], subject: Subject, base: Subject) -> EmbeddingPicture | None:
    points, home = embedding(subject), embedding(base)
    if points.shape[1] != 2:
        return None
    assert subject.tasks is not None
    variables = subject.tasks.variables()
    colour = colour_variable(variables, colour_of(subject.tasks))
    groups = np.full(len(points), "state") if colour is None else np.asarray(variables[colour]).astype(str)
    relation = row["relation"] if isinstance(row["relation"], str) else None
    return EmbeddingPicture(
        row["variant"],
        row["plan"],
        row["base_seed"],
        row["seed"],
        row["step"],
        row["final"],
        home,
        points,
        groups,
        _arrows(subject, points),
        relation,
        colour=colour,
    )


def _arrows(subject: Subject, points: Any) -> Any:
    """Next embeddings (K, A, 2) that the system's model expects after each action; None without a model."""
    import torch

    encoder = subject.encoder
    if not isinstance(encoder, Predictor):
        return None
    parameters = require(subject, "parameters", subject.parameters)
    expected = encoder.predict(parameters, torch.from_numpy(points).float())
    return None if expected is None else expected.double().numpy()
