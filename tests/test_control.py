"""Pendulums by their laws: energy, rewards, symmetry, pictures, and the environments that they make."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from trainers.envs import register
from trainers.envs.acting import WorldError, acting_world, configured
from trainers.envs.cart_pole import CartPole
from trainers.envs.control import (
    ASIDE,
    BLOCK,
    CONTROLS,
    NUMBERS,
    Body,
    Control,
    ControlWorld,
    Floats,
    moved,
    numbers,
)
from trainers.envs.double_pole import DoublePole
from trainers.envs.pendulum import Pendulum

FREE: dict[str, Body] = {
    "pendulum": Pendulum(friction=0.0),
    "cart-pole": CartPole(friction=0.0, cart_friction=0.0),
    "double-pole": DoublePole(friction=0.0, cart_friction=0.0),
    "unequal-poles": DoublePole(friction=0.0, cart_friction=0.0, masses=(0.4, 0.1), lengths=(0.5, 0.9)),
}
"""Bodies without friction."""


def thrown(body: Body, n: int, speed: float = 1.0) -> Floats:
    """States (size, n) of any angles, and speeds of this deviation."""
    rng = np.random.default_rng(0)
    states = body.hanging(n)
    states[list(body.angles)] = rng.uniform(-np.pi, np.pi, (len(body.angles), n))
    states[body.size // 2 :] = rng.normal(scale=speed, size=(body.size // 2, n))
    return states


def rest(body: Body, n: int) -> Floats:
    return np.zeros((len(body.actions), n))


def after(body: Body, states: Floats, seconds: float, step: float) -> Floats:
    for _ in range(round(seconds / step)):
        states = moved(body, states, rest(body, states.shape[1]), step)
    return states


@pytest.mark.parametrize("name", FREE)
def test_energy_stays_without_friction_and_force(name: str) -> None:
    """Two seconds of free motion from any angles, springs included, on steps a tenth of the world's.

    What is left is the method's error: it falls by far more than half when steps are halved.
    """
    body = FREE[name]
    states = thrown(body, 100)
    before = body.energy(states)
    drift = [np.abs(body.energy(after(body, states, 2.0, step)) - before) for step in (0.004, 0.002)]
    assert drift[1].max() < 2e-3 * np.ptp(before)
    assert np.median(drift[1]) < 1e-6 * np.ptp(before)
    assert drift[1].sum() < drift[0].sum() / 2


@pytest.mark.parametrize("name", ["pendulum", "cart-pole", "double-pole", "driven-pole"])
def test_energy_stays_nearly_at_the_world_s_own_steps(name: str) -> None:
    world = CONTROLS[name]()
    free: dict[str, Any] = {"friction": 0.0} | ({} if name == "pendulum" else {"cart_friction": 0.0})
    world = replace(world, body=replace(world.body, **free))
    states = thrown(world.body, 100)
    before = world.body.energy(states)
    for _ in range(50):
        states, _ = world.after(states, rest(world.body, 100))
    assert np.median(np.abs(world.body.energy(states) - before)) < 1e-3 * np.ptp(before)


@pytest.mark.parametrize("name", FREE)
def test_friction_takes_energy_and_what_moves_comes_to_hang(name: str) -> None:
    body = FREE[name]
    slowed = replace(body, friction=0.3, **({} if name == "pendulum" else {"cart_friction": 2.0}))  # type: ignore[type-var]
    states = thrown(slowed, 20)
    before = slowed.energy(states)
    settled = after(slowed, states, 20.0, 0.01)
    assert (slowed.energy(settled) < before).all()
    assert np.allclose(np.cos(settled[list(slowed.angles)]), -1, atol=1e-2)


@pytest.mark.parametrize("name", FREE)
def test_slopes_are_those_of_the_energy_s_own_equations(name: str) -> None:
    """Power: the energy changes by force times speed, and torque times spin, and by nothing else."""
    body = FREE[name]
    states, rng = thrown(body, 50, 2.0), np.random.default_rng(1)
    actions = rng.uniform(-1, 1, (len(body.actions), 50))
    slopes, h = body.slopes(states, actions), 1e-6
    change = (body.energy(states + h * slopes) - body.energy(states - h * slopes)) / (2 * h)
    pushed = states[body.size // 2]
    most = body.torque if isinstance(body, Pendulum) else body.force  # type: ignore[attr-defined]
    assert np.allclose(change, most * actions[0] * pushed, atol=1e-5)


def test_a_driven_joint_turns_the_poles_against_each_other() -> None:
    body = DoublePole(friction=0.0, cart_friction=0.0, driven=True)
    states, actions = thrown(body, 50, 2.0), np.random.default_rng(2).uniform(-1, 1, (2, 50))
    slopes, h = body.slopes(states, actions), 1e-6
    change = (body.energy(states + h * slopes) - body.energy(states - h * slopes)) / (2 * h)
    power = body.force * actions[0] * states[3] + body.torque * actions[1] * (states[5] - states[4])
    assert np.allclose(change, power, atol=1e-5)


@pytest.mark.parametrize("name", FREE)
def test_the_mirror_image_moves_as_the_mirror(name: str) -> None:
    body = FREE[name]
    states = thrown(body, 30)
    actions = np.random.default_rng(1).uniform(-1, 1, (len(body.actions), 30))
    assert np.allclose(body.slopes(-states, -actions), -body.slopes(states, actions))


def test_two_poles_of_which_the_second_weighs_nothing_are_one() -> None:
    one = CartPole(friction=0.0, cart_friction=0.0, length=0.6)
    two = DoublePole(friction=0.0, cart_friction=0.0, masses=(0.3, 1e-12))
    states = thrown(two, 30)
    forces = np.random.default_rng(1).uniform(-1, 1, (1, 30))
    own = two.slopes(states, forces)[[0, 1, 3, 4]]
    assert np.allclose(own, one.slopes(states[[0, 1, 3, 4]], forces), atol=1e-8)


def test_rewards_are_the_paper_s_cosines() -> None:
    """cos Θ, and cos Θ + cos Γ with Γ from the first pole on (appendix A)."""
    for body in (Pendulum(), CartPole()):
        states = body.hanging(3)
        states[body.angles[0]] = [np.pi, np.pi / 2, 0.0]
        assert np.allclose(body.rewards(states), [-1, 0, 1])
    two = DoublePole()
    states = two.hanging(4)
    states[1], states[2] = [np.pi, 0.0, np.pi / 2, 0.0], [np.pi, 0.0, np.pi, np.pi]
    assert np.allclose(two.rewards(states), [0, 2, 0, 0])  # hanging, standing, bent twice


@pytest.mark.parametrize("name", CONTROLS)
def test_steps_repeat_the_action_add_rewards_and_end_after_a_fixed_time(name: str) -> None:
    world = replace(CONTROLS[name](), steps=7)
    envs, other = world.envs("default", 3, 0), world.envs("negated", 3, 0)
    states = envs.hidden()["body"].T
    for now in range(7):
        actions = world.actions.sample(np.random.default_rng(now), 3)
        step, opposite = envs.step(actions), other.step(actions)
        total = np.zeros(3)
        for _ in range(world.repeat):
            for _ in range(world.fine):
                states = moved(world.body, states, actions.T.astype(np.float64), world.seconds / world.fine)
            total += world.body.rewards(states)
        assert np.allclose(step.rewards, total, atol=1e-5)
        assert np.array_equal(opposite.rewards, -step.rewards)
        assert not step.terminated.any()
        assert step.truncated.all() == (now == 6)
    assert np.array_equal(envs.last_observations(), world.observed(states))
    begun = envs.hidden()["body"].T
    angles = begun[list(world.body.angles)]
    assert (np.abs(np.diff(angles, axis=0, prepend=np.pi)) <= ASIDE).all()
    assert (np.delete(begun, world.body.angles, 0) == 0).all()


def test_starts_beyond_a_block_are_drawn_anew() -> None:
    world = replace(CONTROLS["pendulum-state"](), steps=1)
    envs, seen = world.envs("default", 2, 5), set()
    for _ in range(2 * BLOCK):
        seen.add(envs.hidden()["body"][0, 0])
        envs.step(np.zeros((2, 1), np.float32))
    assert len(seen) == 2 * BLOCK


def test_numbers_of_a_state_stand_in_one_order_in_every_task() -> None:
    for body in (Pendulum(), CartPole(), DoublePole()):
        states = thrown(body, 5)
        told, known = numbers(body, states), body.measured(states)
        assert np.allclose(told[:, 2], np.cos(known["angle"]))
        assert np.allclose(told[:, 3], np.sin(known["angle"]))
        assert np.allclose(told[:, 4], NUMBERS["spin"] * known["spin"])
        assert np.allclose(told[:, 0], known.get("cart", 0.0))
        second = known.get("second_angle")
        assert np.allclose(told[:, 5], 0.0 if second is None else np.cos(second))


@pytest.mark.parametrize("name", ["pendulum", "cart-pole", "double-pole"])
def test_pictures_show_where_the_poles_are(name: str) -> None:
    """Brightness above and below the joint, left and right of it, follows the pole; mirrors are mirrored."""
    world = CONTROLS[name]()
    body = world.body
    hanging = body.hanging(4)
    hanging[list(body.angles)] = [0.0, np.pi, np.pi / 2, -np.pi / 2]
    seen = world.observed(hanging)[:, 0].astype(np.float64)
    up, down = seen[:, :6].sum((1, 2)), seen[:, -6:].sum((1, 2))
    right, left = seen[:, :, 10:].sum((1, 2)), seen[:, :, :6].sum((1, 2))
    assert up[0] > 100
    assert down[0] == 0
    assert down[1] > 100
    assert up[1] == 0
    assert right[2] > left[2] + 100
    assert left[3] > right[3] + 100
    states = thrown(body, 20)
    assert np.abs(world.observed(-states)[..., ::-1].astype(int) - world.observed(states)).max() <= 1


def test_a_picture_changes_with_small_changes_of_an_angle() -> None:
    world = CONTROLS["double-pole"]()
    states = world.body.hanging(60)
    states[1] = states[2] = np.pi + np.linspace(-0.3, 0.3, 60)
    seen = world.observed(states)
    assert (np.abs(np.diff(seen.astype(int), axis=0)).reshape(59, -1).max(1) > 0).all()


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("variant", ["default", "negated"])
def test_it_is_a_gymnasium_environment(name: str, variant: str) -> None:
    register()
    registered = "".join(part.title() for part in name.removesuffix("-state").split("-")) + "SwingUp"
    registered += "State" if name.endswith("-state") else ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*observation space m(in|ax)imum value is.*infinity")
        env = gymnasium.make(f"transfer_diag/{registered}-v0", variant=variant, render_mode="rgb_array")
        check_env(env.unwrapped)
    env.reset(seed=3)
    assert env.render().shape == (240, 240, 3)  # type: ignore[union-attr]


def test_an_environment_plays_as_the_batch_does() -> None:
    env, world = Control("cart-pole-state"), CONTROLS["cart-pole-state"]()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(1, np.float32))
    env.reset(seed=0)
    assert env.states is not None
    states, action = env.states.copy(), np.array([0.5], np.float32)
    observation, reward, terminated, truncated, info = env.step(action)
    reached, rewards = world.after(states, np.array([[0.5]]))
    assert np.array_equal(observation, world.observed(reached)[0, :, 0, 0])
    assert (reward, terminated, truncated) == (pytest.approx(rewards[0]), False, False)
    assert info["cart"] == pytest.approx(reached[0, 0])
    with pytest.raises(WorldError, match="expected one of pendulum"):
        Control("pendulums")


def test_what_cannot_be_is_refused_in_words() -> None:
    world = acting_world("driven-pole-state")
    envs = world.envs("default", 2, 0)
    for actions in (np.zeros((2, 1)), np.zeros(2), np.zeros((2, 2), int), np.full((2, 2), 1.1)):
        with pytest.raises(WorldError, match="actions: found"):
            envs.step(actions)
    with pytest.raises(WorldError, match="actions: found"):
        envs.step(np.full((2, 2), np.nan))
    for changes, said in (
        ({"pixels": 4}, "expected 8 to"),
        ({"seconds": 0.0}, "expected more than 0"),
        ({"repeat": 0}, "expected 1 or more"),
        ({"body": {"mass": "heavy"}}, "body"),
    ):
        with pytest.raises(WorldError, match=said):
            acting_world("pendulum", changes)
    heavier = configured(acting_world("cart-pole"), {"body": {"mass": 0.5}})
    assert isinstance(heavier, ControlWorld)
    assert heavier.body == CartPole(mass=0.5)
