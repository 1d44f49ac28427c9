"""The gate: each check on pairs whose truth is known, what becomes of it, and the exit status."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diag
from diag.checks import CheckError
from diag.checks.config import Config, with_settings
from diag.checks.judging import Found, State
from diag.checks.result import Checked, Finding, Gate
from diag.checks.run import DRAWN, thinned
from diag.checks.settings import Checks
from diag.checks.settling import settled
from diag.checks.written import text as written
from diag.subject import Subject, SubjectError
from probes import Measure
from tests.conftest import EXAMPLES
from tests.gated import Small, embedded, near, played, said, small, states
from trainers import checkpoint as files
from trainers.checkpoint import CheckpointError

CHECKS = tuple(Checks.model_fields)
EPISODES = np.array([9.0, 10.0, 11.0] * 30)
OF_EMBEDDINGS = ("relation", "r2", "l2", "states", "collapse", "cka", "cca")


def only(*names: str, **more: Any) -> dict[str, Any]:
    """Settings in which just these checks look."""
    off = {f"check.{name}.level": "off" for name in CHECKS if name not in names}
    return off | {name.replace("__", "."): value for name, value in more.items()}


def of(gate: Gate) -> dict[str, str]:
    return {f.name: f.outcome for f in gate.checked[0].findings}


@pytest.fixture(scope="module")
def both() -> Gate:
    """The examples by the defaults: a transfer that landed, and one that is mirrored."""
    return diag.check(*(EXAMPLES / f"{n}.safetensors" for n in ("base", "matched", "mirrored")))


def test_the_examples(both: Gate) -> None:
    assert [c.outcome for c in both.checked] == ["pass", "fail"]
    assert (both.outcome, both.exit_status) == ("fail", 1)
    assert both.summary == "Of 2 transfers 1 failed, 1 passed."
    outcomes = {f.name: f.outcome for f in both.checked[1].findings}
    failed = {name for name, outcome in outcomes.items() if outcome == "fail"}
    assert failed == {"relation", "r2", "l2"}
    warned = {name for name, outcome in outcomes.items() if outcome == "warn"}
    assert warned == {"states", "cka", "probe[column]"}
    assert outcomes["loss_ratio[total]"] == "pass"  # small losses do not give it away
    relation = said(both, "relation", 1)
    assert relation.word == "flipped"
    assert relation.message.startswith("Flipped: the base's embedding with axis 1 negated")
    assert "0 of 31 states lie nearest" in said(both, "states", 1).message


def test_findings_stand_in_the_order_of_the_settings(both: Gate) -> None:
    for checked in both.checked:
        order = [CHECKS.index(f.check) for f in checked.findings]
        assert order == sorted(order)
        assert set(order) == set(range(len(CHECKS)))
        names = [f.name for f in checked.findings]
        assert len(names) == len(set(names))


def test_the_whole_result_is_json(both: Gate) -> None:
    tree = json.loads(json.dumps(both.to_tree(), allow_nan=False))
    assert (tree["outcome"], tree["exit_status"]) == ("fail", 1)
    assert tree["settings"]["check"]["r2"]["min"] == 0.8
    worst = tree["checked"][1]["findings"][1]
    set_in = {"file": None, "line": None, "origin": "default"}
    assert worst["threshold"] == {"name": "check.r2.min", "value": 0.8, **set_in}
    assert worst["measure"]["high"] < 0.8


def test_every_number_that_fails_has_an_interval(both: Gate) -> None:
    for checked in both.checked:
        for finding in checked.findings:
            if finding.measure is not None and finding.name not in ("states", "collapse[rank]"):
                assert finding.measure.low is not None, finding.name


def twice(gate: Gate) -> list[Any]:
    return [{**c.to_tree(), "seconds": 0} for c in gate.checked]


def test_the_same_gate_twice_says_the_same() -> None:
    y = states(60)
    one, again, other = (
        diag.check(embedded(y, "base"), embedded(near(y), "t"), config={"seed": seed}) for seed in (3, 3, 4)
    )
    assert twice(one) == twice(again)
    assert [said(gate, "r2").measure != said(one, "r2").measure for gate in (again, other)] == [False, True]


CERTAIN = ("pass", "fail", "warn", "inconclusive")


@pytest.mark.parametrize("level", ["error", "warn"])
@pytest.mark.parametrize("on", [None, "pass", "warn", "fail"])
@pytest.mark.parametrize("state", ["good", "odd", "bad", "unsure", "absent", "idle"])
@pytest.mark.parametrize("asked", [True, False])
def test_what_becomes_of_what_was_found(level: str, on: str | None, state: State, asked: bool) -> None:
    """Level, on_inconclusive, --strict and a wish of the configuration, each with each."""
    config = with_settings(Config(), {"check.cka.level": level, "check.cka.on_inconclusive": on})
    config = replace(config, given=frozenset({"cka"} if asked else ()))
    found = settled(Found("cka", state, "it is so"), config)
    unsure = state == "unsure" or (state == "absent" and asked)
    expected = {"good": "pass", "odd": "warn", "bad": "fail", "absent": "skipped", "idle": "skipped"}.get(
        state
    )
    if unsure:
        expected = on or "inconclusive"
    if state == "absent" and asked and level == "warn":
        expected = "warn"
    if level == "warn" and expected == "fail":
        expected = "warn"
    assert (found.outcome, found.level) == (expected, level)
    assert found.message.startswith("asked for, but ") == (state == "absent" and asked)
    good = Finding("r2", "pass", "fine")
    for strict in (False, True):
        gate = Gate((Checked("a", "b", (good, found)),), strict)
        status = {"fail": 1, "inconclusive": 4 if strict and level == "error" else 0}.get(found.outcome, 0)
        assert gate.exit_status == status


@pytest.mark.parametrize(
    ("outcomes", "outcome", "status", "strict"),
    [
        (["pass"], "pass", 0, 0),
        (["pass", "warn"], "warn", 0, 0),
        (["warn", "inconclusive"], "inconclusive", 0, 4),
        (["fail", "inconclusive"], "fail", 1, 1),
        (["pass", "skipped"], "error", 2, 2),
        (["skipped"], "error", 2, 2),
        (["fail", "error"], "error", 2, 2),
        ([], "error", 2, 2),
    ],
)
def test_the_exit_status_is_of_the_worst(outcomes: list[str], outcome: str, status: int, strict: int) -> None:
    pairs = [
        Checked("a", "b", error="no file")
        if o == "error"
        else Checked("a", "b", (Finding("r2", o, ""), Finding("l2", "skipped", "")))  # type: ignore[arg-type]
        for o in outcomes
    ]
    gates = [Gate(tuple(pairs), strict) for strict in (False, True)]
    assert [g.outcome for g in gates] == [outcome] * 2
    assert [g.exit_status for g in gates] == [status, strict]


def test_what_only_warn_checks_could_not_tell_is_no_pass() -> None:
    """Nothing was found out; beside anything that was, it does not count."""
    unsure = Finding("cka", "inconclusive", "", level="warn")
    assert Checked("a", "b", (unsure, Finding("l2", "skipped", ""))).outcome == "inconclusive"
    assert Checked("a", "b", (unsure, Finding("l2", "pass", ""))).outcome == "pass"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda y: near(y), {}),
        (lambda y: near(y * [1, -1, 1]), {"relation": "fail", "r2": "fail", "l2": "fail"}),
        (lambda y: near(y[:, [1, 0, 2]]), {"relation": "fail", "r2": "fail", "l2": "fail"}),
        (lambda y: near(0.3 * y, 0.01), {"relation": "fail", "collapse[variance]": "fail"}),
        (lambda y: near(y * [1, 0, 0], 0.001), {"relation": "fail", "collapse[rank]": "fail"}),
        (lambda y: states(len(y), 7), {"relation": "fail", "r2": "fail", "cka": "warn", "cca": "warn"}),
    ],
)
def test_what_each_check_of_embeddings_sees(change: Any, expected: Mapping[str, str]) -> None:
    y = states()
    gate = diag.check(embedded(y, "base"), embedded(change(y), "t"))
    found = of(gate)
    assert {name: found[name] for name in expected} == expected
    if not expected:
        assert set(found.values()) == {"pass", "skipped"}
    blind = {"cka", "cca"} - set(expected)
    if "collapse[rank]" not in expected:
        assert all(found[name] == "pass" for name in blind)


def test_a_flip_that_is_allowed_is_no_warning() -> None:
    y = states()
    pair = embedded(y, "base"), embedded(near(y * [1, -1, 1]), "t")
    config = only("relation", check__relation__allow=["matched", "flipped"])
    assert diag.check(*pair, config=config).outcome == "pass"
    assert diag.check(*pair, config=only("relation", check__relation__allow="permuted")).outcome == "fail"


@pytest.mark.parametrize(
    ("allow", "state"), [(["matched"], "fail"), (["matched", "flipped"], "inconclusive")]
)
def test_not_matched_and_more_is_not_known(both: Gate, allow: list[str], state: str) -> None:
    """Surely not matched is a failure where nothing else is allowed, and else it may be what is."""
    result = both.checked[1].comparison
    assert result is not None
    lost = replace(result, verdict=replace(result.verdict, relation=None, axes=(), status="fail"))
    config = with_settings(Config(), {"check.relation.allow": allow})
    [found] = config.settings.check.relation.of(lost)
    assert settled(found, config).outcome == state


def test_what_is_off_does_not_look() -> None:
    y = states(40)
    pair = embedded(y, "base"), embedded(near(y), "t")
    assert set(of(diag.check(*pair, config=only("l2")))) == {"l2"}
    gate = diag.check(*pair, config=only())
    assert (gate.outcome, gate.exit_status, gate.checked[0].findings) == ("error", 2, ())


def test_no_check_that_can_be_run_is_no_pass() -> None:
    gate = diag.check(
        played([1.0, 2.0], "a.npz"), played([1.0, 2.0], "b.npz"), config=only("r2", "loss_ratio")
    )
    assert (gate.outcome, gate.exit_status) == ("error", 2)
    assert "no pass" in gate.summary


EQUALS = played(EPISODES, "base.npz"), played(EPISODES, "t.npz")
"""Two agents that are as good, of which nothing but returns is known."""


def test_what_is_asked_for_and_cannot_be_run_is_not_passed() -> None:
    assert of(diag.check(*EQUALS))["r2"] == "skipped"
    asked = {"check.r2.min": 0.9}
    gate = diag.check(*EQUALS, config=asked)
    assert said(gate, "r2").message == "asked for, but the files hold no embeddings"
    assert (gate.outcome, gate.exit_status) == ("inconclusive", 0)
    assert diag.check(*EQUALS, config=asked, strict=True).exit_status == 4
    assert diag.check(*EQUALS, config={"check.r2.on_inconclusive": "fail"}).exit_status == 1
    passed = asked | {"check.r2.on_inconclusive": "pass"}
    assert diag.check(*EQUALS, config=passed, strict=True).outcome == "pass"


def test_the_written_defaults_change_nothing(tmp_path: Path) -> None:
    """Though every check is named there."""
    (tmp_path / "diag.toml").write_text(written())
    with_file, without = diag.check(*EQUALS, config=tmp_path / "diag.toml"), diag.check(*EQUALS)
    assert of(with_file) == of(without)
    limit = said(with_file, "returns").threshold
    assert limit is not None
    assert limit.line is not None
    assert (tmp_path / "diag.toml").read_text().splitlines()[limit.line - 1] == "margin = 0.1"


def broken(folder: Path, examples: Path) -> dict[str, Path]:
    """Transfers that cannot be used, by what is wrong with them."""
    good = (examples / "matched.safetensors").read_bytes()
    found = {name: folder / f"{name}.npy" for name in ("absent", "folder", "x" * 300)}
    found["folder"].mkdir()
    for name, content in {
        "short.safetensors": good[: len(good) // 2],
        "text.npy": b"no array",
        "pickle.npy": b"\x80\x04N.",
        "empty.safetensors": b"",
    }.items():
        found[name] = folder / name
        found[name].write_bytes(content)
    found["link"] = folder / "link.npy"
    found["link"].symlink_to("link.npy")
    np.save(folder / "rows.npy", states(39))
    np.save(folder / "nan.npy", np.full((40, 3), np.nan))
    np.save(folder / "one.npy", np.ones((40, 0)))
    return found | {name: folder / f"{name}.npy" for name in ("rows", "nan", "one")}


def test_a_transfer_that_cannot_be_used_does_not_stop_the_others(tmp_path: Path, examples: Path) -> None:
    y = states(40)
    wrong = list(broken(tmp_path, examples).values())
    seen: list[tuple[int, int]] = []
    gate = diag.check(
        embedded(y, "base"),
        *wrong,
        embedded(near(y), "fine"),
        embedded(-y, "mirrored"),
        config=only("r2"),
        progress=lambda done, of: seen.append((done, of)),
    )
    assert [c.outcome for c in gate.checked[-2:]] == ["pass", "fail"]
    for checked, path in zip(gate.checked, wrong, strict=False):
        assert checked.error is not None
        assert checked.error.startswith(str(path))
        assert "\n" not in checked.error
    assert len(gate.errors) == len(wrong)
    assert (gate.outcome, gate.exit_status) == ("error", 2)
    assert "could not be checked" in gate.summary
    assert seen == [(n, len(wrong) + 2) for n in range(len(wrong) + 3)]


def test_a_base_that_cannot_be_used_is_an_error(tmp_path: Path, examples: Path) -> None:
    for path in broken(tmp_path, examples).values():
        if path.stem not in ("rows", "nan"):
            with pytest.raises((SubjectError, CheckpointError, OSError)):
                diag.check(path, examples / "matched.safetensors")


@pytest.mark.parametrize("config", [None, only("returns")])
def test_the_base_is_no_transfer_of_itself(tmp_path: Path, config: dict[str, Any] | None) -> None:
    """Under no name, and whatever is looked at."""
    np.savez(tmp_path / "base.npz", embeddings=states(40), returns=np.arange(9.0))
    (tmp_path / "link.npz").symlink_to(tmp_path / "base.npz")
    (tmp_path / "hard.npz").hardlink_to(tmp_path / "base.npz")
    base = tmp_path / "base.npz"
    gate = diag.check(
        base, base, tmp_path / "link.npz", tmp_path / ".." / tmp_path.name / "hard.npz", config=config
    )
    assert [c.error is not None and "found the base itself" in c.error for c in gate.checked] == [True] * 3
    subject = embedded(states(40), "here")
    assert "the base itself" in str(diag.check(subject, subject, config=config).checked[0].error)


def test_a_copy_of_the_base_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "base.npy", states(40))
    shutil.copy(tmp_path / "base.npy", tmp_path / "copy.npy")
    [checked] = diag.check(tmp_path / "base.npy", tmp_path / "copy.npy").checked
    assert "equal byte for byte" in checked.warnings[0]


def test_embeddings_of_other_dimension_never_pass() -> None:
    y = states(80)
    gate = diag.check(embedded(y, "base"), embedded(near(y)[:, :2], "t"))
    assert gate.outcome in ("fail", "inconclusive")
    assert of(gate)["l2"] == "skipped"
    assert said(gate, "l2").message == "the base's embedding has 3 dimensions, and the transfer's has 2"
    assert said(gate, "l2").message in said(gate, "r2").message
    wider = np.concatenate([near(y), near(y, seed=3)], 1)
    assert diag.check(embedded(y, "base"), embedded(wider, "t")).outcome in ("fail", "inconclusive")
    asked = diag.check(
        embedded(y, "base"), embedded(near(y)[:, :2], "t"), config=only("l2", check__l2__max=0.3)
    )
    assert asked.outcome == "inconclusive"


@pytest.mark.parametrize("change", [lambda y: -y, lambda y: near(y), lambda y: near(y, 0.5), lambda y: 0 * y])
def test_where_nothing_frozen_reads_the_embedding_it_cannot_fail(change: Any) -> None:
    """Nor can it be undecided, whatever was asked for."""
    y = states(40)
    config = {
        "unfrozen": True,
        "check.r2.min": 0.9,
        "check.l2.level": "error",
        "check.relation.level": "error",
    }
    gate = diag.check(embedded(y, "base"), embedded(change(y), "t"), config=config, strict=True)
    found = of(gate)
    assert found["relation"] == "pass"
    assert {found[name] for name in OF_EMBEDDINGS[1:]} == {"skipped"}
    assert gate.exit_status == 0
    assert "nothing frozen reads the embedding" in said(gate, "r2").message


def test_an_unfrozen_transfer_whose_place_cannot_be_told(both: Gate) -> None:
    result = both.checked[1].comparison
    assert result is not None
    lost = replace(result.verdict, relation=None, axes=(), status="inconclusive")
    [found] = Checks().relation.of(replace(result, frozen=(), verdict=lost))
    assert (found.state, "nothing frozen reads the embedding" in found.message) == ("good", True)


def test_own_states_are_counted_where_each_stands_once() -> None:
    y = states(40)
    wanted = only("states", check__states__min=38)
    pair = embedded(y, "base"), embedded(near(y, 0.001), "t")
    assert of(diag.check(*pair))["states"] == "skipped"  # arrays: no world says how many
    assert diag.check(*pair, config=wanted).outcome == "pass"
    assert of(diag.check(embedded(y, "base"), embedded(-y, "t"), config=wanted)) == {"states": "warn"}
    with pytest.raises(
        CheckError, match=r"check\.states\.min: found 41 states wanted, expected at most the 40"
    ):
        diag.check(*pair, config=only("states", check__states__min=41))
    twice = [embedded(np.tile(s.embeddings, (2, 1)), s.path) for s in pair if s.embeddings is not None]
    repeated = diag.check(twice[0], twice[1], config=wanted)
    assert said(repeated, "states").message.endswith("40 states stand in 80 rows, not once each")


def test_a_rank_whose_interval_holds_the_limit_is_not_sure() -> None:
    y = states(40)
    squeezed = near(y, 0.01) * [1, 0.35, 0.3]
    pair = embedded(y, "base"), embedded(squeezed, "t")

    def at_least(least: float) -> Finding:
        limits = {"check.collapse.min_rank": least, "check.collapse.min_variance": 0.1}
        return said(diag.check(*pair, config=only("collapse", **limits)), "collapse[rank]")

    found = at_least(0.5)
    assert found.measure is not None
    assert found.measure.low is not None
    assert found.measure.value is not None
    assert found.measure.low < found.measure.value < 0.9
    assert [found.outcome, at_least(0.95).outcome] == ["pass", "fail"]
    assert at_least(found.measure.value).outcome == "inconclusive"


def test_returns_alone() -> None:
    transfers = [played(EPISODES + shift, f"{shift}.npz") for shift in (-0.2, -3.0, -1.0)]
    gate = diag.check(EQUALS[0], *transfers)
    assert [c.outcome for c in gate.checked] == ["pass", "fail", "inconclusive"]
    assert {f.outcome for f in gate.checked[0].findings if f.check != "returns"} == {"skipped"}
    assert gate.checked[0].comparison is None
    assert said(gate, "relation").message == "the files hold no embeddings"
    assert "worse, but the data cannot tell whether by more" in said(gate, "returns", 2).message
    wide = {"check.returns.margin": 5.0, "check.returns.relative": False}
    assert diag.check(EQUALS[0], *transfers, config=wide).outcome == "pass"


def test_a_reference_replaces_the_base_s_returns() -> None:
    base, transfer = Subject("base.zip", "b"), EQUALS[1]
    assert of(diag.check(base, transfer))["returns"] == "skipped"
    config = {"check.returns.reference": 20.0}
    assert of(diag.check(base, transfer, config=config))["returns"] == "fail"

    class NotToPlay:
        def returns(self, *of: Any) -> Any:
            raise AssertionError

    busy = replace(base, actor=NotToPlay(), task="source", parameters={})
    assert of(diag.check(busy, transfer, config=config))["returns"] == "fail"


def test_an_agent_plays_on_its_own_task() -> None:
    calls = []

    class Plays:
        def returns(self, parameters: Any, task: str, episodes: int, seed: int) -> Any:
            calls.append((task, episodes, seed))
            return np.random.default_rng(seed).normal(10, 1, episodes)

    offers: dict[str, Any] = {"actor": Plays(), "parameters": {}}
    base, *transfers = (
        Subject(f"{n}.zip", str(n), task=t, **offers) for n, t in enumerate(["source", "target", "target"])
    )
    gate = diag.check(base, *transfers, config={"check.returns.episodes": 50, "seed": 3})
    assert gate.outcome == "pass"
    assert calls == [("source", 50, 3), ("target", 50, 3), ("target", 50, 3)]


@pytest.mark.parametrize(
    ("returns", "words"),
    [
        ([1.0, np.nan], "found 1 of 2 returns that are not finite"),
        ([1.0], "found 1 returns; expected at least 2"),
    ],
)
def test_returns_that_are_none(returns: list[float], words: str) -> None:
    base = played([1.0, 2.0, 3.0], "base.npz")
    [checked] = diag.check(base, played(returns, "t.npz")).checked
    assert checked.error is not None
    assert words in checked.error


def system(change: Any = near, losses: Mapping[str, Any] | None = None, known: bool = False) -> Small:
    y = states(60)
    variables = {"first": y[:, 0], "side": np.where(y[:, 1] > 0, "left", "right")} if known else {}
    return small(change(y), losses, variables)


def of_systems(base: Small, transfer: Small, config: Mapping[str, Any]) -> Gate:
    return diag.check(base.subject("base", "source"), transfer.subject("t", "target"), config=config)


def test_losses_beside_the_base_s() -> None:
    hard = np.random.default_rng(0).lognormal(0, 0.3, 60)
    base = system(losses={"reward": hard, "model.next": 2 * hard})
    transfer = system(losses={"reward": 3 * hard, "model.next": 2.1 * hard})
    found = of_systems(base, transfer, only("loss_ratio"))
    assert of(found) == {
        "loss_ratio[total]": "pass",
        "loss_ratio[reward]": "warn",
        "loss_ratio[model.next]": "pass",
    }
    ratio = said(found, "loss_ratio[reward]").measure
    assert ratio is not None
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((3.0, 3.0, 3.0))
    terms = only("loss_ratio", **{"check.loss_ratio.terms": {"reward": 4.0, "model.next": 1.01}})
    again = of_systems(base, transfer, terms)
    assert of(again)["loss_ratio[reward]"] == "pass"
    assert of(again)["loss_ratio[model.next]"] == "warn"
    limit = said(again, "loss_ratio[model.next]").threshold
    assert limit is not None
    assert (limit.name, limit.value) == ("check.loss_ratio.terms.model.next", 1.01)


@pytest.mark.parametrize(
    ("base", "transfer", "terms", "words"),
    [
        ({"a": 1.0}, {"a": np.nan}, {}, "t: found 1240 of 1240 'a' losses not finite"),
        ({"a": np.inf}, {"a": 1.0}, {}, "base: found 1240 of 1240 'a' losses not finite"),
    ],
)
def test_losses_that_cannot_be_compared(
    base: dict[str, float], transfer: dict[str, float], terms: dict[str, float], words: str
) -> None:
    config = only("loss_ratio", **{"check.loss_ratio.terms": terms})
    [checked] = of_systems(system(losses=base), system(losses=transfer), config).checked
    assert checked.error is not None
    assert checked.error.startswith(words)


def test_a_mistyped_loss_term_is_the_configuration_s_mistake(tmp_path: Path) -> None:
    """Whatever transfer it shows beside: none of them is at fault."""
    (tmp_path / "diag.toml").write_text(
        "[check.r2]\nmin = 0.9\n[check.loss_ratio]\nterms = { transitoin = 5.0 }\n"
    )
    own = system(losses={"transition": 1.0})
    pair = own.subject("base", "source"), own.subject("t", "target")
    words = "unknown loss term 'transitoin'; did you mean 'transition'?"
    place = re.escape(f"{tmp_path / 'diag.toml'}:4: check.loss_ratio.terms.transitoin: {words}")
    with pytest.raises(CheckError, match=f"^{place}$"):
        diag.check(*pair, config=tmp_path / "diag.toml")
    with pytest.raises(CheckError, match=f"^settings: .*{re.escape(words)}$"):
        diag.check(*pair, config={"check.loss_ratio.terms.transitoin": 5.0})
    assert diag.check(*pair, config={"check.loss_ratio.terms.transition": 5.0}).outcome != "error"


def test_other_losses_or_none_are_left_out() -> None:
    one, other, none = (system(losses=terms) for terms in ({"a": 1.0}, {"b": 1.0}, None))
    for two in (other, none):
        assert of(of_systems(one, two, only("loss_ratio", "r2"))) == {"r2": "pass", "loss_ratio": "skipped"}
        asked = of_systems(one, two, only("r2", check__loss_ratio__level="error"))
        assert of(asked) == {"r2": "pass", "loss_ratio": "inconclusive"}


def test_what_a_probe_reads() -> None:
    base = system(known=True)
    kept = of_systems(base, system(known=True), only("probe"))
    assert of(kept) == {"probe[first]": "pass", "probe[side]": "pass"}
    lost = of_systems(base, system(lambda y: near(y * [0, 1, 1]), known=True), only("probe"))
    assert of(lost) == {"probe[first]": "warn", "probe[side]": "pass"}
    gone = of_systems(base, system(lambda y: 0 * y, known=True), only("probe"))
    assert set(of(gone).values()) == {"inconclusive"}
    assert said(gone, "probe[first]").message.endswith(
        "from the base; the fall is undefined: the embedding is constant"
    )


def test_what_the_base_does_not_hold_cannot_be_lost() -> None:
    """Held-out R² falls below 0 at random, and further for one than for another."""
    y, rng = states(24), np.random.default_rng(5)
    noise = {f"n{i}": rng.normal(size=24) for i in range(12)}
    base, transfer = (small(near(y, 0.5, seed), known=noise) for seed in (1, 2))
    found = of_systems(base, transfer, only("probe"))
    assert "warn" not in of(found).values()
    for finding in found.checked[0].findings:
        assert "-" not in finding.message.partition(";")[0]


def test_systems_of_two_worlds_are_not_compared() -> None:
    base, transfer = system(known=True), system(known=True)
    transfer.name = "another"
    [checked] = of_systems(base, transfer, {}).checked
    assert checked.error is not None
    assert "world 'another'" in checked.error


def at_step(path: Path, out: Path, step: int) -> Path:
    """A checkpoint that says it was written at another step."""
    loaded = files.read(path)
    files.save(out, replace(loaded.header, step=step), loaded.tensors)
    return out


def test_a_forecast_of_what_has_updates_left(tmp_path: Path, examples: Path) -> None:
    base, mirrored = (examples / f"{n}.safetensors" for n in ("base", "mirrored"))
    budget = files.read(mirrored).header.step
    early = at_step(mirrored, tmp_path / "early.safetensors", budget // 10)
    config = only(check__forecast__level="warn")  # asked for
    gate = diag.check(base, early, config=config)
    finding = said(gate, "forecast")
    assert finding.outcome == "warn"
    assert "with 10% of the updates done, the chance that it ends matched is " in finding.message
    first = at_step(mirrored, tmp_path / "first.safetensors", 1)
    assert "expected about" in said(diag.check(base, first, config=config), "forecast").message
    # Finished: there is nothing to foretell, though it was asked for.
    assert said(diag.check(base, mirrored, config=config), "forecast").outcome == "skipped"


def test_a_forecast_beside_another_base(tmp_path: Path, examples: Path, trained: Path) -> None:
    early = at_step(examples / "mirrored.safetensors", tmp_path / "early.safetensors", 2000)
    gate = diag.check(trained / "base" / "seed0.safetensors", early, config={"check.r2.level": "off"})
    assert said(gate, "forecast").message == "the transfer was made from another base"


def test_a_gate_keeps_of_a_large_embedding_what_a_picture_needs(both: Gate) -> None:
    result = both.checked[1].comparison
    assert result is not None
    assert thinned(result) is result
    many = {name: np.repeat(values, 5000, 0) for name, values in result.picture.variables.items()}
    large = replace(
        result.picture, base=np.zeros((155_000, 2)), transfer=np.ones((155_000, 2)), variables=many
    )
    large = replace(large, base_predictions=np.zeros((155_000, 4, 2)), transfer_predictions=None)
    few = thinned(replace(result, picture=large)).picture
    assert few.base.shape == few.transfer.shape == (DRAWN // 2, 2)
    assert few.base_predictions is not None
    assert {len(few.base_predictions), *map(len, few.variables.values())} == {DRAWN // 2}
    assert few.base.base is None  # the rest is let go


def test_settings_by_name_or_from_a_file(tmp_path: Path) -> None:
    worse = EQUALS[0], played(EPISODES - 3, "t.npz")
    place = tmp_path / "gate.toml"
    place.write_text("[check.returns]\nlevel = 'warn'\nmargin = 0.2\n")
    gate = diag.check(*worse, config=place, strict=True)
    assert (gate.config, gate.strict, gate.outcome) == (str(place), True, "warn")
    limit = said(gate, "returns").threshold
    assert limit is not None
    assert (limit.value, limit.file, limit.line) == (0.2, str(place), 3)
    assert diag.check(*worse, config={"check.returns.margin": 0.5}).outcome == "pass"
    with pytest.raises(CheckError, match=r"did you mean 'check\.returns\.margin'"):
        diag.check(*worse, config={"check.returns.margins": 0.5})
    with pytest.raises(CheckError, match="no such file"):
        diag.check(*worse, config=tmp_path / "absent.toml")


def test_a_measure_that_is_exact_has_no_interval() -> None:
    assert Finding("states", "pass", "", measure=Measure(3.0)).to_tree()["measure"] == {
        "value": 3.0,
        "low": None,
        "high": None,
    }
