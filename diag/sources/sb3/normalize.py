"""Decide whether a Stable-Baselines3 policy saw raw observations, or those of ``VecNormalize``, and which.

``VecNormalize`` keeps its statistics in a file of its own, which the model's file neither holds nor names. A
policy that is played without them sees numbers of another scale, and scores next to nothing. So the model's
file is asked whether they belong to it, and they are taken from ``--normalize FILE`` or from beside it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from diag.sources.sb3.arrays import array_of
from diag.sources.sb3.statistics import AS_THEY_ARE, WRITTEN, Statistics, read_statistics
from diag.subject import SubjectError

if TYPE_CHECKING:
    from diag.sources.sb3.file import Saved
    from diag.sources.sb3.nets import Kind
    from diag.sources.supplied import Supplied
    from diag.subject import Task, TaskPair

Trained: TypeAlias = Literal["raw", "rewards", "normalised", "unknown"]
"""Things that VecNormalize normalised: nothing (``raw``), rewards alone, observations, or unknown."""

Why: TypeAlias = tuple[str, str]
"""Words for a file's state, and for what was expected instead."""

IDENTITY = "np.savez('as-they-are.npz', mean=0, var=1, clip_obs=np.inf, epsilon=0)"
"""The Python that writes statistics which leave observations as they are."""

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
"""A note for DQN, SAC and TD3, whose files do not say what was normalised."""

APART = 0.5
"""Most standard deviations, at the median, between the last observation normalised by the statistics and as
the policy saw it: statistics move on for a few steps after a checkpoint, but those of another training are
far off."""

STEPS = 1000
"""Number of steps of the environment from which the size of a step of raw observations is taken."""

FARTHER = 3.0
"""Largest step of a trained policy, as a multiple of the largest under random actions."""


def statistics_of(
    saved: Saved,
    kind: Kind,
    shape: tuple[int, ...],
    tasks: TaskPair | None,
    task: Task | None,
    given: Supplied,
) -> tuple[Statistics | None, Why | None]:
    """The statistics that normalise the policy's observations, None for raw ones; and why they are missing.

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
    statistics = read_statistics(str(place), given.trust_pickle)
    if not shape and not statistics.plain:
        raise SubjectError(
            statistics.path, "statistics of observations", f"those of {saved.path}, which are numbers"
        )
    if statistics.mean.shape not in ((), shape):
        expected = f"that of its observations, {shape}: those of {saved.path}"
        raise SubjectError(statistics.path, f"statistics of shape {statistics.mean.shape}", expected)
    _check_own(saved, kind, statistics)
    return statistics, None


def _without(trained: Trained, path: str, expected: str) -> tuple[Statistics | None, Why | None]:
    """The result where there are no statistics: why they are missing, or none needed."""
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
    """Whether observations lie outside the bounds in the readable description of their space."""
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
        return True  # another shape is reported where the observations are shown
    farthest = FARTHER * np.abs(other - one).max(0)
    first = one[np.unique(sampled.groups, return_index=True)[1]]
    low, high = first.min(0), first.max(0)
    step = (np.abs(now - before) <= farthest).reshape(len(now), -1).all(1)
    begins = ((now >= 2 * low - high) & (now <= 2 * high - low)).reshape(len(now), -1).all(1)
    return bool((step | begins).all())


def _check_own(saved: Saved, kind: Kind, statistics: Statistics) -> None:
    """Raises SubjectError for statistics that do not turn the last raw observation into what the policy saw.

    Only DQN, SAC and TD3 keep both of one step.
    """
    now, raw = (array_of(saved.data.get(name)) for name in ("_last_obs", "_last_original_obs"))
    if kind == "actor-critic" or now is None or raw is None or now.shape != raw.shape:
        return
    import torch

    made = statistics.observations(torch.from_numpy(raw.astype(np.float64))).numpy()
    apart = float(np.median(np.abs(made - now)))
    if apart > APART:
        expected = (
            f"those of its own training, in {_names(saved.path)[0]} beside it where other files have others"
        )
        words = f"statistics that put the last observation {apart:.2g} from where {saved.path} saw it"
        raise SubjectError(statistics.path, words, f"{expected}; for raw observations {IDENTITY}")


def _names(path: str) -> list[str]:
    """Names of statistics that belong to a model by its name, those that need no trust first."""
    stem = Path(path).name.removesuffix(".zip")
    files = [f"{stem}.vecnormalize.npz", f"{stem}.vecnormalize.pkl", f"{stem}/vecnormalize.pkl"]
    # CheckpointCallback: model_1000_steps.zip, model_vecnormalize_1000_steps.pkl.
    if part := re.fullmatch(r"(.*)_(\d+_steps)", stem):
        files.append(f"{part[1]}_vecnormalize_{part[2]}.pkl")
    return files


ONLY = ("vecnormalize.npz", "vecnormalize.pkl", "vec_normalize.pkl")
"""Names of statistics that do not name a model; they are a model's where no other model lies beside them."""


def beside_of(path: str) -> Path | None:
    """The statistics that lie beside a model's file and can be no other model's; None without such a file."""
    folder = Path(path).parent
    names = _names(path)
    if len(list(folder.glob("*.zip"))) == 1:
        names += ONLY
    return next((folder / name for name in names if (folder / name).is_file()), None)
