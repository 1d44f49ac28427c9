"""What a landscape refuses, warns of, and must not be fooled by; each once went wrong."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import diag
from diag.commands.app import run
from diag.landscapes import LandscapeError
from diag.landscapes.point import Point
from diag.sources.systems import crar
from diag.sources.torch_losses import from_module
from diag.subject import Subject, SubjectError
from diag.units.layers import Dense, Gru, chain, units_of
from diag.units.matching import match_weights
from diag.units.symmetry import apply, random_symmetry
from tests.landscapes import SHORT_WAY


def mirrored_and_matched(examples: Path) -> tuple[Subject, Subject]:
    a, b = (diag.open_subject(examples / f"{n}.safetensors") for n in ("mirrored", "matched"))
    return a, b


def other_model(subject: Subject, factor: float) -> Subject:
    """The same encoder beside another transition model."""
    assert subject.parameters is not None
    changed = {n: t * factor if n.startswith("transition") else t for n, t in subject.parameters.items()}
    return replace(subject, path="changed", parameters=changed)


@pytest.mark.long
def test_what_is_held_is_held_in_the_walk_too(examples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With B's own transition model in the walk and A's in the loss, training on would seem to ruin B."""
    monkeypatch.setattr(crar, "WAY", SHORT_WAY)
    a, b = mirrored_and_matched(examples)
    plain = diag.landscape(a, b, points=3, curve_steps=0, move=["encoder"])
    held = diag.landscape(a, other_model(b, 3.0), points=3, curve_steps=0, move=["encoder"])
    assert held.seats[1].sharpness.drift == plain.seats[1].sharpness.drift
    assert "held at A's values" in held.warnings[0]
    assert "B's losses are not its own" in held.warnings[0]
    assert plain.warnings == ()


def regression(model: Any, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    x, y = batch
    return {"error": (model(x) - y).square().mean(1)}


def dense(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))


X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))


def test_a_copy_of_a_perfect_fit_has_no_wall() -> None:
    """5% of a loss of 10⁻¹⁵ is less than rounding."""
    teacher = dense(0)
    batch = X, teacher(X).detach()
    units = units_of(teacher, "model/")
    b = from_module(teacher, regression, batch, units=units, name="B")
    assert b.parameters is not None
    copied = apply(units, b.parameters, random_symmetry(units, 1))
    found = diag.landscape(replace(b, path="A", parameters=copied), b, quick=True)
    assert found.barrier["escape"].value > 1e-3
    assert found.verdict.status == "pass"
    assert "only a symmetry" in found.verdict.summary


def test_rows_of_other_data_or_weights_are_not_taken_for_these(tmp_path: Path) -> None:
    batch = X, dense(2)(X).detach()
    models = [dense(seed) for seed in (0, 1)]

    def take(data: tuple[Tensor, Tensor], weight: float) -> Any:
        ends = [
            from_module(m, regression, data, terms={"error": weight}, name=str(i))
            for i, m in enumerate(models)
        ]
        return diag.landscape(*ends, points=3, quick=True, random_plane=True, steps=3, save=tmp_path / "rows")

    take(batch, 1.0)
    for data, weight in (((X, batch[1] + 5), 1.0), (batch, 10.0)):
        with pytest.raises(LandscapeError, match="rows of another plane"):
            take(data, weight)


def test_a_curve_on_the_samples_it_is_judged_on_says_so() -> None:
    batch = X, dense(2)(X).detach()
    ends = [from_module(dense(seed), regression, batch, name=str(seed)) for seed in (0, 1)]
    found = diag.landscape(*ends, points=5, curve_steps=5)
    assert any("there are no others" in words for words in found.warnings)
    assert found.samples == 60


def test_one_group_is_too_few_for_a_verdict() -> None:
    batch = X, dense(2)(X).detach()
    ends = [
        from_module(dense(seed), regression, batch, groups=np.zeros(60, int), name=str(seed))
        for seed in (0, 1)
    ]
    found = diag.landscape(*ends, points=5, quick=True)
    assert found.barrier["escape"].low is None
    assert found.verdict.status == "inconclusive"


