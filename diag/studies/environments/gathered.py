"""A study's folder -> the runs of each look of its world: scores, relations, CKA, and returns on the way.

A look is named by the settings of a transfer's target task, not by the variant's name. Variants belong
together if their settings are the same; a plan that keeps nothing of a base need only agree in what does not
concern bases. So from-scratch runs may stand in a variant of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import probes
from diag.embed import embedded, shared_tasks
from diag.sources import open_subject
from diag.studies import StudyError
from diag.studies.folder import Folder
from diag.studies.players import returns_in
from diag.studies.study import Study, Variant
from diag.subject import Subject, SubjectError
from trainers.checkpoint import CheckpointError
from trainers.plan import TransferPlan
from trainers.system import Counting, Looks, Share, Standard, Standards, System, system_of

NEVER_LEARNED = "reset"
"""A plan whose rules all do this keeps nothing of a base: it is training from scratch."""

RUN = ("look", "plan", "base_seed", "seed")
"""Columns that tell runs apart."""


@dataclass(frozen=True)
class LookFacts:
    """A target task under settings of its own."""

    name: str
    """The look's name, and the settings that tell it from others of that name."""
    standards: tuple[Standard, ...]
    share: Share | None
    frames_of_update: int | None
    """Environment steps of an update; None where the settings do not count them."""
    updates: int
    """Updates of a transfer: its budget."""

    @property
    def random(self) -> float | None:
        """Mean return of an agent that acts at random; None where the system does not say."""
        return next((one.score for one in self.standards if one.random), None)


@dataclass(frozen=True, eq=False)
class Gathered:
    """What the metrics are taken from."""

    study: str
    looks: tuple[LookFacts, ...]
    plans: tuple[str, ...]
    """Names of plans that keep something of a base, in the study's order."""
    runs: pd.DataFrame
    """A row for each finished transfer: :data:`RUN`, ``fresh`` (nothing was kept of a base), ``score``,
    ``relation`` (None where undecided), ``cka`` and ``r2_identity`` to its base."""
    curves: pd.DataFrame
    """A row for each point of their curves: :data:`RUN`, ``step`` (updates) and ``score``, the mean return
    since the point before; empty where none were taken."""
    missing: tuple[str, ...]
    """Parts that were asked for and have not been trained yet, a line each."""


def gathered(root: Path) -> Gathered:
    """The runs of the study in a folder; raises StudyError where it has no transfer that is finished."""
    folder = Folder(root)
    study = folder.study()
    results = folder.results()
    final = results[results["final"] & (results["phase"] == "transfer")] if len(results) else results
    if final.empty:
        raise StudyError(
            f"{root}: found no finished transfer; expected some (diag study run goes on with the study)"
        )
    places, looks = _looks(study)
    fresh = {(v.name, p.name) for v in study.variants for p in v.plans if keeps_nothing(p)}
    owned = [(variant, (variant, plan) in fresh) for variant, plan in _pairs(final)]
    runs = final.assign(
        look=[places[one] for one in owned],
        fresh=[nothing for _, nothing in owned],
        cka=_cka(final, study, results, root),
        relation=final["relation"].astype(object),
    )
    returns = returns_in(root, results)
    if len(returns):
        returns = returns[returns["phase"] == "transfer"]
        returns = returns.assign(look=[places[v, (v, p) in fresh] for v, p in _pairs(returns)])
    else:
        returns = pd.DataFrame(columns=[*RUN, "step", "score"])
    kept = [*RUN, "fresh", "finite", "score", "relation", "cka", "r2_identity"]
    plans = dict.fromkeys(p.name for v in study.variants for p in v.plans if not keeps_nothing(p))
    return Gathered(
        study.name,
        looks,
        tuple(plans),
        runs[kept].reset_index(drop=True),
        returns[[*RUN, "step", "score"]].reset_index(drop=True),
        tuple(_missing(study, final)),
    )


def keeps_nothing(plan: TransferPlan) -> bool:
    """Whether every component of a transfer begins from fresh weights."""
    return all(rule.action == NEVER_LEARNED for rule in plan.rules)


def _pairs(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(rows["variant"], rows["plan"], strict=True))


