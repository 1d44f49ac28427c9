"""One pass over the inputs: the kernels of every layer of a network, and a sample of its units.

Nothing of a layer is kept but its kernel on the batch of the moment, and a bounded sample of rows: memory
does not grow with the number of inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.safe.names import listed
from diag.subject import Layer, Subject, SubjectError, Watched, input_of
from probes import Floats

if TYPE_CHECKING:
    from torch import Tensor

MOST_BATCH, LEAST_BATCH = 128, 16
"""Inputs of a batch: a layer's kernel costs their square, and a debiased similarity needs a few."""

WISHED_BATCHES = 20
"""Batches from which an interval is not much wider than it must be."""

MOST_ROWS = 4096
"""Rows of a layer's units that are kept: places of inputs."""

MOST_POOLED = 2048
"""Inputs of which the mean over all places is kept."""

MOST_BYTES = 2**29
"""Memory that the samples of both networks may take; with more units, fewer rows are kept."""

LEAST_ROWS = 512

MOST_PLACES = 8
"""Places of one input that give a row each, where inputs are few."""

PRECISE = 256
"""Features up to which a kernel is multiplied in float64; of wider layers an entry is a sum of so many
products that single precision loses less than a part in a million."""

MOST_MEAN = 16.0
"""Square of a layer's mean, as a multiple of its variance, from which the mean is taken off before the
kernel: single precision loses as many times more on products that are mostly the mean's."""


