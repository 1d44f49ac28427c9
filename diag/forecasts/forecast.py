"""diag forecast: predict how a transfer will end, from its early checkpoint or from its base alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from diag.forecasts.base import base_features
from diag.forecasts.features import measures_of
from diag.forecasts.fit import kind_of
from diag.forecasts.model import Forecaster, Probability, in_words, percent, read_model
from diag.forecasts.result import Forecast
from diag.result import FileRef, Status, Verdict
from diag.sources.native import open_native
from diag.sources.opening import Opening
from diag.sources.safe.bounds import check_ordinary
from diag.sources.supplied import Place
from diag.studies.measure import embedding
from diag.subject import Subject, SubjectError, require
from trainers.threads import one_thread

LIKELY, UNLIKELY = 0.5, 0.05
"""Probabilities for a verdict: the whole interval has to lie above the first to pass, below the second to
fail."""

LITTLE = "a forecast from a base alone tells little more than the mean of other bases (docs/forecast.md)"
FINISHED = "the transfer is finished: diag compare-embeddings says how it ended"


def forecast(
    checkpoint: Place | Subject,
    *,
    base: Place | Subject | None = None,
    model: Place | Forecaster | None = None,
) -> Forecast:
    """The probability that a transfer ends matched, from a checkpoint on its way; or a base's expected rate.

    Both may be files, or subjects that are open already. ``base`` is the transfer's base (default: where its
    header says that it was); a base's own checkpoint takes none. ``model`` is a file of ``diag study
    forecast``, or what ``diag.forecasts`` fitted (default: the shipped one). Raises CheckpointError,
    SubjectError, ProbeError or ForecastError.
    """
    with one_thread():
        known = model if isinstance(model, Forecaster) else read_model(model)
        subject = _opened(checkpoint)
        if subject.made_from is None and not subject.frozen:
            if base is not None:
                raise SubjectError(subject.path, "a base", "a transfer where --base is given")
            return _of_base(subject, known)
        if not subject.frozen:
            words = f"a {subject.label.partition(',')[0]} with nothing frozen"
            raise SubjectError(subject.path, words, "one whose frozen models read the embedding")
        there = _base_of(subject, base)
        share = require(subject, "share", subject.share)
        chance = known.probability(measures_of(embedding(subject), embedding(there)), share)
        going = share < 1
        stop = known.stops(chance, share) if going else None
        return Forecast(
            FileRef.of(subject),
            FileRef.of(there),
            _verdict(chance, known, share, stop),
            known.outcome,
            chance,
            share,
            known.nearest(share),
            stop,
            known.limit_at(share) if going else None,
            dict(known.fitted_to),
            known.mean_rate,
            tuple(_warnings(known, kind_of(*require(subject, "training", subject.training)), share)),
        )


def _warnings(known: Forecaster, kind: str, share: float) -> Iterator[str]:
    kinds = known.fitted_to.get("kinds", [kind])
    if kind not in kinds:
        yield f"the model knows transfers of {'; '.join(kinds)}, and this one is of {kind}"
    if share >= 1:
        yield FINISHED


def _opened(place: Place | Subject) -> Subject:
    """The subject of a checkpoint of diag train or transfer, the only training that the model knows."""
    if isinstance(place, Subject):
        return place
    name = os.fspath(place)
    if Path(name).is_dir():
        raise SubjectError(name, "a folder", "a checkpoint of diag train or diag transfer")
    check_ordinary(name, "a checkpoint of diag train or diag transfer")
    return open_native(Opening(name))


def _base_of(subject: Subject, given: Place | Subject | None) -> Subject:
    place = given if given is not None else subject.base_path
    if place is None or (given is None and not Path(str(place)).exists()):
        raise SubjectError(subject.path, f"no base at {place}", "--base FILE")
    there = _opened(place)
    if there.identity is None or there.identity != subject.made_from:
        raise SubjectError(there.path, "another base than the transfer's", "the one it was made from")
    return there


def _of_base(base: Subject, known: Forecaster) -> Forecast:
    rate = known.rate(base_features(base))
    expected = f"{in_words(rate)} of its transfers are expected to end {known.outcome}"
    words = f"{expected}; {known.mean_rate:.0%} of all the transfers that the model knows did."
    return Forecast(
        FileRef.of(base),
        None,
        Verdict(_status(rate), words),
        known.outcome,
        rate,
        None,
        None,
        None,
        None,
        dict(known.fitted_to),
        known.mean_rate,
        (LITTLE,),
    )


def _status(probability: Probability) -> Status:
    if probability.low > LIKELY:
        return "pass"
    if probability.high < UNLIKELY:
        return "fail"
    return "warn" if probability.high < LIKELY else "inconclusive"


def _verdict(probability: Probability, known: Forecaster, share: float, stop: bool | None) -> Verdict:
    limit = known.limit_at(share)
    advice = f"; the stopping rule would stop it here, below {percent(limit)}" if stop and limit else ""
    if share >= 1:
        seen = f"a transfer that looked like it at {known.nearest(share):.0%} of them"
        words = f"All of its updates are done, and nothing is left to forecast: {seen} would have ended"
        return Verdict(
            _status(probability), f"{words} {known.outcome} with a chance of {in_words(probability)}."
        )
    done = f"{share:.1%}" if share < 0.1 else f"{share:.0%}"
    words = (
        f"{done} of its updates are done; the chance that it ends {known.outcome} is {in_words(probability)}"
    )
    return Verdict(_status(probability), f"{words}{advice}.")
