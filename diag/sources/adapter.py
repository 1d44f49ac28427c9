"""``--adapter package.module:function``: your own function makes a Subject of weights.

    def adapter(weights: Mapping[str, Any], opening: Opening) -> Subject | torch.nn.Module

``weights`` is what the file holds: a mapping of names to tensors for a state dict, otherwise whatever
``torch.save`` was given. A module that is returned is the encoder: what it makes of observations is the
embedding. An adapter is your own code, and runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from diag.sources.foreign_code import called, imported
from diag.sources.opening import Opening
from diag.subject import Subject, SubjectError


def adapted(weights: Any, opening: Opening) -> Subject:
    """The subject that the named adapter makes of the weights; raises SubjectError, also for faults in it."""
    name = opening.supplied.adapter
    assert name is not None
    made = called(imported(name), opening.path, f"--adapter {name}", weights, opening)
    if isinstance(made, Subject):  # of this file, whatever name it was given
        return replace(made, path=opening.path, sha256=opening.sha256)
    from torch import nn

    if isinstance(made, nn.Module):
        from diag.sources.torch_encoder import module_subject

        return module_subject(made, opening)
    returned = f"a {type(made).__name__} from --adapter {name}"
    raise SubjectError(opening.path, returned, "a diag.subject.Subject or a torch.nn.Module")
