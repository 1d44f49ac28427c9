"""repair: mirror images made here are led back exactly, bent ones by training on; what is lost is said so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import diag
from diag.commands.app import run
from diag.outputs.lines import WIDTH
from diag.outputs.registry import html, text
from diag.repairs import training
from diag.repairs.asked import RepairError
from diag.subject import SubjectError
from tests.conftest import EXAMPLES, short, train
from trainers import checkpoint as files
from trainers.plan import named_plan

pytestmark = pytest.mark.numeric

BASE, BENT, MATCHED = (EXAMPLES / f"{name}.safetensors" for name in ("base", "mirrored", "matched"))


def transfer_of_base(path: Path, plan: str = "freeze-dynamics", **changed: torch.Tensor) -> Path:
    """The base's encoder, its first layer negated as the target's pictures are, some tensors changed."""
    base = files.read(BASE)
    tensors = dict(base.tensors)
    tensors["encoder/0.weight"] = -tensors["encoder/0.weight"]
    tensors |= {f"encoder/{name.replace('_', '.')}": tensor for name, tensor in changed.items()}
    origin = {"path": base.path, "sha256": base.sha256, "identity": base.identity}
    header = replace(base.header, task="target", plan=named_plan(plan).to_tree(), bases=(origin,))
    files.save(path, header, tensors)
    return path


def last_layer(
    signs: tuple[float, float], moved: tuple[float, float] = (0.0, 0.0)
) -> dict[str, torch.Tensor]:
    base, sign = files.read(BASE).tensors, torch.tensor(signs)
    return {
        "4_weight": base["encoder/4.weight"] * sign[:, None],
        "4_bias": base["encoder/4.bias"] * sign + torch.tensor(moved),
    }


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exact mirror image, displaced."""
    folder = tmp_path_factory.mktemp("mirror")
    return transfer_of_base(folder / "mirror.safetensors", **last_layer((1.0, -1.0), (0.3, -0.2)))


def test_an_exact_mirror_image_is_led_back(mirror: Path, tmp_path: Path) -> None:
    out = tmp_path / "mended.safetensors"
    found = diag.repair(BASE, mirror, out=out, method="map")
    assert found.before.success is False
    assert (found.verdict.status, found.relation, found.after.own_states) == ("pass", "matched", 31)
    assert found.after.r2 == pytest.approx(1.0, abs=1e-6)
    assert found.chosen is not None
    assert found.chosen.r2.value == pytest.approx(1.0, abs=1e-6)
    assert found.chosen.name == "signs"  # of equals, the smaller map
    assert found.map is not None
    assert found.few is not None
    assert found.few.pairs.value == 2  # a sign and an offset for each axis
    assert found.training is None
    assert found.after.losses["total"] < found.before.losses["total"]
    assert found.written == str(out)


def test_what_is_written_says_what_it_is_of(mirror: Path, tmp_path: Path) -> None:
    out = tmp_path / "mended.safetensors"
    diag.repair(BASE, mirror, out=out)
    before, after = files.read(mirror), files.read(out)
    assert after.header.base == before.header.base
    assert after.header.plan == before.header.plan
    assert (after.header.task, after.header.seed) == ("target", before.header.seed)
    changed = {n for n, t in after.tensors.items() if not torch.equal(t, before.tensors[n])}
    assert changed == {"encoder/4.weight", "encoder/4.bias"}
    assert after.header.metrics["repair"]["transfer"]["identity"] == before.identity
    assert "losses" not in after.header.metrics
    assert diag.compare(BASE, out).warnings == ()
    assert "mended     by " in text(diag.show(out))
    again = diag.repair(BASE, out, out=tmp_path / "again.safetensors")
    assert again.verdict.summary.startswith("Already matched")
    assert again.written is None
    assert not (tmp_path / "again.safetensors").exists()


def test_a_few_pairs_do_for_an_exact_mirror_image(mirror: Path) -> None:
    found = diag.repair(BASE, mirror, pairs=4, method="map")
    assert (found.pairs, found.of_pairs) == (4, 31)
    assert found.after.own_states == 31


