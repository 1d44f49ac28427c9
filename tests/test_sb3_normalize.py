"""Policies trained under VecNormalize: shown what they were trained on, or nothing is said of them."""

from __future__ import annotations

import base64
import gc
import io
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np
import pytest
import torch

import diag
from diag.checks.run import check
from diag.sources import open_subject
from diag.sources.environments import make
from diag.sources.sb3.arrays import array_of
from diag.sources.sb3.normalize import IDENTITY
from diag.sources.sb3.statistics import WRITTEN
from diag.sources.supplied import Supplied
from diag.subject import Subject, SubjectError
from tests.source_files import Explosive

sb3 = pytest.importorskip("stable_baselines3")

DOCS = Path(__file__).parent.parent / "docs" / "sources.md"

STEERED = "Pendulum-v1"
ENVS = {"PPO": "CartPole-v1", "A2C": "CartPole-v1", "DQN": "CartPole-v1", "SAC": STEERED}
FIRST_STEPS: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": 32, "n_epochs": 1},
    "A2C": {"n_steps": 32},
    "DQN": {"learning_starts": 40, "buffer_size": 200},
    "SAC": {"learning_starts": 200, "buffer_size": 200},
}

Kept = tuple[Any, Any, Path]
"""A model, its VecNormalize, and the model's file."""


def trained(algorithm: str, folder: Path, **options: Any) -> Kept:
    """A model that took its first steps, under VecNormalize unless ``options`` are None of it."""
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    seen: Any = DummyVecEnv([lambda: make(ENVS[algorithm])])
    seen.seed(0)
    if options.get("norm_obs") != "never":
        seen = VecNormalize(seen, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(sb3, algorithm)(
            "MlpPolicy", seen, seed=0, device="cpu", policy_kwargs={"net_arch": [8]}, **FIRST_STEPS[algorithm]
        )
    model.learn(96)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{algorithm}.zip"
    model.save(path)
    return model, seen, path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Kept]:
    """A model trained under VecNormalize, whose statistics lie nowhere near its file."""
    made: dict[str, Kept] = {}

    def get(algorithm: str) -> Kept:
        if algorithm not in made:
            made[algorithm] = trained(algorithm, tmp_path_factory.mktemp(algorithm))
        return made[algorithm]

    return get


def written(seen: Any, path: Path, **changed: Any) -> Path:
    """The statistics as an .npz."""
    arrays = {
        "mean": seen.obs_rms.mean,
        "var": seen.obs_rms.var,
        "clip_obs": seen.clip_obs,
        "epsilon": seen.epsilon,
        "norm_reward": seen.norm_reward,
        "return_var": seen.ret_rms.var,
        "clip_reward": seen.clip_reward,
    } | changed
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def opened(path: Path, env: str = "", **more: Any) -> Subject:
    given = {"source_env": env, "target_env": env} if env else {}
    return open_subject(path, Supplied(**given, **more), "source")


def raw_observations(algorithm: str) -> Any:
    """(200, *shape), some of them far out, so that clipping has something to do."""
    rng = np.random.default_rng(0)
    width = 4 if ENVS[algorithm] == "CartPole-v1" else 3
    return (rng.normal(size=(200, width)) * np.geomspace(0.1, 100, 200)[:, None]).astype(np.float32)


@pytest.mark.parametrize("algorithm", ENVS)
def test_the_policy_sees_what_vecnormalize_makes_of_observations(
    algorithm: str, kept: Any, tmp_path: Path
) -> None:
    model, seen, path = kept(algorithm)
    subject = opened(path, ENVS[algorithm], normalize=written(seen, tmp_path / "statistics.npz"))
    assert subject.encoder is not None
    assert subject.actor is not None
    raw = raw_observations(algorithm)
    normalised = seen.normalize_obs(raw)
    assert (np.abs(normalised) == seen.clip_obs).any()
    prepared = subject.encoder.observing(torch.from_numpy(raw))  # type: ignore[attr-defined]
    np.testing.assert_allclose(prepared, normalised, rtol=1e-6, atol=1e-6)
    act = subject.actor.best(subject.parameters, "source")  # type: ignore[attr-defined]
    expected = model.predict(normalised, deterministic=True)[0]
    np.testing.assert_allclose(act(raw), expected, rtol=1e-6, atol=1e-6)


