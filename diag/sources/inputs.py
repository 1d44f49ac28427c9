"""``--inputs``: what networks are shown, from arrays, a folder of pictures, or lines of text.

One place serves both tasks; two are the source's and the target's, row by row of the same states.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.array_pairs import ArrayPairs
from diag.sources.model_names import TRANSFORMERS
from diag.sources.numbers import described, real_numbers
from diag.sources.numpy_file import read_members
from diag.sources.safe.bounds import check_ordinary, check_room
from diag.sources.safe.names import line, listed, shown
from diag.sources.safetensors_file import header_of, read_tensors
from diag.subject import SubjectError

EXPECTED = (
    "a .npy, .npz or .safetensors with an array of inputs (n, ...), a folder of pictures, "
    "or a .txt with a line of text for each input"
)

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")

NAMES = ("inputs", "observations", "x", "images", "source")
"""Names of the array that is meant where a file has several."""

TEXT = (".txt",)


def inputs_of(places: tuple[str, ...], model: str | None) -> ArrayPairs:
    """The inputs in one place, or of each task in two; the same object for the same files.

    ``model`` is the name of the network, beside which a tokenizer may lie. Raises SubjectError.
    """
    if len(places) > 2:
        expected = "one --inputs for both tasks, or the source's and then the target's"
        raise SubjectError(places[2], f"{len(places)} places of inputs", expected)
    return _read(places, model, tuple(_version(place) for place in places))


def _version(place: str) -> tuple[int, ...]:
    """Numbers that change with a file, or with a folder's list of files."""
    try:
        seen = Path(place).stat()
    except (OSError, ValueError):
        raise SubjectError(place, "nothing there", EXPECTED) from None
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


@lru_cache(maxsize=2)  # two folders may each have a tokenizer
def _read(places: tuple[str, ...], model: str | None, versions: tuple[Any, ...]) -> ArrayPairs:
    seen = [_inputs(place, model) for place in places]
    observations = {"source": seen[0][0], "target": seen[-1][0]}
    names = [known["file"].tolist() for _, known in seen if "file" in known]
    if len(names) == 2 and names[0] != names[1]:
        raise SubjectError(places[1], "pictures of other names", f"those in {places[0]}, one by one")
    variables = {name: values for name, values in seen[0][1].items() if name != "file"}
    return ArrayPairs(places[-1], observations, None, variables)


def _inputs(place: str, model: str | None) -> tuple[NDArray[Any], Mapping[str, NDArray[Any]]]:
    """Inputs (n, ...), and what is known of each of them."""
    if Path(place).is_dir():
        return _pictures(place)
    check_ordinary(place, EXPECTED)
    if Path(place).suffix.lower() in TEXT:
        return _text(place, model), {}
    if header_of(place) is not None:
        arrays = read_tensors(place, EXPECTED)
    else:
        arrays = dict(read_members(place, EXPECTED, EXPECTED, ".npy, .npz or .safetensors file")[0])
    names = [name for name, values in arrays.items() if values.ndim >= 2 and values.dtype.kind in "fiub"]
    known = [name for name in NAMES if name in names] or names
    if not known or (len(known) > 1 and known == names):
        raise SubjectError(place, f"arrays {listed(arrays) or 'none'}", f"one of them called {NAMES[0]!r}")
    taken = arrays[known[0]]
    if 0 in taken.shape:
        raise SubjectError(place, described(taken, repr(shown(known[0]))), EXPECTED)
    rest = {name: v for name, v in arrays.items() if v.shape == (len(taken),) and v.dtype.kind in "fiubUS"}
    return real_numbers(taken, place, repr(shown(known[0])), EXPECTED), rest


def _pictures(folder: str) -> tuple[NDArray[Any], Mapping[str, NDArray[Any]]]:
    """Pictures (n, 3, h, w) as fractions of the brightest, sorted by name; the folder of each is known."""
    try:
        from PIL import Image
    except ImportError:
        raise SubjectError(folder, "a folder of pictures", "pip install 'transfer-diag[pictures]'") from None
    files = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in PICTURES and p.is_file())
    if not files:
        raise SubjectError(folder, "a folder without pictures", f"files of {', '.join(PICTURES)}")
    pictures: NDArray[Any] | None = None
    for number, file in enumerate(files):
        try:
            with Image.open(file) as opened:
                size = opened.size
                if pictures is None:
                    check_room(folder, len(files) * size[0] * size[1] * 3 * 4, "pictures")
                    pictures = np.empty((len(files), 3, size[1], size[0]), np.float32)
                elif size != pictures.shape[:1:-1]:
                    first = "×".join(map(str, pictures.shape[:1:-1]))
                    raise SubjectError(
                        str(file), f"{size[0]}×{size[1]} pixels", f"{first}, as {files[0].name} has"
                    )
                pixels = np.asarray(opened.convert("RGB"), np.float32)
        except SubjectError:
            raise
        except Exception as error:  # Pillow raises whatever its decoders do
            raise SubjectError(str(file), f"no picture ({line(error)})", "a whole picture") from None
        pictures[number] = pixels.transpose(2, 0, 1) / 255
    assert pictures is not None
    names = [str(file.relative_to(folder)) for file in files]
    known = {"file": np.array(names)}
    parents = [str(Path(name).parent) for name in names]
    if len(set(parents)) > 1:
        known["folder"] = np.array(parents)
    return pictures, known


def _text(place: str, model: str | None) -> NDArray[Any]:
    """Lines of text as tokens and their masks, (n, 2, length), by the tokenizer beside the model."""
    if model is None or not model.startswith(TRANSFORMERS):
        raise SubjectError(place, "text", "--model hf:FOLDER, whose tokenizer reads it; or arrays")
    folder = model.removeprefix(TRANSFORMERS)
    try:
        lines = [text for text in Path(place).read_text("utf-8").splitlines() if text.strip()]
    except (OSError, ValueError) as error:
        raise SubjectError(place, f"no text in UTF-8 ({line(error)})", "a line for each input") from None
    if not lines:
        raise SubjectError(place, "no line of text", "a line for each input")
    try:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        given = tokenizer(lines, padding=True, truncation=True, return_tensors="np")
    except ImportError:
        raise SubjectError(place, "text", "pip install 'transfer-diag[hf]'") from None
    except Exception as error:  # the library raises whatever its files lead it to
        raise SubjectError(folder, f"no tokenizer ({line(error)})", "one beside the model") from None
    return np.stack([given["input_ids"], given["attention_mask"]], 1).astype(np.int64)
