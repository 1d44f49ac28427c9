"""Files of the formats that sources read, written for tests; and what damages them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Write = Callable[[Path, Arrays], Path]
Weights = NDArray[np.float32]


class Explosive:
    """Makes a folder where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


class Plain(torch.nn.Module):
    """The weights (k, d) as an encoder, for the formats that hold modules."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(*weights.shape, bias=False)
        self.linear.weight.data = torch.from_numpy(weights.T.copy())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


def npy(path: Path, arrays: Arrays) -> Path:
    np.save(path.with_suffix(".npy"), arrays["embeddings"])
    return path.with_suffix(".npy")


def npz(path: Path, arrays: Arrays) -> Path:
    np.savez(path.with_suffix(".npz"), **arrays)
    return path.with_suffix(".npz")


def packed(path: Path, arrays: Arrays) -> Path:
    np.savez_compressed(path.with_suffix(".npz"), **arrays)
    return path.with_suffix(".npz")


def safetensors(path: Path, arrays: Arrays) -> Path:
    from safetensors.numpy import save_file

    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def saved(path: Path, arrays: Arrays) -> Path:
    torch.save({k: torch.from_numpy(v.copy()) for k, v in arrays.items()}, path.with_suffix(".pt"))
    return path.with_suffix(".pt")


def bare(path: Path, arrays: Arrays) -> Path:
    torch.save(torch.from_numpy(arrays["embeddings"].copy()), path.with_suffix(".pth"))
    return path.with_suffix(".pth")


def columns(path: Path, arrays: Arrays) -> Path:
    """Parquet, a column a dimension, in several row groups."""
    y = arrays["embeddings"].reshape(len(arrays["embeddings"]), -1)
    return table(path, {f"d{j}": y[:, j] for j in range(y.shape[1])} | _beside(arrays), row_group_size=17)


def lists(path: Path, arrays: Arrays) -> Path:
    y = arrays["embeddings"].reshape(len(arrays["embeddings"]), -1)
    return table(path, {"embeddings": list(y)} | _beside(arrays), row_group_size=17)


def fixed_lists(path: Path, arrays: Arrays) -> Path:
    """Parquet, lists of fixed size in each other, as many as the embeddings have axes."""
    import pyarrow as pa

    values = arrays["embeddings"]
    column = pa.array(values.reshape(-1))
    for size in reversed(values.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return table(path, {"embeddings": column} | _beside(arrays))


def tensors(path: Path, arrays: Arrays) -> Path:
    """Parquet with Arrow's own type for tensors."""
    import pyarrow as pa

    column = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(arrays["embeddings"]))
    return table(path, {"embeddings": column} | _beside(arrays))


def frame(path: Path, arrays: Arrays) -> Path:
    """Parquet as pandas writes it, with an index that is no dimension."""
    import pandas as pd

    y = arrays["embeddings"].reshape(len(arrays["embeddings"]), -1)
    found = pd.DataFrame(y, columns=[f"d{j}" for j in range(y.shape[1])], index=np.arange(len(y)) * 2)
    for name, values in _beside(arrays).items():
        found[name] = values
    found.to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def table(path: Path, values: Mapping[str, Any], **options: Any) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(dict(values)), path.with_suffix(".parquet"), **options)
    return path.with_suffix(".parquet")


def _beside(arrays: Arrays) -> dict[str, Any]:
    rows, found = len(arrays["embeddings"]), {}
    if "episodes" in arrays:
        found["episodes"] = list(arrays["episodes"])
    if "returns" in arrays:
        found["returns"] = [*arrays["returns"].tolist(), *[None] * (rows - len(arrays["returns"]))]
    return found


def onnx(
    path: Path,
    weights: Weights,
    batch: int | str = "n",
    outputs: tuple[str, ...] = ("embedding",),
    kind: str = "FLOAT",
    inputs: tuple[str, ...] = ("x",),
    data: str | None = None,
) -> Path:
    """A program whose outputs are its input (n, k) times the weights (k, d); ``data`` names their file."""
    helper = pytest.importorskip("onnx.helper")
    from onnx import TensorProto, numpy_helper

    held = numpy_helper.from_array(weights, "w")
    if data is not None:
        held.ClearField("raw_data")
        held.data_location = TensorProto.EXTERNAL
        for key, value in (("location", data), ("offset", "0"), ("length", str(weights.nbytes))):
            entry = held.external_data.add()
            entry.key, entry.value = key, value
    given = [
        helper.make_tensor_value_info(i, getattr(TensorProto, kind), [batch, len(weights)]) for i in inputs
    ]
    made = [helper.make_tensor_value_info(o, TensorProto.FLOAT, [batch, weights.shape[1]]) for o in outputs]
    nodes = [
        helper.make_node("Cast", [inputs[0]], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["numbers", "w"], ["product"]),
        *(helper.make_node("Identity", ["product"], [o]) for o in outputs),
    ]
    graph = helper.make_graph(nodes, "graph", given, made, [held])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = path.with_suffix(".onnx")
    path.write_bytes(model.SerializeToString())
    return path


def exported(path: Path, weights: Weights) -> Path:
    rows = torch.export.Dim("rows", min=2, max=1024)
    program = torch.export.export(
        Plain(weights), (torch.zeros(8, len(weights)),), dynamic_shapes=({0: rows},)
    )
    torch.export.save(program, path.with_suffix(".pt2"))
    return path.with_suffix(".pt2")


def state_dict(path: Path, weights: Weights) -> Path:
    torch.save(Plain(weights).state_dict(), path.with_suffix(".pt"))
    return path.with_suffix(".pt")


def state_tensors(path: Path, weights: Weights) -> Path:
    from safetensors.torch import save_file

    save_file(Plain(weights).state_dict(), path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def flipping(rng: np.random.Generator) -> tuple[Weights, Weights]:
    """Weights of a base, and of a transfer that flips axis 1 on observations in reverse."""
    base = rng.normal(size=(4, 3)).astype(np.float32)
    return base, base[::-1] * np.float32([1, -1, 1])


def pairs(path: Path, rng: np.random.Generator) -> Path:
    """60 pairs of observations (4,), those of the target task in reverse, and the room of each."""
    seen = rng.normal(size=(60, 4)).astype(np.float32)
    np.savez(path, source=seen, target=seen[:, ::-1], room=np.array(["a", "b", "c"] * 20))
    return path


def both(
    write: Callable[[Path, Weights], Path], folder: Path, weights: tuple[Weights, Weights]
) -> list[Path]:
    return [write(folder / name, w) for name, w in zip(("base", "transfer"), weights, strict=True)]


def embeddings(pairs: Path, weights: tuple[Weights, Weights]) -> list[Weights]:
    with np.load(pairs) as seen:
        return [seen[task] @ w for task, w in zip(("source", "target"), weights, strict=True)]
