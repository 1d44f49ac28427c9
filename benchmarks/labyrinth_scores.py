"""Does the distance in embedding space, the relation or a loss predict the score of a transfer in labyrinths?

Reads a folder of ``diag study run labyrinth-small`` (finished or not). A transfer *scores* when its mean
return is nearer to its base's on the source task than to that of an agent that never takes a key (every step
costs 0.1). For each measure: the area under the ROC curve as a sign of failure (0.5 tells nothing, 1 all)
over all transfers and within bases, the best threshold (Youden), and its interval from resampling bases.

    diag study run labyrinth-small --out runs/labyrinth-small       # hours on two cores; can be stopped
    python -m benchmarks.labyrinth_scores runs/labyrinth-small
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.studies.folder import Folder
from diag.studies.statistics import auc, auc_within, wilson
from probes import Measure
from trainers.envs.labyrinth import LABYRINTHS, STEP_REWARD

MEASURES = ("l2", "l2_relative", "r2_identity", "r2_orthogonal", "loss_total", "loss_transition", "loss_q")
"""Columns of the study's table; R² counts as a sign of failure where it is low."""

RESAMPLES = 2000


def transfers_of(folder: Folder) -> pd.DataFrame:
    """The finished transfers with ``base_score``, and whether each ``scores``."""
    study, table = folder.study(), folder.results()
    if table.empty:
        return table
    last = table[table["final"] & table["finite"]]
    bases = last[last["phase"] == "base"].set_index(["variant", "base_seed"])["score"]
    owner = {v.name: study.base_of(v).name for v in study.variants}
    worst = {v.name: STEP_REWARD * (LABYRINTHS[v.settings.world].steps or 0) for v in study.variants}
    transfers = last[last["phase"] == "transfer"].copy()
    keys = zip(transfers["variant"].map(owner), transfers["base_seed"], strict=True)
    transfers["base_score"] = [float(bases.get(key, np.nan)) for key in keys]
    halfway = (transfers["base_score"] + transfers["variant"].map(worst)) / 2
    transfers["scores"] = transfers["score"] >= halfway
    return transfers[np.isfinite(transfers["base_score"])]


def badness(transfers: pd.DataFrame, measure: str) -> NDArray[np.float64]:
    """A measure with its sign turned where less is worse."""
    values = transfers[measure].to_numpy(float)
    return -values if measure.startswith("r2") else values


def youden(x: NDArray[np.float64], scores: NDArray[np.bool_]) -> float:
    """The threshold, halfway between two values, that parts failures above from successes below it best."""
    known = np.isfinite(x)
    x, scores = x[known], scores[known]
    places = np.unique(x)
    if len(places) < 2 or scores.all() or not scores.any():
        return float("nan")
    cuts = (places[1:] + places[:-1]) / 2
    gains = [(x[~scores] > cut).mean() + (x[scores] <= cut).mean() for cut in cuts]
    return float(cuts[int(np.argmax(gains))])


def threshold(transfers: pd.DataFrame, measure: str) -> str:
    """:func:`youden` of a measure with a 95% interval from resampling bases."""
    x, scores = badness(transfers, measure), transfers["scores"].to_numpy(bool)
    bases = transfers["base_seed"].to_numpy()
    rows = [np.flatnonzero(bases == base) for base in np.unique(bases)]
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(RESAMPLES):
        picked = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
        draws.append(youden(x[picked], scores[picked]))
    sign = -1 if measure.startswith("r2") else 1
    value, known = sign * youden(x, scores), sign * np.array(draws)[np.isfinite(draws)]
    if len(rows) < 2 or len(known) < RESAMPLES / 2:
        return f"{value:.3g}"
    low, high = np.quantile(known, [0.025, 0.975])
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def told(measure: Measure) -> str:
    """A measure with its interval."""
    if measure.value is None:
        return "–"
    ends = "" if measure.low is None else f" [{measure.low:.2f}, {measure.high:.2f}]"
    return f"{measure.value:.2f}{ends}"


def row(*cells: object) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    parser = argparse.ArgumentParser(description="What predicts the score of transfers in labyrinths?")
    parser.add_argument("folder", type=Path)
    transfers = transfers_of(Folder(parser.parse_args().folder))
    if transfers.empty:
        print("no transfer is done yet", file=sys.stderr)
        return 2
    heads = "variant", "plan", "base", "its score", "transfers", "score", "scoring", "relations", "median L2"
    print(row(*heads))
    print("|---|---|---|---|---|---|---|---|---|")
    for (variant, plan, base), group in transfers.groupby(["variant", "plan", "base_seed"], sort=False):
        relations = group["relation"].fillna("undecided").value_counts().to_dict()
        words = ", ".join(f"{count} {name}" for name, count in relations.items())
        scores = " ".join(f"{score:.1f}" for score in sorted(group["score"]))
        own, distance = f"{group['base_score'].iloc[0]:.2f}", f"{group['l2'].median():.2f}"
        count = f"{int(group['scores'].sum())} of {len(group)}"
        print(row(variant, plan, base, own, len(group), scores, count, words, distance))
    frozen = transfers[transfers["variant"] == "main"]  # the other variants are of one or two bases
    if frozen.empty:
        return 0
    scores, bases = frozen["scores"].to_numpy(bool), frozen["base_seed"].to_numpy(np.int64)
    rate = wilson(int(scores.sum()), len(scores))
    low, high = (f"{end:.0%}" if end is not None else "–" for end in (rate.low, rate.high))
    print(f"\n{rate.count} of {rate.n} transfers of `main` score, [{low}, {high}].\n")
    print(row("sign of failure", "AUC over all", "AUC within bases", "best threshold", "rank correlation"))
    print("|---|---|---|---|---|")
    for measure in MEASURES:
        if measure not in frozen or frozen[measure].isna().all():
            continue
        x = badness(frozen, measure)
        whole, within = auc(x[scores], x[~scores]), auc_within(x, scores, bases)
        rank = frozen[measure].corr(frozen["score"], method="spearman")
        print(row(measure, told(whole), told(within), threshold(frozen, measure), f"{rank:.2f}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
