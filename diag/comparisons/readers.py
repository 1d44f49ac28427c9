"""The frozen components that read an embedding, told by the transfer's plan or file, or by equal weights."""

from __future__ import annotations

from diag.subject import Subject, SubjectError


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
    """The components beside the encoder that are equal to the bit in both: training would have changed them.

    For files that do not say what was frozen; None where they have no such components to tell by.
    """
    if not base.parameters or not transfer.parameters:
        return None
    by: dict[str, list[str]] = {}
    for name in transfer.parameters:
        by.setdefault(name.split("/")[0], []).append(name)
    by.pop("encoder", None)

    def equal(name: str) -> bool:
        mine, theirs = transfer.parameters, base.parameters
        assert mine is not None
        assert theirs is not None
        return (
            name in theirs
            and mine[name].shape == theirs[name].shape
            and bool((mine[name] == theirs[name]).all())
        )

    return tuple(c for c, names in by.items() if all(equal(n) for n in names)) if by else None