def _looks(study: Study) -> tuple[dict[tuple[str, bool], str], tuple[LookFacts, ...]]:
    """The name of the look of each variant, for plans that keep something and for those that do not.

    A variant's row is found by its settings. Those of plans that keep nothing may differ in the training of
    bases: the row is then the first that agrees in all else.
    """
    whole: dict[str, list[Variant]] = {}
    for variant in study.variants:
        whole.setdefault(_key(variant), []).append(variant)
    keeping = {k: v for k, v in whole.items() if any(not keeps_nothing(p) for one in v for p in one.plans)}
    rows = keeping or whole
    names = _names([variants[0] for variants in rows.values()])
    named = dict(zip(rows, names, strict=True))
    apart: dict[str, str] = {}
    for key, variants in rows.items():
        apart.setdefault(_key(variants[0], "train"), named[key])
    facts = [_facts(named[key], variants[0]) for key, variants in rows.items()]
    places: dict[tuple[str, bool], str] = {}
    for variant in study.variants:
        if _key(variant) in named:
            places[variant.name, False] = named[_key(variant)]
        near = named.get(_key(variant)) or apart.get(_key(variant, "train"))
        if near is None:
            near = _alone(variant, [*names, *(fact.name for fact in facts)])
            apart[_key(variant, "train")] = near
            facts.append(_facts(near, variant))
        places[variant.name, True] = near
    return places, tuple(facts)


def _alone(variant: Variant, taken: Sequence[str]) -> str:
    """The name of a look of which there are from-scratch runs alone."""
    name = look_of(variant)
    return name if name not in taken else f"{name} ({variant.name})"


def _key(variant: Variant, *but: str) -> str:
    return variant.settings.model_dump_json(exclude={"preset", *but})


def look_of(variant: Variant) -> str:
    """The look of its target task, else its world's name."""
    system = system_of(variant.settings)
    return system.variant("target") if isinstance(system, Looks) else variant.settings.world


def _names(variants: Sequence[Variant]) -> list[str]:
    """A name for each row: the look's, and the variant's where several rows have that look."""
    looks = [look_of(v) for v in variants]
    return [
        name if looks.count(name) == 1 else f"{name} ({v.name})"
        for name, v in zip(looks, variants, strict=True)
    ]


def _facts(name: str, variant: Variant) -> LookFacts:
    system: System = system_of(variant.settings)
    return LookFacts(
        name,
        system.standards() if isinstance(system, Standards) else (),
        system.share() if isinstance(system, Counting) else None,
        getattr(variant.settings, "frames_of_update", None),
        variant.settings.transfer.updates,
    )


def _missing(study: Study, final: pd.DataFrame) -> list[str]:
    """Transfers that were asked for and are not finished, a line a variant and plan."""
    done = final.groupby(["variant", "plan"]).size()
    lines = []
    for variant in study.variants:
        for plan in variant.plans:
            wanted = len(variant.bases) * len(variant.transfers)
            have = int(done.get((variant.name, plan.name), 0))
            if have < wanted:
                lines.append(f"{variant.name}, {plan.name}: {have} of {wanted} transfers are finished")
    return lines


def _cka(final: pd.DataFrame, study: Study, results: pd.DataFrame, root: Path) -> list[float]:
    """CKA without its bias of each transfer to its base.

    Tables of studies that were measured before it was a column lack it: it is then taken from the
    checkpoints, and missing where these are.
    """
    own = final["cka"] if "cka" in final else pd.Series(np.nan, index=final.index)
    known = [float(value) for value in own]
    owners = {v.name: study.base_of(v).name for v in study.variants}
    bases = results[results["final"] & (results["phase"] == "base") & results["finite"]]
    paths = {(r["variant"], r["base_seed"]): r["path"] for r in bases.to_dict("records")}
    opened: dict[str, Subject] = {}
    for place, row in enumerate(final.to_dict("records")):
        of = paths.get((owners.get(row["variant"]), row["base_seed"]))
        if np.isfinite(known[place]) or not row["finite"] or of is None:
            continue
        try:
            base = opened.setdefault(of, open_subject(root / of))
            known[place] = _similarity(base, open_subject(root / row["path"]))
        except (CheckpointError, SubjectError, probes.ProbeError):
            continue  # a folder copied without its checkpoints still has its table
    return known


def _similarity(base: Subject, transfer: Subject) -> float:
    pairs = shared_tasks((base, transfer)).paired_observations(None, 0)
    x, y = (embedded(one, pairs).double().numpy() for one in (transfer, base))
    found = probes.cka(x, y, debiased=True, groups=pairs.groups)
    return float("nan") if found.value is None else found.value
