"""Read arrays from the bytes of a ``.npy`` or ``.npz``; declared sizes are checked before allocating."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from diag.sources.safe.bounds import check_members

MAGIC = b"\x93NUMPY"

ZIP_BEGINS = (b"PK\x03\x04", b"PK\x05\x06")


class PickledError(ValueError):
    """An array of Python objects, which could only be read by unpickling."""


def read_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape, Fortran order and type of an array whose ``.npy`` begins here and has ``size`` bytes.

    Raises PickledError, or ValueError and what numpy's reader raises for headers that make no sense: above
    all, for a shape that the bytes are not those of.
    """
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format, for records alone")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about old headers; unreadable ones raise all the same
        shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise PickledError("pickled objects")
    left = size - file.tell()
    if min(shape, default=0) < 0 or not dtype.itemsize or math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"{left} bytes of an array {shape}")
    return shape, fortran, dtype


def read_array(file: IO[bytes], size: int) -> NDArray[Any]:
    """The array of a ``.npy`` of ``size`` bytes; raises as :func:`read_header` does."""
    shape, fortran, dtype = read_header(file, size)
    data = bytearray(file.read(size))
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(data)} bytes of an array {shape}")
    flat: NDArray[Any] = np.frombuffer(data, dtype) if data else np.empty(math.prod(shape), dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def array_of(content: bytes) -> NDArray[Any]:
    """The array of the bytes of a whole ``.npy``, copied once; raises as :func:`read_header` does."""
    file = io.BytesIO(content)
    shape, fortran, dtype = read_header(file, len(content))
    count = math.prod(shape)
    flat: NDArray[Any] = np.empty(count, dtype)
    if count:
        flat[:] = np.frombuffer(content, dtype, count, file.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def read_archive(content: bytes, path: str, expected: str) -> dict[str, NDArray[Any] | None]:
    """The arrays of an ``.npz`` by name; None for members that are not arrays.

    Raises SubjectError for archives beyond the bounds, and what zipfile, zlib and :func:`read_header` raise
    for damaged ones.
    """
    arrays: dict[str, NDArray[Any] | None] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        check_members(path, archive, len(content), expected)
        for member in archive.infolist():
            with archive.open(member) as file:
                begins = file.read(len(MAGIC))
                file.seek(0)
                named = member.filename.removesuffix(".npy")
                arrays[named] = read_array(file, member.file_size) if begins == MAGIC else None
    return arrays
