"""Studies of several plans and variants: a verdict that speaks for all of them, tables that stay short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from diag.outputs.registry import text
from diag.outputs.study_groups_text import MOST_WHOLE
from diag.outputs.study_html import sections
from diag.studies.report import StudyReport
from diag.studies.scored import VariantFacts
from tests.study_frames import made
from trainers.system import Standard

LOOKS = ("large", "small", "red")
PLANS = ("freeze-embedding", "update-all")


def landed(
    successes: Mapping[tuple[str, str], int],
    variants: Mapping[str, VariantFacts] | None = None,
    scores: bool = False,
    bases: Sequence[int] = (0, 1, 2),
    transfers: int = 2,
) -> StudyReport:
    """Three bases with two transfers each under every group, of which so many succeed, the first ones."""
    study = made(dict.fromkeys(bases, 0), transfers, tuple(successes), (), drawn=False, points=2)
    results = study.results.copy()
    for (variant, plan), count in successes.items():
        mine = results["variant"].eq(variant) & results["plan"].eq(plan)
        rows = results.index[mine]
        results.loc[rows, "succeeded"] = np.arange(len(rows)) < count
        if scores:
            results.loc[rows, "score"] = np.where(np.arange(len(rows)) < count, 0.9, -0.9)
    if scores:
        results["succeeded"] = None
        results.loc[results["phase"] == "base", "score"] = 1.0
    return replace(study, results=results, facts=replace(study.facts, variants=variants or {})).report()


def looks(**counts: tuple[int, int]) -> dict[tuple[str, str], int]:
    return {(look, plan): n for look, pair in counts.items() for plan, n in zip(PLANS, pair, strict=True)}


def test_a_reference_that_lands_does_not_hide_those_that_do_not() -> None:
    found = landed(looks(large=(6, 6), small=(6, 4), red=(0, 0)))
    assert found.groups[0].succeeded.count == 6
    assert found.verdict.status == "fail"
    assert found.verdict.summary.startswith(
        "In 2 of 6 groups (a variant and a plan each) none of the 12 transfers succeeded: red (all 2 plans). "
        "In 1 some did: small, update-all (4 of 6). In the other 3 all 18 transfers did."
    )


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ((6, 6), "pass"),
        ((6, 5), "warn"),
        ((1, 6), "warn"),
        ((5, 0), "fail"),
        ((0, 6), "fail"),
        ((0, 0), "fail"),
    ],
)
def test_the_status_is_that_of_the_worst_group(counts: tuple[int, int], status: str) -> None:
    found = landed({("main", plan): n for plan, n in zip(PLANS, counts, strict=True)})
    assert found.verdict.status == status


def test_all_and_none_are_said_of_all() -> None:
    every = landed({(look, "freeze-dynamics"): 6 for look in LOOKS}).verdict
    assert every.summary.startswith("All 18 transfers succeeded in all 3 variants.")
    none = landed({("main", plan): 0 for plan in PLANS}).verdict
    assert none.summary.startswith("Under all 2 plans none of the 12 transfers succeeded. No other")
    some = landed({(look, "freeze-dynamics"): n for look, n in zip(LOOKS, (6, 2, 6), strict=True)}).verdict
    assert some.summary.startswith(
        "In 1 of 3 variants some transfers succeeded and some did not: small (2 of 6). In"
    )


def test_what_the_bases_do_is_said_of_the_reference() -> None:
    counts = {("main", "freeze-dynamics"): 2, ("main", "fine-tune"): 6}
    words = landed(counts).verdict.summary  # both transfers of base 0, and none of the others
    assert (
        "In freeze-dynamics (the reference) it is not shown that success depends on the base: 2 of 2" in words
    )


def test_training_from_scratch_does_not_count_as_a_transfer() -> None:
    facts = {"main": VariantFacts("main", (Standard(-1.0, "nobody"),), fresh=("from-scratch",), unread=PLANS)}
    counts = {("main", "freeze-embedding"): 6, ("main", "update-all"): 6, ("main", "from-scratch"): 0}
    found = landed(counts, facts, scores=True)
    assert found.by == "score"
    assert found.verdict.status == "pass"
    said = "The plan from-scratch keeps nothing of a base and does not count here (0 of 6 succeeded)."
    assert said in found.verdict.summary
    alone = landed({("main", "from-scratch"): 0}, facts, scores=True)
    assert alone.verdict.status == "fail"


def test_what_freezes_nothing_need_not_land_but_must_earn() -> None:
    counts = {("main", "freeze-embedding"): 6, ("main", "fine-tune"): 0}
    facts = {"main": VariantFacts("main", (Standard(-1.0, "nobody"),), unread=("fine-tune",))}
    by_states = landed(counts, facts).verdict
    assert by_states.status == "pass"
    assert by_states.summary.startswith("freeze-embedding: All of the 6 transfers from 3 bases succeeded.")
    assert (
        "The plan fine-tune freezes nothing that reads an embedding and does not count here"
        in by_states.summary
    )
    assert landed(counts, facts, scores=True).verdict.status == "fail"


def test_too_few_transfers_are_not_called_alike() -> None:
    words = landed({(f"look{n}", "freeze-dynamics"): 6 * (n < 20) for n in range(21)}).verdict.summary
    assert words.endswith(
        "There are too few transfers of each base to show that any group differs from look0."
    )
    words = landed(looks(large=(6, 6), small=(6, 5), red=(6, 6))).verdict.summary
    assert words.endswith("No other plan or variant is shown to differ from large, freeze-embedding.")


def test_many_names_are_cut() -> None:
    counts = {(f"look{n}", "freeze-dynamics"): 1 * (n < 2) for n in range(12)}
    words = landed(counts, bases=(0,), transfers=1).verdict.summary
    assert "look2, look3, look4, look5, look6, look7 and 4 more" in words


def many() -> StudyReport:
    found = landed(looks(large=(6, 6), small=(6, 4), red=(0, 1)))
    assert len(found.groups) > MOST_WHOLE
    return found


def test_many_groups_have_a_line_each_and_their_own_tables_on_request() -> None:
    found = many()
    lines = text(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("share, 95%" in line for line in lines) == 1
    assert sum("share, 95%" in line for line in text(found, verbose=True).splitlines()) == 6
    assert len(lines) < len(text(landed(looks(large=(6, 6), small=(6, 4)))).splitlines())
    (at,) = [n for n, line in enumerate(lines) if line.strip() == "small" and "succeeded" not in line][:1]
    cells = [line.split() for line in lines[at + 1 : at + 3]]
    assert cells[0][:6] == ["freeze-embedding", "6", "of", "6", "2", "2"]
    assert cells[1][:7] == ["update-all", "4", "of", "6", "2", "2", "0"]
    assert cells[1][7:] == ["-33%", "[-100%,", "0%]", cells[1][-1]]


def test_medians_of_many_groups_are_those_of_their_transfers() -> None:
    found = many()
    last = found.transfers
    mine = last[(last["variant"] == "small") & (last["plan"] == "update-all")]
    expected = mine.groupby("outcome")["l2"].median()
    both = [f"{expected['success']:.2f}", f"{expected['failure']:.2f}"]
    lines = [line.split() for line in text(found).splitlines() if "update-all" in line]
    assert sum(line[-2:] == both for line in lines) == 1


def test_the_page_of_many_groups_has_a_row_a_group() -> None:
    found = many()
    shown = {s.title: s for s in sections(found)}
    assert next(iter(shown)) == "Plans and variants"
    for title in ("Plans and variants", "Relations", "What distances and losses tell"):
        table = shown[title].table
        assert table is not None
        assert len(table) == 6
    own = shown["Success by base: large, freeze-embedding"].table
    assert own is not None
    assert list(own["base"]) == ["0", "1", "2", "all"]
    plans = shown["Plans and variants"].table
    assert plans is not None
    assert list(plans["by base"]) == ["2 2 2", "2 2 2", "2 2 2", "2 2 0", "0 0 0", "1 0 0"]