def batches_of(n: int, seed: int) -> list[NDArray[np.int64]]:
    """The inputs in batches, shuffled, as equal as they can be: the answer is a mean over batches."""
    size = int(np.clip(n // WISHED_BATCHES, LEAST_BATCH, MOST_BATCH))
    order = np.random.default_rng([seed, 3]).permutation(n)
    return [np.sort(part) for part in np.array_split(order, max(1, round(n / size)))]


@dataclass(frozen=True)
class Sample:
    """Which inputs are kept of a layer: the first so many of the batches, at so many places each."""

    inputs: int
    places: int
    pooled: int

    @classmethod
    def of(cls, inputs: int, units: int) -> Sample:
        """The sample for so many inputs, and networks with so many units in all."""
        rows = int(np.clip(MOST_BYTES // (4 * max(units, 1)), LEAST_ROWS, MOST_ROWS))
        kept = min(inputs, rows)
        return cls(kept, int(np.clip(rows // kept, 1, MOST_PLACES)), min(kept, MOST_POOLED))


@dataclass
class Watching:
    """The layers of one network as batches come by, and their samples so far."""

    subject: Subject
    inputs: Collection[str] = ()
    """Names of layers whose input is watched too."""
    layers: dict[str, Layer] = field(default_factory=dict)
    """By name, in the order in which they ran first."""
    units: dict[str, int] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    """Places of one input that a layer has its units at: pixels, tokens; 1 where there are none."""
    rows: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """(kept, places, units) units at some places of each input, by layer."""
    pooled: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """(kept, units) units of each input, their mean over all places, by layer."""
    chosen: bool = False
    """Whether some layers are left out."""
    unread: dict[str, str] = field(default_factory=dict)
    """Layers that run without a row for each input, and what they give for three inputs, in words."""

    def look(self, observations: Tensor) -> None:
        """Find the layers, and the size of each, from a few observations."""

        def see(layer: Layer, output: Tensor) -> None:
            self.layers[layer.name], self.units[layer.name] = layer, int(output.shape[1])
            self.places[layer.name] = int(np.prod(output.shape[2:]))

        self._watch(observations, see, lambda layer, what: self.unread.update({layer.name: what}))
        self._check_rows(observations)
        if not self.layers:
            expected = "layers with weights, and a row of each for each input"
            raise SubjectError(self.subject.path, "a network without such layers", expected)

    def _check_rows(self, observations: Tensor) -> None:
        """Refuse layers whose first axis is not the inputs: steps, say, which could be taken for them.

        What such a layer seems to have for each input changes with the number of inputs.
        """
        shapes: list[dict[str, tuple[int, ...]]] = []
        for count in (2, 3):  # never one: some networks squeeze a single row away
            seen: dict[str, tuple[int, ...]] = {}
            self._watch(observations[:count], lambda layer, o, s=seen: s.update({layer.name: o.shape[1:]}))
            shapes.append(seen)
        for name in shapes[0] | shapes[1]:
            if shapes[0].get(name) != shapes[1].get(name):
                found = f"a layer {name!r} whose first axis is not the inputs"
                raise SubjectError(self.subject.path, found, "inputs first (batch_first=True) in all layers")

    @property
    def parts(self) -> set[str]:
        """The module's own names of the layers."""
        return {layer.part for layer in self.layers.values()}

    def choose(self, only: Collection[str]) -> None:
        """Keep the layers whose name one of some patterns fits, all where there are none."""
        if not only:
            return
        kept = [n for n in self.layers if any(fnmatchcase(n, pattern) for pattern in only)]
        if not kept:
            found = f"no layer called {' or '.join(only)}"
            raise SubjectError(self.subject.path, found, f"one of {listed(self.layers)}")
        self.chosen = True
        for known in (self.layers, self.units, self.places):
            for name in known.keys() - set(kept):
                del known[name]

    def weights_of(self, name: str) -> Mapping[str, Tensor]:
        """The parameters of a layer, by their names in it."""
        encoder = self.subject.encoder
        assert isinstance(encoder, Watched)
        return encoder.weights_of(self.subject.parameters or {}, self.layers[name].part)

    def reserve(self, sample: Sample, *, rows: bool, pooled: bool) -> None:
        """Make room for what is kept of a sample: ``rows`` at some places, the mean over all (``pooled``)."""
        for name, units in self.units.items():
            if rows:
                places = min(sample.places, self.places[name])
                self.rows[name] = np.zeros((sample.inputs, places, units), np.float32)
            if pooled:
                self.pooled[name] = np.zeros((sample.pooled, units), np.float32)

    def batch(self, observations: Tensor, where: Floats, first: int) -> list[Floats]:
        """The kernels (b, b) of every layer on a batch.

        Its first m inputs are kept, as numbers ``first`` to ``first + m``; ``where`` (m,) says, from 0 to 1,
        at which of its places each is looked at.
        """
        kernels: dict[str, Floats] = {}

        def see(layer: Layer, output: Tensor) -> None:
            name = layer.name
            if name not in self.units:
                if not self.chosen and name not in self.unread:
                    raise self._unlike(name)
                return
            if output.shape[1] != self.units[name]:
                raise self._unlike(name)
            kernels[name] = _kernel(output, self.subject.path, name)
            if len(where):
                self._keep(name, output[: len(where)], where, first)

        self._watch(observations, see)
        for name in self.units:
            if name not in kernels:
                raise self._unlike(name)
        return [kernels[name] for name in self.units]

    def _unlike(self, name: str) -> SubjectError:
        found = f"a layer {name!r} of another width, or number of runs, for other inputs"
        return SubjectError(self.subject.path, found, "a network that runs alike for all inputs")

    def _keep(self, name: str, output: Tensor, where: Floats, first: int) -> None:
        seen = output.detach().reshape(*output.shape[:2], -1).float()
        if name in self.pooled:
            kept = self.pooled[name]
            if (pooled := min(len(where), len(kept) - first)) > 0:
                kept[first : first + pooled] = seen[:pooled].mean(2).cpu().numpy()
        if name not in self.rows:
            return
        rows, values = self.rows[name], seen.cpu().numpy()
        places, of = rows.shape[1], values.shape[2]
        looked = (np.arange(places) + where[:, None]) / places * of
        at = np.minimum(looked.astype(np.int64), of - 1)
        chosen = np.take_along_axis(values, at[:, None, :], 2)
        rows[first : first + len(where)] = chosen.transpose(0, 2, 1)

    def read(self, observations: Tensor, parts: Collection[str]) -> dict[str, Tensor]:
        """What some layers read the first time that they run, by the module's own names of them."""
        read: dict[str, Tensor] = {}
        wanted = {input_of(part): part for part in parts}

        def see(layer: Layer, output: Tensor) -> None:
            if layer.name in wanted:
                read.setdefault(wanted[layer.name], output)

        encoder = self.subject.encoder
        assert isinstance(encoder, Watched)
        encoder.watch(self.subject.parameters or {}, observations, see, parts)
        return read

    def _watch(
        self,
        observations: Tensor,
        see: Any,
        unread: Callable[[Layer, str], None] = lambda layer, what: None,
    ) -> None:
        encoder = self.subject.encoder
        assert isinstance(encoder, Watched)
        encoder.watch(self.subject.parameters or {}, observations, see, self.inputs, unread)


def _kernel(output: Tensor, path: str, name: str) -> Floats:
    """Products (b, b) of the rows of a layer's output, up to what a mean of all rows adds to them.

    numpy multiplies an array with its own transpose at half the cost of two arrays.
    """
    flat = output.detach().reshape(len(output), -1)
    flat = flat.double() if flat.shape[1] <= PRECISE else flat.float()
    features = flat.cpu().numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        kernel = features @ features.T
    if not np.isfinite(kernel).all():
        raise SubjectError(path, f"NaN or infinity in layer {name!r}", "finite numbers")
    mean = float(kernel.mean(dtype=np.float64))
    if mean > MOST_MEAN * (float(np.trace(kernel, dtype=np.float64)) / len(kernel) - mean):
        features = features - features.mean(0)
        kernel = features @ features.T
    whole: Floats = kernel.astype(np.float64)
    return whole
