"""The tutorial: a notebook without outputs that runs from its first cell to its last on the shipped files."""

from __future__ import annotations

import ast
import json
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"

LONGEST = 120
"""Seconds that the tutorial says it takes at most on one core."""


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(TUTORIAL.read_text("utf-8"))
    return tree


def test_no_outputs_are_kept(notebook: dict[str, Any]) -> None:
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 10
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


def test_its_code_is_python_and_its_links_lead_somewhere(notebook: dict[str, Any]) -> None:
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            ast.parse(text)
            continue
        for link in text.split("](")[1:]:
            assert (TUTORIAL.parent / link.partition(")")[0]).is_file()


@pytest.mark.long
@pytest.mark.parametrize("folder", [ROOT, ROOT / "docs"])
def test_it_runs_to_its_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.read(TUTORIAL, as_version=4)
    nbformat.validate(book)
    began = time.process_time(), time.monotonic()
    client = nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute()
    assert time.monotonic() - began[1] < 5 * LONGEST  # a machine that is busy may be slower than one core
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    told = "\n".join(one.get("text", "") for cell in code for one in cell.outputs)
    for words in ("Matched", "Flipped", "wall of", "Of 2 transfers"):
        assert words in told, words
    shown = {kind for cell in code for one in cell.outputs for kind in one.get("data", {})}
    assert {"text/html", "text/plain", "image/svg+xml"} <= shown
    last = code[-1].outputs[-1]["data"]["text/plain"]
    assert "Matched" in last or "matched" in last
