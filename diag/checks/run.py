"""The gate itself: one base, its transfers, every check."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

import probes
from diag.checks import CheckError, SettingError
from diag.checks.baseline import Accepted, against
from diag.checks.config import Config
from diag.checks.embeddings import NAMES as EMBEDDINGS
from diag.checks.embeddings import of_comparison
from diag.checks.forecasting import of_forecast
from diag.checks.judging import Found, settled
from diag.checks.losses import Losses, losses_of, of_losses
from diag.checks.probing import of_probes, scores_of
from diag.checks.result import Checked, Gate
from diag.checks.returns import of_returns, returns_of
from diag.checks.settings import GateSettings, plain
from diag.checks.withheld import withheld
from diag.comparisons.compare import compare
from diag.comparisons.pairing import undroppable
from diag.comparisons.result import Comparison, Picture
from diag.result import FileRef
from diag.sources import Source, opened, same_file
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Subject, SubjectError
from trainers.checkpoint import CheckpointError
from trainers.safe_text import in_words, one_line

DRAWN = 2**18
"""Numbers of an embedding that are kept for its picture: a gate may hold hundreds of pairs."""


class Base:
    """A base, and what the checks need of it: computed once, when the first transfer asks for it."""

    def __init__(self, subject: Subject, settings: GateSettings) -> None:
        self.subject, self.settings = subject, settings
        self.said: list[str] = []
        """What is to be said of how its scores were taken."""

    @cached_property
    def losses(self) -> Losses | None:
        return losses_of(self.subject, self.settings.check.loss_ratio.samples, self.settings.seed)

    @cached_property
    def scores(self) -> Mapping[str, probes.Measure] | None:
        return scores_of(self.subject, self.settings.seed, self.said.append)

    @cached_property
    def returns(self) -> NDArray[np.float64] | None:
        return returns_of(self.subject, self.settings.check.returns.episodes, self.settings.seed)


def check(
    base: Source,
    transfers: Sequence[Source],
    *,
    config: Config | None = None,
    supplied: Supplied = NOTHING,
    baseline: Accepted | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Gate:
    """Run every check of a configuration (default: the defaults) on each transfer of a base.

    A transfer that cannot be read or compared is told as such and does not keep the others from being
    checked; a base that cannot is an error. ``baseline`` is a state that was accepted, of this base. Raises
    SubjectError, CheckpointError or CheckError.
    """
    chosen = config or Config()
    settings = chosen.settings
    own = Base(opened(base, "base", supplied, "source"), settings)
    warning = None if baseline is None else baseline.warning_for(FileRef.of(own.subject))
    done = []
    for number, transfer in enumerate(transfers):
        progress(number, len(transfers))
        done.append(checked(own, transfer, chosen, supplied, baseline))
    progress(len(transfers), len(transfers))
    return Gate(
        tuple(done),
        settings.strict,
        chosen.file,
        None if baseline is None else baseline.file,
        plain(settings),
        () if warning is None else (warning,),
        tuple(map(chosen.threshold, chosen.origins)),
    )


def checked(
    base: Base, transfer: Source, config: Config, supplied: Supplied, baseline: Accepted | None
) -> Checked:
    """Every check on one transfer; an error of its file is told, not raised."""
    begun, said = time.monotonic(), list[str]()
    name = "transfer"  # of an array
    if isinstance(transfer, Subject | str | os.PathLike):
        name = transfer.path if isinstance(transfer, Subject) else os.fspath(transfer)
    try:
        subject = opened(transfer, "transfer", supplied, "target")
        comparison = _comparison(base.subject, subject, config.settings)
        findings = tuple(
            against(baseline, name, found, settled(found, config), config.settings)
            for found in _found(base, subject, comparison, config.settings, said.append)
        )
    except SettingError as error:  # of every transfer alike: the mistake is the configuration's
        raise CheckError(f"{config.place(error.name)}: {error.name}: {error}") from None
    except (SubjectError, CheckpointError, probes.ProbeError, OSError) as error:
        words = one_line(error, 3000)
        if isinstance(error, OSError):
            found = (error.strerror or words).lower()
            words = f"{in_words(name)}: found {found}; expected a file that can be read"
        return Checked(base.subject.path, name, error=words, seconds=time.monotonic() - begun)
    return Checked(
        base.subject.path,
        name,
        findings,
        refs=(FileRef.of(base.subject), FileRef.of(subject)),
        comparison=comparison,
        warnings=tuple(
            dict.fromkeys((*(() if comparison is None else comparison.warnings), *base.said, *said))
        ),
        seconds=time.monotonic() - begun,
    )


def _comparison(base: Subject, transfer: Subject, settings: GateSettings) -> Comparison | None:
    """The comparison of the embeddings, where there are any and a check looks at them."""
    if base is transfer or same_file(base.path, transfer.path):
        raise SubjectError(transfer.path, "the base itself", "two different files")
    wanted = any(getattr(settings.check, name).level != "off" for name in EMBEDDINGS)
    if not wanted or any(s.embeddings is None and s.encoder is None for s in (base, transfer)):
        return None
    with undroppable():
        return thinned(
            compare(base, transfer, unfrozen=settings.unfrozen, margin=settings.margin, seed=settings.seed)
        )


def thinned(result: Comparison) -> Comparison:
    """A comparison whose picture has no more rows than :data:`DRAWN` numbers make, evenly from all."""
    picture = result.picture
    rows, most = len(picture.base), max(DRAWN // max(result.dimensions), probes.MIN_STATES)
    if rows <= most:
        return result
    some = np.linspace(0, rows - 1, most).astype(np.int64)
    both = (picture.base_predictions, picture.transfer_predictions)
    predictions = [None if p is None else p[some] for p in both]
    few = Picture(
        picture.base[some],
        picture.transfer[some],
        {name: values[some] for name, values in picture.variables.items()},
        predictions[0],
        predictions[1],
        picture.colour,
    )
    return replace(result, picture=few)


def _found(
    base: Base,
    transfer: Subject,
    comparison: Comparison | None,
    settings: GateSettings,
    say: Callable[[str], None],
) -> Iterator[Found]:
    """What every check that is not off finds, in the settings' order; ``say`` is told what to warn of."""
    undecided = dict(withheld(base.subject, transfer, settings.check.returns.reference is None))
    for found in _measured(base, transfer, comparison, settings, say):
        yield undecided.get(found.check, found)


def _measured(
    base: Base,
    transfer: Subject,
    comparison: Comparison | None,
    settings: GateSettings,
    say: Callable[[str], None],
) -> Iterator[Found]:
    """What every check that is not off measures; ``say`` is told what to warn of."""
    limits, own, seed = settings.check, base.subject, settings.seed
    yield from (f for f in of_comparison(comparison, limits) if getattr(limits, f.check).level != "off")
    if limits.loss_ratio.level != "off":
        yield from of_losses(own, transfer, base.losses, limits.loss_ratio, seed, say)
    if limits.probe.level != "off":
        yield from of_probes(own, transfer, base.scores, limits.probe, seed, say)
    if limits.returns.level != "off":
        own_returns = base.returns if limits.returns.reference is None else None
        yield from of_returns(transfer, own_returns, limits.returns, seed)
    if limits.forecast.level != "off":
        yield from of_forecast(own, transfer, limits.forecast)
