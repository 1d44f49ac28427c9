"""Describe files of formats that are not opened, with the command that converts each to one that is.

Only the first bytes are looked at, of a zip archive the names of its parts, and of a folder those in it.
"""

from __future__ import annotations

import bz2
import lzma
import os
import re
import shlex
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from diag.sources.content import LOOKED_AT, Content

Told: TypeAlias = tuple[str, str]
"""Words for what a file is, and for what would work instead."""

FLAT = (
    "f = lambda d, p='': {{k: v for n, x in d.items() for k, v in (f(x, p + str(n) + '.') "
    "if isinstance(x, dict) else {{p + str(n): np.ascontiguousarray(x)}}).items()}}"
)
"""Python that flattens nested mappings to one mapping of arrays with dotted names."""

SAVE = "from safetensors.numpy import save_file"

FROM_HDF5 = (
    "import io, zipfile, h5py; " + SAVE + "; d = {{}}; h5py.File({source}).visititems(lambda n, v: "
    "d.update({{n: v[()]}}) if hasattr(v, 'dtype') and v.dtype.kind in 'fiub' else None); "
    "save_file(d, '{stem}.safetensors')"
)

THEN = "which are embeddings where one is called so or alone, and otherwise weights for --adapter"


def incomplete_of(content: Content) -> Told | None:
    """Words for an empty file or a git-LFS pointer; None for a file with content."""
    path, begins = content.path, content.begins
    try:
        if not begins and os.path.getsize(path) == 0:  # noqa: PTH202 (a name may have a null in it)
            return "an empty file", "a whole file: write or copy it again"
    except (OSError, ValueError):
        return None
    if begins.startswith(b"version https://git-lfs.github.com/spec/"):
        folder, name = Path(path).parent, Path(path).name
        command = f"git -C {shlex.quote(str(folder))} lfs pull --include {shlex.quote(name)}"
        return "a git-LFS pointer, which stands where the file itself will lie", f"the file: {command}"
    return None


def foreign_of(content: Content) -> Told | None:
    """The kind of a file that is not opened here, and a command that converts it; None where unknown."""
    for of in (
        _page,
        _packed,
        _hdf5,
        _zipped,
        _pickle,
        _tensorflow,
        _arrow,
        _matlab,
        _json,
        _msgpack,
        _table,
    ):
        if (told := of(content)) is not None:
            return told
    return None


def _python(code: str, path: str, **more: str) -> str:
    """``python -c "…"`` with the path, and its name without the last suffix, filled in."""
    stem = str(Path(path).with_suffix(""))
    return 'python -c "' + code.format(path=path, stem=stem, **more) + '"'


def _page(content: Content) -> Told | None:
    path, begins = content.path, content.begins
    start = begins.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if not start.startswith((b"<!doctype html", b"<html")):
        return None
    expected = (
        f"the file that it links to: curl -L -o {shlex.quote(path)} ADDRESS, with the download's own address"
    )
    return "a web page, such as a site shows in place of a file", expected


PACKED: tuple[tuple[bytes, str, str, Callable[[bytes], bytes] | None], ...] = (
    (b"\x1f\x8b", "gzip", "gzip.open('{path}')", lambda b: zlib.decompressobj(31).decompress(b, 512)),
    (b"BZh", "bzip2", "bz2.open('{path}')", lambda b: bz2.BZ2Decompressor().decompress(b, 512)),
    (b"\xfd7zXZ\0", "xz", "lzma.open('{path}')", lambda b: lzma.LZMADecompressor().decompress(b, 512)),
    (b"\x28\xb5\x2f\xfd", "zstd", "pyarrow.input_stream('{path}', compression='zstd')", None),
)
"""Compressed formats: first bytes, name, the Python that opens such a file, and a function that unpacks a
little of it."""


def _packed(content: Content) -> Told | None:
    path, begins = content.path, content.begins
    untar = f"what is in it: tar -xf {shlex.quote(path)}"
    if begins[257:262] == b"ustar":
        return "a tar archive", untar
    for magic, name, opens, first in PACKED:
        if not begins.startswith(magic):
            continue
        try:
            inside = b"" if first is None else first(begins)
        except (OSError, EOFError, zlib.error, lzma.LZMAError):
            inside = b""
        if inside[257:262] == b"ustar":
            return f"a tar archive packed by {name}", untar
        out = str(Path(path).with_suffix(""))
        out = f"{out}.unpacked" if not Path(out).suffix else out
        code = f"import {opens.partition('.')[0]}, shutil; shutil.copyfileobj({opens}, open('{{out}}', 'wb'))"
        return f"a file packed by {name}", f"it unpacked: {_python(code, path, out=out)}"
    return None


