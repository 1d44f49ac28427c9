"""Fixtures: the example checkpoints, and short training runs made once a session."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trainers.plan import TransferPlan, named_plan
from trainers.processes import execute
from trainers.run import Run, prepare
from trainers.settings import Settings, preset

EXAMPLES = Path(__file__).parent.parent / "examples"

# No example fails because the machine is busy.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """As in training; with more, matrix products round by how the work is parted (and tests wait)."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text is 80 columns wide and plain, whatever the terminal that the tests run in says."""
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def examples() -> Path:
    return EXAMPLES


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def base_embedding(rng: np.random.Generator) -> NDArray[np.float64]:
    """200 states in 3 dimensions whose axes differ in spread, so that no rotation is a symmetry."""
    return rng.normal(size=(200, 3)) * [1.0, 0.7, 0.4]


@pytest.fixture
def generators_at_a_known_place() -> None:
    """So that a test of chance is the same each time."""
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)


def short(*assignments: str) -> Settings:
    """The simple maze's settings, made short."""
    return preset("simple-maze").with_overrides(["train.updates=40", "transfer.updates=40", *assignments])


def train(
    out: Path,
    settings: Settings,
    seeds: tuple[int, ...],
    base: Path | None = None,
    plan: TransferPlan | None = None,
    jobs: int = 1,
    resume: bool = False,
) -> Run:
    """Run a training to its end in this process and return it."""
    if base is not None and plan is None:
        plan = named_plan("freeze-dynamics")
    run = Run(settings, seeds, str(out), plan, None if base is None else str(base))
    assert execute(run, prepare(run, resume, overwrite=False), jobs, lambda n: None)
    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short base (base/seed0) and a transfer of it (transfer/seed0)."""
    folder = tmp_path_factory.mktemp("trained")
    train(folder / "base", short(), (0,))
    train(folder / "transfer", short(), (0,), folder / "base" / "seed0.safetensors")
    return folder


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, str]]:
    """A function from a name to that model of Stable-Baselines3 (:mod:`tests.sb3_models`) and its file."""
    from tests.sb3_models import MODELS, model_of

    folder, made = tmp_path_factory.mktemp("sb3"), dict[str, tuple[Any, str]]()

    def get(name: str) -> tuple[Any, str]:
        if name not in made:
            model = model_of(*MODELS[name])
            model.save(folder / f"{name}.zip")
            made[name] = model, str(folder / f"{name}.zip")
        return made[name]

    return get
