"""diag probe: what the examples hold of the maze, arrays with variables of one's own, words, mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import diag
import probes
from diag.commands import app as cli
from diag.outputs.json import render
from diag.outputs.lines import WIDTH
from diag.outputs.registry import html, text
from diag.probing.result import Probed
from diag.subject import SubjectError
from probes import ProbeError
from tests.conftest import EXAMPLES
from tests.test_html import CHROMIUM, browse, outline

BASE, MIRRORED, MATCHED = (str(EXAMPLES / f"{n}.safetensors") for n in ("base", "mirrored", "matched"))


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.run(["probe", *arguments])
    told = capsys.readouterr()
    return status, told.out, told.err


@pytest.fixture(scope="module")
def one() -> Probed:
    return diag.probe(BASE, projection="pca")


@pytest.fixture(scope="module")
def two() -> Probed:
    return diag.probe(BASE, MIRRORED, projection="none")


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, dict[str, Any]]:
    """40 episodes of 10 steps in 6 dimensions: a position that is there, one that is not, an event."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6))
    event = rng.permutation(np.repeat(["hit", "miss"], 200))
    x[:, 3] += 8 * (event == "hit")
    known = {
        "there": x[:, 0] - x[:, 1] + 0.1 * rng.normal(size=400),
        "absent": rng.normal(size=400),
        "event": event,
        "level": rng.integers(3, size=400),
        "still": np.ones(400),
        "name": np.array([f"row {i}" for i in range(400)]),
        "episodes": np.repeat(np.arange(40), 10),
    }
    return x, known


def save(folder: Path, x: np.ndarray, known: Mapping[str, Any]) -> tuple[str, str]:
    np.save(folder / "x.npy", x)
    np.savez(folder / "known.npz", **known)
    return str(folder / "x.npy"), str(folder / "known.npz")


def test_the_base_knows_where_it_is(one: Probed) -> None:
    assert one.verdict.status == "pass"
    assert one.verdict.summary.endswith("can be read from the embedding.")
    found = one.columns[0].findings
    assert {name: f.reading for name, f in found.items()} == dict.fromkeys(("row", "column", "room"), "read")
    for name in ("row", "column"):
        cca = found[name].cca
        assert cca.value is not None
        assert cca.random_most is not None
        assert cca.value > 0.98 > cca.random_most
        assert found[name].probe.p == 0.01
    assert found["room"].probe.left_out == ("door",)
    assert found["room"].clusters is not None
    assert found["row"].clusters is None
    assert sum(one.columns[0].explained) == pytest.approx(1)


def test_bending_the_mirror_image_costs_the_column(two: Probed) -> None:
    """The embedding was flipped and bent along the axis of the columns: what one sees, probes say."""
    assert two.changes == {"row": "kept", "column": "weaker", "room": "unclear"}
    assert two.verdict.status == "warn"
    assert two.verdict.summary.startswith("column (R² 0.9")
    assert "is read less well from B" in two.verdict.summary
    turned = diag.probe(MIRRORED, BASE, projection="none")
    assert turned.changes == {"row": "kept", "column": "stronger", "room": "unclear"}
    assert turned.verdict.status == "pass"
    assert turned.measure(0, "row") == two.measure(1, "row")


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


def test_the_json_has_the_documented_shape(one: Probed, two: Probed) -> None:
    tree = json.loads(render(two))
    assert (tree["schema_version"], tree["diagnosis"]) == (1, "probe")
    assert [set(c) for c in tree["checkpoints"]] == [{"path", "sha256"}] * 2
    assert set(tree["verdict"]) == {"status", "relation", "axes", "summary"}
    assert tree["variables"]["column"]["change"] == "weaker"
    first = tree["variables"]["room"]["columns"][0]
    assert set(first) == {"cca", "probe", "reading", "clusters"}
    assert set(first["cca"]) == {"value", "random", "factor", "p", "p_floor", "rows"}
    assert {"value", "low", "high", "selectivity", "chance", "p", "left_out"} <= set(first["probe"])
    assert np.sum(first["clusters"]["counts"]) == 31
    assert [e["dimensions"] for e in tree["embeddings"]] == [2, 2]
    alone = json.loads(render(one))
    assert len(alone["checkpoints"]) == len(alone["variables"]["row"]["columns"]) == 1
    assert alone["variables"]["row"]["change"] is None


def test_what_is_undefined_is_null_with_a_reason(world: tuple[np.ndarray, dict[str, Any]]) -> None:
    x, known = world
    tree = json.loads(render(diag.probe(x, variables={"still": known["still"]}, projection="none")))
    found = tree["variables"]["still"]["columns"][0]
    assert (found["cca"]["value"], found["probe"]["value"], found["reading"]) == (None, None, None)
    assert found["cca"]["reason"] == found["probe"]["reason"] == "the variable is constant"
    assert tree["verdict"]["status"] == "inconclusive"


@pytest.mark.parametrize("verbose", [False, True])
def test_the_text_says_it_first_and_fits(two: Probed, one: Probed, verbose: bool) -> None:
    for found in (one, two):
        columns = tuple(replace(c, file=replace(c.file, path="x" * 300)) for c in found.columns)
        lines = text(replace(found, columns=columns), verbose).splitlines()
        assert lines[0].startswith(found.verdict.status.upper())
        assert max(map(len, lines)) <= WIDTH
    assert "clusters of B and the categories of room" in "\n".join(lines) or not verbose


