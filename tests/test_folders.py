"""Folders of transformers and weights in several files; the library itself is a stand-in here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import diag
from diag.embed import embedded
from diag.sources import open_subject
from diag.sources.supplied import Supplied
from diag.subject import SubjectError
from tests.networks import made, nudged, pictures


class Classifier(nn.Module):
    """Reads tokens and their mask, as the library's models do."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 6)
        self.dense = nn.Linear(6, 6)
        self.classifier = nn.Linear(6, config.num_labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        hidden = torch.tanh(self.dense(self.words(input_ids)))
        first = (hidden * attention_mask[:, :, None]).sum(1) / attention_mask.sum(1, keepdim=True)
        return SimpleNamespace(logits=self.classifier(first))


class Tokenizer:
    pad_token = "[PAD]"

    def __call__(self, lines: list[str], **asked: Any) -> dict[str, Any]:
        assert asked["padding"] is True
        longest = max(len(line.split()) for line in lines)
        ids, mask = np.zeros((2, len(lines), longest), np.int64)
        for row, line in enumerate(lines):
            words = line.split()
            ids[row, : len(words)] = [1 + sum(map(ord, word)) % 49 for word in words]
            mask[row, : len(words)] = 1
        return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = ModuleType("transformers")

    def configured(folder: str, local_files_only: bool, trust_remote_code: bool) -> Any:
        assert (local_files_only, trust_remote_code) == (True, False)
        return SimpleNamespace(**json.loads(Path(folder, "config.json").read_text()))

    def tokenized(folder: str, local_files_only: bool, trust_remote_code: bool) -> Tokenizer:
        assert (local_files_only, trust_remote_code) == (True, False)
        return Tokenizer()

    transformers.AutoConfig = SimpleNamespace(from_pretrained=configured)  # type: ignore[attr-defined]
    transformers.AutoTokenizer = SimpleNamespace(from_pretrained=tokenized)  # type: ignore[attr-defined]
    transformers.Classifier = Classifier  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", transformers)


def folder(place: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    place.mkdir()
    (place / "config.json").write_text(json.dumps({"architectures": ["Classifier"], "num_labels": 3}))
    save_file(dict(Classifier(SimpleNamespace(num_labels=3)).state_dict()), place / "model.safetensors")
    return place


@pytest.mark.usefixtures("library")
def test_a_folder_is_a_model_that_reads_lines_of_text(tmp_path: Path) -> None:
    base, other = folder(tmp_path / "a", 0), folder(tmp_path / "b", 1)
    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(f"word{i} and word{i * i} of {'many ' * (i % 5)}" for i in range(80)))
    given = Supplied(inputs=(lines,), model=f"hf:{base}")
    subject = open_subject(base, given, "source")
    assert subject.tasks is not None
    pairs = subject.tasks.paired_observations(None, 0)
    assert pairs.observations["source"].shape[:2] == (80, 2)
    assert embedded(subject, pairs).shape == (80, 6)
    result = diag.layers(base, other, supplied=given, relations=False)
    assert result.map.base == ("words", "dense", "input of classifier", "classifier")
    alone = diag.layers(base, other, supplied=Supplied(inputs=(lines,)), relations=False)
    assert alone.map.base == result.map.base
    by_itself = open_subject(base, Supplied(), "source")
    assert by_itself.sha256 == subject.sha256 != open_subject(other, Supplied(), "source").sha256


@pytest.mark.usefixtures("library")
def test_a_layer_of_tokens_is_their_mean_without_padding(tmp_path: Path) -> None:
    base = folder(tmp_path / "a", 0)
    lines = tmp_path / "lines.txt"
    lines.write_text("one two\none two three four five\n")
    subject = open_subject(base, Supplied(inputs=(lines,), model=f"hf:{base}", layer="words"), "source")
    lines.write_text("one two\none two\n")
    alone = open_subject(base, Supplied(inputs=(lines,), model=f"hf:{base}", layer="words"), "source")
    first, short = (
        embedded(s, s.tasks.paired_observations(None, 0))[0] for s in (subject, alone) if s.tasks is not None
    )
    assert torch.allclose(first, short)


def sharded(place: Path, net: nn.Module, *, bins: bool = False) -> Path:
    """Weights in two files and their index."""
    place.mkdir()
    state = net.state_dict()
    ending, stem = ("bin", "pytorch_model") if bins else ("safetensors", "model")
    places = {name: f"{stem}-0000{1 + (i % 2)}-of-00002.{ending}" for i, name in enumerate(state)}
    for file in set(places.values()):
        part = {name: t for name, t in state.items() if places[name] == file}
        (torch.save if bins else save_file)(part, place / file)
    index = place / f"{stem}.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


@pytest.mark.parametrize("bins", [False, True])
def test_weights_in_several_files_are_read_by_their_index(tmp_path: Path, bins: bool) -> None:
    np.save(tmp_path / "x.npy", pictures().numpy())
    given = Supplied(model="tests.networks:Pictures", inputs=(tmp_path / "x.npy",))
    base = sharded(tmp_path / "a", made(), bins=bins)
    other = sharded(tmp_path / "b", nudged(made(), "conv2", 0.8), bins=bins)
    result = diag.layers(base, other, supplied=given, relations=False)
    assert result.layer("conv1").frozen
    assert not result.layer("conv2").frozen
    with pytest.raises(SubjectError, match="expected --model NAME, or --adapter"):
        open_subject(base)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"weight_map": {"a": "../a.safetensors"}}, "a file '../a.safetensors' in another folder"),
        ({"weight_map": {"a": "none.safetensors"}}, "no none.safetensors beside it"),
        ({"weight_map": {"a": "has.safetensors"}}, "no a in the files that it names"),
        ({"weight_map": 3}, "no such index"),
        ({"files": {}}, "no such index"),
    ],
)
def test_an_index_that_leads_nowhere(tmp_path: Path, tree: Any, words: str) -> None:
    save_file({"b": torch.ones(2)}, tmp_path / "has.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps(tree))
    with pytest.raises(SubjectError) as error:
        open_subject(index, Supplied(model="tests.networks:Pictures"))
    assert words in str(error.value)
