"""Whether to freeze the head goes with the relation: counts, exact tests, and what cannot be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from diag.studies.environments.asked import Asked, asked
from tests.environment_runs import run

Pair = tuple[str | None, float]


def answer(looks: Mapping[str, Sequence[Pair]]) -> Asked:
    """The answer where each look's bases have this relation and earn this much more by freezing the head."""
    rows = []
    for name, pairs in looks.items():
        for base, (relation, more) in enumerate(pairs):
            cka = 0.9 if relation == "matched" else 0.4 + 0.01 * len(rows)
            both = {"name": name, "relation": relation, "cka": cka}
            rows.append(run("freeze-embedding", base, 0, 1.0, **both))  # type: ignore[arg-type]
            rows.append(run("freeze-head", base, 0, 1.0 + more, name=name, relation="matched"))
    found = asked(pd.DataFrame(rows).astype({"relation": object}), "score")
    assert found is not None
    return found


def test_a_rule_that_always_holds() -> None:
    found = answer(
        {
            **{f"apart{i}": [("affine", 0.2), ("flipped", 0.3)] for i in range(3)},
            **{f"same{i}": [("matched", -0.2), ("matched", -0.1)] for i in range(3)},
        }
    )
    assert found.counts["not matched"] == {"head": 6, "embedding": 0, "equal": 0}
    assert found.counts["matched"] == {"head": 0, "embedding": 6, "equal": 0}
    assert (found.agree.count, found.agree.n) == (12, 12)
    assert found.told_apart
    assert found.p_pairs < 0.01
    assert found.p_looks == pytest.approx(1 / 20)  # 3! · 3! of 6! orders
    assert [look.better for look in found.looks] == ["head"] * 3 + ["embedding"] * 3


def test_the_relation_is_the_frozen_embeddings_and_not_that_of_what_was_trained() -> None:
    assert answer({"only": [("affine", 0.2)]}).counts["not matched"]["head"] == 1


def test_it_is_taken_from_those_that_freeze_everything_where_it_is_undecided() -> None:
    rows = [
        run("freeze-embedding", 0, 0, 1.0, relation=None),
        run("freeze-head", 0, 0, 2.0),
        run("freeze-all", 0, 0, 0.0, relation="affine"),
    ]
    found = asked(pd.DataFrame(rows).astype({"relation": object}), "score")
    assert found is not None
    assert found.counts["not matched"]["head"] == 1


def test_where_all_looks_are_of_one_relation_nothing_can_be_told() -> None:
    found = answer({"a": [("affine", 0.2)] * 2, "b": [("affine", -0.2)] * 2, "c": [("affine", 0.0)] * 2})
    assert not found.told_apart
    assert (found.p_pairs, found.p_looks) == (1.0, 1.0)
    assert found.counts["not matched"] == {"head": 2, "embedding": 2, "equal": 2}
    assert (found.agree.count, found.agree.n) == (2, 4)
    assert found.looks[2].better == "neither"


def test_undecided_pairs_count_for_nothing() -> None:
    found = answer({"a": [(None, 0.2), ("matched", -0.1)]})
    assert found.counts["undecided"]["head"] == 1
    assert (found.agree.count, found.agree.n) == (1, 1)


def test_the_rank_correlation_has_an_exact_p() -> None:
    found = answer({f"look{i}": [("affine", 0.1 * (i + 1))] for i in range(4)})
    rank = found.rank["cka"]
    assert rank.value == pytest.approx(1.0)
    sums = [np.dot(np.arange(4) - 1.5, np.array(o) - 1.5) for o in permutations(range(4))]
    assert rank.p == pytest.approx(np.mean(np.abs(sums) >= 5.0 - 1e-9)) == pytest.approx(2 / 24)
    assert found.rank["r2_identity"].value == pytest.approx(1.0)
    assert answer({"a": [("affine", 0.1)]}).rank["cka"].reason == "needs 4 looks"


def test_there_is_no_answer_without_both_plans() -> None:
    rows = pd.DataFrame([run("freeze-head", 0, 0, 1.0)]).astype({"relation": object})
    assert asked(rows, "score") is None
