"""diag forecast: predict how a transfer will end, from its early checkpoint or from its base alone."""

from __future__ import annotations

import os
from pathlib import Path

from diag.forecasts.expected import of_base, of_transfer
from diag.forecasts.model import Forecaster, read_model
from diag.forecasts.result import Forecast
from diag.sources.native import open_native
from diag.sources.opening import Opening
from diag.sources.safe.bounds import check_ordinary
from diag.sources.supplied import Place
from diag.subject import Subject, SubjectError


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
    known = model if isinstance(model, Forecaster) else read_model(model)
    subject = _opened(checkpoint)
    if subject.made_from is None and not subject.frozen:
        if base is not None:
            raise SubjectError(subject.path, "a base", "a transfer where --base is given")
        return of_base(subject, known)
    if not subject.frozen:
        words = f"a {subject.label.partition(',')[0]} with nothing frozen"
        raise SubjectError(subject.path, words, "one whose frozen models read the embedding")
    return of_transfer(subject, _base_of(subject, base), known)


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
