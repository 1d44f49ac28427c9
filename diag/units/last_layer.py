"""Folding a map of the embedding into the encoder that made it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diag.units.symmetry import Parameters
from probes import Map


def folded(parameters: Parameters, layer: str, fit: Map) -> dict[str, Tensor]:
    """The parameters with an affine map of the embedding folded into the encoder's last, linear layer.

    ``layer`` names it: its parameters are ``layer.weight`` (d, hidden) and ``layer.bias`` (d,). Of planes the
    weight is (d, hidden, 1, 1), and the map is one of their d channels at every place. With x = W h + c, the
    layer that gives x M + b has W' = Mᵀ W and c' = Mᵀ c + b. The result is computed in float64 and kept in
    the parameters' own type; all else stays as it was.
    """
    weight, bias = f"{layer}.weight", f"{layer}.bias"
    w, c = parameters[weight], parameters[bias]
    offset = fit(np.zeros((1, len(c))))
    matrix = torch.from_numpy(fit(np.eye(len(c))) - offset)
    moved = dict(parameters)
    moved[weight] = (matrix.T @ w.double().cpu().flatten(1)).reshape(w.shape).to(w)
    moved[bias] = (c.double().cpu() @ matrix + torch.from_numpy(offset[0])).to(c)
    return moved
