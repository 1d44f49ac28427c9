"""The gate's checks: what each answers of pairs whose truth is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diag
from diag.checks import CheckError
from diag.checks.compared import EmbeddingCheck
from diag.checks.result import Finding, Gate
from diag.checks.settings import Checks
from diag.subject import Subject
from probes import Measure
from tests.gated import EPISODES, EQUALS, Small, embedded, near, of, only, played, said, small, states
from trainers import checkpoint as files

OF_EMBEDDINGS = [check.name for check in Checks().each() if isinstance(check, EmbeddingCheck)]


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


def test_a_measure_that_is_exact_has_no_interval() -> None:
    assert Finding("states", "pass", "", measure=Measure(3.0)).to_tree()["measure"] == {
        "value": 3.0,
        "low": None,
        "high": None,
    }
