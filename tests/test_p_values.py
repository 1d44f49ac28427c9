"""p-values at the floor of their permutations are written as bounds, in texts, pages and the JSON."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import diag
import probes
from diag.outputs.registry import html, text
from diag.outputs.words import difference
from diag.wording import p_value, significant
from probes import Measure
from tests.test_html import outline


@pytest.mark.parametrize(
    ("p", "floor", "words"),
    [
        (0.01, 0.01, "≤ 0.010"),
        (0.02, 0.01, "0.020"),
        (0.01, None, "0.010"),
        (1 / 200, 1 / 200, "≤ 0.005"),
        (1e-4, 1e-4, "< 0.001"),
        (None, 0.01, "–"),
    ],
)
def test_a_p_at_its_floor_is_a_bound(p: float | None, floor: float | None, words: str) -> None:
    assert p_value(p, floor) == words


@given(st.floats(0.0, 1.0))
@example(0.0496)
@example(0.0504)
@example(0.05 * (1 - 1e-15))
@example(np.nextafter(0.05, 1))
@example(0.05 * (1 - 2e-9))
def test_a_p_value_reads_on_the_side_of_its_words(p: float) -> None:
    """Where the words say that a p-value is below 0.05, so do its digits, and nowhere else."""
    words = p_value(p)
    read = 0.0 if words.startswith("<") else float(words)
    assert significant(read) == significant(p)
    assert abs(read - p) <= 0.0005 + 1e-12


def test_every_permutation_says_its_floor() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    linear = probes.linear_probe(x, x[:, 0])
    assert linear.p == linear.p_floor == 1 / (1 + linear.shuffles)
    side = x[:, 0] > 0
    clusters = probes.cluster_events(x, side)
    assert clusters.p_floor == 1 / (1 + clusters.shuffles)
    cca = probes.variable_cca(x, x[:, 0])
    assert cca.p == cca.p_floor == 1 / (1 + cca.draws)
    episodes = np.arange(60) // 3
    grouped = probes.variable_cca(x, x[:, 0], groups=episodes)
    assert grouped.p == grouped.p_floor == 1 / 200, "199 shuffles of whole episodes decide"
    shuffled = probes.independence(x, x, null="permutation", draws=99)
    assert shuffled.p == shuffled.p_floor == 0.01
    assert probes.independence(x, x).p_floor is None, "a fitted tail has no least value"


def test_a_comparison_of_episodes_says_so_everywhere(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(200, 3)) * [1.0, 0.7, 0.4]
    found = diag.compare(y, y + 0.01 * rng.normal(size=y.shape), episodes=np.arange(200) // 10)
    cka = found.measures["cka"]
    assert cka.p == cka.p_floor is not None
    shown = f"p ≤ {cka.p:.3f}"
    assert shown in text(found)
    assert f"≤ {cka.p:.3f}" in " ".join(outline(html(found)).words)
    tree = found.to_tree()["measures"]["cka"]
    assert tree["p"] == tree["p_floor"] == cka.p
    states = diag.compare(y, y + 0.01 * rng.normal(size=y.shape))
    assert states.to_tree()["measures"]["cka"]["p_floor"] is None


def test_a_probe_says_so_and_why() -> None:
    y = np.random.default_rng(0).normal(size=(80, 2))
    found = diag.probe(y, variables={"first": y[:, 0]})
    shown = text(found)
    assert "p ≤ 0.010" in shown
    assert "p ≤ marks the least p-value that the shuffles could give" in " ".join(shown.split())
    tree = found.to_tree()["variables"]["first"]["columns"][0]
    assert tree["probe"]["p"] == tree["probe"]["p_floor"] == 0.01
    noise = diag.probe(y, variables={"none": np.random.default_rng(1).normal(size=80)})
    assert "≤" not in text(noise)


@pytest.mark.parametrize("d", [1, 2])
def test_one_dimension_is_no_dimensions(d: int) -> None:
    y = np.random.default_rng(0).normal(size=(80, d))
    for shown in (text(diag.compare(y, -y)), text(diag.probe(y, variables={"v": y[:, 0]}))):
        assert ("1 dimension," in shown or "1 dimension;" in shown) == (d == 1)
        assert "1 dimensions" not in shown


def test_a_difference_has_a_word_and_no_sign() -> None:
    assert difference(Measure(-0.045, -0.06, -0.03)) == "0.045 [0.030, 0.060] lower"
    assert difference(Measure(0.045, -0.01, 0.1), 2, "ahead", "behind") == "0.04 [-0.01, 0.10] ahead"
    assert difference(Measure.undefined("none")) == "–"
