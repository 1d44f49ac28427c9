"""layers: how each layer of a transfer relates to the base's, and where the two begin to differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

import probes
from diag.embed import UNABLE, shared_tasks
from diag.layerwise.reading import Sample, Watching, batches_of
from diag.layerwise.result import NOT_SOUGHT, LayerMap, LayerPair, LayersCompared
from diag.layerwise.verdict import departs_at, differs_at, verdict_of, with_weights
from diag.repeatable import steady_encoder
from diag.result import FileRef
from diag.sources import Source, opened, same_file
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Subject, SubjectError, Watched, input_of, missing
from diag.units.drift import Kept, drift, kept
from diag.wording import listed
from probes import Floats, Measure
from trainers.safe_text import plain
from trainers.threads import one_thread

if TYPE_CHECKING:
    from torch import Tensor

Progress: TypeAlias = Callable[[int, int], None]

LOOKED_AT = 3
"""Inputs of which a first look at the layers is taken."""

ONE_ROW = "1 × "
"""Beginning of the shape, in words, of what a layer gives for all inputs alike."""

ROUNDED = 1e-5
"""Difference of a layer's inputs, as a share of the largest, that is rounding: a hundred times float32's."""

LEAST_INPUTS = 16
"""Inputs of the smallest batch; below 64 there are fewer than the four batches that CKA's interval needs."""

UNPAIRED = 0.05
"""Lower end of a debiased CKA's interval which no pair of layers exceeds where rows are no pairs. With
hundreds of pairs of layers some lower ends lie above 0 by chance."""

WIDEST = 512
"""Units up to which relations are sought by default: the cost grows with their cube, to some ten seconds."""

BUNDLES = 256
"""Groups of inputs that are resampled: more would cost time, and change an interval little."""


