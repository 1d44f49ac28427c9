"""Exported programs -> encoders: ONNX by onnxruntime; ``torch.export``'s ``.pt2`` for those who trust it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.opening import Opening
from diag.sources.safe.bounds import check_readable, free_memory
from diag.sources.safe.names import line, listed, shown
from diag.sources.safe.onnx_calls import check_calls
from diag.sources.torch_encoder import ModuleEncoder, chosen_name, in_parts
from diag.subject import Parameters, Subject, SubjectError

if TYPE_CHECKING:
    from torch import Tensor

LEAST_RUNTIME = (1, 24)
"""The first onnxruntime that refuses external data outside of the model's folder."""

MOST_BYTES = 2**32
"""Most bytes of memory that all programs of a process may take together: a small file can ask for any
amount."""

LOADED: Mapping[str, Any] = {"enable_fallback": 0, "disabled_optimizers": ["ConstantFolding"]}
"""Options of a session: no fallback, which only tries the same again and says so on standard output; and no
constant folding, which computes outside of the bounded memory."""

TOO_MUCH = "Available memory of"
"""First words of onnxruntime's message for a program that asks for more."""

INSTALL = "pip install 'transfer-diag[onnx]'"

TYPES: Mapping[str, np.dtype[Any]] = {
    **{f"tensor({name})": np.dtype(name) for name in ("float16", "int8", "int16", "int32", "int64", "bool")},
    **{f"tensor({name})": np.dtype(name) for name in ("uint8", "uint16", "uint32", "uint64")},
    **{"tensor(float)": np.dtype(np.float32), "tensor(double)": np.dtype(np.float64)},
}
"""{ONNX's name of a type: numpy's type}."""

MOST_PROGRAM = 2**31
"""Most bytes of an ONNX file, protobuf's own limit: the runtime reads a longer one to its end only to say
so."""

TRUST = (
    "--trust-pickle for a file that you trust: torch.export's loader unpickles, which can run any code; "
    "ONNX needs no trust"
)


EXPORTED = "a program exported in evaluation mode: model.eval() before the export"
"""Expected program, in errors about dropout or batch statistics exported in training mode."""

DRAWS = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
"""ONNX's operations that draw random numbers, from a generator that nobody else can set."""


def open_onnx(opening: Opening) -> Subject:
    """The subject of an ONNX file, whose output for observations is the embedding; raises SubjectError."""
    path = opening.path
    try:
        import onnxruntime as ort
    except ImportError:
        raise SubjectError(path, "no onnxruntime to run an ONNX file with", INSTALL) from None
    if tuple(int(part) for part in ort.__version__.split(".")[:2]) < LEAST_RUNTIME:
        least = ".".join(map(str, LEAST_RUNTIME))
        raise SubjectError(path, f"onnxruntime {ort.__version__}", f"{least} or newer ({INSTALL})")
    check_readable(path)
    if (size := Path(path).stat().st_size) > MOST_PROGRAM:
        expected = f"an .onnx file of at most {MOST_PROGRAM >> 30} GiB; larger weights lie beside it"
        raise SubjectError(path, f"{size >> 30} GiB", expected)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.use_env_allocators", "1")
    _bound_memory()
    options.log_severity_level = 4  # what is wrong comes as an exception
    try:
        operations = check_calls(path)
        session = ort.InferenceSession(path, options, ["CPUExecutionProvider"], **LOADED)
        encoder = OnnxEncoder(session, path, opening.supplied.output, operations)
    except SubjectError:
        raise
    except Exception as error:  # onnxruntime's exceptions have no base of their own
        fault = f"no ONNX program that can be run ({_line(error)})"
        raise SubjectError(path, fault, "an .onnx file") from None
    label = f"ONNX program, output {shown(encoder.output)}"
    return Subject(path, opening.sha256, encoder=encoder, label=label)


@cache
def _bound_memory() -> None:
    """Let the programs of this process share an allocator that gives no more than :data:`MOST_BYTES`."""
    import onnxruntime as ort

    kind, use = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, ort.OrtMemType.DEFAULT
    exact = {"max_mem": min(MOST_BYTES, free_memory()), "arena_extend_strategy": 1}
    place = ort.OrtMemoryInfo("Cpu", kind, 0, use)
    with suppress(Exception):  # the calling program may have registered an allocator of its own
        ort.create_and_register_allocator(place, ort.OrtArenaCfg(exact))


