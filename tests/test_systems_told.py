"""Every system's checkpoints go through every command that reads them, as text and as a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from diag.commands.app import run
from tests import impala_agents, labyrinth_agents, poles
from tests.conftest import train
from trainers.plan import named_plan
from trainers.settings import Settings

SYSTEMS: dict[str, tuple[Callable[[], Settings], str]] = {
    "impala": (impala_agents.tiny, "freeze-head"),
    "labyrinth": (labyrinth_agents.tiny, "freeze-dynamics"),
    "dreamer": (poles.poles, "freeze-recurrent"),
}
"""By name: settings that train in seconds, and a plan of transfer. The maze's are in every other test."""

QUICK = ("show", "compare-embeddings", "forecast")
SLOW = ("probe", "check", "landscape")


@pytest.fixture(scope="module", params=SYSTEMS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A base and a transfer of it, a few updates long."""
    settings, plan = SYSTEMS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    base = train(folder / "base", settings(), (0,)).path(0)
    return str(base), str(train(folder / "transfer", settings(), (0,), base, named_plan(plan)).path(0))


@pytest.mark.parametrize("command", [*QUICK, *(pytest.param(name, marks=pytest.mark.long) for name in SLOW)])
def test_a_command_tells_of_it_in_text_and_on_a_page(
    pair: tuple[str, str], command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, transfer = pair
    page = tmp_path / "page.html"
    given = {"show": [transfer], "forecast": [transfer, "--base", base]}.get(command, [base, transfer])
    quick = ["--quick", "--points", "3", "--samples", "124"] if command == "landscape" else []
    status = run([command, *given, *quick, "--html", str(page)])
    told = capsys.readouterr()
    assert "internal error" not in told.err
    # What a system lacks for a diagnosis is said in a line, and leaves no page.
    assert status in (0, 1) or (status == 2 and told.err.startswith("diag:") and not page.exists())
    if status != 2:
        assert told.out.strip()
        assert "<h1" in page.read_text("utf-8")
    assert status != 2 or command == "forecast"
