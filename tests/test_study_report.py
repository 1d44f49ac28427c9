"""The report of a study: what it says of studies whose truth is known, and of those with holes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from diag.outputs import json as as_json
from diag.outputs.registry import text
from diag.studies import StudyError, paper
from diag.studies.report import StudyFacts, report
from diag.studies.statistics import boschloo
from tests.study_frames import MAIN, Made, made

NOBODY = StudyFacts("nothing", "simple-maze", {}, (), (), {}, 0.0, "cpu")


@pytest.fixture(scope="module")
def papers() -> Made:
    """A study with the paper's own counts: 3 of 22 and 21 of 22."""
    return made({0: 3, 1: 21})


def test_the_papers_counts_give_the_papers_answer(papers: Made) -> None:
    found = papers.report()
    assert found.verdict.summary == (
        "Success depends on the base: 3 of 22 from base 0 and 21 of 22 from base 1 (p < 0.001)."
    )
    assert found.verdict.status == "warn"
    group = found.groups[0]
    assert group.bases_differ == boschloo(3, 22, 21, 22) < paper.BASES_DIFFER.value
    assert [c.succeeded.count for c in group.cells] == [3, 21]
    matched, flipped = ([c.relations.get(kind, 0) for c in group.cells] for kind in ("matched", "flipped"))
    assert group.relations_differ == {
        "matched": boschloo(matched[0], 22, matched[1], 22),
        "flipped": boschloo(flipped[0], 22, flipped[1], 22),
    }
    assert group.over_bases == (3 / 22, 21 / 22)
    assert found.missing == ()
    rows = {row.what: row for row in found.beside}
    assert rows["bases like its base 1"].ours == rows["bases like its base 2"].ours == "1 of 2 bases"
    assert rows["success, all bases together"].p == pytest.approx(1.0)
    assert rows["updates of a transfer"].ours == rows["updates of a transfer"].paper == "80,000"


def test_distances_have_two_modes_and_losses_do_not_tell(papers: Made) -> None:
    group = papers.report().groups[0]
    assert group.dip.p is not None
    assert group.dip.p < 0.001
    told = {t.name: t for t in group.told}
    assert told["l2"].auc.value == 1.0
    assert told["loss_transition"].auc.value is not None
    assert told["loss_transition"].auc.value > 0.9
    assert told["mended_loss"].auc.value == 0.5  # the same for all


def test_relations_are_counted_with_what_is_undecided(papers: Made) -> None:
    group = papers.report().groups[0]
    assert group.relations == {"matched": 24, "flipped": 16, "undecided": 4}
    assert list(group.cells[0].relations) == ["matched", "flipped", "undecided"]


def test_the_count_moves_with_its_margin(papers: Made) -> None:
    margins = dict(papers.report().groups[0].margins)
    own = papers.results.query("phase == 'transfer' and final")["own_states"]
    assert list(margins) == list(range(31, 19, -1))
    assert all(count == (own >= need).sum() for need, count in margins.items())
    assert margins[29] == 24


def test_plans_are_held_against_the_reference_within_bases() -> None:
    study = made({0: 2, 1: 4, 2: 6}, 8, (("main", "fine-tune"), MAIN, ("main", "scratch")), drawn=False)
    results = study.results.copy()
    better = (results["plan"] == "fine-tune") & results["final"]
    results.loc[better, "succeeded"] = True
    found = replace(study, results=results).report()
    assert [g.plan for g in found.groups] == ["freeze-dynamics", "fine-tune", "scratch"]
    first, tuned, scratch = found.groups
    assert first.reference
    assert first.against_reference is None
    assert tuned.against_reference is not None
    assert scratch.against_reference is not None
    assert tuned.against_reference.tested.corrected < 0.001
    assert tuned.against_reference.difference.value == pytest.approx(0.5)
    assert scratch.against_reference.tested.p == 1.0
    assert found.verdict.summary.endswith("More often than freeze-dynamics: fine-tune (24 of 24).")
    assert tuned.cells[0].against_reference is not None
    assert tuned.cells[0].against_reference.p == boschloo(8, 8, 2, 8)