def _hdf5(content: Content) -> Told | None:
    path, begins = content.path, content.begins
    if not begins.startswith(b"\x89HDF\r\n\x1a\n"):
        return None
    code = FROM_HDF5.replace("{source}", "'{path}'")
    return "an HDF5 file, as h5py and Keras write it", f"its arrays, {THEN}: {_python(code, path)}"


def _zipped(content: Content) -> Told | None:
    path = content.path
    if {"config.json", "model.weights.h5"} <= content.members:
        code = FROM_HDF5.replace("{source}", "io.BytesIO(zipfile.ZipFile('{path}').read('model.weights.h5'))")
        return "a model of Keras", f"its weights, for --adapter: {_python(code, path)}"
    if content.is_script:
        code = "import torch; torch.save(torch.jit.load('{path}', 'cpu').state_dict(), '{stem}-weights.pt')"
        return "a program of TorchScript", f"its weights, for --adapter: {_python(code, path)}"
    return None


def _pickle(content: Content) -> Told | None:
    path, begins = content.path, content.begins
    if not re.match(rb"\x80[\x02-\x05]", begins):
        return None
    return "a pickle, which is never loaded", _unpickled(path)


def _unpickled(path: str) -> str:
    """The command that converts a pickle of trusted origin to arrays."""
    code = (
        f"import pickle, numpy as np; {SAVE}; d = pickle.load(open('{{path}}', 'rb')); "
        + FLAT
        + "; save_file(f(d if isinstance(d, dict) else {{'embeddings': d}}), '{stem}.safetensors')"
    )
    trusted = "only for a file that you trust, since this runs the code in it"
    return f"its arrays ({trusted}), {THEN}: {_python(code, path)}"


def again(path: str) -> str:
    """The command that saves a file of torch before 1.6 in the newer format, without running code from it."""
    code = "import torch; torch.save(torch.load('{path}', 'cpu', weights_only=True), '{stem}-again.pt')"
    return f"the same saved again: {_python(code, path)}"


def _tensorflow(content: Content) -> Told | None:
    path = content.path
    file = Path(path)
    if file.suffix != ".pb":
        return None
    if file.name == "saved_model.pb":
        return "a SavedModel of TensorFlow", _onnx(str(file.parent))
    out = shlex.quote(str(file.with_suffix(".onnx")))
    names = "--inputs INPUT:0 --outputs EMBEDDING:0"
    command = f"python -m tf2onnx.convert --graphdef {shlex.quote(path)} {names} --output {out}"
    return "a graph of TensorFlow", f"it as ONNX, with its own names: {command}"


def _onnx(folder: str) -> str:
    out = shlex.quote(f"{folder.rstrip('/')}.onnx")
    return f"it as ONNX: python -m tf2onnx.convert --saved-model {shlex.quote(folder)} --output {out}"


def _arrow(content: Content) -> Told | None:
    path, begins = content.path, content.begins
    if not begins.startswith(b"ARROW1"):
        return None
    code = "import pandas; pandas.read_feather('{path}').to_parquet('{stem}.parquet')"
    return "an Arrow (Feather) file", f"it as Parquet: {_python(code, path)}"


def _matlab(content: Content) -> Told | None:
    path, begins = content.path, content.begins
    if not begins.startswith(b"MATLAB 5.0 MAT-file"):
        return None
    code = (
        "import numpy as np, scipy.io; d = scipy.io.loadmat('{path}'); "
        "np.savez('{stem}.npz', **{{k: v for k, v in d.items() if k[0] != '_'}})"
    )
    return "a MATLAB file", f"its arrays in an .npz: {_python(code, path)}"