def layers(
    base: Source,
    transfer: Source,
    *,
    supplied: Supplied = NOTHING,
    only: tuple[str, ...] = (),
    widest: int = WIDEST,
    relations: bool = True,
    maps: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> LayersCompared:
    """Compare two networks layer by layer on the same inputs, in one pass over them.

    Both must be networks whose layers can be read: weights with ``supplied.model``, or a module by an
    adapter; the inputs are ``supplied.inputs`` or ``supplied.pairs``. Layers of one name are put side by
    side: relation, R² and debiased CKA, each with an interval; and every layer is compared with every other.

    Args:
        base: The base: a file, or a subject.
        transfer: The transfer.
        supplied: What files of weights alone do not say.
        only: Patterns of the layers that are compared (``layer*``); all where there are none.
        widest: Units up to which a layer's relation is sought.
        relations: Whether to seek relations at all.
        maps: Whether to read every layer from every other; CKA of each with each is always there.
        seed: Seed of batches, samples and resamples.
        progress: Called with the steps done, and the steps in all.

    Raises:
        SubjectError: files without layers that can be read, too few inputs, networks that fail on them.
    """
    left = opened(base, "base network", supplied, "source")
    right = opened(transfer, "transfer network", supplied, "target")
    if same_file(left.path, right.path):
        raise SubjectError(right.path, "the base itself", "two different files")
    for subject in (left, right):
        if not isinstance(subject.encoder, Watched):
            raise missing(subject, "layers")
    tasks = shared_tasks((left, right))
    pairs = tasks.paired_observations(None, seed)
    seen = []
    for subject, default in ((left, "source"), (right, "target")):
        task = subject.task or default
        if task not in pairs.observations:
            raise SubjectError(
                subject.path, f"the task {task!r}", f"inputs of {' or '.join(pairs.observations)}"
            )
        seen.append(pairs.observations[task])
    inputs = len(seen[0])
    if inputs < LEAST_INPUTS:
        raise SubjectError(tasks.name, f"{inputs} inputs", f"at least {LEAST_INPUTS}")
    # Where the embedding is taken says nothing here, where every layer is.
    warnings = [
        f"{one.path} {note}"
        for one in (left, right)
        for note in one.notes
        if note != getattr(one.encoder, "words", None)
    ]
    with one_thread():
        ours, theirs = _watching((left, right), seen, only, warnings)
    batches = batches_of(inputs, seed)
    named = [name for name in ours.units if name in theirs.units]
    steps = len(batches) + (len(named) if relations else 0)
    report = progress or (lambda done, of: None)
    with one_thread():
        kernels, sample = _read(
            ours, theirs, seen, batches, seed, lambda done: report(done, steps), rows=relations, pooled=maps
        )
    similarity = kernels.similarity()
    warnings += _unpaired(seen, similarity.low, tasks.name)
    found = []
    for number, name in enumerate(named):
        at = list(ours.units).index(name), list(theirs.units).index(name)
        pair = _pair(name, ours, theirs, similarity.measure(*at))
        found.append(_related(pair, ours, theirs, sample, widest, seed) if relations else pair)
        report(len(batches) + number + 1, steps)
    fits = np.full(similarity.value.shape, np.nan)
    if maps:
        fits = probes.layer_fits(list(theirs.pooled.values()), list(ours.pooled.values()), seed=seed).T
    of_base = right.made_from is None or right.made_from == left.identity
    if not of_base:
        warnings.append(f"{right.path} was not made from {left.path}, but from another base")
    weights = drift(left.parameters or {}, right.parameters or {}, right.plan if of_base else None)
    reader, read = _frozen_reader(right, found)
    changed = {one.component for one in weights if one.layer is None and one.kept is None}
    stayed = changed.isdisjoint(right.frozen or ())
    return LayersCompared(
        base=FileRef.of(left),
        transfer=FileRef.of(right),
        verdict=with_weights(verdict_of(found, reader, read, kept=stayed), weights),
        layers=tuple(found),
        weights=weights,
        map=LayerMap(
            tuple(ours.units), tuple(theirs.units), similarity.value, similarity.low, similarity.high, fits
        ),
        differs=differs_at(found),
        departs=departs_at(found),
        reader=reader,
        inputs=inputs,
        rows=sample.inputs * sample.places,
        batches=len(batches),
        world=tasks.name,
        seed=seed,
        warnings=tuple(warnings),
    )


def _unpaired(seen: Sequence[Tensor], low: Floats, name: str) -> list[str]:
    """A warning where two different inputs leave no layer of one network like any of the other's.

    CKA of paired rows is far from 0 even between networks that were trained apart, since the rows have their
    likeness from the world; rows in another order have none.
    """
    import torch

    if not np.isfinite(low).any() or np.nanmax(low) > UNPAIRED or torch.equal(seen[0], seen[1]):
        return []
    return [
        f"{name}: no layer of one network is like any layer of the other (debiased CKA surely above "
        f"{UNPAIRED:g}): the rows of the two inputs may not show the same things in the same order"
    ]


def _watching(
    subjects: tuple[Subject, Subject], seen: list[Tensor], only: tuple[str, ...], warnings: list[str]
) -> tuple[Watching, Watching]:
    """The layers of both networks, and the inputs of the layers that read what others made."""
    first: list[Watching] = []
    for subject, observations in zip(subjects, seen, strict=True):
        try:
            assert subject.encoder is not None
            said = steady_encoder(subject.encoder, subject.parameters or {}, observations, subject.path)[1]
            warnings += said
            watching = Watching(subject)
            watching.look(observations[:LOOKED_AT])
        except SubjectError:
            raise
        except UNABLE as error:
            words = " ".join(str(error).split()) or type(error).__name__
            shape = f"{observations.dtype} {tuple(observations.shape[1:])}".removeprefix("torch.")
            fault = f"a network that fails on inputs of {shape} ({words})"
            raise SubjectError(subject.path, fault, "inputs that it was made for") from error
        first.append(watching)
    ours, theirs = first
    warnings += _unread(ours, theirs)
    readers = _readers(ours, theirs, seen[0][:LOOKED_AT])
    both = []
    for watching, observations in zip(first, seen, strict=True):
        again = Watching(watching.subject, tuple(r for r in readers if r in watching.parts))
        again.look(observations[:LOOKED_AT])
        again.choose(only)
        both.append(again)
    return both[0], both[1]


def _unread(ours: Watching, theirs: Watching) -> list[str]:
    """Warnings about layers that run and cannot be compared, since they have no row for each input."""
    words = []
    for watching in (ours, theirs):
        if watching is theirs and theirs.unread == ours.unread:
            continue  # the same layers of the same network
        alone = [plain(name) for name, what in watching.unread.items() if what.startswith(ONE_ROW)]
        if alone:
            gives = "gives" if len(alone) == 1 else "give"
            words.append(
                f"{listed(alone)} of {watching.subject.path} {gives} one row for all inputs, such as a table "
                f"of places, and {'is' if len(alone) == 1 else 'are'} left out"
            )
        given = [
            f"{plain(name)} ({what} for {LOOKED_AT} inputs)"
            for name, what in watching.unread.items()
            if not what.startswith(ONE_ROW)
        ]
        if given:
            have = "has" if len(given) == 1 else "have"
            words.append(
                f"{listed(given)} of {watching.subject.path} {have} no row for each input, and "
                f"{'is' if len(given) == 1 else 'are'} left out: put inputs first (batch_first=True)"
            )
    return words


def _readers(ours: Watching, theirs: Watching, some: Tensor) -> tuple[str, ...]:
    """The layers whose input is compared too: the last, and the first frozen one that reads what changed.

    On ``some`` inputs, the same for both networks, a frozen layer on a branch beside what changed reads to
    rounding what it read in the base: that is no reader of it.
    """
    names = list(ours.layers)
    after, changed = list[str](), False
    for name in names:
        same = _kept(ours, theirs, name) is not None
        if changed and same:
            after.append(ours.layers[name].part)
        changed |= not same
    after = list(dict.fromkeys(part for part in after if part in theirs.parts))
    first: list[str] = []
    if after:
        a, b = ours.read(some, after), theirs.read(some, after)
        first = [part for part in after if not _alike(a.get(part), b.get(part))][:1]
    return tuple(dict.fromkeys([*first, ours.layers[names[-1]].part]))


def _alike(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether two inputs of a layer are the same numbers, to rounding."""
    if a is None or b is None or a.shape != b.shape:
        return False
    return bool((a - b).abs().max() <= ROUNDED * a.abs().max())


def _kept(ours: Watching, theirs: Watching, name: str) -> Kept | None:
    """Whether a layer's weights are the base's own, exactly or in half precision; None where they are not."""
    if name not in theirs.layers:
        return None
    return kept(*(w.weights_of(name) for w in (ours, theirs)))


def _moved(ours: Watching, theirs: Watching, name: str) -> float | None:
    """‖B − A‖/‖A‖ of a layer's weights; None where they are not of the same names and shapes."""
    if name not in theirs.layers:
        return None
    a, b = (w.weights_of(name) for w in (ours, theirs))
    if not a or a.keys() != b.keys() or any(a[n].shape != b[n].shape for n in a):
        return None
    apart = sum(float((b[n].double() - a[n].double()).square().sum()) for n in a)
    own = sum(float(a[n].double().square().sum()) for n in a)
    return float(np.sqrt(apart / own)) if own else (0.0 if apart == 0 else None)


def _read(
    ours: Watching,
    theirs: Watching,
    seen: list[Tensor],
    batches: list[np.ndarray],
    seed: int,
    report: Callable[[int], None],
    *,
    rows: bool,
    pooled: bool,
) -> tuple[probes.LayerKernels, Sample]:
    """Show both networks every batch; the sums of their kernels, and the sample that was kept."""
    inputs = sum(map(len, batches))
    sample = Sample.of(inputs, sum(ours.units.values()) + sum(theirs.units.values()))
    for watching in (ours, theirs):
        watching.reserve(sample, rows=rows, pooled=pooled)
    where = np.random.default_rng([seed, 4]).random(sample.inputs)
    kernels, first = probes.LayerKernels(), 0
    for number, some in enumerate(batches):
        kept = where[first : first + len(some)]
        kernels.add(*(w.batch(x[some], kept, first) for w, x in zip((ours, theirs), seen, strict=True)))
        first += len(kept)
        report(number + 1)
    return kernels, sample


def _pair(name: str, ours: Watching, theirs: Watching, cka: Measure) -> LayerPair:
    layer, nothing = ours.layers[name], Measure.undefined(NOT_SOUGHT)
    reads = name == input_of(layer.part)
    moved = None if reads else _moved(ours, theirs, name)
    return LayerPair(
        name=name,
        part=layer.part,
        kind=layer.kind,
        units=(ours.units[name], theirs.units[name]),
        relation=None,
        agreement=None,
        as_it_is=nothing,
        matched=nothing,
        linear=nothing,
        cka=cka,
        moved=moved,
        frozen=None if reads else _kept(ours, theirs, name),
        is_input=reads,
        reason=NOT_SOUGHT,
    )


def _related(
    pair: LayerPair, ours: Watching, theirs: Watching, sample: Sample, widest: int, seed: int
) -> LayerPair:
    """The pair with the relation of its units, from the rows that were kept."""
    name = pair.name
    y, x = (w.rows[name] for w in (ours, theirs))
    if y.shape != x.shape:
        why = f"the layers have {y.shape[1:]} and {x.shape[1:]} places and units"
        return _without(pair, why)
    if np.array_equal(x, y):
        one = Measure(1.0, 1.0, 1.0)
        same = replace(pair, relation="matched", agreement=1.0, as_it_is=one, matched=one, linear=one)
        return replace(same, reason=None)
    if y.shape[2] > widest:
        return _without(pair, f"wider than {widest} units: --widest {y.shape[2]} compares them, at some cost")
    bundle = np.arange(sample.inputs) * min(BUNDLES, sample.inputs) // sample.inputs
    groups = np.repeat(bundle, y.shape[1])
    flat_x, flat_y = (v.reshape(-1, v.shape[2]) for v in (x, y))
    related = probes.relation(flat_x, flat_y, groups=groups, seed=seed)
    steps = related.ladder
    return replace(
        pair,
        relation=related.relation,
        agreement=related.agreement,
        mismatch=related.mismatch,
        as_it_is=steps["identity"].r2,
        matched=steps["permutation"].r2,
        linear=steps["affine"].r2,
        reason=related.reason,
    )


def _without(pair: LayerPair, why: str) -> LayerPair:
    nothing = Measure.undefined(why)
    return replace(pair, as_it_is=nothing, matched=nothing, linear=nothing, reason=why)


def _frozen_reader(transfer: Subject, found: Sequence[LayerPair]) -> tuple[str | None, LayerPair | None]:
    """What kept the base's weights and runs after what did not, and what it reads; None where nothing did.

    A checkpoint names its frozen components, which read the encoder's last layer. Of other networks it is a
    layer with equal weights whose input was read: the first such, and the last layer.
    """
    if transfer.frozen and found:
        return listed(transfer.frozen), found[-1]
    changed, readers = False, list[tuple[str, LayerPair]]()
    by_name = {one.name: one for one in found}
    for one in found:
        if one.is_input or one.moved is None:
            continue
        if changed and one.frozen is not None and (read := by_name.get(input_of(one.part))) is not None:
            readers.append((one.name, read))
        changed |= one.frozen is None
    # Of several that are looked at, one that is known to read something else is the one to speak of.
    return next((pair for pair in readers if pair[1].differs), readers[0] if readers else (None, None))
