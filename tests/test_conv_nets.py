"""Convolutional nets are what Keras builds: shapes, padding, pools, skip; a member's numbers are its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainers.nets import POOLS, Conv, ConvNet, beside_planes, conv_encoder, conv_head, conv_transition
from trainers.stack import Stack


def stacked(net: ConvNet, members: int = 1, seed: int = 0) -> Stack:
    """Fresh weights, biases as well, so that they count."""
    rng = np.random.default_rng(seed)
    return Stack(
        [
            {
                f"net/{name}": torch.from_numpy(rng.normal(size=value.shape).astype(np.float32)) / 5
                if name.endswith("bias")
                else value
                for name, value in net.fresh(rng).items()
            }
            for _ in range(members)
        ]
    )


def pictures(n: int, *shape: int, seed: int = 1) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def modules(net: ConvNet, stack: Stack, member: int = 0) -> nn.Sequential:
    """The same net of torch's own modules, tanh right after each layer as in Keras."""
    layers: list[nn.Module] = []
    planes, last = net.planes, len(net.convs) + len(net.dense) - 1
    named = stack.member(member)
    for number, conv in enumerate(net.convs):
        before = math.floor((conv.kernel - 1) / 2)
        after = conv.kernel - 1 - before
        layer = nn.Conv2d(planes, conv.filters, conv.kernel)
        layers += [nn.ZeroPad2d((before, after, before, after)), layer]
        layers += [nn.Tanh()] * (number < last)
        layers += [nn.MaxPool2d(conv.pool, ceil_mode=True)] * (conv.pool > 1)
        planes = conv.filters
        layer.weight.data, layer.bias.data = named[f"net/{number}.weight"], named[f"net/{number}.bias"]  # type: ignore[union-attr]
    if net.dense:
        layers.append(nn.Flatten())
    for number in range(len(net.convs), last + 1):
        weight, bias = named[f"net/{number}.weight"], named[f"net/{number}.bias"]
        dense = nn.Linear(weight.shape[1], weight.shape[0])
        dense.weight.data, dense.bias.data = weight, bias
        layers += [dense, *[nn.Tanh()] * (number < last)]
    return nn.Sequential(*layers)


NETS = {
    "encoder 48×48": conv_encoder(8, 6),
    "encoder 12×12, half": conv_encoder(6, 2, widths=(4, 8, 16)),
    "encoder 8×8": conv_encoder(8, 1),
    "transition": conv_transition(8, 4),
    "head": conv_head(8, 7, 1),
    "Q, odd side": conv_head(7, 3, 4, widths=(4, 4, 4, 2), dense=(10, 5)),
    "even kernels, odd pools": ConvNet(2, 7, (Conv(3, 4, 3), Conv(2, 5))),
}


@pytest.mark.parametrize("name", NETS)
def test_outputs_and_gradients_are_those_of_torchs_modules(name: str) -> None:
    net = NETS[name]
    stack = stacked(net)
    x = pictures(3, net.planes, net.side, net.side)
    theirs = modules(net, stack)
    stack.train_only(stack.views)
    ours = net(stack.views, "net", x)
    assert ours.shape == (1, 3, *net.out)
    # Single precision, other sums: outputs are about 1, and gradients are sums over up to 48² pixels.
    torch.testing.assert_close(ours[0], theirs(x), atol=1e-5, rtol=1e-4)
    weights = pictures(3, *net.out, seed=2)
    names = sorted(stack.views)
    gradients = torch.autograd.grad((ours[0] * weights).sum(), [stack.views[n] for n in names])
    (theirs(x) * weights).sum().backward()
    expected = [p.grad for p in theirs.parameters()]  # weight, bias, layer by layer
    order = sorted(names, key=lambda n: (int(n.split("/")[1].split(".")[0]), n.endswith("bias")))
    for name, wanted in zip(order, expected, strict=True):
        assert wanted is not None
        torch.testing.assert_close(gradients[names.index(name)][0], wanted, atol=2e-4, rtol=1e-3)


def test_gradients_match_finite_differences() -> None:
    net = ConvNet(2, 5, (Conv(3, 2), Conv(2, 3, 2)), (4, 2))
    named = {n: v.double().requires_grad_() for n, v in stacked(net).views.items()}
    x = pictures(2, 2, 5, 5).double()
    names = sorted(named)
    assert torch.autograd.gradcheck(
        lambda *values: net(dict(zip(names, values, strict=True)), "net", x), [named[n] for n in names]
    )


def test_an_even_kernel_looks_right_and_down() -> None:
    net = ConvNet(1, 3, (Conv(1, 2),))
    weight = torch.tensor([[[[[1.0, 10.0], [100.0, 1000.0]]]]])
    x = torch.arange(1.0, 10.0).view(1, 1, 3, 3)
    found = net({"net/0.weight": weight, "net/0.bias": torch.zeros(1, 1)}, "net", x)
    assert found[0, 0, 0].tolist() == [[5421.0, 6532.0, 603.0], [8754.0, 9865.0, 906.0], [87.0, 98.0, 9.0]]