class OnnxEncoder:
    """Runs an ONNX program on observations, in parts of as many rows as it was exported for."""

    def __init__(
        self, session: Any, path: str, output: str | None, operations: frozenset[str] = frozenset()
    ) -> None:
        """``operations`` are the types of the program's operations."""
        self._session, self._path, self._operations = session, path, operations
        inputs = session.get_inputs()
        if len(inputs) != 1:
            names = f"inputs {listed(i.name for i in inputs) or '(none)'}"
            raise SubjectError(path, names, "one, for observations (n, ...)")
        self._input = inputs[0]
        if self._input.type not in TYPES or not self._input.shape:
            kind = f"an input of {self._input.type} {self._input.shape}"
            raise SubjectError(path, kind, "one of numbers (n, ...)")
        self.output = chosen_name([o.name for o in session.get_outputs()], output, path)

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Embeddings (n, ...) of observations (n, ...) of the input's shape, which are converted to its type.

        Raises SubjectError where they do not fit the input, or the program fails.
        """
        import torch

        rows, *shape = self._input.shape
        self._check(tuple(observations.shape[1:]), shape, observations.numpy().dtype)
        fixed = rows if isinstance(rows, int) and rows > 0 else None
        if fixed is not None and fixed * observations[:1].nbytes > MOST_BYTES:
            raise SubjectError(self._path, f"a program for {fixed} rows at once", "one for fewer")
        embeddings = [self._run(part.numpy(), fixed) for part in in_parts(observations, fixed)]
        return torch.from_numpy(np.concatenate(embeddings))

    def unsteady(self) -> tuple[str, str] | None:
        """Why results differ from run to run, and what was expected; None where the program does not tell."""
        if draws := [name for name in DRAWS if name in self._operations]:
            names = ", ".join(draws)
            drawing = f"a program that draws random numbers ({names}), different ones each time it is run"
            return (
                drawing,
                "one without: export what gives the embedding before anything is sampled, or its mean",
            )
        if "Dropout" in self._operations:
            return "dropout left on: exported in training mode, it differs each time it is run", EXPORTED
        return None

    def _check(self, seen: tuple[int, ...], shape: list[Any], dtype: np.dtype[Any]) -> None:
        wanted = TYPES[self._input.type]
        name = shown(self._input.name)
        fits = len(seen) == len(shape) and all(
            not isinstance(size, int) or size <= 0 or size == given
            for size, given in zip(shape, seen, strict=True)
        )
        if not fits:
            words = ", ".join(str(size) if isinstance(size, int) else "any" for size in shape)
            expected = f"({words}{',' * (len(shape) == 1)}), the shape of its input {name}"
            raise SubjectError(self._path, f"observations of shape {seen}", expected)
        if not np.can_cast(dtype, wanted, "same_kind"):
            expected = f"{wanted}, the type of its input {name}"
            raise SubjectError(self._path, f"observations of {dtype}", expected)

    def _run(self, part: NDArray[Any], fixed: int | None) -> NDArray[Any]:
        count = len(part)
        if fixed is not None and count < fixed:  # repeat the last row; its surplus outputs are cut off below
            part = np.concatenate([part, np.repeat(part[-1:], fixed - count, 0)])
        fed = {self._input.name: np.ascontiguousarray(part, TYPES[self._input.type])}
        try:
            (values,) = self._session.run([self.output], fed)
        except Exception as error:
            fault = f"a program that fails ({_line(error)})"
            raise SubjectError(self._path, fault, "one that runs") from None
        expected = f"numbers ({len(part)}, ...), a row for each of its input"
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
            raise SubjectError(self._path, f"an output {shown(self.output)} of no numbers", expected)
        if values.ndim < 1 or len(values) != len(part):
            raise SubjectError(self._path, f"an output {shown(self.output)} {values.shape}", expected)
        return values[:count]


def open_exported(opening: Opening) -> Subject:
    """The subject of a trusted ``.pt2`` file of ``torch.export``; raises SubjectError for any other."""
    path = opening.path
    if not opening.supplied.trust_pickle:
        raise SubjectError(path, "a program of torch.export", TRUST)
    sha256 = opening.sha256
    import torch

    try:
        function = torch.export.load(path).module()
    except Exception as error:
        fault = f"no program of torch.export that can be loaded ({line(error)})"
        raise SubjectError(path, fault, "a .pt2 file") from None
    encoder = ModuleEncoder(function, path, opening.supplied.output, EXPORTED)
    return Subject(path, sha256, encoder=encoder, label="program of torch.export")


def _line(error: Exception) -> str:
    """The message of an error of onnxruntime, without the codes before it and the C++ after it."""
    if TOO_MUCH in str(error):
        return f"it asks for more than {MOST_BYTES >> 30} GiB of memory, or than is free"
    words = line(error)
    return words.rpartition(" : ")[2] or words
