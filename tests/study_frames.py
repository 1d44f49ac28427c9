"""Made-up studies that look like real ones: tables, facts and pictures whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.studies.report import EmbeddingPicture, PlannedCell, StudyFacts, StudyReport, report
from diag.studies.table import frame

STATES = 31
MAIN = ("main", "freeze-dynamics")
TERMS = ("transition", "bound", "entropy_random", "entropy_successive")
PLACES = np.array(
    [(r, c) for r in range(6) for c in range(3)] + [(3, 3)] + [(r, c) for r in range(6) for c in (4, 5)],
    float,
)
ROOMS = np.array(["left"] * 18 + ["door"] + ["right"] * 12)


@dataclass(frozen=True)
class Made:
    """What :func:`report` takes, and its answer."""

    results: pd.DataFrame
    curves: pd.DataFrame
    facts: StudyFacts
    pictures: tuple[EmbeddingPicture, ...]

    def report(self) -> StudyReport:
        return report(self.results, self.curves, self.facts, self.pictures)


def made(
    rates: Mapping[int, int],
    transfers: int = 22,
    groups: Sequence[tuple[str, str]] = (MAIN,),
    early: Sequence[int] = (5_000, 20_000),
    score: bool = False,
    drawn: bool = True,
    points: int = 20,
) -> Made:
    """A finished study in which so many transfers of each base succeed, under every plan alike.

    Failures are mirrored in axis 1, but for every fifth, which is scrambled and undecided; their losses are
    drawn from the same distribution, but for the transition loss, which is larger.
    """
    rng = np.random.default_rng(0)
    rows, curves, pictures = [], [], []
    for base in rates:
        home = _home(base)
        for variant in dict.fromkeys(g[0] for g in groups):
            for step in (*early, 160_000):
                final = step == 160_000
                rows.append(_row(rng, variant, "base", "", base, base, step, 160_000, None))
                if drawn:
                    now = home if final else _noisy(rng, home, 0.5 if step < 10_000 else 0.2)
                    pictures.append(_picture(variant, "", base, base, step, final, home, now, None))
            curves += _curves(rng, variant, "base", "", base, base, 160_000, True, points)
        for variant, plan in groups:
            for one in range(transfers):
                good = one < rates[base]
                relation = "matched" if good else None if one % 5 == 0 else "flipped"
                end = _noisy(rng, home * [1, 1 if good else -1], 0.02 if relation else 0.5)
                for step in (*early, 80_000):
                    row = _row(rng, variant, "transfer", plan, base, one, step, 80_000, relation)
                    if score:
                        row["score"] = (1.0 if good else -5.0) * step / 80_000 + rng.normal() * 0.3
                    rows.append(row)
                    if drawn:
                        final = step == 80_000
                        now = end if final else _noisy(rng, end, 0.3)
                        one_of = (variant, plan, base, one, step, final, home, now, relation)
                        pictures.append(_picture(*one_of))
                curves += _curves(rng, variant, "transfer", plan, base, one, 80_000, good, points)
    planned = tuple(PlannedCell(*g, b, transfers) for g in groups for b in rates)
    facts = StudyFacts(
        "made-up",
        "simple-maze",
        {"algorithm": "separate", "train.learning_rate": "0.0005", "transfer.learning_rate": "0.0001"},
        tuple(rates),
        tuple(range(transfers)),
        {"torch": "2.13.0", "numpy": "2.4.6"},
        5025.0,
        "cpu",
        planned,
    )
    return Made(frame(rows), pd.DataFrame(curves), facts, tuple(pictures))


def _home(base: int) -> NDArray[np.float64]:
    """(31, 2) the base's embedding: the maze, bent."""
    x, y = (PLACES[:, 1] - 2.5) / 2.5, (PLACES[:, 0] - 2.5) / 2.5
    turn = 0.3 * np.sin(base + 1.0)
    return np.stack([0.9 * y + turn * x * y, 0.9 * x - turn * y**2 + 0.15], 1)


def _noisy(rng: np.random.Generator, x: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    return x + noise * rng.normal(size=x.shape)


def _picture(
    variant: str,
    plan: str,
    base: int,
    seed: int,
    step: int,
    final: bool,
    home: NDArray[np.float64],
    now: NDArray[np.float64],
    relation: str | None,
) -> EmbeddingPicture:
    near = np.abs(PLACES[:, None] - PLACES).sum(-1) == 1
    arrows = np.stack([now, now, now, now], 1)
    for state in range(STATES):
        for action, other in enumerate(np.flatnonzero(near[state])):
            arrows[state, action] = now[other]
    return EmbeddingPicture(
        variant, plan, base, seed, step, final, home, now, ROOMS, arrows, relation, colour="room"
    )


def _row(
    rng: np.random.Generator,
    variant: str,
    phase: str,
    plan: str,
    base: int,
    seed: int,
    step: int,
    updates: int,
    relation: str | None,
) -> dict[str, object]:
    losses = {f"loss_{t}": 0.05 + 0.005 * rng.normal() for t in TERMS}
    row: dict[str, object] = {
        "variant": variant,
        "phase": phase,
        "plan": plan,
        "base_seed": base,
        "seed": seed,
        "step": step,
        "updates": updates,
        "final": step == updates,
        "path": f"{plan or 'base'}/seed{seed}.safetensors",
        "sha256": "0" * 64,
        "finite": True,
        "states": STATES,
        "success_states": 29,
        "gradient_norm": 0.1 + 0.02 * rng.random(),
        **losses,
    }
    if phase == "transfer":
        good = relation == "matched"
        done = step / updates
        own = float(rng.integers(29, 32) if good else rng.integers(0, 4))
        row |= {
            "own_states": own if done == 1 else np.floor(own * done),
            "succeeded": good and done == 1,
            "relation": relation if done == 1 else None,
            "status": "pass" if good else "fail",
            "axes": "1" if relation == "flipped" else "",
            "agreement": 0.97,
            "l2": (0.07 if good else 1.16) + 0.05 * rng.random() + 0.3 * (1 - done),
            "r2_identity": 0.98 if good else -0.5,
            "r2_signs": 0.98 if good else 0.58,
            "mended_loss": 0.16,
            "mended_escape": 0.0 if good else 0.05,
        }
        row["loss_transition"] = 0.02 * rng.random() + (0.002 if good else 0.015)
    row["loss_total"] = sum(float(str(row[f"loss_{t}"])) for t in TERMS)
    return row


def _curves(
    rng: np.random.Generator,
    variant: str,
    phase: str,
    plan: str,
    base: int,
    seed: int,
    updates: int,
    good: bool,
    points: int,
) -> list[dict[str, object]]:
    key = {"variant": variant, "phase": phase, "plan": plan, "base_seed": base, "seed": seed}
    times = np.arange(1, points + 1) * updates // points
    return [
        {**key, "update": int(t), "term": term, "loss": float(v)}
        for term in TERMS
        for t, v in zip(
            times,
            (0.05 if good or term != "transition" else 0.07)
            + 0.3 * np.exp(-times / (updates / 8))
            + 0.01 * rng.random(points),
            strict=True,
        )
    ]
