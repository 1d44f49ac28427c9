"""Results in Python: printed as their commands print them, one line for a debugger, a page in a notebook."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.cells import cell_len

import diag
from diag.commands.app import run
from diag.outputs.registry import RENDERERS, html, renderer, text
from diag.shown import Shown
from tests import shown
from tests.test_html import outline

PACKAGE = Path(diag.__file__).parent

VOID = {"meta", "link", "br", "img", "hr", "input"}

KINDS = sorted(RENDERERS)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shown]:
    return shown.results(tmp_path_factory.mktemp("shown"))


class Strict(HTMLParser):
    """Whether every element is closed where it has to be, and every name and attribute is there once."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(set(names)) < len(names):
            self.faults.append(f"{tag} has an attribute twice")
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")


def faults(page: str) -> list[str]:
    """What is wrong with a whole page."""
    parser = Strict()
    parser.feed(page)
    parser.close()
    twice = [name for name in set(parser.ids) if parser.ids.count(name) > 1]
    return [
        *parser.faults,
        *(f"{tag} is left open" for tag in parser.open),
        *(f"id {i} twice" for i in twice),
    ]


def framed(cell: str) -> str:
    """The page in a cell's frame."""
    found = re.fullmatch(r'<iframe ([^>]*) srcdoc="([^"]*)"></iframe>\n', cell)
    assert found is not None
    return outline(f'<a href="{found[2]}"></a>').addresses[0]


def every_class(kind: type[Shown] = Shown) -> Iterator[type[Shown]]:
    for one in kind.__subclasses__():
        yield one
        yield from every_class(one)


def test_every_kind_has_a_text_and_a_page(results: dict[str, Shown]) -> None:
    kinds = {one.kind for one in every_class() if one.__module__.startswith("diag.")}
    assert kinds == set(RENDERERS) == set(results)
    assert {kind: results[kind].kind for kind in results} == {kind: kind for kind in results}


@pytest.mark.parametrize(("kind", "form"), [(kind, form) for kind in KINDS for form in RENDERERS[kind]])
def test_every_line_of_the_registry_names_a_function(kind: str, form: str) -> None:
    module, name = RENDERERS[kind][form].split(":")
    assert (PACKAGE / "outputs" / f"{module}.py").is_file()
    assert renderer(kind, form).__name__ == name
    assert {"brief", "text", "page"} <= RENDERERS[kind].keys()


@pytest.mark.parametrize("kind", KINDS)
def test_a_brief_is_one_line(results: dict[str, Shown], kind: str) -> None:
    words = renderer(kind, "brief")(results[kind])
    assert words.strip()
    assert "\n" not in words


@pytest.mark.parametrize("kind", KINDS)
def test_it_prints_as_its_text(results: dict[str, Shown], kind: str) -> None:
    result = results[kind]
    assert str(result) == renderer(kind, "text")(result) == text(result)
    assert 1 < len(str(result)) < 10_000