def test_the_file_of_the_library_says_the_same(kept: Any, tmp_path: Path) -> None:
    _, seen, path = kept("PPO")
    seen.save(tmp_path / "vecnormalize.pkl")
    with pytest.raises(
        SubjectError, match=r"found a pickle, which is never loaded; expected .*--trust-pickle"
    ):
        opened(path, normalize=tmp_path / "vecnormalize.pkl")
    found = opened(path, normalize=tmp_path / "vecnormalize.pkl", trust_pickle=True)
    same = opened(path, normalize=written(seen, tmp_path / "same.npz"))
    raw = torch.from_numpy(raw_observations("PPO"))
    one, other = (s.encoder.embed(s.parameters or {}, raw) for s in (found, same) if s.encoder is not None)
    assert torch.equal(one, other)
    assert not torch.allclose(one, torch.zeros(()))


def test_losses_are_taken_on_rewards_as_the_value_saw_them(kept: Any, tmp_path: Path) -> None:
    model, seen, path = kept("DQN")
    subject = opened(path, "CartPole-v1", normalize=written(seen, tmp_path / "statistics.npz"))
    assert subject.tasks is not None
    assert subject.objective is not None
    batch = subject.tasks.batch("source", 100, 0).batch
    with torch.no_grad():
        now, after = (
            torch.from_numpy(seen.normalize_obs(batch[name].numpy()))
            for name in ("observations", "next_observations")
        )
        rewards = torch.from_numpy(seen.normalize_reward(batch["rewards"].numpy()))
        goal = rewards + 0.99 * model.q_net_target(after).max(1)[0] * (~batch["terminated"]).float()
        taken = model.q_net(now).gather(1, batch["actions"][:, None])[:, 0]
        expected = torch.nn.functional.smooth_l1_loss(taken, goal, reduction="none")
    found = subject.objective.losses(subject.parameters or {}, batch)["td"]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    assert not torch.allclose(rewards, batch["rewards"])


def test_returns_of_episodes_are_of_rewards_as_the_value_saw_them(kept: Any, tmp_path: Path) -> None:
    """CartPole's reward is 1: from a step to the next a return differs by one normalised reward."""
    _, seen, path = kept("PPO")
    subject = opened(path, "CartPole-v1", normalize=written(seen, tmp_path / "statistics.npz"))
    assert subject.tasks is not None
    assert subject.objective is not None
    sampled = subject.tasks.batch("source", 1000, 0)
    returns, after = (sampled.batch["returns"].numpy()[rows] for rows in (slice(-1), slice(1, None)))
    inside = np.diff(sampled.groups) == 0
    reward = (returns - 0.99 * after)[inside]
    # Rows are as many as were played, or fewer: then some of them are steps apart, and the median is not.
    np.testing.assert_allclose(np.median(reward), seen.normalize_reward(np.ones(1))[0], rtol=1e-4)
    without = written(seen, tmp_path / "observations.npz", return_var=None)
    alone = opened(path, "CartPole-v1", normalize=without)
    assert (alone.objective, alone.encoder is None, alone.actor is None) == (None, False, False)
    assert alone.withheld is not None
    assert "rewards that VecNormalize divided" in alone.withheld[0]


