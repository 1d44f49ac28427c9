"""Pair the rows and columns of two files of ready embeddings.

Columns are aligned by their names, rows by a key that was asked for or by the index that both files store.
Where these say that the files do not pair, they are refused; where they say nothing, order is all there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.naming import left_out_words
from diag.sources.safe.names import listed, shown
from diag.subject import Subject, SubjectError, Taken

NOTHING = Taken(())
"""The record of an array without named columns."""

CLOSE = 1e-6
"""Relative difference up to which two times count as equal: float32 keeps seven digits."""


@dataclass(frozen=True)
class Aligned:
    """The rows and columns that are compared; None where all are, as they stand."""

    base_rows: NDArray[np.int64] | None = None
    transfer_rows: NDArray[np.int64] | None = None
    transfer_columns: NDArray[np.int64] | None = None
    warnings: tuple[str, ...] = ()

    def of_base(self, values: NDArray[Any]) -> NDArray[Any]:
        """The rows of the base that are compared, of its embeddings or of what stands beside them."""
        return values if self.base_rows is None else values[self.base_rows]

    def of_transfer(self, values: NDArray[Any]) -> NDArray[Any]:
        """The transfer's rows in the same order."""
        return values if self.transfer_rows is None else values[self.transfer_rows]

    def embeddings(self, values: NDArray[Any]) -> NDArray[Any]:
        """The transfer's embeddings, rows and columns in the base's order."""
        rows = self.of_transfer(values)
        return rows if self.transfer_columns is None else rows[:, self.transfer_columns]


def in_order(subjects: Sequence[Subject]) -> tuple[list[Subject], NDArray[np.int64] | None, list[str]]:
    """Subjects aligned to the first one's rows and columns, the numbers of its rows that stay, and warnings.

    The subjects hold ready embeddings; a single one, and subjects with encoders, stay as they are. Raises as
    :func:`aligned` does.
    """
    first, rows, warnings = subjects[0], None, taken_words(tuple(subjects))
    if len(subjects) < 2 or any(s.embeddings is None for s in subjects):
        return list(subjects), rows, warnings
    pairing = aligned(first, subjects[1])
    second = subjects[1]
    assert second.embeddings is not None
    moved = of_rows(second, pairing.transfer_rows)
    if pairing.transfer_columns is not None:
        moved = replace(moved, embeddings=pairing.embeddings(second.embeddings))
    return [of_rows(first, pairing.base_rows), moved], pairing.base_rows, list(pairing.warnings)


def of_rows(subject: Subject, rows: NDArray[np.int64] | None) -> Subject:
    """A subject of ready embeddings cut to these rows, in their order; unchanged where they are None."""
    if rows is None or subject.embeddings is None:
        return subject
    taken, episodes = subject.taken, subject.episodes
    if taken is not None:
        order = {name: values[rows] for name, values in taken.order.items()}
        taken = replace(taken, keys=tuple(part[rows] for part in taken.keys), order=order)
    return replace(
        subject,
        embeddings=subject.embeddings[rows],
        episodes=None if episodes is None else episodes[rows],
        taken=taken,
    )


def aligned(base: Subject, transfer: Subject) -> Aligned:
    """The pairing of the rows and columns of two subjects of ready embeddings.

    Raises SubjectError where names, keys or indexes say that they do not.
    """
    warnings = list(taken_words((base, transfer)))
    columns = _columns(base, transfer, warnings)
    rows = row_order(base.path, base.taken or NOTHING, transfer.path, transfer.taken or NOTHING)
    if rows is None:
        _check_lengths(base, transfer)
        check_order(base.path, base.taken or NOTHING, transfer.path, transfer.taken or NOTHING)
        return Aligned(None, None, columns, tuple(warnings))
    left, right = rows
    for subject, stay in ((base, left), (transfer, right)):
        assert subject.embeddings is not None
        if (lost := len(subject.embeddings) - len(stay)) > 0:
            warnings.append(f"{lost} rows of {subject.path} were left out: the other file has no such key")
    if not np.array_equal(left, right):
        key = (base.taken or NOTHING).key
        warnings.append(f"the rows of {transfer.path} were put into the order of {base.path} by {key}")
    return Aligned(left, right, columns, tuple(warnings))


def taken_words(subjects: tuple[Subject, ...]) -> list[str]:
    """Warnings about columns that were left out for their names."""
    left_out: dict[tuple[str, ...], None] = {}
    for subject in subjects:
        taken = subject.taken
        if taken is not None and taken.by_column and not taken.chosen and taken.left_out:
            left_out[tuple(sorted(taken.left_out))] = None
    return [left_out_words(names) for names in left_out]


