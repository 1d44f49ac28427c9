"""What people save with torch is read, whatever shape it has; what no state dict does is told by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from diag.sources.safe.pickled import UnusualError, follow
from diag.sources.weights import load_saved
from diag.subject import SubjectError
from tests.attacks import pickles
from tests.harmful_files import repacked, saved


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def trained() -> dict[str, Any]:
    """A checkpoint as training loops write them: an optimiser's state, numbers, words, lists, nothing."""
    module = network()
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-3)
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    return {
        "model": module.state_dict(),
        "optimiser": optimiser.state_dict(),
        "epoch": 3,
        "best": float("nan"),
        "far": 2**70,
        "name": "é\x1b",
        "history": [{"loss": 0.5, "seen": (1, (2, 3))}, None, True],
        5: {},
    }


TIED = torch.arange(6.0).reshape(2, 3)

LEGITIMATE: dict[str, Any] = {
    "tensor": torch.ones(3, 2),
    "state dict": network().state_dict(),
    "checkpoint": trained(),
    "parameter": {"a": nn.Parameter(torch.ones(2))},
    "of every type": {
        str(kind): torch.ones(2, 2).to(kind)
        for kind in (torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.uint8, torch.bool)
    },
    "tied": {"a": TIED, "b": TIED, "turned": TIED.T, "part": TIED[:, 1]},
    "one number": {"a": torch.tensor(3.0), "b": torch.ones(0, 3)},
    "list": [torch.ones(2), (torch.ones(1), "a")],
    "shape": {"a": torch.ones(2), "shape": torch.Size([2, 3])},
    "ordered": OrderedDict(a=torch.ones(2), b=OrderedDict(c=torch.ones(1))),
}


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    return a == b or (a != a and b != b)


@pytest.mark.parametrize("name", LEGITIMATE)
def test_what_people_save_is_read(name: str) -> None:
    assert equal(load_saved(saved(LEGITIMATE[name]), "a.pt"), LEGITIMATE[name])


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (pickles.called("os", "system"), "calls os.system"),
        (
            pickles.called("torch._utils", "_rebuild_sparse_tensor"),
            "calls torch._utils._rebuild_sparse_tensor",
        ),
        (b"}" + pickles.group(b"N") + b"Ns", "has a tuple in place of a word"),
        (b"}]Ns", "has a list in place of a word"),
        (b"})R", "has a dict in place of a call"),
        (
            pickles.called("collections", "OrderedDict") + pickles.group(b"]") + b"R",
            "makes a mapping of a list",
        ),
        (pickles.called("collections", "OrderedDict") + b")\x81", "has the operation NEWOBJ"),
        (pickles.GOOD + pickles.group() + b"b", "has a tuple in place of a dict"),
        (pickles.GOOD + b"}b", "has a tensor in place of a mapping"),
        (pickles.tensor((1, 1), (1, 1), held=b"]"), "has a list in place of a storage"),
        (
            pickles.group(pickles.text("storage"), b"]", *[pickles.text("a")] * 3) + b"Q",
            "has a list in place of a call",
        ),
        (b"N]a", "has a truth in place of a list"),
        (b"\x8c\x01a", "has the operation SHORT_BINUNICODE"),
    ],
)
def test_what_no_state_dict_does_is_told(program: bytes, words: str) -> None:
    with pytest.raises(UnusualError, match=words.replace(".", r"\.")):
        follow(b"\x80\x02" + program + b".")


@pytest.mark.parametrize(
    "program", [b"", b"0", b"h\5", b"u", b"e", b"t", b"\x86", b"b", b"R", b"Q", b"q\1", b"(", b"s"]
)
def test_a_damaged_pickle_is_no_fault_of_the_program(program: bytes) -> None:
    content = repacked(saved({"a": torch.ones(2)}), data_pkl=b"\x80\x02" + program + b".")
    with pytest.raises(SubjectError):
        load_saved(content, "a.pt")
