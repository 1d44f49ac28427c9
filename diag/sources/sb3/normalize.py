"""What a Stable-Baselines3 policy was shown in training: raw observations, or those of ``VecNormalize``.

``VecNormalize`` keeps its statistics in a file of its own, which the model's file neither holds nor names. A
policy that is played without them sees numbers of another scale, and scores next to nothing. So the model's
file is asked whether they belong to it, and they are taken from ``--normalize FILE`` or from beside it.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from diag.sources.arrays import read_members
from diag.sources.safe.bounds import check_ordinary, content_of, line, listed, shown
from diag.sources.safe.members import ZIP_BEGINS
from diag.sources.sb3.arrays import array_of
from diag.subject import SubjectError

if TYPE_CHECKING:
    from torch import Tensor

    from diag.sources.sb3.file import Saved
    from diag.sources.sb3.nets import Kind
    from diag.sources.supplied import Supplied
    from diag.subject import Task, TaskPair

Trained: TypeAlias = Literal["raw", "rewards", "normalised", "unknown"]
"""What VecNormalize normalised: nothing, rewards alone, observations, or nobody can say."""

Why: TypeAlias = tuple[str, str]
"""What was found, and what was expected instead."""

NEEDED = ("mean", "var", "clip_obs", "epsilon")
REWARDS = ("norm_reward", "return_var", "clip_reward")
"""Arrays of an ``.npz`` of statistics, named as VecNormalize names them: of observations, and of rewards."""

WRITTEN = (
    "import pickle, numpy as np; v = pickle.load(open('vecnormalize.pkl', 'rb')); "
    "np.savez('vecnormalize.npz', mean=v.obs_rms.mean, var=v.obs_rms.var, clip_obs=v.clip_obs, "
    "epsilon=v.epsilon, norm_reward=v.norm_reward, return_var=v.ret_rms.var, clip_reward=v.clip_reward)"
)
"""The Python that writes such an ``.npz`` of the file that ``VecNormalize.save`` wrote."""

IDENTITY = "np.savez('as-they-are.npz', mean=0, var=1, clip_obs=np.inf, epsilon=0)"
"""The Python that writes statistics which leave observations as they are."""

EXPECTED = f'the file of VecNormalize.save with --trust-pickle, or an .npz: python -c "{WRITTEN}"'

WITHHELD = (
    "a policy trained under VecNormalize, without the statistics that its observations were normalised by"
)

GIVE = (
    "--normalize vecnormalize.pkl with --trust-pickle, or --normalize vecnormalize.npz, written by "
    f'python -c "{WRITTEN}" (docs/sources.md: where rewards alone were normalised)'
)

UNTOLD = (
    "does not say whether it was trained under VecNormalize: it is shown observations as they are "
    "(--normalize FILE gives statistics)"
)
"""A note on what DQN, SAC and TD3 leave open."""

APART = 0.5
"""Standard deviations that the statistics may put the policy's last observation from what it saw, at the
median: they go on moving for a few steps after a checkpoint, but those of another training are far off."""

STEPS = 1000
"""Steps of the environment whose sizes say what a step of raw observations may be."""

FARTHER = 3.0
"""Times the largest step under random actions: a trained policy may go so much faster."""


@dataclass(frozen=True)
class Statistics:
    """The normalisation of one ``VecNormalize``: of observations, and of rewards where it is known."""

    path: str
    mean: NDArray[np.float64]
    """(*shape), or a single number for all."""
    var: NDArray[np.float64]
    clip_obs: float
    epsilon: float
    reward_scale: float | None = None
    """What rewards are divided by: 1 where they were left as they are, None where nobody says."""
    clip_reward: float = field(default=float("inf"))

    @property
    def plain(self) -> bool:
        """Whether observations are left as they are."""
        unchanged = not self.mean.any() and bool((self.var + self.epsilon == 1).all())
        return unchanged and self.clip_obs == float("inf")

    def observations(self, raw: Tensor) -> Tensor:
        """(n, *shape) of raw ones: (o - mean) / sqrt(var + ε), clipped, as float32 (VecNormalize)."""
        import torch

        if self.plain:
            return raw
        mean, var = torch.from_numpy(self.mean), torch.from_numpy(self.var)
        scaled = (raw.double() - mean) / torch.sqrt(var + self.epsilon)
        return scaled.clamp(-self.clip_obs, self.clip_obs).float()

    def rewards(self, raw: Tensor) -> Tensor:
        """(n,) rewards as the value was trained on them; asked for only where ``reward_scale`` is known."""
        assert self.reward_scale is not None
        return (raw / self.reward_scale).clamp(-self.clip_reward, self.clip_reward)

    @property
    def constants(self) -> Mapping[str, Any]:
        """What two losses must share to be one function of the parameters."""
        numbers = (self.mean.tolist(), self.var.tolist(), self.clip_obs, self.epsilon, self.reward_scale)
        return {"normalised": numbers}


AS_THEY_ARE = Statistics("", np.zeros(()), np.ones(()), float("inf"), 0.0)
"""Observations as they are, and rewards that were normalised by nobody knows what."""


def statistics_of(
    saved: Saved,
    kind: Kind,
    shape: tuple[int, ...],
    tasks: TaskPair | None,
    task: Task | None,
    given: Supplied,
) -> tuple[Statistics | None, Why | None]:
    """What normalises the policy's observations, None for raw ones; and why nothing can be said without.

    ``shape`` is that of an observation, () for numbers, which are never normalised. Raises SubjectError for
    statistics that do not fit the policy.
    """
    trained = trained_on(saved, kind, tasks, task)
    if trained == "normalised" and not shape:
        trained = "rewards"
    if trained == "raw":
        return None, None
    place: Path | None = None if given.normalize is None else Path(given.normalize)
    if place is None:
        place = beside_of(saved.path)
        if place is not None and place.suffix == ".pkl" and not given.trust_pickle:
            expected = f"--trust-pickle, for {place.name} beside it, or {GIVE}"
            return _without(trained, saved.path, expected)
    if place is None:
        return _without(trained, saved.path, GIVE)
    found = read_statistics(str(place), given.trust_pickle)
    if not shape and not found.plain:
        raise SubjectError(
            found.path, "statistics of observations", f"those of {saved.path}, which are numbers"
        )
    if found.mean.shape not in ((), shape):
        expected = f"that of its observations, {shape}: those of {saved.path}"
        raise SubjectError(found.path, f"statistics of shape {found.mean.shape}", expected)
    _check_own(saved, kind, found)
    return found, None


def _without(trained: Trained, path: str, expected: str) -> tuple[Statistics | None, Why | None]:
    """What holds where there are no statistics."""
    if trained == "normalised":
        return None, (WITHHELD, expected)
    return (AS_THEY_ARE if trained == "rewards" else None), None


def trained_on(saved: Saved, kind: Kind, tasks: TaskPair | None, task: Task | None) -> Trained:
    """Whether the policy saw raw or normalised observations, by what its file says of the last ones.

    ``_last_original_obs`` holds those before normalisation. PPO and A2C have them under VecNormalize alone.
    DQN, SAC and TD3 always have them: without VecNormalize those of the step before ``_last_obs``. There,
    observations outside of their space, or of another type, were normalised; and so were, where there are
    environments to tell by, those that are farther from the raw ones than steps go.
    """
    last, raw = saved.data.get("_last_obs"), saved.data.get("_last_original_obs")
    if raw is None:
        return "unknown" if last is None else "raw"
    if kind == "actor-critic":
        return "normalised"
    now, before = array_of(last), array_of(raw)
    if now is None or before is None or now.shape != before.shape:
        return "unknown"
    if np.array_equal(now, before):
        return "rewards"
    if now.dtype != before.dtype or _outside(saved, now):
        return "normalised"
    if now.dtype.kind != "f" or tasks is None or task is None or not hasattr(tasks, "ids"):
        return "unknown"
    # That it may follow is no proof: a normalisation that changes little looks the same.
    return "unknown" if _may_follow(before, now, tasks, task) else "normalised"


def _outside(saved: Saved, seen: NDArray[Any]) -> bool:
    """Whether observations lie outside the bounds that stand in words beside their space."""
    space = saved.words("observation_space")
    for name, side in (("low", -1), ("high", 1)):
        words = str(space.get(name))
        numbers = re.findall(r"-?(?:inf|\d+\.?\d*(?:e[+-]?\d+)?)", words)
        if "..." in words or len(numbers) not in (1, seen[0].size):
            continue
        bound = np.array([float(number) for number in numbers])
        room = 1e-3 * (1 + np.abs(np.where(np.isfinite(bound), bound, 0)))  # the words are rounded
        if (side * (seen.reshape(len(seen), -1) - bound) > room).any():
            return True
    return False


def _may_follow(before: NDArray[Any], now: NDArray[Any], tasks: TaskPair, task: Task) -> bool:
    """Whether each row can be the raw observation a step after the other, or the first of an episode."""
    sampled = tasks.batch(task, STEPS, 0)
    one, other = (sampled.batch[name].numpy() for name in ("observations", "next_observations"))
    if one.shape[1:] != now.shape[1:]:
        return True  # which is told when the observations are shown
    farthest = FARTHER * np.abs(other - one).max(0)
    first = one[np.unique(sampled.groups, return_index=True)[1]]
    low, high = first.min(0), first.max(0)
    step = (np.abs(now - before) <= farthest).reshape(len(now), -1).all(1)
    begins = ((now >= 2 * low - high) & (now <= 2 * high - low)).reshape(len(now), -1).all(1)
    return bool((step | begins).all())


def _check_own(saved: Saved, kind: Kind, found: Statistics) -> None:
    """Raises SubjectError for statistics that make something else of the last observation than it saw.

    Only DQN, SAC and TD3 keep both of one step.
    """
    now, raw = (array_of(saved.data.get(name)) for name in ("_last_obs", "_last_original_obs"))
    if kind == "actor-critic" or now is None or raw is None or now.shape != raw.shape:
        return
    import torch

    made = found.observations(torch.from_numpy(raw.astype(np.float64))).numpy()
    apart = float(np.median(np.abs(made - now)))
    if apart > APART:
        expected = (
            f"those of its own training, in {_names(saved.path)[0]} beside it where other files have others"
        )
        words = f"statistics that put the last observation {apart:.2g} from where {saved.path} saw it"
        raise SubjectError(found.path, words, f"{expected}; for raw observations {IDENTITY}")


def _names(path: str) -> list[str]:
    """The files beside a model's that are its own by their name, those that need no trust first."""
    stem = Path(path).name.removesuffix(".zip")
    found = [f"{stem}.vecnormalize.npz", f"{stem}.vecnormalize.pkl", f"{stem}/vecnormalize.pkl"]
    # CheckpointCallback: model_1000_steps.zip, model_vecnormalize_1000_steps.pkl.
    if part := re.fullmatch(r"(.*)_(\d+_steps)", stem):
        found.append(f"{part[1]}_vecnormalize_{part[2]}.pkl")
    return found


