"""Weights as people save them: which entry, which prefix, and what does not fit."""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diag.sources.safe.pickled import UnusualError, follow
from diag.sources.state_dict import Weights, fill, weights_in
from diag.sources.weights import load_saved
from diag.subject import SubjectError
from tests.attacks import pickles
from tests.harmful_files import repacked
from tests.networks import Pictures, made


def saved(what: Any) -> bytes:
    file = io.BytesIO()
    torch.save(what, file)
    return file.getvalue()


STATE = made().state_dict()
OTHER = made(1).state_dict()


class Settings:
    """A class of the caller's own, as a training script has one."""

    lr = 0.1


@pytest.mark.parametrize(
    ("tree", "entry"),
    [
        (STATE, ""),
        ({"state_dict": STATE, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}, "state_dict"),
        ({"model": STATE, "model_ema": OTHER, "epoch": 3}, "model"),
        ({"ema": OTHER, "module": STATE}, "module"),
        ({"checkpoint": {"model_state_dict": STATE}, "seed": 1}, "checkpoint.model_state_dict"),
        ({"params": STATE, "step": torch.tensor(3)}, "params"),
        ({"backbone": STATE}, "backbone"),
    ],
)
def test_the_entry_that_holds_the_weights(tree: Any, entry: str) -> None:
    weights = weights_in(tree, "a.pt")
    assert weights.entry == entry
    assert weights.tensors.keys() == STATE.keys()
    if entry:
        assert any(repr(entry) in note for note in weights.notes)


def test_what_else_could_have_been_meant_is_said() -> None:
    weights = weights_in({"state_dict": STATE, "state_dict_ema": OTHER}, "a.pt")
    assert "not from state_dict_ema, which --key would name" in weights.notes[0]
    ema = weights_in({"state_dict": STATE, "state_dict_ema": OTHER}, "a.pt", "state_dict_ema")
    assert torch.equal(ema.tensors["fc.weight"], OTHER["fc.weight"])


@pytest.mark.parametrize(
    ("tree", "key", "words"),
    [
        ({"student": STATE, "teacher": OTHER}, None, "--key NAME with one of them"),
        ({"state_dict": STATE}, "ema", "no weights under 'ema'"),
        ({"epoch": 3, "name": "a"}, None, "no weights among its entries (epoch, name)"),
        ([1, 2], None, "a list"),
    ],
)
def test_weights_that_cannot_be_told(tree: Any, key: str | None, words: str) -> None:
    with pytest.raises(SubjectError) as error:
        weights_in(tree, "a.pt", key)
    assert words in str(error.value)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "model._orig_mod.", "net.inner."])
def test_prefixes_of_wrappers(prefix: str) -> None:
    net = Pictures()
    fill(net, Weights({f"{prefix}{name}": t for name, t in STATE.items()}), "a.pt")
    assert all(torch.equal(t, STATE[name]) for name, t in net.state_dict().items())


def test_a_compiled_part_within() -> None:
    net = Pictures()
    tree = {name.replace("conv2.", "conv2._orig_mod."): t for name, t in STATE.items()}
    notes = fill(net, Weights(tree), "a.pt")
    assert torch.equal(net.conv2.weight, STATE["conv2.weight"])
    assert "'_orig_mod.' before its names" in notes[0]


def test_two_networks_in_one_file() -> None:
    tree = {f"student.{n}": t for n, t in STATE.items()} | {f"teacher.{n}": t for n, t in OTHER.items()}
    with pytest.raises(SubjectError, match="--key student"):
        fill(Pictures(), Weights(tree), "a.pt")
    net = Pictures()
    fill(net, weights_in(tree, "a.pt", "teacher"), "a.pt")
    assert torch.equal(net.fc.weight, OTHER["fc.weight"])


