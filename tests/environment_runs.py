"""Made-up runs of looks whose environment metrics are known, and a tiny study of agents that act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from diag.studies.environments.gathered import Gathered, LookFacts
from diag.studies.run import run_study
from diag.studies.study import read_study
from tests.impala_agents import TINY
from tests.short_studies import here, silent
from trainers.system import Share, Standard

PLANS = ("freeze-embedding", "freeze-head", "update-all", "freeze-all")
UPDATES, FRAMES = 100, 10


def look(name: str = "plain", random: float | None = 1.0, share: Share | None = None) -> LookFacts:
    """A look in which a random agent earns this much."""
    known = () if random is None else (Standard(random, "an agent that acts at random", random=True),)
    return LookFacts(name, known, share, FRAMES, UPDATES)


def run(
    plan: str,
    base: int,
    seed: int,
    score: float,
    *,
    name: str = "plain",
    relation: str | None = "matched",
    cka: float = 0.5,
) -> dict[str, object]:
    """A row of a finished run."""
    return {
        "look": name,
        "plan": plan,
        "base_seed": base,
        "seed": seed,
        "fresh": plan == "from-scratch",
        "finite": True,
        "score": score,
        "relation": relation,
        "cka": cka,
        "r2_identity": cka,
    }


def curve(row: Mapping[str, object], scores: Sequence[float]) -> list[dict[str, object]]:
    """Points of a run's curve, evenly over the budget."""
    key = {name: row[name] for name in ("look", "plan", "base_seed", "seed")}
    step = UPDATES // len(scores)
    return [{**key, "step": step * (i + 1), "score": score} for i, score in enumerate(scores)]


def found(
    rows: Sequence[Mapping[str, object]],
    points: Sequence[Mapping[str, object]] = (),
    looks: Sequence[LookFacts] | None = None,
) -> Gathered:
    """What the metrics are taken from."""
    columns = ["look", "plan", "base_seed", "seed", "step", "score"]
    runs = pd.DataFrame(list(rows)).astype({"relation": object, "score": float})
    curves = pd.DataFrame(list(points), columns=columns)
    return Gathered("made-up", tuple(looks or (look(),)), PLANS, runs, curves, ())


def everything() -> Gathered:
    """Two looks with every plan, five bases, and curves: a result to show."""
    rows, points = [], []
    for place, name in enumerate(("near", "far")):
        relation = "matched" if place == 0 else "affine"
        for base in range(5):
            for better, plan in enumerate(PLANS):
                score = 2.0 + 0.1 * base + 0.2 * better
                rows.append(run(plan, base, 0, score, name=name, relation=relation, cka=0.9 - 0.3 * place))
                points += curve(rows[-1], [score / 2] * 5 + [score] * 15)
            rows.append(run("from-scratch", 0, base, 2.0 + 0.1 * base, name=name))
            points += curve(rows[-1], [1.0] * 15 + [2.0 + 0.1 * base] * 5)
    return found(rows, points, [look("near"), look("far")])


STUDY = """
about = "Tiny agents in two looks"
preset = "catch-small"
keep = [0.5]
[variants.one]
bases = 2
transfers = 1
plans = ["freeze-embedding", "freeze-head", "freeze-all"]
[variants.two]
bases = 2
transfers = 1
plans = ["freeze-embedding", "freeze-head"]
set.transfer.variant = "small-ball"
[variants.anew]
bases = 1
transfers = 2
plans = ["from-scratch"]
"""


def tiny_study(folder: Path, text: str = STUDY, *settings: str) -> Path:
    """A study that was trained in a few seconds, in the folder ``study``."""
    recipe = folder / "tiny-looks.toml"
    recipe.write_text(text)
    out = folder / "study"
    study = read_study(str(recipe), [*TINY, *settings])
    assert run_study(study, out, engine=here, jobs=1, progress=silent)
    return out
