"""The README's lines for one's own torch modules run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from diag.landscapes.result import Landscape

README = Path(__file__).parent.parent / "README.md"


def snippet() -> str:
    """The Python block that makes subjects of modules."""
    [found] = [b for b in re.findall(r"```python\n(.*?)```", README.read_text(), re.S) if "from_module" in b]
    return str(found)


def names(outputs: int = 2) -> dict[str, object]:
    """What a reader has by then: two modules of one shape, and a batch of inputs and targets."""
    torch.manual_seed(0)
    nets = [
        torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, outputs)) for _ in "ab"
    ]
    x = torch.randn(40, 3)
    return {"stuck": nets[0], "good": nets[1], "batch": (x, x[:, :outputs].clone())}


def test_it_makes_a_landscape() -> None:
    known = names()
    exec(snippet(), known)
    wall = known["wall"]
    assert isinstance(wall, Landscape)
    assert wall.verdict.summary
    losses = known["losses"](known["good"], known["batch"])  # type: ignore[operator]
    assert {term: values.shape for term, values in losses.items()} == {"error": (40,)}


def test_a_mean_in_place_of_a_loss_for_each_sample_is_refused() -> None:
    """What the snippet's comment warns of."""
    known = names()
    with pytest.raises(ValueError, match=r"error"):
        exec(snippet().replace(".mean(-1)", ".mean()"), known)
