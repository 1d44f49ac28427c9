"""Small networks of several layers, for whatever reads weights as people save them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH, SIZE, CLASSES = 8, 8, 5


class Pictures(nn.Module):
    """Two convolutions with batch norms, then a linear layer on their mean over places."""

    def __init__(self, num_classes: int = CLASSES, width: int = WIDTH) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


class Tokens(nn.Module):
    """A transformer's block on vectors, whose fast path would run past the hooks of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.block(x).mean(1))
        return out


class Twice(nn.Module):
    """One layer that runs twice, and one that sees every step of an input as a row of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(6, 6)
        self.rows = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.shared(torch.tanh(self.shared(x))))
        out: Tensor = self.rows(x.reshape(-1, 6)).reshape(len(x), -1)
        return out


class StepsFirst(nn.Module):
    """A network that puts the steps of its inputs before the inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.tanh(self.step(x.transpose(0, 1))).mean(0))
        return out


class Named(nn.Module):
    """One linear layer, of whatever name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.add_module(name, nn.Linear(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = next(self.children())(x)
        return out


class Branches(nn.Module):
    """Two layers side by side on the inputs, the second after the first, and a third that reads both."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.beside = nn.Linear(6, 6), nn.Linear(6, 6)
        self.reader, self.head = nn.Linear(12, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([torch.tanh(self.first(x)), torch.tanh(self.beside(x))], 1)
        out: Tensor = self.head(torch.tanh(self.reader(both)))
        return out


class Sevens(nn.Module):
    """A layer that sees seven learned rows, whatever the inputs are, beside one that sees these."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(7, 6, generator=torch.Generator().manual_seed(0)))
        self.table, self.head = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.tanh(x + self.table(self.rows).mean(0)))
        return out


class Drops(nn.Module):
    """A network that draws random numbers in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = nn.functional.dropout(self.fc(x.flatten(1)[:, :6]), 0.5, training=True)
        return out


def not_a_module() -> int:
    return 3


def made(seed: int = 0, **given: int) -> Pictures:
    """A network with weights, and running averages, of a seed."""
    torch.manual_seed(seed)
    net = Pictures(**given)
    for norm in (net.bn1, net.bn2):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return net.eval()


def pictures(n: int = 160, seed: int = 0) -> Tensor:
    """Smooth random pictures (n, 3, SIZE, SIZE)."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.randn(n, 3, 4, 4, generator=generator)
    return nn.functional.interpolate(small, size=SIZE, mode="bilinear")


def permuted(net: Pictures, order: list[int]) -> Pictures:
    """The same function, with the first convolution's units in another order."""
    other = Pictures(net.fc.out_features, len(order))
    state = {name: t.clone() for name, t in net.state_dict().items()}
    state["conv1.weight"] = state["conv1.weight"][order]
    for name in ("weight", "bias", "running_mean", "running_var"):
        state[f"bn1.{name}"] = state[f"bn1.{name}"][order]
    state["conv2.weight"] = state["conv2.weight"][:, order]
    other.load_state_dict(state)
    return other.eval()


def nudged(net: Pictures, prefix: str, by: float, seed: int = 1) -> Pictures:
    """The network with noise on the weights of some layers, relative to their spread."""
    torch.manual_seed(seed)
    other = Pictures(net.fc.out_features)
    other.load_state_dict(net.state_dict())
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if name.startswith(prefix) and parameter.ndim > 1:
                parameter.add_(by * parameter.std() * torch.randn_like(parameter))
    return other.eval()


class Residual(nn.Module):
    """A stem and two residual blocks with batch norms, the second of another width."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False), nn.BatchNorm2d(2 * width)
        self.down = nn.Conv2d(width, 2 * width, 1, 2)
        self.fc = nn.Linear(2 * width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn(self.stem(x)))
        x = torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))
        x = torch.relu(self.down(x) + self.bn3(self.conv3(x)))
        out: Tensor = self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))
        return out


class SaysWhich(nn.Module):
    """A network in which a channel is named, so that its first layer's units stay where they are."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 6), nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.relu(self.second(self.first(x)[:, 1:])))
        return out


class Branching(nn.Module):
    """A network whose way depends on its inputs: no trace has both."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        out: Tensor = self.head(torch.relu(x) if x.sum() > 0 else x)
        return out
