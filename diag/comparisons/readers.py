"""The frozen components that read an embedding, told by the transfer's plan or file, or by equal weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diag.subject import Parameters, Subject, SubjectError

if TYPE_CHECKING:
    from torch import Tensor


def frozen_readers(
    base: Subject, transfer: Subject, unfrozen: bool | None, warnings: list[str]
) -> tuple[str, ...] | None:
    """The frozen components that read the embedding; None where that is only assumed.

    ``unfrozen`` says it instead of the files: True that there are none, False that there are. A warning is
    added where the transfer was made from another base. Raises SubjectError where the base was made from the
    transfer.
    """
    if unfrozen:
        return ()
    if unfrozen is False:
        return None
    if transfer.frozen is None:
        return _equal_readers(base, transfer)
    if base.made_from is not None and base.made_from == transfer.identity:
        raise SubjectError(transfer.path, f"the base that {base.path} was made from", "BASE before TRANSFER")
    if transfer.made_from is not None and transfer.made_from != base.identity:
        warnings.append(f"{transfer.path} was not made from {base.path}, but from another base")
    return transfer.frozen


def _equal_readers(base: Subject, transfer: Subject) -> tuple[str, ...] | None:
    """The components beside the encoder that are the base's own: training would have changed them.

    They are equal to the bit, or once one of the files is rounded to half precision.

    For files that do not say what was frozen; None where they have no such components to tell by.
    """
    if not base.parameters or not transfer.parameters:
        return None
    by: dict[str, list[str]] = {}
    for name in transfer.parameters:
        by.setdefault(name.split("/")[0], []).append(name)
    by.pop("encoder", None)

    def ours(names: list[str], of: Parameters) -> dict[str, Tensor]:
        return {name: of[name] for name in names if name in of}

    from diag.units.drift import kept

    mine, theirs = transfer.parameters, base.parameters
    same = tuple(c for c, names in by.items() if kept(ours(names, theirs), ours(names, mine)) is not None)
    return same if by else None
