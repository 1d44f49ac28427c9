"""Losses at the points of slices and planes, and ends of Hessians, beside public packages, as ratios.

    python benchmarks/landscape.py [--repeats 7] [--quick] [--only plane]

The peers live in a virtual environment of their own (peers.txt says how); one that is missing is named
under the table. Contenders take turns, round by round; times are medians, a ratio is the median over
rounds of peer ÷ ours with its range beside it. One thread for each. Ours begins at torch modules and ends
at the sums over groups that intervals are made of; the peer's ends at the mean. Values are compared at the
points that the peer takes: it leaves out t = 0, and shifts every other row of a plane (those are left out).
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_name] = "1"  # what it starts inherits it

import argparse
import importlib.metadata
import itertools
import math
import multiprocessing
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from diag.landscapes.evaluate import Data, on_route, take, total_of
from diag.landscapes.space import Space, Straight, Through
from diag.landscapes.spectrum import ends
from diag.sources.torch_losses import from_module

MISSING: list[str] = []
try:
    import loss_landscapes
    from loss_landscapes.metrics import Loss
except ImportError:
    MISSING.append("loss-landscapes is not installed: no comparison with it")
    loss_landscapes = Loss = None
try:
    from pyhessian import hessian
except ImportError:
    MISSING.append("pyhessian is not installed: no comparison with it")
    hessian = None

Array = np.ndarray[Any, Any]

POINTS, STEPS = 51, 51
SAME = 1e-4
"""How far losses may lie apart, as a share of the largest: the peer adds up its steps in float32."""
PEER_ENDS = (("as it comes", 100, 1e-3), ("tol 1e-6", 1000, 1e-6), ("2,000 products an end", 2000, 0.0))
"""Its name, most iterations, and tolerance between two estimates: power iteration meets that long before it
has the low end, which lies close to all the rest."""
WIDTHS = (64, 200, 100, 50, 10, 2)


class Labyrinth(nn.Module):
    """The encoder of the labyrinths: 48 × 48 pixels to 8 × 8 × 3, even kernels padded after as Keras does."""

    def __init__(self) -> None:
        super().__init__()
        after = nn.ZeroPad2d((0, 1, 0, 1))
        self.encoder = nn.Sequential(
            *(after, nn.Conv2d(1, 8, 2), nn.Tanh(), after, nn.Conv2d(8, 16, 2), nn.Tanh(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.Tanh(), nn.MaxPool2d(3), nn.Conv2d(32, 3, 1)),
        )

    def forward(self, seen: Tensor) -> Tensor:
        found: Tensor = self.encoder(seen)
        return found


def mlp() -> nn.Sequential:
    """The simple maze's encoder."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(WIDTHS):
        layers += [nn.Linear(fan_in, fan_out), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def mlp_data(n: int) -> tuple[Tensor, Tensor]:
    seen = torch.rand(n, WIDTHS[0], generator=torch.Generator().manual_seed(1))
    return seen, torch.stack([seen[:, :32].mean(1), seen[:, 32:].std(1)], 1)


def labyrinth_data(n: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.rand(n, 1, 48, 48, generator=random), torch.rand(n, 3, 8, 8, generator=random)


def networks(make: Callable[[], nn.Module], batch: tuple[Tensor, Tensor], steps: int) -> list[nn.Module]:
    """Three networks trained a little from different seeds."""
    made = []
    for seed in range(3):
        torch.manual_seed(seed)
        network = make()
        optimiser = torch.optim.Adam(network.parameters(), 1e-3)
        for _ in range(steps):
            optimiser.zero_grad()
            functional.mse_loss(network(batch[0]), batch[1]).backward()
            optimiser.step()
        made.append(network)
    return made


def squared(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Per-sample squared error, whose mean is mse_loss."""
    return {"mse": (model(batch[0]) - batch[1]).square().flatten(1).mean(1)}


@dataclass(frozen=True)
class Ours:
    """What a user has after opening two or three modules."""

    evaluate: Any
    data: Data

    @classmethod
    def of(cls, models: list[nn.Module], batch: tuple[Tensor, Tensor]) -> Ours:
        subjects = [
            from_module(model, squared, batch, name=n) for model, n in zip(models, "abc", strict=False)
        ]
        first = subjects[0]
        assert first.objective is not None
        assert first.tasks is not None
        assert first.parameters is not None
        space = Space.of(first.parameters, list(first.parameters))
        at = [space.pack(s.parameters or {}) for s in subjects]
        path = Straight(*at) if len(at) == 2 else Through(*at)
        sampled = first.tasks.batch("target", len(batch[0]), 0)
        return cls(on_route(first.objective, space, path, sampled.batch), Data.of(sampled, 0))

    def losses(self, at: Array) -> Array:
        return take(self.evaluate, at, self.data).means["mse"]


def slice_of(models: list[nn.Module], batch: tuple[Tensor, Tensor], at: Array) -> Array:
    return Ours.of(models[:2], batch).losses(at)


def plane_of(models: list[nn.Module], batch: tuple[Tensor, Tensor], at: Array) -> Array:
    return Ours.of(models, batch).losses(at)


def grid(alpha: Array, beta: Array) -> Array:
    return np.stack(np.meshgrid(alpha, beta, indexing="ij"), -1).reshape(-1, 2)


def peer_slice(models: list[nn.Module], batch: tuple[Tensor, Tensor], points: int) -> Array:
    found = loss_landscapes.linear_interpolation(
        models[0], models[1], Loss(functional.mse_loss, *batch), points, deepcopy_model=True
    )
    return np.asarray(found)


def peer_plane(models: list[nn.Module], batch: tuple[Tensor, Tensor], steps: int) -> Array:
    found = loss_landscapes.planar_interpolation(
        *models, Loss(functional.mse_loss, *batch), steps, deepcopy_model=True
    )
    return np.asarray(found)


# --- Two processes --------------------------------------------------------------------------------------

_OWN: list[tuple[list[nn.Module], tuple[Tensor, Tensor]]] = []
"""What a worker was given."""


def _prepare(models: list[nn.Module], batch: tuple[Tensor, Tensor]) -> None:
    torch.set_num_threads(1)
    _OWN.append((models, batch))


def _share(at: Array) -> Array:
    return plane_of(*_OWN[0], at)


class Halves:
    """The plane by two processes, which stay: half of the rows each."""

    def __init__(self, models: list[nn.Module], batch: tuple[Tensor, Tensor]) -> None:
        began = time.perf_counter()
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(2, spawn, _prepare, (models, batch))
        self.losses(np.zeros((2, 2)))
        self.start = time.perf_counter() - began

    def losses(self, at: Array) -> Array:
        return np.concatenate(list(self._pool.map(_share, np.array_split(at, 2))))

    def close(self) -> None:
        self._pool.shutdown()


# --- Hessians -------------------------------------------------------------------------------------------


def our_ends(models: list[nn.Module], batch: tuple[Tensor, Tensor]) -> Any:
    subject = from_module(models[0], squared, batch)
    assert subject.objective is not None
    assert subject.parameters is not None
    space = Space.of(subject.parameters, list(subject.parameters))
    return ends(total_of(subject.objective, space, batch), space.pack(subject.parameters))


@dataclass(frozen=True)
class PeerEnd:
    value: float
    residual: float
    """‖Hv − λv‖ / max |λ|."""


def peer_ends(models: list[nn.Module], batch: tuple[Tensor, Tensor], most: int, tol: float) -> list[Any]:
    """Power iteration finds the end of larger size; of H − λ₁, as the Hessian of loss − λ₁‖θ‖²/2, the other.

    The package has no other way to the low end. Its residuals are not part of what is timed.
    """
    found, shift = [], 0.0
    for _ in range(2):
        model, taken = models[0], shift

        def loss(y: Tensor, wanted: Tensor, model: nn.Module = model, taken: float = taken) -> Tensor:
            value = functional.mse_loss(y, wanted)
            return value - taken / 2 * sum(p.square().sum() for p in model.parameters()) if taken else value

        model.zero_grad(set_to_none=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the cycle that it makes
            one = hessian(model, loss, data=batch, cuda=False)
        torch.manual_seed(0)
        values, vectors = one.eigenvalues(maxIter=most, tol=tol, top_n=1)
        found.append((one, values[0], vectors[0], shift))
        shift = shift or values[0]
    return found


def judged(found: Any) -> list[PeerEnd]:
    ends_ = []
    for one, value, vector, shift in found:
        product = torch.autograd.grad(one.gradsH, one.params, vector, retain_graph=True)
        off = sum(float((p - value * v).square().sum()) for p, v in zip(product, vector, strict=True))
        ends_.append(PeerEnd(value + shift, math.sqrt(off) / abs(found[0][1])))
    return ends_


# --- Running --------------------------------------------------------------------------------------------


def rounds(repeats: int, **contenders: Callable[[], Any]) -> dict[str, list[float]]:
    """Seconds of each, all taking turns after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(repeats + 1):
        for name, run in contenders.items():
            began = time.perf_counter()
            run()
            if number:
                times[name].append(time.perf_counter() - began)
    return times


def row(task: str, ours: list[float], peer: str, theirs: list[float], words: str) -> str:
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    own, other = 1000 * statistics.median(ours), 1000 * statistics.median(theirs)
    ratio = f"**{statistics.median(ratios):.3g}** ({min(ratios):.3g}–{max(ratios):.3g})"
    return f"| {task} | {own:.4g} | {peer} | {other:.4g} | {ratio} | {words} |"


def apart(ours: Array, theirs: Array) -> str:
    share = float(abs(ours - theirs).max() / abs(theirs).max())
    return f"losses agree to {share:.0e}" if share <= SAME else f"void: losses differ by {share:.0e}"


def slices(repeats: int, quick: bool) -> None:
    points, batch = (11 if quick else POINTS), labyrinth_data(128)
    models = networks(Labyrinth, (batch[0][:16], batch[1][:16]), 5)
    if loss_landscapes is None:
        return
    at = np.linspace(0, 1, points)
    times = rounds(
        repeats, ours=lambda: slice_of(models, batch, at), peer=lambda: peer_slice(models, batch, points)
    )
    theirs = np.arange(1, points + 1) / points
    words = apart(slice_of(models, batch, theirs), peer_slice(models, batch, points))
    print(
        row(
            f"slice, {points} points, conv, batch 128", times["ours"], "loss-landscapes", times["peer"], words
        )
    )


def planes(repeats: int, quick: bool) -> None:
    steps = 11 if quick else STEPS
    for n in (32, 512):
        batch = mlp_data(n)
        models = networks(mlp, batch, 200)
        at, words = grid(np.linspace(0, 1, steps), np.linspace(0, 1, steps)), "not compared"
        halves = Halves(models, batch)
        contenders: dict[str, Callable[[], Any]] = {
            "one": lambda m=models, b=batch, at=at: plane_of(m, b, at),
            "two": lambda h=halves, at=at: h.losses(at),
        }
        if loss_landscapes is not None:
            contenders["peer"] = lambda m=models, b=batch: peer_plane(m, b, steps)
        times = rounds(repeats, **contenders)
        task = f"plane, {steps} × {steps}, MLP, batch {n}"
        if loss_landscapes is not None:
            even = np.arange(0, steps, 2) / steps
            same = plane_of(models, batch, grid(even, np.arange(1, steps + 1) / steps))
            words = apart(same, peer_plane(models, batch, steps)[::2].reshape(-1))
            print(row(task, times["one"], "loss-landscapes", times["peer"], words))
            print(row(f"{task}, two processes", times["two"], "loss-landscapes", times["peer"], words))
        words = f"starting both took {halves.start:.1f} s"
        print(
            row(f"{task}, two processes", times["two"], "ours, one process", times["one"], words), flush=True
        )
        halves.close()


def hessians(repeats: int, quick: bool) -> None:
    for n in (32, 512):
        batch = mlp_data(n)
        models = networks(mlp, batch, 50 if quick else 200)
        contenders: dict[str, Callable[[], Any]] = {"ours": lambda m=models, b=batch: our_ends(m, b)}
        if hessian is not None:
            for name, most, tol in PEER_ENDS:
                contenders[name] = lambda m=models, b=batch, i=most, t=tol: peer_ends(m, b, i, t)
        times = rounds(repeats, **contenders)
        own = our_ends(models, batch)
        ours = f"{own.high.value:.4g} and {own.low.value:.3g}, residuals {own.high.residual:.0e}, "
        ours += f"{own.low.residual:.0e}, {own.products} products"
        for name, run in list(contenders.items())[1:]:
            theirs = judged(run())
            words = f"ours {ours}; theirs {theirs[0].value:.4g} and {theirs[1].value:.3g}, residuals "
            words += ", ".join(f"{end.residual:.0e}" for end in theirs)
            task = f"both ends of the Hessian, MLP, batch {n}"
            print(row(task, times["ours"], f"pyhessian, {name}", times[name], words), flush=True)


def memory(repeats: int, quick: bool) -> None:
    for contender in ("ours", *(["peer"] if loss_landscapes is not None else [])):
        sizes = []
        for points in (11, 51) if quick else (51, 501):
            command = [sys.executable, __file__, "--peak", contender, str(points)]
            sizes.append((points, int(subprocess.run(command, capture_output=True, check=True).stdout)))
        words = ", ".join(f"{points} points {kb / 1024:.0f} MiB" for points, kb in sizes)
        print(f"| peak memory of the slice, {contender} | {words} | | | | |", flush=True)


def peak(contender: str, points: int) -> None:
    """Prints the largest resident set, in KiB, of this process after one slice."""
    torch.set_num_threads(1)
    batch = labyrinth_data(128)
    models = networks(Labyrinth, (batch[0][:16], batch[1][:16]), 1)
    if contender == "ours":
        slice_of(models, batch, np.linspace(0, 1, points))
    else:
        peer_slice(models, batch, points)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


TASKS = {"slice": slices, "plane": planes, "hessian": hessians, "memory": memory}


def version(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} missing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="few points: does everything run and agree?")
    parser.add_argument("--only", choices=tuple(TASKS), action="append", help="can be given repeatedly")
    parser.add_argument("--peak", nargs=2, metavar=("WHO", "POINTS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak is not None:
        peak(given.peak[0], int(given.peak[1]))
        return
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}"
    )
    print(", ".join(map(version, ("torch", "numpy", "loss-landscapes", "pyhessian"))))
    print(f"median of {given.repeats} rounds\n")
    print("| task | ours, ms | peer | ms | peer ÷ ours (range) | |")
    print("|---|---|---|---|---|---|", flush=True)
    for word, task in TASKS.items():
        if given.only is None or word in given.only:
            task(given.repeats, given.quick)
    for line in MISSING:
        print(line)


if __name__ == "__main__":
    main()
