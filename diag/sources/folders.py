"""Folders and indices of transformers -> the weights of all their files, and the network they belong to.

A folder that holds a ``config.json`` beside weights is a model of its own: nothing else need be named.
Weights in several files are read by their index, each from the folder that the index lies in.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diag.sources.model_names import TRANSFORMERS
from diag.sources.opening import Opening
from diag.sources.safe.bounds import check_ordinary, check_room, content_of
from diag.sources.safe.names import line, shown
from diag.sources.safetensors_file import loaded_tensors
from diag.subject import Subject, SubjectError

if TYPE_CHECKING:
    from torch import Tensor

CONFIGURATION = "config.json"

WHOLE = ("model.safetensors", "pytorch_model.bin", "model.pt", "diffusion_pytorch_model.safetensors")
"""Names of the weights of a folder in one file, the safest first."""

INDEXED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
"""Names of the index of weights in several files."""

MOST_INDEX = 2**24
"""Most bytes of an index: a name and a file for each tensor."""

EXPECTED = "an index with a weight_map of tensors' names to files beside it"


def is_model(folder: str) -> bool:
    """Whether a folder holds a configuration, and weights beside it."""
    names = (*INDEXED, *WHOLE)
    return Path(folder, CONFIGURATION).is_file() and any(Path(folder, name).is_file() for name in names)


def by_itself(opening: Opening) -> Opening:
    """The opening of a folder of transformers as the network that it describes, unless another is named."""
    supplied = opening.supplied
    if supplied.model is not None or supplied.adapter is not None:
        return opening
    return replace(opening, supplied=replace(supplied, model=f"{TRANSFORMERS}{opening.path}"))


def open_folder(opening: Opening) -> Subject:
    """The subject of a folder of transformers; raises SubjectError."""
    opening = by_itself(opening)
    folder = Path(opening.path)
    for name in INDEXED:
        if (folder / name).is_file():
            return _subject(_of_index(str(folder / name)), opening, _digest(folder, name))
    name = next(name for name in WHOLE if (folder / name).is_file())
    weights = _weights(str(folder / name))
    return _subject(weights, opening, _digest(folder, name))


def open_index(opening: Opening) -> Subject:
    """The subject of an index of weights in several files beside it; raises SubjectError."""
    supplied, path = opening.supplied, Path(opening.path)
    if supplied.model is None and supplied.adapter is None:
        if is_model(str(path.parent)):
            return open_folder(replace(opening, path=str(path.parent)))
        raise SubjectError(
            opening.path,
            "the index of weights in several files",
            "--model NAME, or --adapter, for its network",
        )
    return _subject(_of_index(opening.path), opening, _digest(path.parent, path.name))


def _subject(weights: dict[str, Tensor], opening: Opening, digest: str) -> Subject:
    from diag.sources.adapter import adapted
    from diag.sources.models import modelled

    opening.__dict__["sha256"] = digest  # of all files: a folder has no bytes of its own
    return modelled(weights, opening) if opening.supplied.model is not None else adapted(weights, opening)


def _of_index(path: str) -> dict[str, Tensor]:
    """Every tensor that an index names, from the files beside it."""
    check_ordinary(path, EXPECTED)
    try:
        tree = json.loads(content_of(path, EXPECTED)[:MOST_INDEX])
        places: dict[str, Any] = tree["weight_map"]
        files = sorted({str(place) for place in places.values()})
    except SubjectError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SubjectError(path, f"no such index ({line(error)})", EXPECTED) from None
    folder, tensors = Path(path).parent, dict[str, Any]()
    for name in files:
        if Path(name).name != name or name in ("", ".", ".."):
            raise SubjectError(path, f"a file {shown(name)!r} in another folder", "files beside the index")
        if not (folder / name).is_file():
            raise SubjectError(path, f"no {shown(name)} beside it", "all files that it names")
    check_room(path, sum((folder / name).stat().st_size for name in files), "weights")
    for name in files:
        tensors |= _weights(str(folder / name))
    if missing := [name for name in places if name not in tensors]:
        raise SubjectError(path, f"no {shown(missing[0])} in the files that it names", "all of its tensors")
    return tensors


def _weights(path: str) -> dict[str, Tensor]:
    """The tensors of one file of weights."""
    expected = "a file of weights"
    check_ordinary(path, expected)
    if path.endswith(".safetensors"):
        return loaded_tensors(path, expected)
    from diag.sources.state_dict import weights_in
    from diag.sources.weights import load_saved

    return dict(weights_in(load_saved(content_of(path, expected, (b"PK",)), path), path).tensors)


def _digest(folder: Path, name: str) -> str:
    """SHA-256 over the weights' files and the configuration, in the order of their names."""
    digest = hashlib.sha256()
    kept = {name, CONFIGURATION}
    for file in sorted(folder.iterdir()):
        if file.name in kept or (name in INDEXED and file.suffix in (".safetensors", ".bin")):
            check_ordinary(str(file), "a file of weights")
            if file.is_file():
                digest.update(file.name.encode("utf-8", "surrogateescape"))
                with file.open("rb") as opened:
                    digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
