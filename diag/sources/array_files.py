"""``.npy`` and ``.npz`` files of embeddings -> a Subject; never unpickles, and maps large files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from diag.sources.arrays import EXPECTED, FILE, check_embeddings, ready, subject_of, unnamed
from diag.sources.naming import KEY
from diag.sources.numpy_file import damaged, read_members
from diag.sources.opening import Opening
from diag.sources.safe.bounds import MAPPED_BYTES
from diag.sources.safe.members import MAGIC, read_header
from diag.subject import Subject


def open_arrays(opening: Opening) -> Subject:
    """The embeddings (n, ...) in a numpy file; raises SubjectError for anything else."""
    path, supplied = opening.path, opening.supplied
    file = Path(path)
    try:
        if file.suffix == ".npy" and file.stat().st_size >= MAPPED_BYTES:
            return _mapped(opening)
    except (OSError, ValueError):  # a name with a null byte is the latter
        pass  # read_members says what is wrong
    arrays, content = read_members(path, FILE, EXPECTED)
    sha256 = hashlib.sha256(content).hexdigest()
    if content.startswith(MAGIC):
        return subject_of(arrays[KEY], path, sha256, taken=unnamed(supplied, path))
    return ready(arrays, path, sha256, supplied)


def _mapped(opening: Opening) -> Subject:
    path = opening.path
    with Path(path).open("rb") as file:
        begins = file.read(8)
        file.seek(0)
        try:
            read_header(file, Path(path).stat().st_size)
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:
            raise damaged(path, error, begins, EXPECTED) from None
    check_embeddings(array, path)  # before a long file is read through
    return subject_of(array, path, opening.sha256, taken=unnamed(opening.supplied, path))
