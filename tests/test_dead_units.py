"""Dead units before a rectifier: counted, shown, judged; and not where nothing says that there is one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import diag
import probes
from diag.outputs.compare_html import page
from diag.outputs.compare_text import render
from diag.outputs.json import render as as_json
from diag.sources.opening import Opening
from diag.sources.torch_encoder import module_subject
from diag.subject import Subject
from reports import render as html
from tests.gated import Small, only, said

STATES, UNITS = 40, 10


@dataclass
class Cut(Small):
    """A small system whose embedding goes through a rectifier."""

    rectified: bool = True


def numbers(dead: int, seed: int = 0, below: float = -1.0) -> NDArray[np.float64]:
    """(40, 10) an embedding like the base's, whose first units are dead: cut at ``below``."""
    shared = np.random.default_rng(0).normal(size=(STATES, UNITS))
    found = shared + 0.05 * np.random.default_rng(seed + 1).normal(size=shared.shape)
    found[:, :dead] = below - np.abs(found[:, :dead])
    return found


def pair(
    base: int, transfer: int, rectified: bool = True, frozen: Sequence[str] = ("core",)
) -> tuple[Subject, Subject]:
    """A base and a transfer with so many dead units."""
    one = Cut(numbers(base), rectified=rectified).subject("base", "source")
    other = Cut(numbers(transfer, 1), rectified=rectified).subject("transfer", "target")
    return one, replace(other, frozen=tuple(frozen))


def test_units_at_or_below_0_everywhere_are_dead() -> None:
    x = np.array([[1.0, -2.0, 0.0, 3.0], [-1.0, -1.0, 0.0, 2.0]])
    assert probes.dead_units(x).value == 0.5
    assert probes.dead_units(np.maximum(x, 0)).value == 0.5  # after the rectifier as before it
    assert probes.dead_units(x[:, [3, 1, 0, 2]] * [1e-6, 3, 1e6, 1]).value == 0.5
    assert [probes.dead_units(numbers(k)).value for k in (0, 3, 10)] == [0, 0.3, 1]
    with pytest.raises(probes.ProbeError, match="NaN or infinity"):
        probes.dead_units(np.where(x == 0, np.nan, x))


def test_a_comparison_counts_the_dead_of_both() -> None:
    result = diag.compare(*pair(2, 7))
    assert [result.measures[n].value for n in ("dead_base", "dead_transfer", "living_ratio")] == [
        0.2,
        0.7,
        pytest.approx(3 / 8),
    ]
    assert "70% of its units are never above 0, and 20% of the base's" in result.conclusion
    assert "units never above 0, transfer 0.70" in " ".join(render(result).split())
    assert "units never above 0, transfer" in html(page(result))
    assert json.loads(as_json(result))["measures"]["dead_transfer"]["value"] == 0.7
    some = diag.compare(*pair(2, 3))
    assert some.measures["living_ratio"].value == pytest.approx(7 / 8)
    assert "never above 0, and" not in some.conclusion


def test_where_no_rectifier_follows_nothing_is_counted() -> None:
    result = diag.compare(*pair(2, 7, rectified=False))
    assert result.measures.keys().isdisjoint({"dead_base", "dead_transfer", "living_ratio"})
    gate = diag.check(*pair(2, 7, rectified=False), config=only("collapse"))
    assert {f.name for f in gate.checked[0].findings} == {"collapse[variance]", "collapse[rank]"}


@pytest.mark.parametrize(
    ("dead", "limit", "outcome"), [(2, 0.7, "pass"), (7, 0.7, "fail"), (7, 0.3, "pass"), (10, 0.1, "fail")]
)
def test_the_gate_holds_living_units_against_its_limit(dead: int, limit: float, outcome: str) -> None:
    gate = diag.check(*pair(2, dead), config=only("collapse", check__collapse__min_living=limit))
    found = said(gate, "collapse[living]")
    assert found.outcome == outcome
    assert found.measure is not None
    assert found.measure.value == pytest.approx((UNITS - dead) / 8)


def test_without_a_frozen_reader_the_dead_are_a_warning_and_no_failure() -> None:
    gate = diag.check(*pair(2, 7, frozen=()), config=only("collapse"))
    assert said(gate, "collapse[living]").outcome == "warn"
    assert gate.exit_status == 0
    assert said(diag.check(*pair(2, 2, frozen=())), "collapse[living]").outcome == "pass"


def test_a_base_without_living_units_decides_nothing() -> None:
    gate = diag.check(*pair(10, 7), config=only("collapse"))
    assert said(gate, "collapse[living]").outcome == "inconclusive"


class Says(nn.Module):
    """A module that says what follows it."""

    def __init__(self, rectified: bool) -> None:
        super().__init__()
        self.rectified, self.layer = rectified, nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)
        return out


@pytest.mark.parametrize(
    ("module", "rectified"),
    [
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU()), True),
        (nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU())), True),
        (nn.Sequential(nn.ReLU(), nn.Linear(3, 4)), False),
        (nn.Sequential(), False),
        (nn.Linear(3, 4), False),
        (Says(True), True),
        (Says(False), False),
    ],
)
def test_a_module_ends_in_a_rectifier_or_says_that_one_follows(
    module: nn.Module, rectified: bool, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"weights")
    assert module_subject(module, Opening(str(path))).rectified is rectified
