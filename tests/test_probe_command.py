"""diag probe: arrays with variables of one's own, the command, mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import diag
from diag.outputs.registry import html, text
from diag.subject import SubjectError
from probes import ProbeError
from tests.commands import run
from tests.conftest import EXAMPLES
from tests.rows import walked
from tests.test_html import outline

BASE, MIRRORED, MATCHED = (str(EXAMPLES / f"{n}.safetensors") for n in ("base", "mirrored", "matched"))


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, dict[str, Any]]:
    return walked()


def save(folder: Path, x: np.ndarray, known: Mapping[str, Any]) -> tuple[str, str]:
    np.save(folder / "x.npy", x)
    np.savez(folder / "known.npz", **known)
    return str(folder / "x.npy"), str(folder / "known.npz")


def test_arrays(world: tuple[np.ndarray, dict[str, Any]]) -> None:
    x, known = world
    found = diag.probe(x, variables=known, categorical=["level"], projection="none")
    readings = {name: f.reading for name, f in found.columns[0].findings.items()}
    assert readings == {
        "there": "read",
        "absent": "not",
        "event": "read",
        "level": "not",
        "still": None,
        "name": None,
    }
    assert found.variables["level"].categories == ("0", "1", "2")
    event = found.columns[0].findings["event"].clusters
    assert event is not None
    assert (event.ami or 0) > 0.9
    told = text(found)
    assert "still cannot be judged in full: the variable is constant." in told
    assert "name cannot be judged in full: 400 categories, more than 64." in told


def test_nothing_that_is_known_is_there(world: tuple[np.ndarray, dict[str, Any]]) -> None:
    rng, variables = np.random.default_rng(1), {"absent": world[1]["absent"]}
    noise, more = rng.normal(size=(400, 2)), rng.normal(size=(400, 3))
    found = diag.probe(noise, variables=variables, projection="none")
    assert found.verdict.status == "warn"
    assert "cannot be told from chance" in found.verdict.summary
    both = diag.probe(noise, more, variables=variables, projection="none")
    assert (both.verdict.status, both.changes) == ("warn", {"absent": "neither"})
    assert "2 and 3 dimensions" in text(both)


def test_what_is_lost_and_gained(world: tuple[np.ndarray, dict[str, Any]]) -> None:
    x, known = world
    moved = x.copy()
    moved[:, :2] = np.random.default_rng(1).normal(size=(400, 2))
    moved[:, 0] = known["absent"]
    variables = {name: known[name] for name in ("there", "absent")}
    found = diag.probe(x, torch.from_numpy(moved), variables=variables, projection="none")
    assert found.changes == {"there": "lost", "absent": "gained"}
    assert found.verdict.status == "warn"
    assert "there (R² 0.9" in found.verdict.summary.partition(" can no longer be read from B;")[0]


def test_a_linear_map_loses_nothing(world: tuple[np.ndarray, dict[str, Any]]) -> None:
    x, known = world
    turned = x @ np.random.default_rng(2).normal(size=(6, 6))
    found = diag.probe(x, turned, variables={"there": known["there"]}, projection="none")
    assert set(found.changes.values()) == {"kept"}
    a, b = (c.findings["there"].cca for c in found.columns)
    assert b.value == pytest.approx(a.value)


def test_own_variables_extend_those_of_a_checkpoint() -> None:
    own = {"room": np.arange(31.0), "parity": np.arange(31) % 2 == 0}
    found = diag.probe(BASE, variables=own, projection="none")
    assert list(found.variables) == ["row", "column", "room", "parity"]
    assert [v.kind for v in found.variables.values()] == ["numeric", "numeric", "numeric", "categorical"]


def test_steps_of_unnamed_episodes_are_warned_of() -> None:
    rng = np.random.default_rng(0)
    walks = np.cumsum(rng.normal(size=(10, 40, 3)), 1).reshape(400, 3)
    other = np.cumsum(rng.normal(size=(10, 40)), 1).reshape(400)
    episode = np.repeat(np.arange(10), 40)
    told = diag.probe(walks, variables={"other": other}, projection="none")
    assert "say so with --episodes or --rollout" in told.warnings[0]
    p = told.columns[0].findings["other"].probe.p
    assert p is not None
    assert p < 0.05
    beside = {"other": other, "episodes": episode}
    for named in (
        diag.probe(walks, variables={"other": other}, episodes=episode, projection="none"),
        diag.probe(walks, variables=beside, projection="none"),
        diag.probe(walks, variables={"other": other}, rollout=True, projection="none"),
    ):
        assert named.warnings == ()
        p = named.columns[0].findings["other"].probe.p
        assert p is not None
        assert p > 0.05


def test_steps_of_one_rollout(rng: np.random.Generator) -> None:
    """A slow walk and one that follows it are related, however few blocks there are; two walks are not."""
    x = np.cumsum(rng.normal(size=(3000, 3)), 0)
    x -= 0.02 * np.cumsum(x, 0)
    known = {"follows": x[:, 0] + rng.normal(size=3000), "noise": rng.normal(size=3000)}
    found = diag.probe(x, variables=known, rollout=True, projection="none")
    assert {n: f.reading for n, f in found.columns[0].findings.items()} == {"follows": "read", "noise": "not"}
    assert found.grouping == "blocks of a rollout"


def test_rows_that_are_not_finite_are_left_out_on_demand(world: tuple[np.ndarray, dict[str, Any]]) -> None:
    x, known = world[0].copy(), {"there": world[1]["there"].copy(), "event": world[1]["event"]}
    x[3, 1], known["there"][7] = np.inf, np.nan
    found = diag.probe(x, variables={"there": known["there"]}, drop_nonfinite=True, projection="none")
    assert (found.rows, found.of) == (398, 400)
    assert found.warnings == ("2 rows with NaN or infinity were left out",)
    with pytest.raises(ProbeError, match="1 of 400 rows with NaN"):
        diag.probe(x, variables={"event": known["event"]}, projection="none")


def test_large_arrays_are_sampled_and_say_so() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10_500, 3))
    found = diag.probe(x, variables={"there": x[:, 0]}, projection="none")
    assert (found.rows, found.of) == (10_000, 10_500)
    assert "10,000 of 10,500 rows" in text(found)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "probe", BASE, MIRRORED)
    assert (status, err) == (0, "")
    assert out.startswith("WARN  column (R²")
    for words in ("linear probe", "selectivity", "canonical correlation", "k-means", "weaker"):
        assert words in out
    status, out, _ = run(capsys, "probe", BASE, "--json", "--clusters", "5", "--seed", "3")
    tree = json.loads(out)
    assert (tree["seed"], tree["variables"]["room"]["columns"][0]["clusters"]["clusters"]) == (3, 5)


def test_the_command_on_arrays(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, world: tuple[np.ndarray, dict[str, Any]]
) -> None:
    x, known = save(tmp_path, world[0], {name: world[1][name] for name in ("there", "level", "episodes")})
    status, out, err = run(capsys, "probe", x, "--variables", known, "-q")
    assert (status, err, len(out.splitlines())) == (0, "", 1)
    assert out.startswith("pass  there (R² ")
    status, out, _ = run(capsys, "probe", x, "--variables", known, "--json")
    tree = json.loads(out)
    assert (status, tree["grouping"], tree["rows"]) == (0, "episodes", 400)
    assert tree["variables"]["level"]["kind"] == "numeric"
    assert "episodes" not in tree["variables"]
    np.save(tmp_path / "e.npy", world[1]["episodes"])
    status, told, _ = run(
        capsys, "probe", x, "--variables", known, "--episodes", str(tmp_path / "e.npy"), "--json"
    )
    assert (status, told) == (0, out)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "probe", "--help")
    assert status == 0
    for words in ("Examples:", "--variables FILE", "--projection", "--episodes FILE"):
        assert words in out


def test_probes_are_imported_without_what_few_of_them_need() -> None:
    code = (
        "import sys, probes, diag, diag.probing.probe; "
        "print([m for m in ('sklearn', 'umap', 'numba', 'torch', 'altair') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument 'CHECKPOINT'"),
        (["nowhere.safetensors"], "nowhere.safetensors: found no such file"),
        ([BASE, BASE], "found the first file itself"),
        ([BASE, "{x}"], "expected the same kind of file"),
        (["{x}"], "embeddings without variables; expected named arrays in --variables"),
        (["{x}", "{short}", "--variables", "{known}"], "found 7 rows; expected 400 rows"),
        (["{short}", "--variables", "{known}"], "'there' with 400 rows; expected 7 rows"),
        ([BASE, "--variables", "{known}"], "'there' with 400 rows; expected 31 rows"),
        (["{x}", "--variables", "{x}"], "a single array without a name"),
        (["{x}", "--variables", "{text}"], "no whole .npz archive"),
        (["{x}", "--variables", "{pickled}"], "pickled objects, which are never loaded"),
        (["{x}", "--variables", "{holes}"], "holes.npz: 'v' has 1 of 400 rows with NaN"),
        (["{x}", "--variables", "{scalar}"], "'v' of shape ()"),
        (["{x}", "--variables", "{control}"], "expected printable names"),
        (["{x}", "--variables", "{known}", "--episodes", "{x}"], "expected whole numbers or words"),
        (["{x}", "--variables", "{known}", "--episodes", "{few}"], "found shape (7,); expected (400,)"),
        (["{x}", "--variables", "{known}", "--episodes", "{few}", "--rollout"], "expected one of them"),
        ([BASE, "--rollout"], "found episodes for a checkpoint"),
        (["{x}", "--variables", "{known}", "--categorical", "nobody"], "no variable 'nobody'"),
        (["{x}", "--variables", "nowhere.npz"], "nowhere.npz: found no such file"),
        ([BASE, "--projection", "tsne"], "'tsne'"),
        ([BASE, "--clusters", "1"], "--clusters"),
        ([BASE, "--html", BASE], "an input of this command"),
        (["{x}", "--variables", "{known}", "--html", "{known}"], "an input of this command"),
    ],
)
def test_mistakes_get_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    world: tuple[np.ndarray, dict[str, Any]],
    arguments: list[str],
    words: str,
) -> None:
    x, known = save(tmp_path, *world)
    places = {
        "x": x,
        "known": known,
        "text": str(tmp_path / "text.npz"),
        "short": str(tmp_path / "short.npy"),
    }
    (tmp_path / "text.npz").write_text("no archive")
    np.save(tmp_path / "short.npy", world[0][:7])
    for name, values in (
        ("pickled", np.array([{}] * 400, dtype=object)),
        ("holes", np.where(np.arange(400) == 3, np.nan, 1.0)),
        ("scalar", np.array(1.0)),
    ):
        np.savez(tmp_path / f"{name}.npz", v=values)
        places[name] = str(tmp_path / f"{name}.npz")
    np.save(tmp_path / "few.npy", np.arange(7))
    places["few"] = str(tmp_path / "few.npy")
    np.savez(tmp_path / "control.npz", **{"\x1b[2J": np.arange(400)})
    places["control"] = str(tmp_path / "control.npz")
    status, out, err = run(capsys, "probe", *[a.format(**places) for a in arguments])
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("diag: ")
    assert words in err


def test_arguments_in_python_that_make_no_sense(world: tuple[np.ndarray, dict[str, Any]]) -> None:
    x, known = world
    with pytest.raises(ProbeError, match="projection is 'tsne'"):
        diag.probe(BASE, projection="tsne")
    with pytest.raises(ProbeError, match="clusters is 1"):
        diag.probe(BASE, clusters=1)
    with pytest.raises(SubjectError, match="an array named ' '; expected printable names"):
        diag.probe(x, variables={" ": known["there"]})
    with pytest.raises(SubjectError, match="no variables but episodes"):
        diag.probe(x, variables={"episodes": known["episodes"]})
    with pytest.raises(ProbeError, match="'place' has shape"):
        diag.probe(x, variables={"place": x}, categorical=["place"])
    with pytest.raises(ProbeError, match="'odd' has shape"):
        diag.probe(x, variables={"odd": np.zeros(400, complex)})


def test_an_embedding_of_nothing(world: tuple[np.ndarray, dict[str, Any]]) -> None:
    x, known = world
    found = diag.probe(np.ones_like(x), variables={"there": known["there"], "event": known["event"]})
    assert found.verdict.status == "inconclusive"
    assert "the embedding is constant" in found.verdict.summary
    page = html(found)
    assert "the embedding is constant" in " ".join(outline(page).words)
    assert "<figure" not in page
