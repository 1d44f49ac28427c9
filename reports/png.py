"""A small picture as a PNG in a data address, which a tooltip shows without any request."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray


def data_address(picture: NDArray[np.uint8], scale: int = 1) -> str:
    """A picture (h, w, 3), each pixel ``scale`` wide, as ``data:image/png;base64,…``; equal ones are equal.

    >>> data_address(np.zeros((1, 1, 3), np.uint8))[:31]
    'data:image/png;base64,iVBORw0KG'
    """
    large = np.ascontiguousarray(picture.repeat(scale, 0).repeat(scale, 1), np.uint8)
    height, width, _ = large.shape
    rows = b"".join(b"\0" + row.tobytes() for row in large)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return (
        "data:image/png;base64,"
        + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, parts))).decode()
    )


def _chunk(part: tuple[bytes, bytes]) -> bytes:
    name, content = part
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