def test_a_gate_without_statistics_says_nothing_and_why(kept: Any, tmp_path: Path) -> None:
    _, seen, path = kept("PPO")
    base, transfer = (copy(path, tmp_path / f"{name}.zip") for name in ("base", "transfer"))
    model = sb3.PPO.load(transfer, device="cpu")
    with torch.no_grad():
        model.policy.action_net.bias += 0.5
    model.save(transfer)
    given = {"source_env": "CartPole-v1", "target_env": "CartPole-v1"}
    gate = check(base, [transfer], supplied=Supplied(**given))
    assert (gate.outcome, gate.errors) == ("inconclusive", ())
    undecided = {f.check: f.message for _, f in gate.findings if f.outcome == "inconclusive"}
    assert {"relation", "returns", "loss_ratio"} <= undecided.keys()
    assert "trained under VecNormalize" in undecided["returns"]
    assert "--normalize vecnormalize.pkl with --trust-pickle" in undecided["returns"]
    with pytest.raises(SubjectError, match=r"trained under VecNormalize.*--normalize"):
        diag.compare(base, transfer, supplied=Supplied(**given))
    with pytest.raises(SubjectError, match=r"trained under VecNormalize.*--normalize"):
        diag.landscape(*(opened(Path(p), "CartPole-v1") for p in (base, transfer)))
    both = check(base, [transfer], supplied=Supplied(**given, normalize=written(seen, tmp_path / "s.npz")))
    assert both.outcome != "inconclusive"
    assert [w for w in both.checked[0].warnings if "observations normalised by" in w]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_python_in_the_message_writes_the_statistics(
    kept: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, seen, path = kept("PPO")
    monkeypatch.chdir(tmp_path)
    seen.save("vecnormalize.pkl")
    withheld = opened(path).withheld
    assert withheld is not None
    code = re.search(r'python -c "(.*?)"', withheld[1])
    assert code is not None
    assert code[1] == WRITTEN
    lines = re.search(r"```python\n(import pickle.*?)```", DOCS.read_text(), re.DOTALL)
    assert lines is not None
    made = []
    for written_in in (lines[1], code[1]):  # the docs say the same
        exec(written_in, {})
        made.append(dict(np.load("vecnormalize.npz")))
    assert made[0].keys() == made[1].keys()
    gc.collect()  # the file that it leaves open, as a program of one line may
    assert opened(path, normalize="vecnormalize.npz").encoder is not None


def test_who_says_that_nothing_is_to_be_done_is_believed(kept: Any, tmp_path: Path) -> None:
    """Observations that were normalised already, and policies whose rewards alone were."""
    model, seen, path = kept("PPO")
    exec(IDENTITY.replace("as-they-are", str(tmp_path / "as-they-are")), {"np": np})
    subject = opened(path, normalize=tmp_path / "as-they-are.npz")
    assert subject.encoder is not None
    shown = torch.from_numpy(seen.normalize_obs(raw_observations("PPO")))
    with torch.no_grad():
        expected = model.policy.mlp_extractor.forward_actor(shown)
    found = subject.encoder.embed(subject.parameters or {}, shown)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_pairs_of_a_file_are_normalised_too(kept: Any, tmp_path: Path) -> None:
    model, seen, path = kept("PPO")
    raw = raw_observations("PPO")
    np.savez(tmp_path / "pairs.npz", source=raw, target=raw)
    assert opened(path, pairs=tmp_path / "pairs.npz").encoder is None
    statistics = written(seen, tmp_path / "statistics.npz")
    subject = opened(path, pairs=tmp_path / "pairs.npz", normalize=statistics)
    assert subject.encoder is not None
    assert subject.tasks is not None
    with torch.no_grad():
        expected = model.policy.mlp_extractor.forward_actor(torch.from_numpy(seen.normalize_obs(raw)))
    shown = subject.tasks.paired_observations(None, 0).observations["source"]
    found = subject.encoder.embed(subject.parameters or {}, shown)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "statistics"),
    [
        ("ppo.zip", "ppo.vecnormalize.npz"),
        ("ppo.zip", "vecnormalize.npz"),
        ("ppo.zip", "ppo.vecnormalize.pkl"),
        ("ppo.zip", "ppo/vecnormalize.pkl"),
        ("ppo.zip", "vec_normalize.pkl"),
        ("rl_model_96_steps.zip", "rl_model_vecnormalize_96_steps.pkl"),
    ],
)
def test_statistics_beside_the_model_are_taken(
    model: str, statistics: str, kept: Any, tmp_path: Path
) -> None:
    _, seen, path = kept("PPO")
    place, file = copy(path, tmp_path / model), tmp_path / statistics
    file.parent.mkdir(exist_ok=True)
    assert opened(place).withheld is not None
    if file.suffix == ".npz":
        written(seen, file)
    else:
        seen.save(file)
        withheld = opened(place).withheld
        assert withheld is not None
        assert withheld[1].startswith("--trust-pickle, for ")
    subject = opened(place, trust_pickle=file.suffix == ".pkl")
    assert subject.notes == (f"is shown observations normalised by {file}",)
    if "ppo" not in statistics and "rl_model" not in statistics:  # it could be the other's
        copy(path, tmp_path / "another.zip")
        assert opened(place, trust_pickle=True).withheld is not None