def test_what_has_no_place_is_said_and_what_is_missing_refused() -> None:
    notes = fill(Pictures(), Weights({**STATE, "loss.weight": torch.ones(2)}), "a.pt")
    assert "left out: loss.weight" in notes[0]
    partly = {name: t for name, t in STATE.items() if not name.startswith("fc")}
    with pytest.raises(SubjectError, match=r"no weights for fc\.weight, fc\.bias"):
        fill(Pictures(), Weights(partly), "a.pt")
    with pytest.raises(SubjectError, match=r"fc\.weight of shape \(5, 8\); expected \(7, 8\)"):
        fill(Pictures(7), Weights(STATE), "a.pt")


def test_half_precision_is_widened_and_counters_may_lack() -> None:
    half = {n: t.half() if t.is_floating_point() else t for n, t in STATE.items()}
    half = {n: t for n, t in half.items() if not n.endswith("num_batches_tracked")}
    net = Pictures()
    assert "float16, which are computed with in float32" in fill(net, Weights(half), "a.pt")[0]
    assert net.fc.weight.dtype == torch.float32


def test_objects_beside_weights_are_never_imported() -> None:
    tree = {
        "state_dict": STATE,
        "args": argparse.Namespace(lr=0.1, out=Path("runs/a"), more={"a": [1]}),
        "best": np.float64(0.5),
        "history": np.arange(300.0),
        "seen": defaultdict(list, a=1),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
    }
    loaded = load_saved(saved(tree), "a.pt")
    assert torch.equal(loaded["state_dict"]["fc.weight"], STATE["fc.weight"])
    assert type(loaded["args"]).__module__ == "diag.sources.safe.standing_in"
    assert type(loaded["best"]).__module__ == "diag.sources.safe.standing_in"
    assert dict(loaded["seen"]) == {"a": 1}


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (pickles.called("os", "system"), "calls os.system"),
        (pickles.called("builtins", "eval"), "calls builtins.eval"),
        (pickles.called("builtins", "bytearray"), "calls builtins.bytearray"),
        (pickles.called("torch", "float32") + b")R", "calls torch.float32"),
        (pickles.called("numpy", "a.b"), "calls numpy.a.b"),
    ],
)
def test_what_no_checkpoint_needs_is_refused_by_name(program: bytes, words: str) -> None:
    with pytest.raises(UnusualError, match=words):
        follow(b"\x80\x02" + program + b".")


def test_many_copies_of_one_long_word_are_refused() -> None:
    word = pickles.text("a" * 2**16)
    encode = pickles.called("_codecs", "encode") + pickles.group(word, pickles.text("latin1")) + b"R"
    with pytest.raises(UnusualError, match="copies a word more often"):
        follow(b"\x80\x02" + encode * 1100 + b".")


@pytest.mark.parametrize("given", [("punycode",), ("utf-16",), ("ascii", "namereplace"), ("latin1", "x"), ()])
def test_words_are_encoded_in_one_way_alone(given: tuple[str, ...]) -> None:
    arguments = pickles.group(pickles.text("a"), *map(pickles.text, given))
    encode = pickles.called("_codecs", "encode")
    with pytest.raises(UnusualError, match="encodes a word otherwise than in latin1"):
        follow(b"\x80\x02" + encode + arguments + b"R.")
    assert not follow(b"\x80\x02" + encode + pickles.group(*map(pickles.text, ("a", "latin1"))) + b"R.")


def test_thousands_of_classes_are_refused() -> None:
    names = b"".join(pickles.called("__main__", f"C{number}") for number in range(300))
    with pytest.raises(UnusualError, match="more than 256 classes"):
        follow(b"\x80\x02](" + names + b"e.")


@pytest.mark.parametrize("after", [b"", pickles.called("argparse", "Namespace")])
def test_a_tuple_that_holds_itself_twice_a_hundred_times_over_costs_nothing(after: bytes) -> None:
    doubled = pickles.group(b"N", b"N") + b"q\x00"
    doubled += b"".join(b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(100))
    program = b"}" + pickles.text("a") + after + doubled + (b"\x81" if after else b"") + b"s"
    content = repacked(saved({"a": torch.ones(2)}), data_pkl=b"\x80\x02" + program + b".")
    assert list(load_saved(content, "a.pt")) == ["a"]
