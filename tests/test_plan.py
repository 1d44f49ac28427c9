"""TransferPlan: each action does what its paper says, and plans survive writing and reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainers.plan import PlanError, Rule, TransferPlan, Window, named_plan, plan_names, read_plan
from trainers.registry import shipped
from trainers.settings import SettingsError, preset, presets_of
from trainers.stack import component_of
from trainers.system import system_of

BASE = {
    "encoder/0.weight": torch.arange(12.0).reshape(3, 4),
    "encoder/0.bias": torch.arange(3.0),
    "reward/0.weight": torch.full((2, 3), 5.0),
    "reward/1.weight": torch.full((1, 2), 7.0),
}
FRESH = {name: torch.full_like(tensor, -1.0) for name, tensor in BASE.items()}


def start(*rules: dict[str, object]) -> dict[str, torch.Tensor]:
    plan = TransferPlan.from_tree({"name": "p", "rules": [{"component": "*", "action": "copy"}, *rules]})
    return plan.initialise([BASE], FRESH, np.random.default_rng(0))


def test_copy_and_freeze_take_the_base_without_sharing_memory() -> None:
    found = start({"component": "reward", "action": "freeze"})
    for name, tensor in BASE.items():
        assert torch.equal(found[name], tensor)
        assert found[name].data_ptr() != tensor.data_ptr()


def test_reset_takes_the_fresh_initialisation() -> None:
    assert torch.equal(start({"component": "encoder", "action": "reset"})["encoder/0.bias"], -torch.ones(3))


def test_permute_shuffles_the_entries_of_each_tensor() -> None:
    found = start({"component": "encoder", "action": "permute"})["encoder/0.weight"]
    assert sorted(found.flatten().tolist()) == list(range(12))
    assert not torch.equal(found, BASE["encoder/0.weight"])


def test_fraction_adds_a_share_of_the_base_to_the_fresh_weights() -> None:
    found = start({"component": "reward", "parameters": "1.*", "action": "fraction", "fraction": 0.2})
    assert torch.allclose(found["reward/1.weight"], torch.tensor([[0.4, 0.4]]))
    assert torch.equal(found["reward/0.weight"], BASE["reward/0.weight"])


def test_columns_reset_only_the_action_inputs() -> None:
    found = start({"component": "encoder", "action": "reset", "columns": [2, 4]})["encoder/0.weight"]
    assert torch.equal(found[:, :2], BASE["encoder/0.weight"][:, :2])
    assert (found[:, 2:] == -1).all()


def test_an_ensemble_keeps_a_frozen_copy_beside_a_fresh_component() -> None:
    plan = TransferPlan.from_tree(
        {
            "name": "p",
            "rules": [{"component": "*", "action": "copy"}, {"component": "reward", "action": "ensemble"}],
        }
    )
    found = plan.initialise([BASE], FRESH, np.random.default_rng(0))
    assert torch.equal(found["reward.source/0.weight"], BASE["reward/0.weight"])
    assert torch.equal(found["reward/0.weight"], FRESH["reward/0.weight"])
    assert set(found) - plan.trainable(found) == {"reward.source/0.weight", "reward.source/1.weight"}
    assert plan.frozen_components(found) == ["reward.source"]
    plan.check(found, ())


def test_an_ensembles_component_may_have_more_inputs_than_its_bases() -> None:
    rules = [{"component": "*", "action": "copy"}, {"component": "reward", "action": "ensemble"}]
    plan, wide = TransferPlan.from_tree({"name": "p", "rules": rules}), torch.zeros(2, 9)
    rng = np.random.default_rng(0)
    start = plan.initialise([BASE], {**FRESH, "reward/0.weight": wide}, rng)
    assert torch.equal(start["reward/0.weight"], wide)
    assert set(start) - set(BASE) == set(plan.copies(BASE, 1))
    with pytest.raises(PlanError, match=r"encoder/0\.weight: the base has shape"):
        plan.initialise([BASE], {**FRESH, "encoder/0.weight": wide}, rng)
    with pytest.raises(PlanError, match="gate/weight: the base has no such tensor"):
        plan.initialise([BASE], {**FRESH, "gate/weight": wide}, rng)


def test_a_base_that_no_rule_takes_is_refused() -> None:
    with pytest.raises(PlanError, match=r"found 2 bases, expected a rule that takes base 1"):
        named_plan("fine-tune").check(BASE, (), bases=2)


def test_a_rule_takes_the_base_that_it_names_and_an_ensemble_takes_all() -> None:
    other = {name: tensor + 100 for name, tensor in BASE.items()}
    rules = [
        {"component": "*", "action": "copy"},
        {"component": "encoder", "action": "copy", "base": 1},
        {"component": "encoder", "action": "fraction", "fraction": 0.5, "columns": [0, 2], "base": 1},
        {"component": "reward", "parameters": "0.*", "action": "ensemble"},
        {"component": "reward", "parameters": "1.*", "action": "ensemble", "base": 1},
    ]
    plan = TransferPlan.from_tree({"name": "p", "rules": rules})
    start = plan.initialise([BASE, other], FRESH, np.random.default_rng(0))
    assert torch.equal(start["encoder/0.bias"], other["encoder/0.bias"])
    assert torch.equal(start["encoder/0.weight"][:, 2:], other["encoder/0.weight"][:, 2:])
    assert torch.equal(start["encoder/0.weight"][:, :2], -1 + 0.5 * other["encoder/0.weight"][:, :2])
    assert torch.equal(start["reward.source/0.weight"], BASE["reward/0.weight"])
    assert torch.equal(start["reward.source1/0.weight"], other["reward/0.weight"])
    assert torch.equal(start["reward.source1/1.weight"], other["reward/1.weight"])
    assert "reward.source/1.weight" not in start
    plan.check(BASE, (), bases=2)
    with pytest.raises(PlanError, match=r"found a rule for base 1 .*, expected at least 2 bases"):
        plan.check(BASE, (), bases=1)


def test_trainable_and_frozen_components() -> None:
    plan = named_plan("freeze-dynamics")
    assert plan.trainable(BASE) == {"encoder/0.weight", "encoder/0.bias"}
    assert plan.frozen_components(BASE) == ["reward"]
    assert named_plan("fine-tune").frozen_components(BASE) == []


def test_windows_are_shares_of_the_updates() -> None:
    plan = named_plan("delayed-structure")
    terms = ("transition", "bound", "entropy_random", "entropy_successive")
    assert plan.active_terms(terms, 149, 1000) == ("transition",)
    assert plan.active_terms(terms, 150, 1000) == terms
    silent = named_plan("no-random-entropy")
    assert "entropy_random" not in silent.active_terms(terms, 0, 10)


actions = st.sampled_from(["copy", "freeze", "reset", "permute", "ensemble"]).map(lambda a: {"action": a})
fractions = st.floats(-2, 2).map(lambda f: {"action": "fraction", "fraction": f})
names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
rules = st.builds(
    lambda c, p, a: Rule(component=c, parameters=p, **a), names, names, st.one_of(actions, fractions)
)
windows = st.dictionaries(names, st.builds(Window, start=st.floats(0, 1), stop=st.floats(0, 1)), max_size=3)
plans = st.builds(TransferPlan, name=names, rules=st.lists(rules, max_size=5).map(tuple), terms=windows)


@given(plans)
def test_plans_round_trip(plan: TransferPlan) -> None:
    assert TransferPlan.from_tree(plan.to_tree()) == plan


@pytest.mark.parametrize("recipe", [recipe for system in shipped() for recipe in presets_of(system)])
@pytest.mark.parametrize("name", plan_names())
def test_shipped_plans_fit_every_shipped_recipe_or_say_what_it_lacks(name: str, recipe: str) -> None:
    try:
        system, plan = system_of(preset(recipe)), named_plan(name)
    except SettingsError as error:
        if "which is not installed" not in str(error):  # the package of the world is an extra
            raise
        pytest.skip(str(error))
    components = set(map(component_of, system.shapes()))
    lacking = {r.component for r in plan.rules} - components - {"*"} | set(plan.terms) - set(system.terms)
    if lacking:
        with pytest.raises(PlanError, match="|".join(sorted(lacking))):
            plan.check(system.shapes(), system.terms)
    else:
        plan.check(system.shapes(), system.terms)
    assert not lacking or system.name != "crar"


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"rules": [{"component": "encoder", "action": "copy"}]}, "has no rule for 'reward/0.weight'"),
        (
            {"rules": [{"component": "*", "action": "copy"}, {"component": "encodr", "action": "reset"}]},
            "did you mean 'encoder",
        ),
        ({"rules": [{"component": "*", "action": "copy"}], "terms": {"bund": {}}}, "did you mean 'bound'"),
    ],
)
def test_plans_that_do_not_fit_are_named(tree: dict[str, object], words: str) -> None:
    with pytest.raises(PlanError) as caught:
        TransferPlan.from_tree({"name": "p", **tree}).check(BASE, ("bound",))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "rule",
    [
        {"component": "*", "action": "frieze"},
        {"component": "*", "action": "fraction"},
        {"component": "*", "action": "copy", "fraction": 0.5},
        {"component": "*", "action": "copy", "columns": [0, 2]},
        {"component": "*", "action": "reset", "columns": [2, 2]},
        {"component": "*", "action": "copy", "extra": 1},
    ],
)
def test_rules_that_make_no_sense_are_refused(rule: dict[str, object]) -> None:
    with pytest.raises(PlanError):
        TransferPlan.from_tree({"name": "p", "rules": [rule]})


def test_plans_are_read_from_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('rules = [{ component = "*", action = "copy" }]')
    assert read_plan(str(path)).name == "mine"
    path.write_text("rules = [")
    with pytest.raises(PlanError, match="not a TOML file"):
        read_plan(str(path))
    with pytest.raises(PlanError, match="did you mean 'freeze-dynamics'"):
        read_plan("freeze-dynamic")