def test_each_of_two_has_its_own(kept: Any, tmp_path: Path) -> None:
    _, seen, path = kept("PPO")
    for number, name in enumerate(("base", "transfer")):
        copy(path, tmp_path / f"{name}.zip")
        written(seen, tmp_path / f"{name}.vecnormalize.npz", mean=seen.obs_rms.mean + number)
    raw = torch.from_numpy(raw_observations("PPO"))
    one, other = (opened(tmp_path / f"{name}.zip") for name in ("base", "transfer"))
    found = [s.encoder.embed(s.parameters or {}, raw) for s in (one, other) if s.encoder is not None]
    assert not torch.allclose(*found)


@pytest.mark.parametrize("algorithm", ENVS)
def test_what_was_trained_without_is_shown_what_there_is(algorithm: str, tmp_path: Path) -> None:
    model, _, path = trained(algorithm, tmp_path, norm_obs="never")
    subject = opened(path, ENVS[algorithm])
    assert subject.encoder is not None
    assert subject.withheld is None
    raw = raw_observations(algorithm)
    act = subject.actor.best(subject.parameters, "source")  # type: ignore[union-attr]
    np.testing.assert_allclose(act(raw), model.predict(raw, deterministic=True)[0], atol=1e-6)
    # PPO's and A2C's files are sure of it; those of the others are not, and say so.
    assert bool(subject.notes) == (algorithm in ("DQN", "SAC"))
    if algorithm == "PPO":
        statistics = tmp_path / "statistics.npz"
        np.savez(statistics, mean=np.ones(4), var=np.ones(4), clip_obs=10, epsilon=0)
        given = opened(path, ENVS[algorithm], normalize=statistics)
        assert "raw observations" in given.notes[0]
        act = given.actor.best(given.parameters, "source")  # type: ignore[union-attr]
        np.testing.assert_allclose(act(raw), model.predict(raw, deterministic=True)[0], atol=1e-6)


def test_rewards_alone(tmp_path: Path) -> None:
    """DQN's file shows that observations were as they are, but not what rewards were divided by."""
    _, seen, path = trained("DQN", tmp_path, norm_obs=False)
    subject = opened(path, "CartPole-v1")
    assert (subject.encoder is None, subject.actor is None, subject.objective) == (False, False, None)
    seen.save(tmp_path / "vecnormalize.pkl")
    subject = opened(path, "CartPole-v1", trust_pickle=True)
    assert subject.objective is not None
    statistics = subject.objective.observing.statistics  # type: ignore[attr-defined]
    rewards = np.array([0.5, -3.0, 400.0])
    expected = seen.normalize_reward(rewards)
    np.testing.assert_allclose(statistics.rewards(torch.from_numpy(rewards)), expected, rtol=1e-6)


def test_statistics_of_another_training_are_told(kept: Any, tmp_path: Path) -> None:
    _, seen, path = kept("DQN")
    other = written(seen, tmp_path / "other.npz", mean=seen.obs_rms.mean + 5)
    with pytest.raises(SubjectError, match=r"put the last observation .* from where .* saw it"):
        opened(path, normalize=other)


def test_observations_outside_of_their_space_were_normalised(kept: Any) -> None:
    """Without environments too: CartPole's pole never stands at more than 0.42."""
    subject = opened(kept("DQN")[2])
    now = array_of_file(kept("DQN")[2], "_last_obs")
    if abs(now[0, 2]) > 0.42:
        assert subject.withheld is not None
    else:
        assert opened(kept("DQN")[2], "CartPole-v1").withheld is not None


