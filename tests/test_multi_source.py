"""The second paper's tables as they are printed beside ours."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks.multi_source import PAPER_TASKS, Ours, laid_out, nine_seeds, published
from benchmarks.multi_source import _means as means


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_each_task_has_every_fraction_with_2_3_and_4_sources_and_a_baseline(task: str) -> None:
    found = published(task)
    fractions = {(p, n) for p, n, when in found if when == "all" and p.startswith("fractional")}
    assert fractions == {
        (f"fractional-{f}", n) for f in ("0", "0.1", "0.2", "0.3", "0.4", "0.5") for n in (2, 3, 4)
    }
    assert {(p, n) for p, n, when in found if when == "late"} == {
        *(("fractional-0.2", n) for n in (2, 3)),
        *(("meta-model", n) for n in (2, 3)),
        ("from-scratch", 0),
    }
    assert len(nine_seeds(task)) == 6
    assert all("±" in cell for cell in (*found.values(), *nine_seeds(task).values()))


def test_numbers_stand_where_the_paper_has_them() -> None:
    """Where tables 4 and 6 to 8 both have a number it is the same one: 2 and 3 sources at λ = 0.2."""
    assert published("Hopper")["fractional-0.2", 3, "all"] == "5538±4720"
    assert published("Ant")["fractional-0.4", 2, "all"] == "1308±735"
    assert published("InvDbPend")["from-scratch", 0, "all"] == "1194±306"
    assert published("Hopper")["meta-model", 3, "late"] == "10178±2241"
    assert nine_seeds("Ant")["meta-model", "late"] == "1811±854"


def test_returns_are_taken_over_all_and_over_the_last_tenth_and_gaps_left_out() -> None:
    rows = pd.DataFrame({"step": range(10, 110, 10), "score": [1.0] * 7 + [float("nan"), 4.0, 6.0]})
    assert dict(means(rows)) == {"all": pytest.approx(17 / 9), "late": pytest.approx(5.0)}


def test_our_numbers_stand_beside_the_paper_s_of_the_same_plan_and_sources() -> None:
    key = "hopper", "fractional-0.2", 3, "all"
    lines = list(
        laid_out("return", {key: Ours((1.0, 2.0, 3.0)), ("hopper", "from-scratch", 0, "all"): Ours((1.0,))})
    )
    assert "| fractional-0.2 | 3 | 2±1 [-0.4841, 4.484] | 3 | 5538±4720 | – |" in lines
    assert lines[-2] == "| from-scratch | – | 1 (1 seed) | 1 | 1340±1112 | 2076±2417 |"
    losses = "\n".join(laid_out("reward loss", {key: Ours((0.1, 0.2))}))
    assert "5538" not in losses
