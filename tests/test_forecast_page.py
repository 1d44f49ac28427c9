"""Pages of forecasts: the chance on the way by how transfers ended, calibration with counts, what is next."""

from __future__ import annotations

from dataclasses import replace

import altair as alt
import pytest

import diag
from diag.forecasts.judge import unseen
from diag.forecasts.report import report_of
from diag.forecasts.result import ForecastReport
from diag.outputs.registry import html, page
from reports.drawings import drawn, specification
from reports.page import Figure, Page
from reports.spec import Tree
from tests.conftest import EXAMPLES
from tests.test_forecast import chances, judge_of, of
from tests.test_html import outline

FOUND, _ = chances(10, 8, 3.0)
JUDGE = judge_of(FOUND)


@pytest.fixture(scope="module")
def report() -> ForecastReport:
    return report_of(FOUND, JUDGE)


def specs(made: Page) -> dict[str, Tree]:
    return {
        section.short or section.title: specification(section.figure.chart)
        for section in made.sections
        if isinstance(section.figure, Figure)
    }


def test_every_chart_is_what_vega_lite_allows(report: ForecastReport) -> None:
    forecasts = [diag.forecast(EXAMPLES / f"{name}.safetensors") for name in ("base",)]
    for made in (page(report), *map(page, forecasts)):
        for spec in specs(made).values():
            alt.Chart.from_dict(spec)


def test_the_chance_on_the_way_is_the_mean_of_those_given_to_either_end(report: ForecastReport) -> None:
    p, seen = unseen(JUDGE, "embedding", 0.1)
    early = of(report, "embedding", 0.1)
    well, others = early.given
    assert well.value == pytest.approx(p[seen.y].mean())
    assert others.value == pytest.approx(p[~seen.y].mean())
    assert well.low < well.value < well.high
    assert early.to_tree()["given"]["well"]["value"] == pytest.approx(well.value)
    spec = specs(page(report))["Chance"]
    rows = [row for row in spec["data"]["values"] if row["share"] == 0.1]
    assert [(row["name"], row["value"]) for row in rows] == [
        ("ended matched", pytest.approx(well.value, abs=1e-5)),
        ("did not", pytest.approx(others.value, abs=1e-5)),
    ]


def test_one_end_only_has_no_chance_for_the_other(report: ForecastReport) -> None:
    one = tuple(replace(j, given=(type(j.right).undefined("none"), j.given[1])) for j in report.judged)
    spec = specs(page(replace(report, judged=one)))["Chance"]
    assert {row["name"] for row in spec["data"]["values"]} == {"did not"}


def test_accuracies_of_both_views_stand_beside_each_other_with_intervals(report: ForecastReport) -> None:
    spec = specs(page(report))["Accuracy"]
    apart = [part["mark"]["type"] for part in spec["layer"] if "xOffset" in part["encoding"]]
    assert apart == ["rule", "point"]
    assert not any(part["mark"]["type"] == "area" for part in spec["layer"])
    assert "always the commoner end" in drawn(spec, 0).svg


def test_calibration_has_a_panel_a_share_and_counts(report: ForecastReport) -> None:
    spec = specs(page(report))["Calibration"]
    assert [panel["title"] for panel in spec["concat"]] == ["at 5%", "at 10%", "at 50%"]
    early = of(report, "embedding", 0.05)
    points = spec["concat"][0]["data"]["values"]
    assert [point["of"] for point in points] == [b.of for b in early.bins]
    words = " ".join(outline(html(report)).words)
    assert f"{early.bins[0].came_true} of {early.bins[0].of}" in words


def test_the_next_step_of_a_transfer_that_is_lost_is_a_comparison_and_a_repair() -> None:
    base, mirrored = EXAMPLES / "base.safetensors", EXAMPLES / "mirrored.safetensors"
    found = diag.forecast(mirrored, base=base)
    made = page(found)
    assert found.verdict.status == "fail"
    assert made.sections[-1].commands == [
        f"diag compare-embeddings {base} {mirrored}",
        f"diag repair {base} {mirrored} -o mended.safetensors",
    ]
    assert (made.kind, made.title) == ("forecast", "mirrored")
    alone = page(diag.forecast(base))
    assert alone.sections[-1].commands == [f"diag transfer {base} --seeds 0-7 --out transfers"]


def test_a_forecast_is_drawn_between_0_and_100_with_its_number() -> None:
    found = diag.forecast(EXAMPLES / "mirrored.safetensors", base=EXAMPLES / "base.safetensors")
    spec = specs(page(found))["The forecast"]
    p = found.probability
    first, known = spec["data"]["values"][:2]
    assert (first["value"], first["low"], first["high"]) == pytest.approx((p.value, p.low, p.high), rel=1e-4)
    assert known["value"] == pytest.approx(found.common, rel=1e-4)
    assert f"{p.value:.0%} [{p.low:.0%}, {p.high:.0%}]" in drawn(spec, 0).svg