def array_of_file(path: Path, name: str) -> Any:
    with zipfile.ZipFile(path) as archive:
        return array_of(json.loads(archive.read("data"))[name])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"mean": np.zeros(4)}, "arrays mean, without var and clip_obs and epsilon"),
        ({"mean": np.zeros(3), "var": np.ones(3), "clip_obs": 10, "epsilon": 1e-8}, r"shape \(3,\)"),
        ({"mean": np.zeros(4), "var": np.ones(3), "clip_obs": 10, "epsilon": 1e-8}, r"var \(3,\)"),
        ({"mean": np.zeros(4), "var": -np.ones(4), "clip_obs": 10, "epsilon": 1e-8}, "negative"),
        ({"mean": np.full(4, np.nan), "var": np.ones(4), "clip_obs": 10, "epsilon": 1e-8}, "NaN"),
        ({"mean": np.full(4, np.inf), "var": np.ones(4), "clip_obs": 10, "epsilon": 1e-8}, "finite"),
        ({"mean": np.zeros(4), "var": np.zeros(4), "clip_obs": 10, "epsilon": 0}, "variance of 0"),
        ({"mean": np.zeros(4), "var": np.ones(4), "clip_obs": [1, 2], "epsilon": 0}, "clip_obs of int64"),
        ({"mean": np.array(["a"]), "var": np.ones(4), "clip_obs": 1, "epsilon": 0}, "mean of <U1"),
    ],
)
def test_statistics_that_make_no_sense_get_one_line(
    arrays: dict[str, Any], words: str, kept: Any, tmp_path: Path
) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(SubjectError, match=words) as caught:
        opened(kept("PPO")[2], normalize=tmp_path / "bad.npz")
    assert "\n" not in str(caught.value)


def test_statistics_of_dictionaries_are_told(kept: Any, tmp_path: Path) -> None:
    _, seen, path = kept("PPO")
    single, seen.obs_rms = seen.obs_rms, {"camera": seen.obs_rms}
    seen.save(tmp_path / "vecnormalize.pkl")
    seen.obs_rms = single
    with pytest.raises(SubjectError, match=r"statistics of a dictionary \(camera\)"):
        opened(path, normalize=tmp_path / "vecnormalize.pkl", trust_pickle=True)


@pytest.mark.parametrize("content", [b"", b"nothing", pickle.dumps(3), pickle.dumps({"a": 1}), b"\x80\x05"])
def test_files_that_are_no_statistics_get_one_line(content: bytes, kept: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.pkl").write_bytes(content)
    with pytest.raises(SubjectError, match=r"bad\.pkl: found"):
        opened(kept("PPO")[2], normalize=tmp_path / "bad.pkl", trust_pickle=True)


# --- Arrays out of pickles that are never unpickled -------------------------------------------------------


ARRAYS = {
    "float32": np.arange(8, dtype=np.float32).reshape(2, 4),
    "images": np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 4),
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "every other row": np.arange(12.0).reshape(4, 3)[::2],
    "big-endian": np.arange(4, dtype=">f4").reshape(1, 4),
    "empty": np.zeros((0, 3)),
    "numbers": np.array([3, 4], np.int64),
}


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_is_read_without_unpickling(name: str, protocol: int) -> None:
    pickled = pickle.dumps(ARRAYS[name], protocol)
    found = array_of({":serialized:": base64.b64encode(pickled).decode()})
    np.testing.assert_array_equal(found, ARRAYS[name])
    assert found is not None
    assert found.dtype == ARRAYS[name].dtype


def test_what_is_no_array_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    pickle.dump([np.ones(2)], buffer)
    whole = pickle.dumps(np.ones((2, 3)))
    rng = np.random.default_rng(0)
    others = [b"", b".", b"N.", b"\x80\x05]q\x00.", pickle.dumps(Explosive()), buffer.getvalue(), b"0" * 5000]
    others += [pickle.dumps(np.array([Explosive()])), pickle.dumps({"a": np.ones(2)}), pickle.dumps((1, 2))]
    for pickled in others:
        assert array_of({":serialized:": base64.b64encode(pickled).decode()}) is None
    for _ in range(300):  # damaged anywhere: an array or none, never an error
        damaged = bytearray(whole)
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        array_of({":serialized:": base64.b64encode(bytes(damaged)).decode()})
    assert array_of({":serialized:": "no base64 é"}) is None
    assert array_of({":serialized:": 3}) is None
    assert not (tmp_path / "exploded").exists()