def test_sizes_are_the_papers() -> None:
    encoder = conv_encoder(8, 6)
    assert {n: s for n, s in encoder.shapes().items() if "weight" in n} == {
        "0.weight": (8, 1, 2, 2),
        "1.weight": (16, 8, 2, 2),
        "2.weight": (32, 16, 3, 3),
        "3.weight": (3, 32, 1, 1),
    }
    assert [o.shape[2:] for o in encoder.outputs(stacked(encoder).views, "net", pictures(2, 1, 48, 48))] == [
        (8, 48, 48),
        (16, 24, 24),
        (32, 8, 8),
        (3, 8, 8),
    ]
    head = conv_head(8, 7, 1)
    shapes = [o.shape[2:] for o in head.outputs(stacked(head).views, "net", pictures(2, 7, 8, 8))]
    assert shapes == [(16, 8, 8), (32, 4, 4), (16, 4, 4), (4, 4, 4), (200,), (50,), (20,), (1,)]
    assert conv_transition(8, 4).shapes()["2.weight"] == (64, 32, 3, 3)
    for tiles, pixels in [(8, 1), (6, 2), (8, 6)]:
        assert conv_encoder(tiles, pixels).out == (3, tiles, tiles)
        assert math.prod(POOLS[pixels]) == pixels
    with pytest.raises(ValueError, match="found 4, expected one of 1, 2, 6"):
        conv_encoder(8, 4)


def test_fresh_weights_are_glorots_over_windows() -> None:
    net = conv_transition(8, 4, widths=(64, 64, 64, 64, 64))
    fresh = net.fresh(np.random.default_rng(3))
    limit = math.sqrt(6 / ((64 + 64) * 9))
    assert limit * 0.99 < float(fresh["2.weight"].abs().max()) <= limit
    assert not fresh["2.bias"].any()
    assert fresh.keys() == net.shapes().keys()
    assert all(tuple(fresh[n].shape) == s for n, s in net.shapes().items())


def test_a_member_does_not_depend_on_its_neighbours() -> None:
    """Bit for bit on the CPU, outputs and gradients; as groups of one convolution, to rounding."""
    for net in (conv_encoder(6, 2), conv_head(6, 3, 2, dense=(20, 5))):
        stack = stacked(net, 3)
        stack.train_only(stack.views)
        shared = pictures(16, net.planes, net.side, net.side)
        own = pictures(48, net.planes, net.side, net.side, seed=5).view(3, 16, net.planes, net.side, net.side)
        for x in (shared, own):
            together = net.outputs(stack.views, "net", x)
            names = sorted(stack.views)
            total = together[-1].square().sum()
            gradients = torch.autograd.grad(total, [stack.views[n] for n in names])
            grouped = net._together({n.removeprefix("net/"): v for n, v in stack.views.items()}, x)
            for layer, other in zip(together, grouped, strict=True):
                torch.testing.assert_close(layer, other, atol=1e-5, rtol=1e-4)
            for member in range(3):
                alone = Stack([stack.member(member)])
                alone.train_only(alone.views)
                outputs = net.outputs(alone.views, "net", x if x.dim() == 4 else x[member : member + 1])
                for layer, one in zip(together, outputs, strict=True):
                    assert torch.equal(layer[member], one[0])
                slopes = torch.autograd.grad(outputs[-1].square().sum(), [alone.views[n] for n in names])
                for gradient, one in zip(gradients, slopes, strict=True):
                    assert torch.equal(gradient[member], one[0])


def test_actions_become_constant_planes() -> None:
    x = pictures(6, 3, 4, 4).view(2, 3, 3, 4, 4)
    actions = torch.eye(4)[[2, 0, 3]]
    both = beside_planes(x, actions)
    assert both.shape == (2, 3, 7, 4, 4)
    assert torch.equal(both[:, :, :3], x)
    assert torch.equal(both[1, :, 3:].mean((2, 3)), actions)
    each = torch.stack([actions, actions.flip(0)])
    assert torch.equal(beside_planes(x, each)[1, :, 3:, 0, 0], actions.flip(0))


def test_hidden_outputs_are_after_pool_and_tanh() -> None:
    net = conv_encoder(6, 2)
    stack = stacked(net)
    x = pictures(2, 1, 12, 12)
    layers = net.outputs(stack.views, "net", x)
    plain = modules(net, stack)
    torch.testing.assert_close(layers[1][0], plain[:7](x), atol=1e-6, rtol=1e-5)
    assert all(float(layer.abs().max()) < 1 for layer in layers[:-1])
