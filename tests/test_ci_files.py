"""The action and the pipeline: valid for the CIs that read them, and their scripts run here by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
PIPELINE = yaml.safe_load((ROOT / "examples/ci/gitlab.yml").read_text())


@pytest.mark.parametrize(
    ("file", "schema"),
    [
        ("action.yml", "vendor.github-actions"),
        ("examples/ci/github.yml", "vendor.github-workflows"),
        ("examples/ci/gitlab.yml", "vendor.gitlab-ci"),
        (".github/workflows/ci.yml", "vendor.github-workflows"),
        (".github/workflows/nightly.yml", "vendor.github-workflows"),
    ],
)
def test_each_is_valid_for_its_ci(file: str, schema: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(ROOT / file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


@pytest.fixture
def checkout(tmp_path: Path, examples: Path) -> Path:
    """A repository with checkpoints in it."""
    (tmp_path / "models/transfers").mkdir(parents=True)
    shutil.copy(examples / "base.safetensors", tmp_path / "models/base.safetensors")
    shutil.copy(examples / "matched.safetensors", tmp_path / "models/transfers")
    return tmp_path


def in_bash(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run as the CIs do, with the ``diag`` of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    known = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={**known, "PATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def as_action(folder: Path, **inputs: str) -> tuple[subprocess.CompletedProcess[str], str, str]:
    """The action's checking step with these inputs; its outputs, and the summary that it wrote."""
    step = next(s for s in ACTION["runs"]["steps"] if s.get("id") == "check")
    values: dict[str, Any] = {name: i.get("default", "") for name, i in ACTION["inputs"].items()}
    values |= {name.replace("_", "-"): value for name, value in inputs.items()}
    variables = {
        name: values[expression.removeprefix("${{ inputs.").removesuffix(" }}")]
        for name, expression in step["env"].items()
    }
    out, summary = folder / "outputs", folder / "summary"
    run = in_bash(step["run"], folder, **variables, GITHUB_OUTPUT=str(out), GITHUB_STEP_SUMMARY=str(summary))
    return run, out.read_text(), summary.read_text() if summary.exists() else ""


@pytest.mark.long
def test_the_action_passes_a_good_transfer(checkout: Path) -> None:
    run, outputs, summary = as_action(
        checkout, base="models/base.safetensors", transfers="models/transfers/*.safetensors\n"
    )
    assert run.returncode == 0, run.stderr
    assert outputs == "exit-status=0\n"
    assert "::error" not in run.stdout
    assert "matched.safetensors" in summary
    assert {f.name for f in checkout.glob("diag.*")} == {"diag.junit.xml", "diag.sarif", "diag.html"}


@pytest.mark.long
def test_the_action_fails_a_flipped_one_and_annotates_it(checkout: Path, examples: Path) -> None:
    shutil.copy(examples / "mirrored.safetensors", checkout / "models/transfers")
    (checkout / "diag.toml").write_text("[check.r2]\nmin = 0.9\n")
    run, outputs, summary = as_action(
        checkout,
        base="models/base.safetensors",
        transfers="models/transfers/matched.safetensors\nmodels/transfers/mirrored.safetensors",
        options="--set=check.cka.level=off\n--set=check.cca.level=off",
    )
    assert run.returncode == 1, run.stderr
    assert outputs == "exit-status=1\n"
    assert "file=diag.toml,line=2" in run.stdout
    assert "mirrored" in summary


@pytest.mark.long
def test_the_action_hands_bad_input_on(checkout: Path) -> None:
    run, outputs, _ = as_action(checkout, base="absent.safetensors", transfers="models/transfers/*")
    assert run.returncode == 2
    assert outputs == "exit-status=2\n"
    assert run.stderr.count("\n") == 1


@pytest.mark.long
def test_the_pipeline_runs_and_reports(checkout: Path) -> None:
    install, check = PIPELINE["transfers"]["script"]
    assert install.endswith('pip install --quiet "$TRANSFER_DIAG"')
    run = in_bash(check, checkout)
    assert run.returncode == 0, run.stdout + run.stderr
    for report in (PIPELINE["transfers"]["artifacts"]["reports"]["junit"], "diag.html"):
        assert (checkout / report).stat().st_size > 0
