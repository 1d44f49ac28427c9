"""Scores of a study's agents on their way: by base, by seed, by approach, and over a setting's values.

The panels are those of the first paper's figures 8, 10 and 18. They are drawn from the returns that training
took at each point of its curves, where those are at hand, else from the scores of the kept checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from diag.studies.result import StudyFacts, Sweep
from diag.studies.statistics import wilson

Name = tuple[str, str]
"""Variant and plan of a group."""

BY_BASE, BY_SEED = "by base", "by seed"


def score_curves(
    transfers: pd.DataFrame, returns: pd.DataFrame, names: Sequence[Name], facts: StudyFacts
) -> pd.DataFrame:
    """Mean scores of the transfers over steps with standard errors; for a setting, standard deviations.

    ``names`` are the groups, the reference first. Columns figure (``bases``, ``approaches``, ``setting``),
    panel, name, step, mean, low, high and runs. Empty where there is no finite score: a world without rewards
    has none.
    """
    known = _known(transfers, returns)
    if known.empty or not names:
        return pd.DataFrame()
    first = known[_of(known, names[0])]
    frames = [
        _means(first, "base_seed").assign(figure="bases", panel=BY_BASE),
        _means(first, "seed").assign(figure="bases", panel=BY_SEED),
    ]
    for panel, rows in _approaches(known, names, facts):
        frames.append(_means(rows, "plan").assign(figure="approaches", panel=panel))
    setting, variants = sweep_of(names, facts)
    if setting:
        rows = known[(known["plan"] == names[0][1]) & known["variant"].isin(variants)]
        rows = rows[rows["base_seed"].isin(_shared(rows))]
        named = rows.assign(value=[f"{variants[v]:g}" for v in rows["variant"]]).sort_values(
            ["step"], kind="stable"
        )
        order = {f"{value:g}": value for value in variants.values()}
        means = _means(named, "value", spread=True)
        means = means.iloc[np.argsort([order[n] for n in means["name"]], kind="stable")]
        frames.append(means.assign(figure="setting", panel=setting))
    return pd.concat([f for f in frames if len(f)], ignore_index=True) if any(map(len, frames)) else known[:0]


def _known(transfers: pd.DataFrame, returns: pd.DataFrame) -> pd.DataFrame:
    """Rows variant, plan, base_seed, seed, step, score of transfers, with a finite score."""
    if len(returns):
        rows = returns[returns["phase"] == "transfer"]
    elif "score" in transfers and len(transfers):
        rows = transfers.assign(score=pd.to_numeric(transfers["score"]).astype(float))
    else:
        return pd.DataFrame()
    return pd.DataFrame(rows.loc[np.isfinite(rows["score"])])


def _of(rows: pd.DataFrame, name: Name) -> pd.Series:
    return (rows["variant"] == name[0]) & (rows["plan"] == name[1])


def _means(rows: pd.DataFrame, key: str, *, spread: bool = False) -> pd.DataFrame:
    score = rows.groupby([key, "step"], sort=False)["score"]
    means = score.agg(["mean", "std", "count"]).reset_index()
    error = means["std"] if spread else means["std"] / np.sqrt(means["count"])
    error = error.fillna(0.0)
    return pd.DataFrame(
        {
            "name": means[key].astype(str),
            "step": means["step"],
            "mean": means["mean"],
            "low": means["mean"] - error,
            "high": means["mean"] + error,
            "runs": means["count"],
        }
    )


def approaches_of(names: Sequence[Name], facts: StudyFacts) -> list[Name]:
    """The groups that differ from the reference in their plan alone, itself first."""
    chosen = []
    for name in names:
        variant = facts.variants.get(name[0])
        if name == names[0] or (variant is None or not variant.differs):
            chosen.append(name)
    return chosen


def _approaches(
    known: pd.DataFrame, names: Sequence[Name], facts: StudyFacts
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of all approaches for each base that another approach than the reference has."""
    chosen = approaches_of(names, facts)
    fresh = [n for n in chosen if n[0] in facts.variants and n[1] in facts.variants[n[0]].fresh]
    others = [n for n in chosen[1:] if n not in fresh]
    bases = {int(b) for n in others or fresh for b in known.loc[_of(known, n), "base_seed"]}
    for base in sorted(bases):
        parts = [known[_of(known, n) & ((known["base_seed"] == base) | (n in fresh))] for n in chosen]
        yield f"from base {base}", pd.concat(parts)


def sweep_of(names: Sequence[Name], facts: StudyFacts) -> tuple[str, dict[str, float]]:
    """The setting whose values a study compares, and each variant's value; empty where it compares none.

    Its variants differ from the reference in this number alone, under the same plan.
    """
    if not names or names[0][0] not in facts.variants:
        return "", {}
    found: dict[str, dict[str, float]] = {}
    for variant, plan in names[1:]:
        differs = dict(facts.variants[variant].differs) if variant in facts.variants else {}
        if plan == names[0][1] and len(differs) == 1:
            ((setting, (own, reference)),) = differs.items()
            if all(isinstance(v, int | float) and not isinstance(v, bool) for v in (own, reference)):
                values = found.setdefault(setting, {names[0][0]: float(reference)})
                values[variant] = float(own)
    return max(found.items(), key=lambda item: len(item[1]), default=("", {}))