def test_what_is_printed_is_what_the_commands_print(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, mirrored, _ = shown.arrays(tmp_path)
    assert run(["compare-embeddings", base, mirrored]) == 0
    assert capsys.readouterr().out == f"{diag.compare(base, mirrored)}\n"
    assert run(["check", base, mirrored]) == 1
    assert capsys.readouterr().out == f"{diag.check(base, mirrored)}\n"
    assert run(["show", shown.MIRRORED]) == 0
    assert capsys.readouterr().out == f"{diag.show(shown.MIRRORED)}\n"


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_one_line(results: dict[str, Shown], kind: str) -> None:
    line = repr(results[kind])
    assert line.startswith(f"<{type(results[kind]).__name__}: ")
    assert line.endswith(">")
    assert "\n" not in line
    assert len(line) < 600


def test_the_line_says_how_it_ended_and_of_what(results: dict[str, Shown]) -> None:
    found = results["comparison"]
    assert repr(found) == (
        f"<Comparison: fail, flipped (axis 1); {found.base.path}, {found.transfer.path}>"  # type: ignore[attr-defined]
    )
    assert "fail, Of 2 transfers 1 failed, 1 passed; " in repr(results["check"])
    assert re.search(
        r"<Forecast: \w+, matched \d+%; .*mirrored.safetensors, .*base.safetensors>",
        repr(results["forecast"]),
    )
    assert "offers parameters, encoder, objective, tasks; " in repr(results["subject"])
    assert "crar transfer (freeze-dynamics), target task, step 30000; " in repr(results["description"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_holds_its_page_and_no_script(results: dict[str, Shown], kind: str) -> None:
    """The frame keeps style and names of drawings to itself; twenty cells are no megabytes of script."""
    result = results[kind]
    cell = result._repr_html_()
    page = framed(cell)
    assert 'sandbox=""' in cell
    assert "<script" not in page
    assert len(cell) < 700_000
    assert faults(page) == []
    assert page.startswith("<!doctype html>")
    assert page.count("<figure") == page.count("<svg")
    headline = getattr(getattr(result, "verdict", None), "summary", None) or getattr(result, "summary", "")
    assert headline in " ".join(outline(page).words)


@pytest.mark.parametrize("kind", ["comparison", "probe"])
def test_a_cell_is_the_same_each_time(results: dict[str, Shown], kind: str) -> None:
    """Clips and gradients have names, which the renderer counts on over all that a process draws."""
    assert results[kind]._repr_html_() == results[kind]._repr_html_()


def test_the_whole_page_is_valid_too(results: dict[str, Shown]) -> None:
    page = html(results["probe"])
    assert faults(page) == []
    assert "<script" in page


def test_the_strict_reader_sees_faults() -> None:
    assert faults("<p>one<b>two</p>") != []
    assert faults("<p>one") != []
    assert faults('<p id="a" id="b">one</p>') != []
    assert faults('<p id="a">one</p><p id="a">two</p>') != []


def test_results_import_no_renderer() -> None:
    """Engines and results know no output: what shows them is looked up by name when it is asked for."""
    modules = {one.__module__ for one in every_class() if one.__module__.startswith("diag.")}
    for module in {*modules, "diag.shown"}:
        tree = ast.parse(Path(sys.modules[module].__file__ or "").read_text())
        names = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        names += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
        assert [name for name in names if name.startswith("diag.outputs")] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [40, 60, 80, 100, 120])
def test_text_is_as_wide_as_the_terminal(
    results: dict[str, Shown], kind: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that are longer hold one word, such as a path or a hash, and no word is broken."""
    result = results[kind]
    monkeypatch.setenv("COLUMNS", str(columns))
    for verbose in (False, True):
        lines = text(result, verbose).splitlines()
        long = [line for line in lines if cell_len(line) > columns]
        assert [line for line in long if len(line.split()) > 1] == []
    if kind in ("comparison", "check", "repair"):
        prose = " ".join(text(result).split())
        assert getattr(result, "verdict", result).summary in prose


@pytest.mark.parametrize("kind", ["landscape", "probe", "study", "forecast", "comparison"])
def test_a_wide_terminal_gains(results: dict[str, Shown], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = str(results[kind]).splitlines()
    monkeypatch.setenv("COLUMNS", "120")
    wide = str(results[kind]).splitlines()
    assert max(map(cell_len, wide)) > max(map(cell_len, usual))
    assert len(wide) <= len(usual)


def test_a_probe_makes_no_umap_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import probes

    made: list[str] = []
    project = probes.project
    monkeypatch.setattr(
        probes, "project", lambda x, method="pca", **more: made.append(method) or project(x, "pca")
    )
    base, _, _ = shown.arrays(tmp_path)
    import numpy as np

    found = diag.probe(base, variables={"first": np.load(base)[:, 0]})
    str(found), found._repr_html_(), html(found), found.to_tree()
    assert made == ["pca"]
    diag.probe(base, variables={"first": np.load(base)[:, 0]}, projection="umap")
    assert made == ["pca", "pca", "umap"]
