"""The statistics of ``VecNormalize``: how they normalise observations and rewards, and their two files."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.numpy_file import read_members
from diag.sources.safe.bounds import check_ordinary, content_of
from diag.sources.safe.members import ZIP_BEGINS
from diag.sources.safe.names import line, listed, shown
from diag.subject import SubjectError

if TYPE_CHECKING:
    from torch import Tensor

NEEDED = ("mean", "var", "clip_obs", "epsilon")
REWARDS = ("norm_reward", "return_var", "clip_reward")
"""Arrays of an ``.npz`` of statistics, named as VecNormalize names them: of observations, and of rewards."""

WRITTEN = (
    "import pickle, numpy as np; v = pickle.load(open('vecnormalize.pkl', 'rb')); "
    "np.savez('vecnormalize.npz', mean=v.obs_rms.mean, var=v.obs_rms.var, clip_obs=v.clip_obs, "
    "epsilon=v.epsilon, norm_reward=v.norm_reward, return_var=v.ret_rms.var, clip_reward=v.clip_reward)"
)
"""The Python that writes an ``.npz`` of statistics from the file that ``VecNormalize.save`` wrote."""

EXPECTED = f'the file of VecNormalize.save with --trust-pickle, or an .npz: python -c "{WRITTEN}"'


@dataclass(frozen=True)
class Statistics:
    """The normalisation of one ``VecNormalize``: of observations, and of rewards where it is known."""

    path: str
    mean: NDArray[np.float64]
    """Mean of observations (*shape), or a single number for all."""
    var: NDArray[np.float64]
    clip_obs: float
    epsilon: float
    reward_scale: float | None = None
    """Divisor of rewards: 1 where they were left as they are, None where it is unknown."""
    clip_reward: float = field(default=float("inf"))

    @property
    def plain(self) -> bool:
        """Whether observations are left as they are."""
        unchanged = not self.mean.any() and bool((self.var + self.epsilon == 1).all())
        return unchanged and self.clip_obs == float("inf")

    def observations(self, raw: Tensor) -> Tensor:
        """Normalised observations (n, *shape): (raw - mean) / sqrt(var + ε), clipped, as float32."""
        import torch

        if self.plain:
            return raw
        mean, var = torch.from_numpy(self.mean), torch.from_numpy(self.var)
        scaled = (raw.double() - mean) / torch.sqrt(var + self.epsilon)
        return scaled.clamp(-self.clip_obs, self.clip_obs).float()

    def rewards(self, raw: Tensor) -> Tensor:
        """Normalised rewards (n,), on which the value was trained; only where ``reward_scale`` is known."""
        assert self.reward_scale is not None
        return (raw / self.reward_scale).clamp(-self.clip_reward, self.clip_reward)

    @property
    def constants(self) -> Mapping[str, Any]:
        """Numbers that two losses must share to be one function of the parameters."""
        numbers = (self.mean.tolist(), self.var.tolist(), self.clip_obs, self.epsilon, self.reward_scale)
        return {"normalised": numbers}


AS_THEY_ARE = Statistics("", np.zeros(()), np.ones(()), float("inf"), 0.0)
"""Statistics that leave observations as they are, with an unknown scale of rewards."""


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
    """The statistics' arrays out of a pickled ``VecNormalize``, whose loading runs whatever it calls for."""
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
        incomplete = f"arrays {listed(arrays) or '(none)'}, without {' and '.join(missing)}"
        raise SubjectError(path, incomplete, EXPECTED)
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