def test_without_the_papers_plan_the_first_is_the_reference() -> None:
    found = made({0: 1}, 4, (("wide", "fine-tune"), ("narrow", "fine-tune")), drawn=False).report()
    assert [g.variant for g in found.groups] == ["wide", "narrow"]
    assert "narrow" in text(found)


def test_an_unfinished_study_says_what_is_missing(papers: Made) -> None:
    keep = ~(papers.results["plan"].eq(MAIN[1]) & papers.results["final"] & papers.results["seed"].ge(20))
    kept = papers.results[keep & (papers.results["base_seed"] == 0)]
    found = report(kept, papers.curves, papers.facts, papers.pictures)
    assert found.verdict.status == "inconclusive"
    assert found.verdict.summary.startswith("The study is not finished. 3 of 20 transfers of base 0")
    assert found.missing == (
        "bases not trained yet: 1",
        "24 of 44 transfers have not finished",
        "main, freeze-dynamics, base 0: 2 of 22 missing",
        "main, freeze-dynamics, base 1: 22 of 22 missing",
    )
    words = text(found)
    assert all(line in words for line in found.missing)
    assert "none yet" in words


def test_a_study_that_has_only_begun() -> None:
    for results in (pd.DataFrame(), made({0: 1}, 2, drawn=False).results.query("phase == 'base'")):
        found = report(results, pd.DataFrame(), NOBODY)
        assert found.verdict.status == "inconclusive"
        assert found.groups == ()
        assert "nothing can be said" in text(found)
    planned = made({0: 1, 1: 1}, 2, drawn=False)
    found = report(pd.DataFrame(), pd.DataFrame(), planned.facts)
    assert found.missing[1] == "4 of 4 transfers have not finished"
    assert json.loads(as_json.render(found))["groups"][0]["succeeded"]["share"] is None
    assert "none yet" in text(found)


def test_all_none_and_a_single_one() -> None:
    assert made({0: 4, 1: 4}, 4, drawn=False).report().verdict.status == "pass"
    none = made({0: 0, 1: 0}, 4, drawn=False).report()
    assert none.verdict.status == "fail"
    assert none.verdict.summary == "None of the 8 transfers from 2 bases succeeded."
    assert none.groups[0].cells[0].auc.value is None
    one = made({0: 1}, 1, drawn=False).report()
    assert one.verdict.summary == "1 of 1 transfers of base 0 succeeded (100% [21%, 100%])."
    assert one.groups[0].bases_differ is None
    for found in (none, one):
        assert "cannot be said" in text(found, verbose=True)


def test_weights_that_are_not_finite_count_as_failed(papers: Made) -> None:
    results = papers.results.copy()
    broken = (results["plan"] == MAIN[1]) & (results["seed"] == 0) & (results["base_seed"] == 1)
    results.loc[broken, "finite"] = False
    results.loc[broken, "succeeded"] = pd.NA
    gone = ["own_states", "l2", "loss_total", "loss_transition", "gradient_norm"]
    results.loc[broken, gone] = np.nan
    results.loc[broken, "relation"] = None
    found = replace(papers, results=results).report()
    cell = found.groups[0].cells[1]
    assert cell.succeeded.count == 20
    assert cell.succeeded.n == 22
    assert cell.relations["not finite"] == 1
    assert json.loads(as_json.render(found))
    assert "not finite" in text(found)


def test_a_world_without_a_number_of_states_goes_by_the_relation(papers: Made) -> None:
    results = papers.results.assign(succeeded=pd.array([pd.NA] * len(papers.results), "boolean"))
    results = results.assign(own_states=np.nan, states=np.nan, success_states=np.nan)
    found = replace(papers, results=results).report()
    assert found.rule == "the embedding's relation to the base's is matched"
    assert found.groups[0].succeeded == found.groups[0].matched
    assert found.groups[0].margins == ()
    assert text(found)


def test_a_row_that_stands_twice_counts_once(papers: Made) -> None:
    twice = pd.concat([papers.results, papers.results.head(60)], ignore_index=True)
    assert replace(papers, results=twice).report().groups[0].succeeded.n == 44


