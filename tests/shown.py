"""One small result of every kind, for tests of how results show themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import diag
from diag.checks.calibrate import calibrate
from diag.result import FileRef
from diag.shown import Shown
from diag.sources.torch_losses import from_module
from diag.sourcing.ranking import Ranking
from diag.sourcing.result import Between, Likeness, Remains, SourcesCompared
from diag.sourcing.verdict import verdict_of
from diag.studies.environments.metrics import metrics_of
from diag.subject import Subject
from probes import Measure
from tests.conftest import EXAMPLES
from tests.environment_runs import everything
from tests.study_frames import made
from tests.test_forecast import chances, reported

BASE, MIRRORED = (str(EXAMPLES / f"{name}.safetensors") for name in ("base", "mirrored"))


def arrays(folder: Path) -> tuple[str, str, str]:
    """A base's embedding, a mirrored and a near one of it, as files."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(60, 3)) * [1.0, 0.7, 0.4]
    places = [str(folder / f"{name}.npy") for name in ("base", "mirrored", "near")]
    noise = [0.0, 0.05, 0.05]
    for place, signs, scale in zip(places, ([1, 1, 1], [1, -1, 1], [1, 1, 1]), noise, strict=True):
        np.save(place, base * signs + scale * rng.normal(size=base.shape))
    return places[0], places[1], places[2]


def squared(model: torch.nn.Module, batch: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"squared": model(batch).square().sum(1)}


def subjects(names: str) -> list[Subject]:
    torch.manual_seed(0)
    nets = [torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)) for _ in names]
    batch = torch.randn(64, 2)
    return [from_module(net, squared, batch, name=name) for net, name in zip(nets, names, strict=True)]


def landscape() -> Shown:
    return diag.landscape(*subjects("ab"), quick=True, points=5, samples=124)


def landscape_pairs() -> Shown:
    return diag.landscape_pairs(subjects("abc"), points=5, samples=124)


def sources() -> Shown:
    """Two sources before and beside a target, made up."""
    at = Measure(0.5, 0.4, 0.6)
    lead = Ranking("latent", "cka_debiased", 0, 1, Measure(0.2, 0.1, 0.3))
    open_ = Ranking("reward", "cka_debiased", 1, 0, Measure(0.01, -0.1, 0.12))
    files = tuple(FileRef(f"{name}/seed0.safetensors", name * 64) for name in "abc")
    alike = tuple(
        Likeness(source, component, "affine", 0.97, at, at, at)
        for source in (0, 1)
        for component in ("latent", "reward")
    )
    left = (Measure(0.1, 0.1, 0.1), at)
    names = ("a", "b")
    return SourcesCompared(
        question="resembles",
        target=files[2],
        task="one to the other",
        sources=files[:2],
        names=names,
        verdict=verdict_of("resembles", (lead, open_), "latent", names, "one to the other"),
        main="latent",
        rankings=(lead, open_),
        likeness=alike,
        suits=(),
        between=(Between(0, 1, at),),
        remains=(Remains(0, "reward", (0, 10), left, left),),
        heard=(at, Measure(0.0, reason="too few histories for an interval")),
        rows=100,
        histories=10,
        seed=0,
        warnings=("c was not made from a",),
    )


def results(folder: Path) -> dict[str, Shown]:
    """One of every kind, by the name of its renderers."""
    base, mirrored, near = arrays(folder)
    rows = np.load(base)
    known = {"first": rows[:, 0], "side": rows[:, 1] > 0}
    return {
        "calibration": calibrate([base, near]),
        "check": diag.check(base, mirrored, near),
        "comparison": diag.compare(base, mirrored),
        "description": diag.show(MIRRORED),
        "environment_metrics": metrics_of(everything()),
        "file_description": diag.show(base),
        "forecast": diag.forecast(MIRRORED, base=BASE),
        "landscape": landscape(),
        "landscape_pairs": landscape_pairs(),
        "layers": diag.layers(BASE, MIRRORED, relations=False),
        "probe": diag.probe(base, mirrored, variables=known),
        "repair": diag.repair(base, mirrored, out=folder / "mended.npy"),
        "sources": sources(),
        "study": made({0: 3, 1: 0}, 6, points=3, early=()).report(),
        "study_forecast": reported(chances(8, 6, 3.0)[0]),
        "subject": diag.open_subject(MIRRORED),
    }
