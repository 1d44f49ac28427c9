"""Plans side by side: what they end with, which stand together, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diag.outputs.registry import html, text
from diag.outputs.study_html import sections
from diag.studies.arms import Arm, End, PlanEnds, short
from diag.studies.beside_games import beside_games
from diag.studies.dreams import BASES, KEPT, drift_of
from diag.studies.plans import arms_of, in_words, side_by_side
from diag.studies.reading import report_of
from diag.studies.result import StudyFacts
from diag.studies.run import run_study
from diag.studies.scored import VariantFacts
from diag.studies.study import Study, Variant
from diag.subject import Foreseen
from tests.corridor import corridor
from tests.short_studies import here, silent
from tests.test_html import outline
from trainers.plan import named_plan
from trainers.system import Standard

RANDOM = (Standard(2.5, "an agent that acts at random", random=True),)


def facts(**variants: VariantFacts) -> StudyFacts:
    return StudyFacts("s", "p", {}, (0, 1), (0, 1), {}, 1.0, "cpu", variants=variants)


def curve(
    plan: str, base: int, seed: int, values: dict[str, list[float]], variant: str = "a"
) -> pd.DataFrame:
    where = {"variant": variant, "phase": "transfer", "plan": plan, "base_seed": base, "seed": seed}
    return pd.DataFrame(
        [
            {**where, "update": 10 * (step + 1), "term": term, "loss": value}
            for term, every in values.items()
            for step, value in enumerate(every)
        ]
    )


def rows(plan: str, relation: str, variant: str = "a") -> pd.DataFrame:
    one = {"variant": variant, "plan": plan, "name": relation, "r2_identity": 0.25, "r2_affine": 0.75}
    return pd.DataFrame([one, {**one, "r2_identity": 0.75}])


@pytest.fixture
def arms() -> tuple[Arm, ...]:
    falling, flat = list(np.linspace(9.0, 0.5, 20)), [4.0] * 20
    curves = pd.concat(
        [
            curve("freeze-recurrent", 0, 0, {"kl": flat, "image": falling}),
            curve("freeze-recurrent", 1, 0, {"kl": [6.0] * 20, "image": falling}),
            curve("from-scratch", 0, 0, {"kl": [1.0] * 20, "image": [3.0] * 20}, "b"),
        ]
    )
    where = {"variant": "a", "phase": "transfer", "plan": "freeze-recurrent", "base_seed": 0, "seed": 0}
    returns = pd.DataFrame([{**where, "step": 10 * s, "score": float(s)} for s in range(1, 21)])
    last = pd.concat([rows("freeze-recurrent", "affine"), rows("from-scratch", "unrelated", "b")])
    known = facts(a=VariantFacts("a", RANDOM), b=VariantFacts("a", RANDOM, fresh=("from-scratch",)))
    names = [("a", "freeze-recurrent"), ("b", "from-scratch")]
    return side_by_side(curves, returns, last, names, known)


def test_the_end_is_the_mean_of_the_last_tenth(arms: tuple[Arm, ...]) -> None:
    (arm,) = arms
    frozen, scratch = arm.plans
    assert frozen.ends["kl"] == End(5.0, 4.0, 6.0, 2)
    assert frozen.ends["image"].mean == pytest.approx(np.linspace(9.0, 0.5, 20)[-2:].mean())
    assert frozen.ends["return"] == End(19.5, 19.5, 19.5, 1)
    assert (scratch.fresh, frozen.fresh) == (True, False)
    assert (frozen.relations, frozen.identity, frozen.affine) == ({"affine": 2}, 0.5, 0.75)
    drawn = arm.curves[(arm.curves["quantity"] == "kl") & (arm.curves["plan"] == "freeze-recurrent")]
    assert drawn["value"].tolist() == [5.0] * 20
    assert drawn["step"].tolist() == [10.0 * (s + 1) for s in range(20)]


def test_what_is_said_of_them(arms: tuple[Arm, ...]) -> None:
    assert in_words(arms) == (
        "a, at the end, with from-scratch in brackets: freeze-recurrent: image 0.724 (3), kl 5 (1)."
    )
    assert in_words(()) == ""
    assert [short(v) for v in (23.456, 0.0312, 1234.5)] == ["23.5", "0.0312", "1,234"]


def test_variants_that_differ_in_their_settings_stand_apart() -> None:
    other = {"tasks.target": (["seaquest"], ["space_invaders"])}
    known = facts(
        a=VariantFacts("a"), b=VariantFacts("a"), c=VariantFacts("a", differs=other), d=VariantFacts("a")
    )
    names = [("a", "x"), ("b", "y"), ("c", "x"), ("d", "x")]
    assert arms_of(names, known) == [[("a", "x"), ("b", "y"), ("d", "x")]]
    assert arms_of([("c", "x"), ("a", "y")], known) == []


def test_the_papers_orders_hold_only_where_no_runs_overlap() -> None:
    def plan(name: str, kl: End) -> PlanEnds:
        return PlanEnds("a", name, name == "from-scratch", {"kl": kl}, {}, None, None)

    def told(frozen: End, scratch: End) -> str:
        arm = Arm("a", (plan("freeze-recurrent", frozen), plan("from-scratch", scratch)), pd.DataFrame())
        (row,) = beside_games([arm])
        return row.ours

    assert told(End(5, 4, 6, 2), End(1, 1, 1, 2)) == "1, 5: so"
    assert told(End(1, 1, 1, 2), End(5, 4, 6, 2)) == "5, 1: the reverse"
    assert told(End(5, 1, 6, 2), End(3, 2, 4, 2)) == "3, 5: runs overlap"


def test_drift_is_the_mean_of_runs_over_histories_that_go_on() -> None:
    def run(image: float, ends: int) -> Foreseen:
        losses = np.full((10, 3), image)
        losses[:ends, 2] = np.nan
        shown = np.zeros((10, 3, 1, 2, 2), np.float32)
        return Foreseen({"image": losses}, np.full((10, 3), 1.5), shown, shown)

    found = drift_of([("x", 0, run(2.0, 2)), ("x", 1, run(4.0, 2)), (BASES, 0, run(1.0, 3))])
    x = found[(found["name"] == "x") & (found["quantity"] == "image")]
    assert x[["step", "value", "low", "high", "runs"]].to_numpy().tolist() == [
        [step, 3.0, 2.0, 4.0, 2] for step in range(3)
    ]
    assert found[found["name"] == BASES]["step"].tolist() == [0, 1]  # seven go on to the last, too few
    assert found[found["name"] == KEPT]["value"].tolist() == [1.5] * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study in the corridor: two plans and one from scratch, which nobody has acted in before."""
    place = tmp_path_factory.mktemp("study")
    settings = corridor(place / "data", "train.updates=60", "transfer.updates=20", "evaluation.episodes=4")
    plans = tuple(named_plan(n) for n in ("freeze-recurrent", "all-trained"))
    study = Study(
        "corridors",
        "",
        (),
        (
            Variant("negative", settings, (0,), (0, 1), plans),
            Variant("scratch", settings, (0,), (0, 1), (named_plan("from-scratch"),)),
        ),
    )
    assert run_study(study, place / "s", engine=here, jobs=1, progress=silent)
    return place / "s"


def test_a_study_of_world_models_shows_them(folder: Path) -> None:
    found = report_of(folder)
    (arm,) = found.arms
    assert [plan.plan for plan in arm.plans] == ["freeze-recurrent", "all-trained", "from-scratch"]
    assert {"image", "reward", "discount", "kl", "return"} <= set(arm.plans[0].ends)
    (dreamt,) = found.dreamt
    names = set(dreamt.drift["name"])
    assert names == {"freeze-recurrent", "all-trained", "from-scratch", BASES, KEPT}
    assert len(dreamt.strips) == 5
    titles = [s.title for s in sections(found)]
    for title in ("Plans side by side: negative", "Open loop: negative", "Dreamt pictures: negative"):
        assert title in titles
    assert "How success moves with its margin" not in titles
    assert "with from-scratch in brackets" in found.verdict.summary
    words = text(found)
    assert "open loop, negative" in words
    tree = found.to_tree()
    assert [plan["plan"] for plan in tree["plans"][0]["plans"]] == [plan.plan for plan in arm.plans]
    assert tree["open_loop"][0]["histories"] == dreamt.histories
    assert outline(html(found)).tags.count("svg") >= 4
