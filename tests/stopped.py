"""A run that is stopped and gone on with ends as one that was not, bit for bit."""

from __future__ import annotations

from trainers import checkpoint as files
from trainers.processes import execute
from trainers.run import Run, prepare, train_members


def goes_on_bit_for_bit(whole: Run, parts: Run, stop: int) -> None:
    """Hold ``parts``, stopped after so many updates and gone on with, beside ``whole``, which is done."""
    asked = iter(range(100))
    train_members(parts, prepare(parts, False, False), lambda n: None, lambda: next(asked) >= stop)
    assert files.read(parts.path(0)).header.step == stop
    assert execute(parts, prepare(parts, resume=True, overwrite=False), 1, lambda n: None)
    for seed in (0, 1):
        one, two = files.read(whole.path(seed)), files.read(parts.path(seed))
        assert one.identity == two.identity
        assert one.header.metrics == two.header.metrics
