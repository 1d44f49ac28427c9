"""What is evaluated repeats itself: draws are held fixed and said, all else that differs is refused."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import diag
from diag.forecasts import ForecastError
from diag.repeatable import SAME, UnsteadyError, examined
from tests.unsteady import Stateful, counted, remembered, standing

pytestmark = pytest.mark.usefixtures("generators_at_a_known_place")


def replaced(module: Any, x: Tensor) -> float:
    module.seen = module.seen + 1
    return 0.0


def cached(module: Any, x: Tensor) -> Tensor:
    """A buffer that is filled at the first call, and then stays."""
    if not module.seen:
        module.seen = torch.ones(())
    seen: Tensor = module.seen
    return seen


def drawn_by_itself(module: Any, x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=module.own)


@pytest.mark.parametrize(
    ("draw", "called"),
    [
        (lambda: torch.randn(3), "torch.randn"),
        (lambda: torch.distributions.Normal(torch.zeros(3), 1.0).rsample(), "torch.normal_"),
        (lambda: torch.zeros(3).uniform_(), "torch.uniform_"),
        (lambda: np.random.rand(3), "from numpy's global one"),  # noqa: NPY002
        (lambda: np.array([random.random()]), "from Python's random"),
        (lambda: torch.rand(3) + random.random(), "torch.rand, from Python's random"),
    ],
    ids=["torch", "distribution", "in place", "numpy", "python", "both"],
)
def test_a_global_generator_is_held_and_left_as_it_stood(draw: Callable[[], Any], called: str) -> None:
    before = standing()
    chance = examined(draw)
    assert chance is not None
    assert (chance.drawn_by, chance.matters) == (called, True)
    held = chance.hold(draw)
    assert np.array_equal(held(), held())
    assert standing() == before
    assert not np.array_equal(draw(), draw())


def test_what_is_drawn_for_nothing_is_held_without_a_word() -> None:
    chance = examined(lambda: torch.rand(3) * 0)
    assert chance is not None
    assert not chance.matters


@pytest.mark.parametrize(("share", "repeats"), [(0.1 * SAME, True), (10 * SAME, False)])
def test_rounding_is_no_difference(share: float, repeats: bool) -> None:
    """Kernels on several threads: the last bits of a sum differ from call to call."""
    calls = iter(range(10))

    def summed() -> Tensor:
        return torch.tensor([100.0, 1.0]) * (1 + share * next(calls))

    if repeats:
        assert examined(summed) is None
        return
    with pytest.raises(UnsteadyError, match="another result each time for the same input"):
        examined(summed)


@pytest.mark.parametrize("wrap", [list, np.array, lambda x: (torch.tensor(x), "a word"), lambda x: {"y": x}])
def test_results_of_every_kind_are_compared(wrap: Callable[[list[float]], Any]) -> None:
    assert examined(lambda: wrap([1.0, 2.0])) is None
    turns = iter([1.0, 2.0])
    with pytest.raises(UnsteadyError, match=r"by up to 1, where the largest number is 3"):
        examined(lambda: wrap([next(turns), 3.0]))


def test_numbers_that_are_not_finite_repeat_themselves_too() -> None:
    assert examined(lambda: {"loss": torch.tensor([float("nan"), float("inf"), 1.0])}) is None
    turns = iter([float("inf"), float("-inf")])
    with pytest.raises(UnsteadyError, match="finite in one alone"):
        examined(lambda: torch.tensor(next(turns)))


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (
            Stateful(counted),
            r"another result each time for the same input \(by up to 0\.01, .* state from call",
        ),
        (Stateful(drawn_by_itself), r"keeps a generator of its own \('own' of the Stateful\)"),
        (Stateful(remembered), r"own buffers change when it is evaluated: seen of the Stateful"),
        (Stateful(replaced), r"own buffers change when it is evaluated: seen of the Stateful"),
        (
            nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3)),
            r"change when .* running_mean of '1' \(BatchNorm1d\).*in training mode; .*\.eval\(\)",
        ),
        (
            nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.01)),
            r"dropout left on: '1' \(Dropout\) in training mode; expected evaluation mode: call \.eval\(\)",
        ),
        (
            nn.GRU(6, 3, 2, dropout=0.5, batch_first=True),
            r"dropout left on: the GRU in training mode",
        ),
    ],
    ids=["counts", "own generator", "in place", "replaced", "batch norm", "dropout", "gru"],
)
def test_what_does_not_repeat_itself_is_refused_with_the_reason(module: nn.Module, words: str) -> None:
    x, before = torch.randn(64, 5, 6) if isinstance(module, nn.GRU) else torch.randn(64, 6), standing()
    held = copy.deepcopy(module.state_dict())

    def evaluate() -> Tensor:
        found = module(x)
        return found[0] if isinstance(found, tuple) else found

    with torch.no_grad(), pytest.raises(UnsteadyError, match=words):
        examined(evaluate)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, held[name])
    assert standing() == before


def test_a_cache_that_is_filled_once_is_no_change() -> None:
    module, x = Stateful(cached).eval(), torch.ones(3, 6)
    assert examined(lambda: module(x)) is None


def test_dropout_that_no_mode_turns_off_is_named() -> None:
    def evaluate() -> Tensor:
        return functional.dropout(torch.ones(64, 4), 0.5)

    with pytest.raises(UnsteadyError, match=r"torch\.nn\.functional\.dropout .* training=self\.training"):
        examined(evaluate)


# --- In somebody's training -------------------------------------------------------------------------------


def test_a_look_leaves_no_trace_in_training(capsys: pytest.CaptureFixture[str]) -> None:
    seen, base = torch.randn(40, 6), np.random.default_rng(0).normal(size=(40, 2))
    encoder = Stateful(lambda module, x: 0.001 * torch.randn_like(x)).eval()
    watch, stands = diag.watch(base, updates=10), standing()
    watch(4, lambda: encoder(seen))
    assert standing() == stands
    assert "torch.randn_like" in watch.warnings[0]
    watch(6, lambda: encoder(seen))
    assert len(watch.warnings) == 1
    assert capsys.readouterr().err.count("warning: ") == 1


def test_a_look_in_training_mode_is_refused_before_it_changes_the_model() -> None:
    seen, base = torch.randn(40, 6), np.random.default_rng(0).normal(size=(40, 2))
    model = nn.Sequential(nn.Linear(6, 2), nn.BatchNorm1d(2))
    held, stands = copy.deepcopy(model.state_dict()), standing()
    with pytest.raises(ForecastError, match=r"running_mean of '1' .* model\.eval\(\) before it is taken"):
        diag.watch(base, updates=10, quiet=True)(4, lambda: model(seen))
    assert all(torch.equal(t, held[name]) for name, t in model.state_dict().items())
    assert standing() == stands
    dropping = nn.Sequential(nn.Linear(6, 2), nn.Dropout(0.5))
    stands = standing()
    with pytest.raises(ForecastError, match=r"dropout left on: '1' \(Dropout\) .* model\.eval\(\) before"):
        diag.watch(base, updates=10, quiet=True)(4, lambda: dropping(seen))
    assert standing() == stands
    assert model.training
    assert dropping.training
