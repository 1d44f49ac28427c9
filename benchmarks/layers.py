"""Networks compared layer by layer: beside pytorch-cka and nngeom, at the same work.

    python benchmarks/layers.py                    # 5,000 pictures, three rounds
    python benchmarks/layers.py --pictures 512

Two ResNet-18 (written out here), every convolution and the last layer, pictures of 64×64, one thread. Each
contender runs in a process of its own, in turns, and prints its processor time and the most memory it held.
pytorch-cka computes the same estimate from batches of the same size, in single precision and without
intervals. nngeom compares each layer with its namesake alone, on features that it holds whole: it is given
the last block and layer of as many pictures as that allows, and its time is scaled up. The maps of ours and
of pytorch-cka must agree. Peers are found where they are installed: ``pip install pytorch-cka nngeom``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

BATCH = 128
NNGEOM_MOST = 256


class Block(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        same = stride == 1 and inner == outer
        self.down = (
            None
            if same
            else nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.down is None else self.down(x)))


class ResNet18(nn.Module):
    """The standard network of eighteen layers, with a thousand classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        widths = (64, 64, 128, 256, 512)
        for number, (inner, outer) in enumerate(itertools.pairwise(widths), 1):
            blocks = nn.Sequential(Block(inner, outer, 1 if number == 1 else 2), Block(outer, outer, 1))
            self.add_module(f"layer{number}", blocks)
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


def network(seed: int) -> ResNet18:
    torch.manual_seed(seed)
    return ResNet18().eval()


def pictures(count: int) -> Tensor:
    small = torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(small, size=64, mode="bilinear")


def layers_of(net: nn.Module) -> list[str]:
    return [name for name, part in net.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)]


def ours(folder: Path) -> Any:
    import diag
    from diag.sources.supplied import Supplied

    given = Supplied(model="benchmarks.layers:ResNet18", inputs=(folder / "x.npy",))
    names = tuple(layers_of(ResNet18()))
    begun = time.process_time()
    result = diag.layers(
        folder / "a.pt", folder / "b.pt", supplied=given, relations=False, maps=False, only=names
    )
    return time.process_time() - begun, result.map.cka


def pytorch_cka(folder: Path) -> Any:
    from cka import compute_cka
    from torch.utils.data import DataLoader, TensorDataset

    begun = time.process_time()
    nets = [network(0), network(1)]
    for net, name in zip(nets, "ab", strict=True):
        net.load_state_dict(torch.load(folder / f"{name}.pt", weights_only=True))
    data = DataLoader(TensorDataset(torch.from_numpy(np.load(folder / "x.npy"))), batch_size=BATCH)
    names = layers_of(nets[0])
    maps = compute_cka(*nets, data, layers=names, progress=False)
    matrix = maps[0] if isinstance(maps, tuple | list) else maps
    return time.process_time() - begun, matrix.double().numpy()


def nngeom(folder: Path) -> Any:
    from nngeom.representations import extract_activations, linear_cka

    x = torch.from_numpy(np.load(folder / "x.npy"))
    few = x[:NNGEOM_MOST]
    begun = time.process_time()
    nets = [network(0), network(1)]
    for net, name in zip(nets, "ab", strict=True):
        net.load_state_dict(torch.load(folder / f"{name}.pt", weights_only=True))
    names = [name for name in layers_of(nets[0]) if name.startswith(("layer4", "fc"))]
    seen = [extract_activations(net, few, names) for net in nets]
    values = [linear_cka(seen[0][name], seen[1][name]) for name in names]
    return (time.process_time() - begun) * len(x) / len(few), np.array(values)


def forward(folder: Path) -> Any:
    """Both networks run and nothing else: the least that anyone who reads all layers can take."""
    x = torch.from_numpy(np.load(folder / "x.npy"))
    begun = time.process_time()
    nets = [network(0), network(1)]
    with torch.inference_mode():
        for net in nets:
            for part in x.split(BATCH):
                net(part)
    return time.process_time() - begun, np.zeros(1)


CONTENDERS = {"ours": ours, "forward": forward, "pytorch-cka": pytorch_cka, "nngeom": nngeom}


def run_one(name: str, folder: Path) -> None:
    torch.set_num_threads(1)
    seconds, values = CONTENDERS[name](folder)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    np.save(folder / f"{name}.npy", values)
    print(json.dumps({"seconds": seconds, "megabytes": held}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        run_one(asked.one, asked.folder)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for seed, name in enumerate("ab"):
            torch.save(network(seed).state_dict(), folder / f"{name}.pt")
        np.save(folder / "x.npy", pictures(asked.pictures).numpy())
        told: dict[str, list[dict[str, float]]] = {}
        for _ in range(asked.rounds):
            for name in CONTENDERS:
                command = [sys.executable, "-m", "benchmarks.layers", "--one", name, "--folder", place]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    print(f"{name}: not run ({done.stderr.strip().splitlines()[-1]})")
                    continue
                told.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))
        mine = {key: median(one[key] for one in told["ours"]) for key in ("seconds", "megabytes")}
        for name, runs in told.items():
            numbers = {key: median(one[key] for one in runs) for key in mine}
            times, memory = (numbers[key] / mine[key] for key in ("seconds", "megabytes"))
            told_of = f"{name:12} {numbers['seconds']:7.1f} s  {numbers['megabytes']:6.0f} MB"
            print(f"{told_of}  {times:.2f}× the time, {memory:.2f}× the memory of ours")
        if "pytorch-cka" in told:
            apart = np.abs(
                np.clip(np.load(folder / "ours.npy"), 0, 1) - np.load(folder / "pytorch-cka.npy")
            ).max()
            print(f"largest difference of the two maps: {apart:.4f} (batches are dealt otherwise)")


if __name__ == "__main__":
    main()