def test_the_text_fits_with_any_names_and_scores() -> None:
    """R² has no lower end."""
    x = np.random.default_rng(0).normal(size=(60, 1))
    known = {"a name that is far too long for its place " * 3: x[:, 0].copy()}
    low = probes.Measure(-1234567.8, -23456789.0, -0.5)
    for others in ((), (x[:, ::-1] + 1,)):
        found = diag.probe(x, *others, variables=known, projection="none")
        columns = tuple(
            replace(
                c, findings={n: replace(f, probe=replace(f.probe, score=low)) for n, f in c.findings.items()}
            )
            for c in found.columns
        )
        shown = text(replace(found, columns=columns), verbose=True)
        assert "-1.23e+06" in shown
        assert max(map(len, shown.splitlines())) <= WIDTH


def test_pages(one: Probed, two: Probed) -> None:
    for found, figures in ((one, 5), (two, 2)):
        page = html(found)
        seen = outline(page)
        words = " ".join(seen.words)
        assert found.verdict.summary in words
        assert [a for a in seen.addresses if not a.startswith(("data:", "#"))] == []
        assert page.count('<figure role="img" aria-label=') == seen.tags.count("svg") == figures
        for label in ("selectivity", "leading canonical correlation", "score on held-out rows", "right 9"):
            assert label in words
        assert len(page) < 1.6e6
    assert "The embedding, coloured by room" in " ".join(outline(html(one)).words)


def test_pages_of_many_dimensions_and_categories(world: tuple[np.ndarray, dict[str, Any]]) -> None:
    x, _ = world
    known = {
        "letter": np.array(list("abcdefghij"))[np.arange(400) % 10],
        "place": x[:, :2],
        "<b>": x[:, 0],
    }
    found = diag.probe(
        np.tile(x, (3, 1)),
        variables={n: np.tile(v, (3, *[1] * (v.ndim - 1))) for n, v in known.items()},
        projection="pca",
    )
    page = html(found)
    words = " ".join(outline(page).words)
    for label in (
        "(other)",
        "coloured by place[1]",
        "coloured by <b>",
        "Each panel draws 600 of the points.",
        "component 1 (",
    ):
        assert label in words
    assert "<b><" not in page.replace("<b>pass</b>", "").replace("<b>warn</b>", "")


def test_categories_that_are_no_text_are_escaped(world: tuple[np.ndarray, dict[str, Any]]) -> None:
    """A control character is no XML: the renderer of the static charts would end the whole process."""
    x, known = world
    words = np.where(known["event"] == "hit", "\x1b[2J\x00hit", "miss\ud800")
    found = diag.probe(x[:60], variables={"event": words[:60]}, projection="pca")
    for told in (html(found), text(found, verbose=True)):
        assert "\\x1b[2J" in told
        assert "\x1b" not in told
        assert told.encode()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_live_charts_replace_the_static_ones(one: Probed, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(html(one))
    seen = outline(browse(path, "--dump-dom"))
    assert seen.classes.count("vega-embed") == 5


@pytest.mark.long
def test_umap_is_drawn_and_announced(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    status, out, err = command(capsys, BASE, "--html", str(page), "--projection", "umap")
    assert (status, err) == (0, "preparing UMAP…\n")
    assert out.endswith(f"report: {page}\n")
    words = " ".join(outline(page.read_text()).words)
    assert "UMAP keeps neighbourhoods" in words
    again = diag.probe(BASE, projection="umap").columns[0].projections[0]
    assert again.points is not None
    assert again.points.shape == (31, 2)
    assert np.isfinite(again.points).all()


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = command(capsys, BASE, MIRRORED)
    assert (status, err) == (0, "")
    assert out.startswith("WARN  column (R²")
    for words in ("linear probe", "selectivity", "canonical correlation", "k-means", "weaker"):
        assert words in out
    status, out, _ = command(capsys, BASE, "--json", "--clusters", "5", "--seed", "3")
    tree = json.loads(out)
    assert (tree["seed"], tree["variables"]["room"]["columns"][0]["clusters"]["clusters"]) == (3, 5)


def test_the_command_on_arrays(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, world: tuple[np.ndarray, dict[str, Any]]
) -> None:
    x, known = save(tmp_path, world[0], {name: world[1][name] for name in ("there", "level", "episodes")})
    status, out, err = command(capsys, x, "--variables", known, "-q")
    assert (status, err, len(out.splitlines())) == (0, "", 1)
    assert out.startswith("pass  there (R² ")
    status, out, _ = command(capsys, x, "--variables", known, "--json")
    tree = json.loads(out)
    assert (status, tree["grouping"], tree["rows"]) == (0, "episodes", 400)
    assert tree["variables"]["level"]["kind"] == "numeric"
    assert "episodes" not in tree["variables"]
    np.save(tmp_path / "e.npy", world[1]["episodes"])
    status, told, _ = command(
        capsys, x, "--variables", known, "--episodes", str(tmp_path / "e.npy"), "--json"
    )
    assert (status, told) == (0, out)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = command(capsys, "--help")
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
    status, out, err = command(capsys, *[a.format(**places) for a in arguments])
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