def sweep(last: pd.DataFrame, names: Sequence[Name], facts: StudyFacts) -> Sweep | None:
    """What becomes of transfers at each value of the setting that a study compares; None for none."""
    setting, variants = sweep_of(names, facts)
    rows = last[(last["plan"] == names[0][1]) & last["variant"].isin(variants)] if setting else last[:0]
    rows = rows[rows["base_seed"].isin(_shared(rows)) & np.isfinite(rows["score"])]
    if rows["variant"].nunique() < 2:
        return None
    rows = rows.assign(value=[variants[v] for v in rows["variant"]]).sort_values(["value", "seed"])
    points = []
    for value, mine in rows.groupby("value"):
        rate = wilson(int(mine["success"].sum()), len(mine))
        scores = mine["score"]
        points.append(
            {
                "value": float(value),
                "variant": mine["variant"].iloc[0],
                "count": rate.count,
                "n": rate.n,
                "low": rate.low,
                "high": rate.high,
                "mean": float(scores.mean()),
                "sd": float(scores.std()) if len(scores) > 1 else 0.0,
            }
        )
    told = rows.assign(outcome=np.where(rows["success"], "success", "failure"))
    shown = told[["value", "base_seed", "seed", "score", "outcome"]].reset_index(drop=True)
    return Sweep(setting, pd.DataFrame(points), shown)


def _shared(rows: pd.DataFrame) -> set[int]:
    """The bases that every variant of the rows has."""
    sets = [set(part["base_seed"]) for _, part in rows.groupby("variant")]
    return set.intersection(*sets) if sets else set()


def returns_on_the_way(returns: pd.DataFrame, last: pd.DataFrame, name: Name, owner: str) -> pd.DataFrame:
    """Returns of the reference's transfers and of their bases over updates.

    Columns base_seed, seed, step, score and outcome (``base`` for a base). Empty where none were taken.
    """
    if returns.empty:
        return pd.DataFrame()
    mine = last[_of(last, name)]
    ended = {(b, s): "success" if ok else "failure" for b, s, ok in _ends(mine)}
    ours = returns[_of(returns, name) & (returns["phase"] == "transfer")]
    outcomes = [ended.get(key, "") for key in zip(ours["base_seed"], ours["seed"], strict=True)]
    ours = ours.assign(outcome=outcomes)
    ours = ours[ours["outcome"] != ""]
    bases = returns[(returns["phase"] == "base") & (returns["variant"] == owner)].assign(outcome="base")
    bases = bases[bases["base_seed"].isin(set(mine["base_seed"]))]
    rows = pd.concat([bases, ours], ignore_index=True)
    shown = ["base_seed", "seed", "step", "score", "outcome"]
    return pd.DataFrame(rows.loc[np.isfinite(rows["score"]), shown])


def distances_on_the_way(transfers: pd.DataFrame, last: pd.DataFrame, name: Name) -> pd.DataFrame:
    """L2 of the reference's transfers at the kept checkpoints: base_seed, seed, step, l2 and outcome."""
    ended = {(b, s): "success" if ok else "failure" for b, s, ok in _ends(last[_of(last, name)])}
    mine = transfers[_of(transfers, name) & np.isfinite(transfers["l2"])]
    outcomes = [ended.get(key, "") for key in zip(mine["base_seed"], mine["seed"], strict=True)]
    mine = mine.assign(outcome=outcomes)
    rows = mine.loc[mine["outcome"] != "", ["base_seed", "seed", "step", "l2", "outcome"]]
    return pd.DataFrame(rows.reset_index(drop=True))


def _ends(rows: pd.DataFrame) -> Iterator[tuple[int, int, bool]]:
    return zip(rows["base_seed"], rows["seed"], rows["success"], strict=True)


def spreads(last: pd.DataFrame, bases: pd.DataFrame) -> pd.DataFrame:
    """Quartiles of each term of the loss over bases, successes and failures: term, who, n, low, middle, high.

    Those of bases are on the source task, those of transfers on the target task. Losses of 0 are left out,
    which no logarithmic axis has.
    """
    rows = []
    success = last["success"].to_numpy(bool)
    for name in [str(c) for c in last.columns if str(c).startswith("loss_") and c != "loss_total"]:
        for who, some in (("base", bases), ("success", last[success]), ("failure", last[~success])):
            values = some[name].to_numpy(float) if name in some else np.zeros(0)
            values = values[np.isfinite(values) & (values > 0)]
            if len(values):
                low, middle, high = (float(v) for v in np.quantile(values, [0.25, 0.5, 0.75]))
                term = name.removeprefix("loss_")
                rows.append(
                    {"term": term, "who": who, "n": len(values), "low": low, "middle": middle, "high": high}
                )
    return pd.DataFrame(rows)