def row_order(
    base_path: str, base: Taken, transfer_path: str, transfer: Taken
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """The rows of base and transfer that belong together, in the base's order; None for all as they stand.

    Raises SubjectError where keys are missing on one side, not unique, or not the same.
    """
    asked = base.asked or transfer.asked
    for path, own in ((base_path, base), (transfer_path, transfer)):
        if asked and not own.asked:
            other = transfer if own is base else base
            raise SubjectError(path, f"no key {other.key}", "one in both files, or neither")
        if own.common and not asked:
            raise SubjectError(path, "no key to find common rows by", "--key NAME beside --common-rows")
    if not asked and not (base.keys and transfer.keys):
        for path, own, lacking in (
            (base_path, base, transfer_path),
            (transfer_path, transfer, base_path),
        ):
            if own.keys and not _counts(own.keys):
                expected = "an index in both files, one that counts from 0, or --key NAME"
                raise SubjectError(path, f"rows by {own.key}, which {lacking} lacks", expected)
        return None
    same = _equal(base.keys, transfer.keys)
    if same and not asked:
        return None
    if not asked and all(_counts(own.keys) for own in (base, transfer)):
        return None  # the caller's error about their lengths says more
    import pandas as pd

    left, right = (pd.MultiIndex.from_arrays(list(own.keys)) for own in (base, transfer))
    for path, own, index in ((base_path, base, left), (transfer_path, transfer, right)):
        if index.has_duplicates:
            twice = index[index.duplicated()][0]
            shared = f"{int(index.duplicated(keep=False).sum())} rows that share {own.key} with another"
            expected = "another key for each row; several columns together make one: --key episode,step"
            raise SubjectError(path, f"{shared} ({_key(twice)})", expected)
    places = np.asarray(right.get_indexer(left), np.int64)
    here = places >= 0
    unknown = len(right) - int(here.sum())
    if (not here.all() or unknown) and not base.common:
        path, lacks = (transfer_path, base_path) if unknown else (base_path, transfer_path)
        first = right[~right.isin(left)][0] if unknown else left[~here][0]
        unpaired = (
            f"{unknown or int((~here).sum())} rows, told by {base.key}, that {lacks} lacks ({_key(first)})"
        )
        raise SubjectError(path, unpaired, _expected(base, int(here.sum())))
    if not here.any():
        raise SubjectError(transfer_path, f"no row of {base_path}, told by {base.key}", "rows in common")
    return np.flatnonzero(here), places[here]


def _expected(taken: Taken, common: int) -> str:
    if not common:
        return "the same rows in both files"
    option = "--common-rows" if taken.asked else "--key NAME --common-rows"
    return f"the same rows in both files, or {option} for the {common} in common"


def _columns(base: Subject, transfer: Subject, warnings: list[str]) -> NDArray[np.int64] | None:
    """The transfer's columns in the base's order; None where they stand in it."""
    left, right = base.taken or NOTHING, transfer.taken or NOTHING
    if left.by_column and right.by_column:
        lacking = [name for name in left.names if name not in set(right.names)]
        beyond = [name for name in right.names if name not in set(left.names)]
        if lacking or beyond:
            words = [f"no column {listed(lacking)}"] if lacking else []
            words += [f"{'another' if len(beyond) == 1 else 'other'} {listed(beyond)}"] if beyond else []
            expected = f"the columns of {base.path}; --columns takes those in common, by name or pattern"
            raise SubjectError(transfer.path, " and ".join(words), expected)
        if left.names == right.names:
            return None
        warnings.append(f"the columns of {transfer.path} were put into the order of {base.path} by name")
        place = {name: number for number, name in enumerate(right.names)}
        return np.array([place[name] for name in left.names])
    if left.by_column != right.by_column:
        named, other = (base, transfer) if left.by_column else (transfer, base)
        warnings.append(
            f"{named.path} names its columns and {other.path} does not: they were paired in the file's order"
        )
    elif left.names and right.names and left.names != right.names:
        own, other_name = shown(left.names[0]), shown(right.names[0])
        warnings.append(f"{own!r} of {base.path} was compared with {other_name!r} of {transfer.path}")
    return None


def _check_lengths(base: Subject, transfer: Subject) -> None:
    assert base.embeddings is not None
    assert transfer.embeddings is not None
    rows, others = len(base.embeddings), len(transfer.embeddings)
    if rows != others:
        raise SubjectError(transfer.path, f"{others} rows", f"{rows} rows, one for each of {base.path}")


def check_order(base_path: str, left: Taken, transfer_path: str, right: Taken) -> None:
    """Raises SubjectError where columns such as ``step`` say that rows side by side are not the same."""
    for name in left.order:
        if name not in right.order or len(left.order[name]) != len(right.order[name]):
            continue
        a, b = left.order[name], right.order[name]
        if a.dtype.kind == "f" or b.dtype.kind == "f":
            numbers = all(v.dtype.kind in "iuf" for v in (a, b))
            equal = np.isclose(a, b, rtol=CLOSE, atol=0, equal_nan=True) if numbers else a == b
        else:
            equal = np.asarray(a == b) if (a.dtype.kind == "U") == (b.dtype.kind == "U") else np.zeros(len(a))
        if not np.all(equal):
            row = int(np.flatnonzero(~np.asarray(equal, bool))[0])
            difference = f"{shown(name)} {shown(b[row])} in row {row}, where {base_path} has {shown(a[row])}"
            expected = f"the same rows in the same order, or --key {shown(name)} to align them"
            raise SubjectError(transfer_path, difference, expected)


def _counts(keys: tuple[NDArray[Any], ...]) -> bool:
    """Whether a key only numbers the rows from 0."""
    return len(keys) == 1 and keys[0].dtype.kind in "iu" and np.array_equal(keys[0], np.arange(len(keys[0])))


def _equal(a: tuple[NDArray[Any], ...], b: tuple[NDArray[Any], ...]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def _key(values: Any) -> str:
    """A key's values in words."""
    return ", ".join(shown(v) for v in values) if isinstance(values, tuple) else shown(values)
