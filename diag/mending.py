"""Folding a map of the embedding into the encoder that made it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diag.subject import Parameters
from probes import Map


def folded(parameters: Parameters, weight: str, bias: str, found: Map) -> dict[str, Tensor]:
    """The parameters with an affine map of the embedding taken into the encoder's last, linear layer.

    ``weight`` (d, hidden) and ``bias`` (d,) name that layer's parameters. With x = W h + c, the layer that
    gives x M + b has W' = Mᵀ W and c' = Mᵀ c + b. Taken in float64, kept in the parameters' own type; all
    else is as it was.
    """
    w, c = parameters[weight], parameters[bias]
    offset = found(np.zeros((1, len(c))))
    matrix = torch.from_numpy(found(np.eye(len(c))) - offset)
    moved = dict(parameters)
    moved[weight] = (matrix.T @ w.double().cpu()).to(w)
    moved[bias] = (c.double().cpu() @ matrix + torch.from_numpy(offset[0])).to(c)
    return moved