def test_curves_part_by_outcome_and_follow_the_checkpoints(papers: Made) -> None:
    group = papers.report().groups[0]
    assert {(c.outcome, c.runs) for c in group.curves} == {("success", 24), ("failure", 20)}
    last = {c.outcome: c.iqm[-1] for c in group.curves if c.name == "transition"}
    assert last["failure"] == pytest.approx(last["success"] + 0.02, abs=0.005)
    states = next(c for c in group.progress if (c.name, c.outcome) == ("own_states", "success"))
    assert states.step.tolist() == [5_000, 20_000, 80_000]
    assert states.iqm[0] < 5 < 29 <= states.iqm[-1]


def test_without_early_checkpoints_or_curves_nothing_is_made_up() -> None:
    study = made({0: 1, 1: 3}, 4, early=())
    found = report(study.results, pd.DataFrame(), study.facts, study.pictures)
    assert found.groups[0].progress == found.groups[0].curves == found.base_curves == ()
    assert [len(row) for row in found.stages] == [1, 1, 1]


def test_stages_are_a_base_a_success_and_a_flipped_failure(papers: Made) -> None:
    base, good, bad = papers.report().stages
    assert [p.step for p in base] == [5_000, 20_000, 160_000]
    assert [p.step for p in good] == [p.step for p in bad] == [5_000, 20_000, 80_000]
    assert good[-1].succeeded
    assert bad[-1].relation == "flipped"
    assert len({p.base_seed for p in (*base, *good, *bad)}) == 1


def test_scores_are_means_with_standard_errors() -> None:
    study = made({0: 0, 1: 4}, 4, (MAIN, ("main", "fine-tune")), score=True, drawn=False)
    scores = study.report().scores
    assert list(dict.fromkeys(scores["panel"])) == [
        *("by base", "by seed"),
        *("from base 0", "from base 1"),
    ]
    ends = scores[(scores["panel"] == "by base") & (scores["step"] == 80_000)].set_index("name")
    assert ends.loc["0", "mean"] == pytest.approx(-5, abs=0.5)
    assert ends.loc["1", "mean"] == pytest.approx(1, abs=0.5)
    own = study.results.query("plan == 'freeze-dynamics' and base_seed == 0 and final")["score"]
    assert ends.loc["0", "high"] - ends.loc["0", "mean"] == pytest.approx(own.std() / 2)
    assert made({0: 1}, 2, drawn=False).report().scores.empty


def test_many_bases_are_named_by_their_ends_and_pairs_left_out() -> None:
    found = made({b: b % 5 for b in range(40)}, 4, drawn=False, early=(), points=2).report()
    assert "from 0 of 4 (base 0) to 4 of 4 (base 39)" in found.verdict.summary
    assert found.groups[0].pairs == ()
    assert len(found.groups[0].cells) == 40


def test_the_text_fits_a_terminal(papers: Made) -> None:
    many = made(
        {b: b for b in range(6)}, 6, (MAIN, ("a-rather-long-variant-name", "reset-encoder")), drawn=False
    )
    for found in (papers.report(), many.report()):
        for verbose in (False, True):
            assert max(map(len, text(found, verbose).splitlines())) <= 80
    assert "3 of 22  14% [5%, 33%]" in text(papers.report())


def test_the_json_is_finite_and_whole(papers: Made) -> None:
    tree = json.loads(as_json.render(papers.report()))
    assert tree["diagnosis"] == "study"
    assert tree["verdict"]["status"] == "warn"
    (group,) = tree["groups"]
    assert group["cells"][0]["succeeded"]["count"] == 3
    assert len(tree["transfers"]) == 44
    assert {row["section"] for row in tree["paper"]} >= {"5.1.2", "5.2.2"}


def test_a_report_is_the_same_again(papers: Made) -> None:
    assert as_json.render(papers.report()) == as_json.render(papers.report())


def test_a_table_without_its_key_is_refused(papers: Made) -> None:
    with pytest.raises(StudyError, match="results has no column 'plan'"):
        report(papers.results.drop(columns="plan"), papers.curves, papers.facts)


def test_the_papers_numbers_are_consistent() -> None:
    """19 and 1 of 22 failed: Boschloo's p is below the bound that the paper gives."""
    first, second = paper.BASES
    assert (first.n - first.count, second.n - second.count) == (19, 1)
    assert boschloo(first.count, first.n, second.count, second.n) < paper.BASES_DIFFER.value