class Recurrent(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.gru, self.head = nn.GRU(3, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.gru(x)[0][:, -1])
        return out


def test_the_units_of_a_recurrent_module_are_matched_by_their_weights() -> None:
    """A copy with its state's units exchanged and negated is none on the nearest way."""
    x = torch.randn(40, 7, 3, generator=torch.Generator().manual_seed(0))
    model = Recurrent(0)
    batch = x, torch.zeros(40, 2)
    plain = from_module(model, regression, batch, name="plain")
    assert plain.parameters is not None
    shapes = {n: tuple(t.shape) for n, t in plain.parameters.items()}
    units = chain([Gru("gru/"), Dense("head/")], shapes)
    b = from_module(model, regression, batch, units=units, name="B")
    copied = apply(units, plain.parameters, random_symmetry(units, 3))
    assert apply(units, copied, match_weights(units, plain.parameters, copied)).keys() == copied.keys()
    found = diag.landscape(replace(b, path="A", parameters=copied), b, quick=True)
    assert "aligned" not in found.routes
    assert found.routes["raw"].length > 1
    assert found.routes["nearest"].length == pytest.approx(0, abs=1e-5)


def test_units_that_do_not_fit_a_module_are_refused() -> None:
    model = dense(0)
    with pytest.raises(SubjectError, match=r"no parameter '0\.weight'"):
        from_module(model, regression, (X, torch.zeros(60, 2)), units=units_of(model))


def test_weights_that_are_not_finite_are_kept_and_counted() -> None:
    batch = X, torch.zeros(60, 2)
    a, b = (from_module(dense(seed), regression, batch, name=str(seed)) for seed in (0, 1))
    assert b.parameters is not None
    broken = {n: t * torch.nan if n.endswith("bias") else t for n, t in b.parameters.items()}
    found = diag.landscape(a, replace(b, parameters=broken), points=5)
    assert found.verdict.status == "inconclusive"
    assert any("weights that are not finite" in words for words in found.warnings)


def test_a_saddle_that_is_left_over_a_short_way_is_one() -> None:
    """1 + 20x² − 20y² + 4000y⁴ far from the origin in other directions: it falls by 2.5% at |y| = 0.05."""
    far = torch.full((50,), 100 / 50**0.5, dtype=torch.float64)

    def loss(w: Tensor) -> Tensor:
        x, y, rest = w[0], w[1], w[2:] - far
        return 1 + 20 * x**2 - 20 * y**2 + 4000 * y**4 + rest.square().sum()

    at = torch.cat([torch.zeros(2, dtype=torch.float64), far])
    v = torch.zeros(52, dtype=torch.float64)
    v[1] = 1
    fall = Point.of(loss, at).both_ways(v, -40.0, 10.0)
    assert fall.found == pytest.approx(0.025, abs=0.005)
    assert fall.length == pytest.approx(0.05, rel=0.4)


MIRRORED, MATCHED, BASE = (f"examples/{n}.safetensors" for n in ("mirrored", "matched", "base"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--save", "rows"], "found no plane"),
        (["--trail", "nothing*.safetensors"], "matches 0 files"),
        (["--move", "encdoer"], "no component 'encdoer'"),
        (["--device", "meta"], "device is 'meta'"),
        (["--third", MIRRORED], "different files"),
        (["--random-plane", "--save", "pyproject.toml"], "pyproject.toml"),
        (["--beyond", "nan"], "beyond"),
        (["--base", "README.md"], "README.md"),
    ],
)
def test_bad_options_are_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert run(["landscape", MIRRORED, MATCHED, "--quick", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_page_is_not_written_over_a_checkpoint_of_the_trail(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for path in (MIRRORED, MATCHED, BASE):
        shutil.copy(path, tmp_path)
    victim = tmp_path / "base.safetensors"
    before = victim.read_bytes()
    arguments = ["--quick", "--trail", str(tmp_path / "*.safetensors"), "--html", str(victim)]
    assert run(["landscape", MIRRORED, MATCHED, *arguments]) == 2
    assert "found an input of this command" in capsys.readouterr().err
    assert victim.read_bytes() == before


def test_a_trail_is_drawn_with_its_files(tmp_path: Path) -> None:
    found = diag.landscape(MIRRORED, MATCHED, quick=True, points=3, trail=[MIRRORED, BASE, MATCHED], steps=3)
    (plane,) = found.planes
    assert [file.path for file in plane.trail] == [MIRRORED, BASE, MATCHED]
    assert [mark.name for mark in plane.marks] == ["1", "2", "3", "A", "B"]
    assert max(mark.off for mark in plane.marks) == pytest.approx(0, abs=1e-2)


def test_equal_checkpoints_are_told_apart_in_words(tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    shutil.copy(MIRRORED, copy)
    found = diag.landscape(MIRRORED, MATCHED, third=copy, quick=True, points=3, steps=3)
    told = [words for words in found.warnings if "nothing lies between them" in words]
    assert len(told) == 1
    assert str(copy) in told[0]


def test_losses_that_no_parameter_changes_are_refused() -> None:
    """The commonest slip: the loss of a model outside, and not of the one that is given."""
    outside = dense(0)
    with pytest.raises(SubjectError, match="losses that no parameter changes"):
        from_module(outside, lambda model, batch: regression(outside, batch), (X, torch.zeros(60, 2)))


def test_modules_are_wrapped_and_names_may_stand_alone() -> None:
    batch = X, torch.zeros(60, 2)
    with pytest.raises(LandscapeError, match="found a torch module, expected"):
        diag.landscape(dense(0), dense(1))  # type: ignore[arg-type]
    a, b = (from_module(dense(seed), regression, batch, name=str(seed)) for seed in (0, 1))
    assert diag.landscape(a, b, quick=True, points=3, move="model").moved == ("model",)
    other = from_module(dense(1), regression, batch, name="1", groups=np.arange(60) // 2)
    with pytest.raises(SubjectError, match="other data"):
        diag.landscape(a, other, quick=True, points=3)


def test_a_step_that_overshoots_is_shortened_until_it_does_not() -> None:
    """A slope of 1 into a wall of curvature: the first steps tried land beyond the bottom."""

    def loss(w: Tensor) -> Tensor:
        return 1 - w[0] + 1e6 * w[0].clamp(min=0) ** 4 + w[1].square()

    point = Point.of(loss, torch.zeros(2, dtype=torch.float64))
    assert point.step(0.0, 10.0).found > 0.004