ONLY = ("vecnormalize.npz", "vecnormalize.pkl", "vec_normalize.pkl")
"""Names without the model's: its own where no other model lies beside it."""


def beside_of(path: str) -> Path | None:
    """The statistics that lie beside a model's file and can be no other model's; None without such a file."""
    folder = Path(path).parent
    names = _names(path)
    if len(list(folder.glob("*.zip"))) == 1:
        names += ONLY
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_statistics(path: str, trusted: bool) -> Statistics:
    """The statistics in an ``.npz``, or, where it is trusted, in what ``VecNormalize.save`` wrote.

    Raises SubjectError.
    """
    check_ordinary(path, EXPECTED)
    content = content_of(path, EXPECTED)
    if content.startswith(ZIP_BEGINS):
        return _of_arrays(read_members(path, EXPECTED, EXPECTED, ".npz archive")[0], path)
    if not content.startswith(b"\x80"):
        raise SubjectError(path, "no statistics of VecNormalize", EXPECTED)
    if not trusted:
        raise SubjectError(path, "a pickle, which is never loaded", EXPECTED)
    return _of_arrays(_unpickled(content, path), path)


def _unpickled(content: bytes, path: str) -> dict[str, NDArray[Any]]:
    """The same arrays out of a pickled ``VecNormalize``, whose loading runs whatever it calls for."""
    try:
        kept = vars(pickle.loads(content))  # noqa: S301 (only what --trust-pickle names)
    except Exception as error:  # whatever the file's own code raises
        expected = "one that loads: pip install 'transfer-diag[sb3]', or an .npz of it"
        raise SubjectError(path, f"a pickle that does not load ({line(error)})", expected) from None
    try:
        if not kept["norm_obs"]:
            known: dict[str, Any] = {"mean": 0.0, "var": 1.0, "clip_obs": np.inf, "epsilon": 0.0}
        elif isinstance(kept["obs_rms"], dict):
            expected = "those of one array; --adapter reads policies of dictionaries"
            raise SubjectError(path, f"statistics of a dictionary ({listed(kept['obs_rms'])})", expected)
        else:
            known = {"mean": kept["obs_rms"].mean, "var": kept["obs_rms"].var}
            known |= {name: kept[name] for name in ("clip_obs", "epsilon")}
        return {
            name: np.asarray(value)
            for name, value in {
                **known,
                "norm_reward": kept["norm_reward"],
                "return_var": kept["ret_rms"].var + (kept["epsilon"] - known["epsilon"]),
                "clip_reward": kept["clip_reward"],
            }.items()
        }
    except (KeyError, AttributeError, TypeError) as error:
        raise SubjectError(path, f"no VecNormalize ({line(error)})", EXPECTED) from None


