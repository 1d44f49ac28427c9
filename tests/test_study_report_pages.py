"""The page of a study: whole without scripts, silent, small, and honest about holes."""

from __future__ import annotations

import json
from dataclasses import replace

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert

from diag.outputs.registry import html
from diag.outputs.study_html import sections
from diag.outputs.study_pictures import MOST_PANELS, multiples_sections
from diag.studies.report import report
from tests.study_frames import MAIN, Made, made
from tests.test_html import outline


@pytest.fixture(scope="module")
def study() -> Made:
    return made({0: 1, 1: 5}, 6)


@pytest.fixture(scope="module")
def page(study: Made) -> str:
    return html(study.report())


def test_it_leads_with_the_verdict_and_reads_without_scripts(page: str, study: Made) -> None:
    found = outline(page)
    words = " ".join(found.words)
    assert study.report().verdict.summary in words
    for heading in (
        "Success by base",
        "Beside the paper",
        "Relations",
        "What distances and losses tell",
        "How success moves with its margin",
        "How embeddings come to be",
        "Losses while transferring",
        "On the way, at the kept checkpoints",
        "All embeddings",
    ):
        assert heading in words
    assert "Scores" not in words
    assert words.index(study.report().verdict.summary) < words.index("Success by base")
    assert page.count('role="img" aria-label=') == found.tags.count("svg") == page.count("data-spec=")


def test_it_asks_for_nothing_and_is_small(page: str) -> None:
    assert [a for a in outline(page).addresses if not a.startswith(("data:", "#"))] == []
    assert len(page) < 2e6


def test_a_study_with_rewards_shows_its_scores_and_plans() -> None:
    found = made({0: 1, 1: 3}, 4, (MAIN, ("main", "fine-tune")), score=True, drawn=False, points=3).report()
    titles = [s.title for s in sections(found)]
    for heading in (
        "Scores by base and by seed",
        "Approaches",
        "Plans and variants",
        "Losses while transferring: fine-tune",
    ):
        assert heading in titles
    assert "All embeddings" not in titles


def test_many_embeddings_are_thinned_in_proportion_and_stay_small() -> None:
    found = made(dict.fromkeys(range(20), 4), 16, early=(), points=2).report()
    (section,) = multiples_sections(found)
    assert section.figure is not None
    with alt.data_transformers.enable("default", max_rows=None):
        spec = section.figure.chart.to_dict()
    labels = [row["label"] for rows in spec["datasets"].values() for row in rows if "label" in row]
    assert len(labels) <= MOST_PANELS + 20
    assert section.words[0] == (
        "Only 160 of the 320 transfers are drawn, with successes and failures in proportion."
    )
    assert sum(label.startswith("✓") for label in labels) == 40
    assert sum(map(len, (json.dumps(spec), vl_convert.vegalite_to_svg(spec)))) < 1.2e6


def test_holes_are_said_and_drawn_around(study: Made) -> None:
    results = study.results.copy()
    results = results[~(results["final"] & (results["base_seed"] == 1) & (results["plan"] != ""))]
    broken = results["seed"].eq(2) & results["plan"].ne("")
    results.loc[broken, "finite"] = False
    results.loc[broken, ["l2", "loss_total", "own_states"]] = np.nan
    results.loc[broken, "relation"] = None
    no_arrows = [replace(p, arrows=None, transfer=p.transfer * np.nan) for p in study.pictures[:4]]
    found = report(results, pd.DataFrame(), study.facts, [*no_arrows, *study.pictures[4:]])
    words = " ".join(outline(html(found)).words)
    assert "What is missing" in words
    assert "6 of 12 transfers have not finished" in words
    assert "not finite" in words


def test_nothing_yet_is_a_page_too(study: Made) -> None:
    page = html(report(pd.DataFrame(), pd.DataFrame(), study.facts))
    assert "nothing can be said yet" in page
    assert "<svg" not in page


def test_one_base_where_none_or_all_succeed() -> None:
    for count in (0, 2):
        found = sections(made({7: count}, 2, drawn=False, early=(), points=2).report())
        assert found[0].title == "Success by base"
        assert all(s.figure is None or s.figure.chart.to_dict() for s in found)


def test_names_cannot_break_out() -> None:
    evil = "</script><script>alert(1)</script>"
    study = made({0: 1}, 2, ((evil, evil), MAIN), drawn=False, early=(), points=2)
    assert evil not in html(replace(study.report(), facts=replace(study.facts, name=evil)))