def test_a_bent_mirror_image_needs_training() -> None:
    found = diag.repair(BASE, BENT, train=60)
    before, folded, trained = found.stages
    assert (before.relation, folded.success, trained.success) == ("flipped", False, True)
    assert before.r2 is not None
    assert folded.r2 is not None
    assert trained.r2 is not None
    assert before.r2 < folded.r2 < trained.r2
    assert found.verdict.status == "pass"
    assert found.training is not None
    assert found.training.share == pytest.approx(60 / 30_000)
    assert found.parameters is not None
    base = files.read(BENT).tensors
    assert all(torch.equal(found.parameters[n], t) for n, t in base.items() if n.startswith("transition/"))


def test_without_training_it_is_mended_in_part() -> None:
    found = diag.repair(BASE, BENT)
    assert found.verdict.status == "warn"
    assert "--train 5%" in found.verdict.summary
    assert found.fits[0] is found.chosen
    scores = {f.name: f.r2.value for f in found.fits}
    assert scores["identity"] == min(v for v in scores.values() if v is not None)
    assert found.few is not None
    assert [k for k, _ in found.few.curve] == sorted(k for k, _ in found.few.curve)
    assert "R²" in text(found, verbose=True)
    assert max(map(len, text(found, verbose=True).splitlines())) <= WIDTH


def test_a_collapsed_last_layer_is_made_anew(tmp_path: Path) -> None:
    flat = transfer_of_base(tmp_path / "flat.safetensors", **{"4_weight": torch.zeros(2, 10)})
    found = diag.repair(BASE, flat)
    assert found.before.relation == "collapsed"
    assert (found.verdict.status, found.chosen and found.chosen.method) == ("pass", "last-layer")


def test_what_is_lost_cannot_be_mended_and_nothing_is_written(tmp_path: Path) -> None:
    lost = transfer_of_base(tmp_path / "lost.safetensors", **{"2_weight": torch.zeros(50, 100)})
    out = tmp_path / "mended.safetensors"
    found = diag.repair(BASE, lost, out=out)
    assert found.verdict.status == "fail"
    assert "Cannot be mended by a map" in found.verdict.summary
    assert found.written is None
    assert not out.exists()
    html(found)


