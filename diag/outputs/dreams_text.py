"""What world models foresee, for a terminal: losses by steps ahead, the base's and the transfer's."""

from __future__ import annotations

from collections.abc import Sequence

from diag.comparisons.dreams import Dreams, Who
from diag.outputs.layout import wrapped
from diag.outputs.words import three
from probes import Measure

TERMS = {
    "image": "image loss",
    "reward": "reward loss",
    "discount": "discount loss",
    "off": "what pictures are off",
}
"""Terms of the drift, in words and in their order."""

KEEPER = "the last picture, kept"
"""Who foresees nothing."""

NAME, CELL = 33, 8
"""Cells for what a line is of, and for a number."""

LINES = ("image", "reward", "off")
"""Terms that a terminal shows."""

WHO: tuple[Who, ...] = ("base", "transfer")


def shown_steps(ahead: int) -> list[int]:
    """The steps ahead that a table has: 0, 1, 2, 5, 10, … and the last."""
    return sorted({step for step in (0, 1, 2, 5, 10, 20, 50) if step < ahead} | {ahead})


def dream_lines(dreams: Dreams) -> list[str]:
    """Open-loop predictions as a small table, and whether the transfer's are worse at the last step."""
    steps = shown_steps(dreams.ahead)
    head = "".join(f"{'seen' if step == 0 else f'+{step}':>{CELL}}" for step in steps)
    title = f"  {'open loop':{NAME}}{head}"
    lines = [title]
    for term in LINES:
        if term in dreams.drift:
            lines += [_line(f"{TERMS[term]}, {who}", dreams.drift[term][who], steps) for who in WHO]
    lines.append(_line("… last picture, kept", dreams.kept, steps))
    told = _last(dreams)
    about = f"{dreams.histories} histories of the {dreams.task} task; intervals with --json or --html."
    return [*lines, *wrapped(f"{told} {about}")]


def _line(name: str, steps: Sequence[Measure], shown: Sequence[int]) -> str:
    values = (steps[step].value for step in shown)
    cells = ("–" if value is None else three(value) for value in values)
    return f"  {name:{NAME}}" + "".join(f"{one:>{CELL}}" for one in cells)


def _last(dreams: Dreams) -> str:
    """Whether the transfer's pictures are surely worse, or better, than the base's at the last step."""
    gap = dreams.drift["image"]["difference"][dreams.ahead] if "image" in dreams.drift else None
    if gap is None or gap.low is None or gap.high is None:
        return ""
    held = "above" if gap.low > 0 else "below" if gap.high < 0 else None
    told = "cannot be told from the base's" if held is None else f"is {held} the base's"
    return f"{dreams.ahead} steps ahead the transfer's image loss {told}."
