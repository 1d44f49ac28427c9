"""diag check --calibrate: alarms among equals, and the limits that clear them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from diag.checks import CheckError
from diag.checks.calibrate import CLEAR, _rate, calibrate, files_in
from diag.checks.config import Config, with_settings
from diag.checks.judging import judged
from diag.checks.result import Finding, Rate, Threshold
from probes import Measure
from tests.gated import scaled


def written(folder: Path, means: Iterable[float], spread: float = 0.5, count: int = 200) -> list[str]:
    """Files of returns with these means."""
    files = []
    for number, mean in enumerate(means):
        files.append(str(folder / f"{number:02}.npz"))
        np.savez(files[-1], returns=scaled(mean, spread, count))
    return files


def test_calibration_counts_alarms(tmp_path: Path) -> None:
    """Two of the files are worse than the other three: six of the ten pairs are."""
    files = written(tmp_path, [10.0, 10.1, 10.0, 5.0, 5.1])
    found = calibrate(files)
    assert (found.pairs, found.possible, found.independent) == (10, 10, 2)
    assert (found.alarms.value, found.undecided) == (0.6, 0.0)
    [returns] = found.rates
    assert (returns.name, returns.pairs, returns.alarms, returns.undecided) == (
        "returns",
        10,
        found.alarms,
        0,
    )
    assert len(found.to_tree()["failed"]) == 6
    # Two independent pairs allow nearly any rate.
    ends = [stats.binomtest(k, 2).proportion_ci(method="wilson") for k in (1, 2)]
    assert ends[0].low < found.alarms.low < ends[1].low  # type: ignore[operator]
    against = calibrate(files[1:], files[0])
    assert (against.pairs, against.independent, against.alarms.value) == (4, 4, 0.5)
    assert (against.alarms.low, against.alarms.high) == pytest.approx(
        tuple(stats.binomtest(2, 4).proportion_ci(method="wilson"))
    )


def test_what_cannot_be_told_is_no_alarm(tmp_path: Path) -> None:
    found = calibrate(written(tmp_path, [10.0] * 4, spread=20.0))
    assert (found.undecided, found.alarms.value, found.rates[0].undecided) == (1.0, 0.0, 1.0)
    assert found.alarms.high == pytest.approx(stats.binomtest(0, 2).proportion_ci(method="wilson").high)


def test_of_too_many_pairs_some_are_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("diag.checks.calibrate.MOST_PAIRS", 4)
    files = written(tmp_path, [10.0] * 5)
    found, again = (calibrate(files) for _ in range(2))
    assert (found.pairs, found.possible, found.independent) == (4, 10, 2)
    pairs = [(c.base, c.transfer) for c in found.checked]
    assert pairs == sorted(set(pairs)) == [(c.base, c.transfer) for c in again.checked]


def test_the_false_alarms_of_equals_are_few(tmp_path: Path) -> None:
    """Of agents that are alike, with the data that a margin of 10% needs."""
    rng, files = np.random.default_rng(8), []
    for number in range(40):
        files.append(str(tmp_path / f"{number}.npz"))
        np.savez(files[-1], returns=rng.binomial(1, 0.9, 200))
    found = calibrate(files)
    assert found.alarms.value == 0
    assert found.undecided < 0.3
    assert found.independent == 20


def finding(value: Measure | None, better: str = "higher", outcome: str = "pass") -> Finding:
    limit = Threshold("check.r2.min", 0.8)
    return Finding("r2", outcome, "", measure=value, threshold=limit, better=better)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [3, 10, 19, 20, 21, 40, 100])
@pytest.mark.parametrize("better", ["higher", "lower"])
def test_the_limit_that_clears_is_passed_by_as_many_as_it_says(count: int, better: str) -> None:
    rng = np.random.default_rng(count)
    sign = 1 if better == "higher" else -1
    measures = [Measure(sign * v, sign * v - 0.1, sign * v + 0.1) for v in rng.uniform(0.5, 0.9, count)]
    found: Rate = _rate("r2", [finding(m, better) for m in measures], count)
    assert found.clears is not None
    limit = {"least": found.clears} if better == "higher" else {"most": found.clears}
    passed = [judged("r2", "", m, "min", **limit).state == "good" for m in measures]
    assert np.mean(passed) >= CLEAR
    assert np.mean(passed) < 1 or count < 20


def test_a_rate_rests_on_the_pairs_that_the_check_looked_at() -> None:
    findings = [finding(Measure(0.9, 0.85, 0.95)), finding(Measure(0.5, 0.4, 0.6), outcome="fail")]
    found = _rate("r2", findings, 50)
    assert (found.alarms.low, found.alarms.high) == pytest.approx(
        tuple(stats.binomtest(1, 2).proportion_ci(method="wilson"))
    )
    assert _rate("r2", [finding(Measure.undefined("constant")), *findings], 50).clears is None
    assert _rate("r2", [finding(None)], 50).clears is None


def test_a_calibration_that_cannot_be_made(tmp_path: Path) -> None:
    files = written(tmp_path, [10.0, 10.0])
    with pytest.raises(CheckError, match="found nothing to check beside"):
        calibrate(files, config=with_settings(Config(), {"check.returns.level": "off"}))
    with pytest.raises(CheckError, match="found 1 files to calibrate by, expected at least 2"):
        calibrate(files[:1])
    with pytest.raises(CheckError, match="the base itself"):
        calibrate(files, files[0])
    with pytest.raises(CheckError, match=r"absent.npz: found "):
        calibrate([*files, str(tmp_path / "absent.npz")])


def test_the_files_of_a_folder_that_are_checkpoints(tmp_path: Path) -> None:
    for name in ("b.npy", "a.safetensors", "a.resume", "a.step100.safetensors", ".hidden.npy", "diag.toml"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert [Path(f).name for f in files_in(tmp_path)] == ["a.safetensors", "b.npy"]
    with pytest.raises(CheckError, match="found no folder"):
        files_in(tmp_path / "absent")
