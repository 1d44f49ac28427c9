"""Files that do harm where a reader lets them: pickles that run code, archives that unpack without end."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
import torch

from tests.source_files import Explosive

MEGABYTE = 2**20


def header(shape: tuple[int, ...], dtype: str = "<f8", order: bool = False) -> bytes:
    """The beginning of a .npy."""
    words = repr({"descr": dtype, "fortran_order": order, "shape": shape}).encode()
    words += b" " * (-(len(words) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(words)) + words


def archive(members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def saved(what: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(what, buffer, **options)
    return buffer.getvalue()


def repacked(content: bytes, packing: int = zipfile.ZIP_STORED, **changed: bytes) -> bytes:
    """A file of torch.save with parts of it (``data_pkl``) replaced."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    for part, replaced in changed.items():
        members[f"archive/{part.replace('_', '.')}"] = replaced
    return archive(members, packing)


def objects() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Explosive()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


class Module(torch.nn.Module):
    """Explodes when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Explosive().__reduce__()


def bomb(size: int, stored: int = 1) -> bytes:
    """An .npz whose one array of zeros is so large, made without ever making them."""
    start = header((size // 8 - 16,))
    block = bytes(MEGABYTE)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    begun = packer.compress(start + block[: MEGABYTE - len(start)]) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    repeated = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    data = begun + repeated * (size // MEGABYTE - 1) + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    name = b"embeddings.npy"
    sizes = struct.pack("<IIIHH", 0, len(data), size, len(name), 0)
    local = b"PK\x03\x04" + struct.pack("<HHHHH", 20, 0, 8, 0, 33) + sizes + name
    central = b"PK\x01\x02" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 33) + sizes
    central += struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local) + len(data), 0)
    return local + data + central + b"PK\x05\x06" + end


def damaged_size(content: bytes, size: int) -> bytes:
    """A zip whose directory says that its first member has another size."""
    at = content.index(b"PK\x01\x02") + 24
    return content[:at] + struct.pack("<I", size) + content[at + 4 :]


def overlapping(content: bytes) -> bytes:
    """A file of torch.save whose parts are the same bytes, many times over."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        known = file.infolist()
        largest = max(known, key=lambda m: m.file_size)
        for i in range(20):
            again = zipfile.ZipInfo(f"archive/data/{100 + i}")
            again.file_size = again.compress_size = largest.file_size
            again.CRC, again.header_offset = largest.CRC, largest.header_offset
            file.filelist.append(again)
        start, members = file.start_dir, file.filelist
    buffer = io.BytesIO(content[:start])
    with zipfile.ZipFile(buffer, "a") as file:
        file.filelist[:] = members
        file._didModify = True
        file.start_dir = start
    return buffer.getvalue()


def expanded() -> bytes:
    return saved({"embeddings": torch.ones(1, 1).expand(10**6, 10**6)})


WHOLE = saved({"embeddings": torch.ones(400, 3)})

PICKLED = {
    "raw.pt": pickle.dumps(Explosive()),
    "raw.pth": pickle.dumps(Explosive(), 0),
    "raw.npy": pickle.dumps(Explosive()),
    "raw.npz": pickle.dumps(Explosive()),
    "raw.safetensors": pickle.dumps(Explosive()),
    "raw.onnx": pickle.dumps(Explosive()),
    "raw.parquet": pickle.dumps(Explosive()),
    "raw.pkl": pickle.dumps(Explosive()),
    "raw.zip": pickle.dumps(Explosive()),
    "objects.npy": objects(),
    "objects.npz": archive({"embeddings.npy": objects()}),
    "member.npz": archive({"embeddings.pkl": pickle.dumps(Explosive())}),
    "saved.pt": saved({"a": Explosive()}),
    "module.pt": saved(Module()),
    "legacy.pt": saved({"a": Explosive()}, _use_new_zipfile_serialization=False),
    "hidden.pt": repacked(saved({"a": torch.ones(2)}), data_pkl=pickle.dumps(Explosive(), 2)),
    "newer.pt": repacked(saved({"a": torch.ones(2)}), data_pkl=pickle.dumps(Explosive(), 4)),
    "program.pt2": archive({"archive/data/weights/x.pt": saved(Explosive())}),
    "saved.npz": saved({"a": Explosive()}),
}
"""Files by name, all of which unpickling would let make the folder ``exploded``."""
