"""A map of the embedding in a torch encoder of any kind: folded into its last layer, or appended to it."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from diag.units.last_layer import folded
from probes import Map


def mended(encoder: nn.Module, fit: Map, dimensions: int) -> nn.Module:
    """A copy of an encoder (…) -> (n, d) that gives what ``fit`` makes of its embeddings.

    Where the encoder is a dense layer with a bias, or a sequence that ends in one, the map is folded into it
    and nothing is added; otherwise a dense layer is appended. ``dimensions`` is d. Raises ValueError where
    the last layer gives another number.

    >>> encoder = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> mirrored = Map(signs=(1, -1), offset=np.zeros(2))
    >>> x = torch.ones(5, 3)
    >>> torch.allclose(mended(encoder, mirrored, 2)(x), encoder(x) * torch.tensor([1.0, -1.0]))
    True
    """
    moved = copy.deepcopy(encoder)
    layer = moved
    while isinstance(layer, nn.Sequential) and len(layer):
        layer = layer[-1]
    if isinstance(layer, nn.Linear) and layer.bias is not None:
        if layer.out_features != dimensions:
            raise ValueError(f"the last layer gives {layer.out_features} numbers, expected {dimensions}")
        new = folded({"it.weight": layer.weight.detach(), "it.bias": layer.bias.detach()}, "it", fit)
        with torch.no_grad():
            layer.weight.copy_(new["it.weight"])
            layer.bias.copy_(new["it.bias"])
        return moved
    some = next(moved.parameters(), torch.zeros(0))
    offset = fit(np.zeros((1, dimensions)))
    matrix = fit(np.eye(dimensions)) - offset
    appended = nn.Linear(dimensions, matrix.shape[1]).to(some)
    with torch.no_grad():
        appended.weight.copy_(torch.from_numpy(matrix.T.copy()))
        appended.bias.copy_(torch.from_numpy(offset[0]))
    return nn.Sequential(moved, appended)
