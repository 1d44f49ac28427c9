"""The pytest plugin, in suites of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import sklearn.linear_model  # noqa: F401

import diag.checks.run  # noqa: F401 (each suite forgets what it imports first: torch, again and again)

pytest_plugins = ["pytester"]


@pytest.fixture
def suite(pytester: pytest.Pytester, examples: Path) -> pytest.Pytester:
    """A suite beside the example checkpoints."""
    for file in examples.glob("*.safetensors"):
        (pytester.path / file.name).write_bytes(file.read_bytes())
    return pytester


def outcomes(suite: pytest.Pytester, code: str, *options: str) -> tuple[dict[str, int], str]:
    suite.makepyfile(f"import pytest\n{code}")
    result = suite.runpytest_inprocess("-p", "no:cacheprovider", "-q", *options)
    return result.parseoutcomes(), result.stdout.str()


MARKED = """
@pytest.mark.transfer(base="base.safetensors", transfer={transfer!r}{more})
def test_landed(transfer_gate):
    assert transfer_gate.checked[0].comparison.relation == "matched"
"""


def test_a_matched_transfer_passes_and_its_gate_can_be_read(suite: pytest.Pytester) -> None:
    found, _ = outcomes(suite, MARKED.format(transfer="matched.safetensors", more=""))
    assert found == {"passed": 1}


def test_a_flipped_transfer_fails_the_test_before_its_body(suite: pytest.Pytester) -> None:
    code = """
@pytest.mark.transfer(base="base.safetensors", transfer="mirrored.safetensors")
def test_landed():
    open("body", "w")
"""
    found, out = outcomes(suite, code)
    assert found == {"failed": 1}
    assert "axis 1 negated" in out
    assert "Traceback" not in out
    assert not (suite.path / "body").exists()


def test_with_its_fixture_it_is_a_failure_and_no_error(suite: pytest.Pytester) -> None:
    assert outcomes(suite, MARKED.format(transfer="mirrored.safetensors", more=""))[0] == {"failed": 1}


def test_patterns_and_lists_name_several(suite: pytest.Pytester) -> None:
    found, out = outcomes(suite, MARKED.format(transfer="m*.safetensors", more=""))
    assert found == {"failed": 1}
    assert "Of 2 transfers" in out


def test_limits_come_from_the_configuration_above_the_tests(suite: pytest.Pytester) -> None:
    (suite.path / "diag.toml").write_text("[check.r2]\nmin = 0.999\n")
    found, out = outcomes(suite, MARKED.format(transfer="matched.safetensors", more=""))
    assert found == {"failed": 1}
    assert "0.999" in out


def test_an_option_and_the_marker_name_others(suite: pytest.Pytester) -> None:
    (suite.path / "diag.toml").write_text("[check.r2]\nmin = 0.999\n")
    (suite.path / "loose.toml").write_text("")
    plain = MARKED.format(transfer="matched.safetensors", more="")
    assert outcomes(suite, plain, "--diag-config", "loose.toml")[0] == {"passed": 1}
    own = MARKED.format(transfer="matched.safetensors", more=', config={"check.r2.min": 0.9}')
    assert outcomes(suite, own)[0] == {"passed": 1}


def test_the_fixture_checks_what_a_test_made(suite: pytest.Pytester) -> None:
    code = """
import numpy as np

def test_good(check_transfer, tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 3)) * [1, .7, .4]
    np.save(tmp_path / "a.npy", x)
    np.save(tmp_path / "b.npy", x + 0.01)
    assert check_transfer(tmp_path / "a.npy", tmp_path / "b.npy").outcome == "pass"

def test_bad(check_transfer, tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 3)) * [1, .7, .4]
    np.save(tmp_path / "a.npy", x)
    np.save(tmp_path / "b.npy", x * [1, -1, 1])
    check_transfer(tmp_path / "a.npy", tmp_path / "b.npy")
"""
    assert outcomes(suite, code)[0] == {"passed": 1, "failed": 1}


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("", "found nothing"),
        ('base="base.safetensors", transfr="x"', "found 'transfr'"),
        ('base="base.safetensors", transfer="absent.safetensors"', "found no such file"),
        (
            'base="absent.safetensors", transfer="matched.safetensors"',
            "found no such file",
        ),
        ('base="base.safetensors", transfer="x*.safetensors"', "found no file that matches"),
        (
            'base="base.safetensors", transfer="matched.safetensors", config={"check.r2.mn": 1}',
            "did you mean",
        ),
    ],
)
def test_bad_markers_fail_with_a_line(suite: pytest.Pytester, marker: str, words: str) -> None:
    found, out = outcomes(suite, f"@pytest.mark.transfer({marker})\ndef test_landed(): pass\n")
    assert found == {"failed": 1}
    assert words in out
    assert "Traceback" not in out


def test_the_fixture_without_a_marker_says_so(suite: pytest.Pytester) -> None:
    found, out = outcomes(suite, "def test_landed(transfer_gate): pass\n")
    assert found == {"errors": 1}
    assert "without @pytest.mark.transfer" in out
