"""diag check: a gate over transfers, with limits, for any CI."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from diag.checks import CheckError, run
from diag.checks import baseline as baselines
from diag.checks import config as configs
from diag.checks.result import Gate
from diag.sources import Source
from diag.sources.supplied import NOTHING, Place, Supplied


def check(
    base: Source,
    *transfers: Source,
    config: Place | Mapping[str, Any] | None = None,
    strict: bool = False,
    baseline: Place | None = None,
    supplied: Supplied = NOTHING,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Gate:
    """Check transfers of a base against limits; the result's ``.outcome`` says how it ended.

    ``config`` is a ``diag.toml`` or ``pyproject.toml``, or settings by dotted name such as
    ``{"check.r2.min": 0.9}`` (default: the defaults; no file is looked for). ``strict`` makes what the data
    cannot tell count. ``baseline`` is a file of ``--write-baseline``. ``supplied`` is what files of weights
    alone do not say: paired observations, an adapter, … ``progress(done, of)`` counts transfers.

    A transfer that cannot be used is told in the result; a base that cannot, or a bad configuration, raises
    SubjectError, CheckpointError or CheckError.
    """
    if isinstance(config, str | os.PathLike):
        chosen = configs.read(config)
    else:
        chosen = configs.with_settings(configs.Config(), config or {})
    if strict:
        chosen = configs.with_settings(chosen, {"strict": True})
    if not transfers:
        raise CheckError("found no transfers, expected at least one")
    known = None if baseline is None else baselines.read(baseline)
    return run.check(base, transfers, config=chosen, supplied=supplied, baseline=known, progress=progress)