def _of_arrays(arrays: Mapping[str, NDArray[Any]], path: str) -> Statistics:
    if missing := [name for name in NEEDED if name not in arrays]:
        found = f"arrays {listed(arrays) or '(none)'}, without {' and '.join(missing)}"
        raise SubjectError(path, found, EXPECTED)
    for name, values in arrays.items():
        if name not in (*NEEDED, *REWARDS):
            continue
        single = name not in ("mean", "var")
        if values.dtype.kind not in "fiub" or (single and values.size != 1):
            raise SubjectError(path, f"{name} of {shown(values.dtype)} {values.shape}", EXPECTED)
        if np.isnan(values).any() or (name != "mean" and (values < 0).any()):
            raise SubjectError(path, f"{name} with negative numbers or NaN", EXPECTED)
    mean, var = (np.asarray(arrays[name], np.float64) for name in ("mean", "var"))
    if mean.shape != var.shape or not (np.isfinite(mean).all() and np.isfinite(var).all()):
        raise SubjectError(path, f"mean {mean.shape} and var {var.shape}", "finite numbers of one shape")
    epsilon, clip = (float(arrays[name].item()) for name in ("epsilon", "clip_obs"))
    if not (var + epsilon > 0).all():
        raise SubjectError(path, "a variance of 0 with an epsilon of 0", "one of them above 0")
    scale, most = None, float("inf")
    if "norm_reward" in arrays and not arrays["norm_reward"].item():
        scale = 1.0
    elif set(REWARDS) <= arrays.keys():
        scale = float(np.sqrt(arrays["return_var"].item() + epsilon))
        most = float(arrays["clip_reward"].item())
        if not scale > 0:
            raise SubjectError(path, "a return_var of 0 with an epsilon of 0", "one of them above 0")
    return Statistics(path, mean, var, clip, epsilon, scale, most)
