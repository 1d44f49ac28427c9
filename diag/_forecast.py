"""diag forecast: how will a transfer end, from its early checkpoint, or from its base alone?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, TypeAlias

from diag._threads import one_thread
from diag.forecasts import ForecastError
from diag.forecasts.base import base_features
from diag.forecasts.model import Forecaster, Probability, read_model
from diag.result import FileRef, Verdict, head
from diag.sources import open_subject
from diag.sources.native import plan_of
from diag.studies.measure import measured
from diag.subject import SubjectError
from trainers import checkpoint as files
from trainers.settings import Settings

LIKELY, UNLIKELY = 0.5, 0.05
"""Above and below which the whole interval has to lie for a verdict."""

Place: TypeAlias = "str | os.PathLike[str]"


@dataclass(frozen=True)
class Forecast:
    """What is to be expected of a transfer, or of the transfers of a base."""

    checkpoint: FileRef
    base: FileRef | None
    """None where the checkpoint is a base itself."""
    verdict: Verdict
    outcome: str
    """``matched`` or ``succeeded``."""
    probability: Probability
    """That the transfer ends so; of a base, the expected share of its transfers that do."""
    share: float | None
    """Of the transfer's budget that is done; None for a base."""
    model_share: float | None
    """The share whose model answered."""
    stop: bool | None
    """Whether the stopping rule would stop it here; None for a base."""
    fitted_to: dict[str, Any]
    """What the model was fitted to."""
    common: float
    """The share of all transfers there that ended so: the forecast that knows nothing."""
    warnings: tuple[str, ...]
    diagnosis: str = "forecast"

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            **head(self.diagnosis, self.base or self.checkpoint, self.checkpoint, self.verdict),
            "outcome": self.outcome,
            "probability": self.probability.to_tree(),
            "share": self.share,
            "model_share": self.model_share,
            "stop": self.stop,
            "fitted_to": self.fitted_to,
            "common": self.common,
            "warnings": list(self.warnings),
        }


def forecast(
    checkpoint: Place, *, base: Place | None = None, model: Place | Forecaster | None = None
) -> Forecast:
    """The probability that a transfer ends matched, from a checkpoint on its way; or a base's expected rate.

    ``base`` is the transfer's base (default: where its header says that it was); a base's own checkpoint
    takes none. ``model`` is a file of ``diag study forecast``, or what ``diag.forecasts`` fitted (default:
    the shipped one). Raises CheckpointError, SubjectError or ForecastError.
    """
    with one_thread():
        known = model if isinstance(model, Forecaster) else read_model(model)
        subject = open_subject(checkpoint)
        if subject.objective is None:
            raise SubjectError(
                subject.path, "ready embeddings", "a checkpoint of diag train or diag transfer"
            )
        saved = files.read(checkpoint)
        plan = plan_of(saved)
        here = FileRef(subject.path, subject.sha256, subject.label)
        if plan is None:
            if base is not None:
                raise SubjectError(subject.path, "a base", "a transfer where --base is given")
            return _of_base(here, known, base_features(subject))
        if not subject.frozen:
            words = f"a transfer with nothing frozen ({plan.name})"
            raise SubjectError(subject.path, words, "one whose frozen models read the embedding")
        place = base if base is not None else subject.base_path
        if place is None or not os.path.exists(place):  # noqa: PTH110 (a path of any kind)
            raise SubjectError(subject.path, f"no base at {place}", "--base FILE")
        there = open_subject(place)
        if there.identity != subject.made_from:
            raise SubjectError(there.path, "another base than the transfer's", "the one it was made from")
        updates = Settings.from_tree(saved.header.settings).transfer.updates
        share = saved.header.step / updates
        row = measured(subject, there, plan)
        found = known.probability(row, share)
        nearest = known.nearest(share)
        stop = found.value < known.stop_below.get(nearest, 0.0)
        warnings = []
        if share >= 1:
            warnings.append("the transfer is finished: diag compare-embeddings says how it ended")
        return Forecast(
            here,
            FileRef(there.path, there.sha256, there.label),
            _verdict(found, known, f"{share:.0%} of its updates are done", stop),
            known.outcome,
            found,
            share,
            nearest,
            stop,
            dict(known.fitted_to),
            known.mean_rate,
            tuple(warnings),
        )


def _of_base(here: FileRef, known: Forecaster, x: Any) -> Forecast:
    found = known.rate(x)
    of = f"Of its transfers {in_words(found)} are expected to end {known.outcome}"
    words = f"{of}; of all that the model knows {known.mean_rate:.0%} did."
    return Forecast(
        here,
        None,
        Verdict(_status(found), words),
        known.outcome,
        found,
        None,
        None,
        None,
        dict(known.fitted_to),
        known.mean_rate,
        ("a forecast from a base alone is little better than the mean of other bases (docs/results.md)",),
    )


def _status(found: Probability) -> Any:
    if found.low > LIKELY:
        return "pass"
    if found.high < UNLIKELY:
        return "fail"
    return "warn" if found.high < LIKELY else "inconclusive"


def _verdict(found: Probability, known: Forecaster, when: str, stop: bool) -> Verdict:
    chance = f"{when}: the chance that it ends {known.outcome} is {in_words(found)}"
    advice = "; the stopping rule would stop it here" if stop else ""
    return Verdict(_status(found), f"{chance[0].upper()}{chance[1:]}{advice}.")


def in_words(found: Probability) -> str:
    """``3% [1%, 8%]``."""
    return f"{found.value:.0%} [{found.low:.0%}, {found.high:.0%}]"


__all__ = ["Forecast", "ForecastError", "forecast"]