def test_a_scrambled_transfer_fails(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    layers = {
        f"{i}_weight": torch.randn(files.read(BASE).tensors[f"encoder/{i}.weight"].shape, generator=generator)
        for i in (0, 1, 2, 3, 4)
    }
    scrambled = transfer_of_base(tmp_path / "scrambled.safetensors", **layers)
    found = diag.repair(BASE, scrambled, method="map")
    assert found.verdict.status == "fail"


def test_nothing_frozen_leaves_nothing_to_mend(tmp_path: Path) -> None:
    free = transfer_of_base(tmp_path / "free.safetensors", "fine-tune", **last_layer((-1.0, 1.0)))
    found = diag.repair(BASE, free, out=tmp_path / "out.safetensors", force=True)
    assert found.verdict.status == "pass"
    assert "nothing to mend" in found.verdict.summary
    assert found.written is None


def test_matched_is_mended_by_force(tmp_path: Path) -> None:
    found = diag.repair(BASE, MATCHED, out=tmp_path / "out.safetensors", force=True, train=20)
    assert found.before.relation == "matched"
    assert found.after.own_states == 31
    assert found.written is not None


@pytest.mark.long
def test_stopped_it_goes_on_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY", 10)
    out = tmp_path / "mended.safetensors"
    whole = diag.repair(BASE, BENT, train=30, pairs=9)

    def stop(done: int, of: int) -> None:
        if done == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diag.repair(BASE, BENT, out=out, train=30, pairs=9, progress=stop)
    assert not out.exists()
    with pytest.raises(files.CheckpointError, match="another training"):
        diag.repair(BASE, BENT, out=out, train=31, pairs=9)
    seen: list[int] = []
    again = diag.repair(BASE, BENT, out=out, train=30, pairs=9, progress=lambda done, of: seen.append(done))
    assert seen[0] == 20
    assert whole.parameters is not None
    assert again.parameters is not None
    assert files.identity_of(again.parameters) == files.identity_of(whole.parameters)
    assert not (tmp_path / f"{out.name}.training").exists()


def test_training_on_as_before(tmp_path: Path) -> None:
    out = tmp_path / "mended.safetensors"
    found = diag.repair(BASE, BENT, out=out, train=20, mode="task")
    assert found.training is not None
    assert (found.training.mode, found.training.updates) == ("task", 20)
    assert found.stages[1].losses != found.stages[2].losses
    assert sorted(p.name for p in tmp_path.iterdir()) == [out.name]
    assert files.read(out).header.base == files.read(BENT).header.base


def test_a_continued_plan_begins_nothing_anew() -> None:
    plan = training.continued(named_plan("reset-encoder"), ("bound",))
    assert plan.action_of("encoder/0.weight").action == "copy"
    assert plan.action_of("transition/0.weight").action == "freeze"
    without = training.continued(named_plan("no-random-entropy"), ("bound", "entropy_random"))
    assert without.active_terms(("bound", "entropy_random"), 5, 10) == ("bound",)
    late = training.continued(named_plan("delayed-structure"), ("transition", "bound"))
    assert late.active_terms(("transition", "bound"), 0, 10) == ("transition", "bound")


def test_refusals(mirror: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.safetensors"
    there.write_bytes(b"kept")
    with pytest.raises(RepairError, match="already there"):
        diag.repair(BASE, mirror, out=there)
    assert there.read_bytes() == b"kept"
    with pytest.raises(RepairError, match="an input"):
        diag.repair(BASE, mirror, out=mirror, overwrite=True)
    with pytest.raises(RepairError, match="found no folder"):
        diag.repair(BASE, mirror, out=tmp_path / "nowhere" / "mended.safetensors")
    for words, options in {
        "expected updates": {"train": "much"},
        "expected from 0": {"train": -1},
        "at least 3": {"pairs": 2},
        "one of them": {"pairs": 5, "unpaired": "permutations"},
        "--mode task": {"mode": "task"},
    }.items():
        with pytest.raises(RepairError, match=words):
            diag.repair(BASE, mirror, **options)
    with pytest.raises(SubjectError, match="expected a transfer"):
        diag.repair(BASE, BASE)
    with pytest.raises(SubjectError, match="the base that a transfer was made from"):
        diag.repair(mirror, BENT)


def test_a_transfer_of_another_base_is_refused(tmp_path: Path) -> None:
    settings = short("train.updates=2", "transfer.updates=2")
    train(tmp_path / "base", settings, (0,))
    other = tmp_path / "base" / "seed0.safetensors"
    train(tmp_path / "transfer", settings, (0,), other)
    with pytest.raises(SubjectError, match="a transfer of another base"):
        diag.repair(BASE, tmp_path / "transfer" / "seed0.safetensors")


def test_the_command(mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page = tmp_path / "mended.safetensors", tmp_path / "page.html"
    command = ["repair", str(BASE), str(mirror), "-o", str(out)]
    assert run([*command, "--json", "--html", str(page)]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["diagnosis"] == "repair"
    assert tree["verdict"]["status"] == "pass"
    assert [s["success"] for s in tree["stages"]] == [False, True]
    assert tree["written"] == str(out)
    assert tree["enough"]["low"] <= tree["enough"]["value"] <= tree["enough"]["high"]
    assert "Before and after" in page.read_text()
    assert run(command) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run([*command, "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("pass  Mended by")
    assert run([*command, "--overwrite", "--train", "x"]) == 2
    assert run(["repair", str(BASE), str(mirror)]) == 2


def test_results_repeat(mirror: Path) -> None:
    one, other = (diag.repair(BASE, mirror, pairs=6, train=5, seed=3) for _ in range(2))
    assert one.parameters is not None
    assert other.parameters is not None
    assert files.identity_of(one.parameters) == files.identity_of(other.parameters)
    assert np.array_equal(one.embedding, other.embedding)
