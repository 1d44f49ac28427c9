"""Run the gate: every check on each transfer of one base."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

import probes
from diag.checks import CheckError, SettingError
from diag.checks.baseline import Accepted, against
from diag.checks.compared import EmbeddingCheck
from diag.checks.config import Config
from diag.checks.judging import Found
from diag.checks.pair import Base, Pair
from diag.checks.result import Checked, Gate
from diag.checks.settings import GateSettings, plain
from diag.checks.settling import settled
from diag.checks.withheld import withheld
from diag.comparisons.compare import compare
from diag.comparisons.pairing import undroppable
from diag.comparisons.result import Comparison
from diag.result import FileRef
from diag.sources import Source, opened, same_file
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Subject, SubjectError
from trainers.checkpoint import CheckpointError
from trainers.safe_text import in_words, one_line

DRAWN = 2**18
"""Most numbers of an embedding that are kept for its picture: a gate may hold hundreds of pairs."""


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
    own = Base(opened(base, "base", supplied, "source"))
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
    name = "transfer"  # stands for the path of an array
    if isinstance(transfer, Subject | str | os.PathLike):
        name = transfer.path if isinstance(transfer, Subject) else os.fspath(transfer)
    try:
        subject = opened(transfer, "transfer", supplied, "target")
        comparison = _comparison(base.subject, subject, config.settings)
        pair = Pair(base, subject, comparison, config.settings.seed, said.append)
        findings = tuple(
            against(baseline, name, answer, settled(answer, config), config.settings)
            for answer in _answers(pair, config.settings)
        )
    except SettingError as error:  # a mistake of the configuration, not of this transfer
        raise CheckError(f"{config.place(error.name)}: {error.name}: {error}") from None
    except (SubjectError, CheckpointError, probes.ProbeError, OSError) as error:
        words = one_line(error, 3000)
        if isinstance(error, OSError):
            why = (error.strerror or words).lower()
            words = f"{in_words(name)}: found {why}; expected a file that can be read"
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
    wanted = any(isinstance(check, EmbeddingCheck) for check in settings.check.wanted())
    if not wanted or any(s.embeddings is None and s.encoder is None for s in (base, transfer)):
        return None
    with undroppable():
        return thinned(
            compare(base, transfer, unfrozen=settings.unfrozen, margin=settings.margin, seed=settings.seed)
        )


def thinned(result: Comparison) -> Comparison:
    """The comparison with its picture thinned evenly to at most :data:`DRAWN` numbers."""
    picture = result.picture
    rows, most = len(picture.base), max(DRAWN // max(result.dimensions), probes.MIN_STATES)
    if rows <= most:
        return result
    some = np.linspace(0, rows - 1, most).astype(np.int64)
    return replace(result, picture=picture.thinned(some))


def _answers(pair: Pair, settings: GateSettings) -> Iterator[Found]:
    """The answers of every check that is not off, in the settings' order."""
    undecided = dict(withheld(pair.base.subject, pair.transfer, settings.check.wanted()))
    for one in settings.check.wanted():
        for answer in one.measured(pair):
            yield undecided.get(answer.check, answer)