def _json(content: Content) -> Told | None:
    path, begins = content.path, content.begins
    start = begins.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start.startswith((b"{", b"[")) or not _is_text(begins):
        return None
    code = (
        f"import json, numpy as np; {SAVE}; d = json.load(open('{{path}}')); "
        "save_file({{k: np.array(v, float) for k, v in "
        "(d if isinstance(d, dict) else {{'embeddings': d}}).items()}}, '{stem}.safetensors')"
    )
    return "JSON text", f"its numbers as arrays: {_python(code, path)}"


def _msgpack(content: Content) -> Told | None:
    """Recognise msgpack: a mapping whose first key is a word; no other format begins so."""
    path, begins = content.path, content.begins
    if not re.match(rb"(?:[\x81-\x8f]|\xde..|\xdf....)(?:[\xa1-\xbf]|\xd9.)[\w/.\-]", begins, re.DOTALL):
        return None
    code = (
        f"import numpy as np; from flax.serialization import msgpack_restore; {SAVE}; "
        + FLAT
        + "; save_file(f(msgpack_restore(open('{path}', 'rb').read())), '{stem}.safetensors')"
    )
    return "msgpack, as Flax writes it", f"its arrays, {THEN}: {_python(code, path)}"


def _table(content: Content) -> Told | None:
    """Recognise a text table: lines with the same number of separators."""
    path, begins = content.path, content.begins
    named = Path(path).suffix.lower() in (".csv", ".tsv", ".txt", ".dat")
    if not begins or not _is_text(begins):
        return None
    lines = begins.decode("utf-8", "replace").splitlines()
    # The last line that was read may be cut short; a table of one such line is recognised by its suffix.
    lines = (lines[:-1] if len(begins) == LOOKED_AT and len(lines) > 1 else lines)[:50]
    counts = {s: {line.count(s) for line in lines if line.strip()} for s in (",", "\t", ";")}
    separators = [s for s, per_line in counts.items() if len(per_line) == 1 and per_line != {0}]
    if not named and (len(lines) < 2 or not separators):
        return None
    separator = separators[0] if separators else ","
    given = "" if separator == "," else f", sep={separator!r}"
    if all(re.fullmatch(r"[-+.\deE]+", cell.strip()) for cell in lines[0].split(separator)):
        given += ", header=None"
    table = f"pandas.read_csv('{{path}}'{given}).rename(columns=str)"
    code = f"import pandas; {table}.to_parquet('{{stem}}.parquet')"
    return "a table of text (CSV)", f"it as Parquet: {_python(code, path)}"


def _is_text(begins: bytes) -> bool:
    try:
        begins.decode()
    except UnicodeDecodeError as error:
        if error.start < len(begins) - 3:  # a character cut at the end of what was read is no mistake
            return False
    return not re.search(rb"[\x00-\x08\x0e-\x1f]", begins)


def folder_of(path: str) -> Told:
    """The kind of a folder, and what can be opened instead of it."""
    try:
        names = sorted(os.listdir(path))[:10_000]  # noqa: PTH208 (a name may have a null in it)
    except (OSError, ValueError):
        names = []
    if "saved_model.pb" in names:
        return "a folder with a SavedModel of TensorFlow", _onnx(path)
    if {"_CHECKPOINT_METADATA", "_METADATA", "manifest.ocdbt"} & set(names):
        code = (
            "import pathlib, numpy as np, orbax.checkpoint as ocp; "
            + SAVE
            + "; "
            + FLAT
            + "; save_file(f(ocp.PyTreeCheckpointer().restore(pathlib.Path('{path}').resolve())), "
            "'{whole}.safetensors')"
        )
        told = f"its arrays, {THEN}: {_python(code, path, whole=path.rstrip('/'))}"
        return "a folder with a checkpoint of Orbax", told
    if "rllib_checkpoint.json" in names or {"algorithm_state.pkl", "module_state.pkl"} & set(names):
        inside = "" if "module_state.pkl" in names else "learner_group/learner/rl_module/default_policy/"
        file = str(Path(path) / inside / "module_state.pkl")
        return "a folder with a checkpoint of RLlib", _unpickled(file)
    for wanted in (
        r"model\.safetensors",
        r".*\.index\.json",
        r".*\.(safetensors|pt|pth|npz|npy|onnx|zip|parquet)",
    ):
        if file_inside := next((name for name in names if re.fullmatch(wanted, name)), None):
            return "a folder", f"a file, such as {Path(path) / file_inside} in it"
    return "a folder", "a checkpoint or array file"
