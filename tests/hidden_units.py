"""Networks whose hidden units can be exchanged: dense, convolutional, normed and recurrent ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from diag.units.layers import Dense, Gru, chain, units_of
from diag.units.symmetry import Exchange, Symmetry, Units

Parameters = Mapping[str, Tensor]


class Recurrent(nn.Module):
    """A dense layer, a GRU (of one layer or two) and a head, on sequences; the state starts at zero."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(3, 5)
        self.gru = nn.GRU(5, 6, num_layers=layers, batch_first=True)
        self.head = nn.Linear(6, 2)

    def steps(self, x: Tensor) -> list[Tensor]:
        encoded = self.encoder(x).tanh()
        states = self.gru(encoded)[0]
        return [encoded.mT, states.mT, self.head(states)]


def sequence(module: nn.Sequential, x: Tensor) -> list[Tensor]:
    steps = [x]
    for part in module:
        steps.append(part(steps[-1]))
    return steps[1:]


@dataclass
class Net:
    """A network, its units, and after which of its steps each layer's activations stand."""

    module: nn.Module
    units: tuple[Units, ...]
    read: tuple[int, ...]
    inputs: tuple[int, ...]

    def steps(self, parameters: Parameters, x: Tensor) -> list[Tensor]:
        def run(x: Tensor) -> list[Tensor]:
            return self.module.steps(x) if isinstance(self.module, Recurrent) else sequence(self.module, x)

        wrapper = _Runs(self.module, run)
        return functional_call(wrapper, {f"module.{n}": t for n, t in parameters.items()}, (x,))

    def activations(self, parameters: Parameters, x: Tensor) -> dict[str, Tensor]:
        steps = self.steps(parameters, x)
        return {u.name: steps[k] for u, k in zip(self.units, self.read, strict=True)}

    def fresh(self, seed: int) -> dict[str, Tensor]:
        """Gaussian parameters in float64, so that no two units are alike and every bias is felt."""
        generator = torch.Generator().manual_seed(seed)
        return {
            name: 0.5 * torch.randn(p.shape, generator=generator, dtype=torch.float64)
            for name, p in self.module.named_parameters()
        }

    def batch(self, n: int = 40) -> Tensor:
        return torch.randn(n, *self.inputs, generator=torch.Generator().manual_seed(99), dtype=torch.float64)


class _Runs(nn.Module):
    def __init__(self, module: nn.Module, run: Callable[[Tensor], list[Tensor]]) -> None:
        super().__init__()
        self.module, self.run = module, run

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.run(x)


def sequential(*parts: nn.Module, read: tuple[int, ...], inputs: tuple[int, ...]) -> Net:
    module = nn.Sequential(*parts)
    return Net(module, units_of(module), read, inputs)


def recurrent(layers: int) -> Net:
    module = Recurrent(layers)
    shapes = {n: tuple(p.shape) for n, p in module.named_parameters()}
    grus = [Gru("gru", layer) for layer in range(layers)]
    return Net(module, chain([Dense("encoder", odd=True), *grus, Dense("head")], shapes), (0, 1), (7, 3))


L, C = nn.Linear, nn.Conv2d
NETS: dict[str, Callable[[], Net]] = {
    "dense tanh": lambda: sequential(
        *(L(3, 8), nn.Tanh(), L(8, 6), nn.Tanh(), L(6, 2)), read=(1, 3), inputs=(3,)
    ),
    "dense relu": lambda: sequential(
        *(L(3, 8), nn.ReLU(), L(8, 6, bias=False), nn.ELU(), L(6, 2)), read=(1, 3), inputs=(3,)
    ),
    "dense linear": lambda: sequential(L(3, 8), L(8, 6), L(6, 2), read=(0, 1), inputs=(3,)),
    "conv, maximum": lambda: sequential(
        *(C(2, 5, 3), nn.Tanh(), nn.MaxPool2d(2), C(5, 4, 2), nn.Tanh(), nn.Flatten(), L(16, 2)),
        read=(2, 4),
        inputs=(2, 8, 8),
    ),
    "conv, mean": lambda: sequential(
        *(C(2, 5, 3), nn.Tanh(), nn.AvgPool2d(2), C(5, 4, 2), nn.Tanh(), nn.Flatten(), L(16, 6), nn.Tanh()),
        L(6, 3),
        read=(2, 4, 7),
        inputs=(2, 8, 8),
    ),
    "layer norm": lambda: sequential(
        *(nn.LayerNorm(3), L(3, 8), nn.LayerNorm(8), nn.Tanh(), L(8, 6), nn.Tanh(), L(6, 2)),
        read=(3, 5),
        inputs=(3,),
    ),
    "layer norm over maps": lambda: sequential(
        *(C(2, 5, 3), nn.LayerNorm((5, 4, 4)), nn.ReLU(), C(5, 4, 2), nn.Tanh(), nn.Flatten()),
        *(nn.LayerNorm(36), L(36, 2)),
        read=(2, 4),
        inputs=(2, 6, 6),
    ),
    "gru": lambda: recurrent(1),
}
every_net = pytest.mark.parametrize("kind", NETS)


def distance(a: Parameters, b: Parameters) -> float:
    return float(sum((a[name] - b[name]).square().sum() for name in a) ** 0.5)


def middle(a: Parameters, b: Parameters) -> dict[str, Tensor]:
    return {name: torch.lerp(a[name], b[name], 0.5) for name in a}


def assert_same(a: Parameters, b: Parameters) -> None:
    for name in a:
        torch.testing.assert_close(b[name], a[name], rtol=0, atol=1e-14)


def perturbed(parameters: Parameters, size: float) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        name: t + size * torch.randn(t.shape, generator=generator, dtype=t.dtype)
        for name, t in parameters.items()
    }


def undone(symmetry: Symmetry) -> dict[str, Exchange]:
    """The symmetry that takes it back."""
    orders = {name: np.argsort(exchange.order) for name, exchange in symmetry.items()}
    return {name: Exchange(order, symmetry[name].signs[order]) for name, order in orders.items()}


def exchange(order: list[int], signs: list[int]) -> Exchange:
    return Exchange(np.array(order), np.array(signs))
