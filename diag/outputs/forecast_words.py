"""Words on the forecast of one checkpoint and on the model that made it, which texts and pages share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diag.wording import noun, plural
from trainers.safe_text import plain

if TYPE_CHECKING:
    from diag.forecasts.result import Forecast


KNOWN = "known transfers"
"""Name of the share of all transfers that the model knows which ended so, beside the forecast."""


def what_words(result: Forecast) -> str:
    """Name of the forecast probability: ``chance of matched``, or of a base ``share matched``."""
    return f"chance of {result.outcome}" if result.base is not None else f"share {result.outcome}"


def model_words(result: Forecast) -> str:
    """A sentence that says which transfers the model was fitted to and which of its parts answered."""
    words = f"The model was fitted to {fitted_words(result.fitted_to)}"
    if result.model_share is not None:
        words += f"; the answer is that for {result.model_share:.0%} of the updates"
    if result.stop is not None:
        from diag.forecasts.model import limit_words

        words += f"; {limit_words(result.stop_below)}"
    return f"{words}."


def fitted_words(known: dict[str, Any]) -> str:
    """Transfers and bases that a model was fitted to, with their studies, worlds and algorithms."""
    studies = plain(", ".join(map(str, known.get("studies", []))))
    kinds = plain("; ".join(map(str, known.get("kinds", []))))
    transfers, bases = (known.get(name) for name in ("transfers", "bases"))
    words = f"{_many(transfers, 'transfer')} of {_many(bases, 'base')}"
    return f"{words} ({studies}: {kinds})" if studies or kinds else words


def _many(count: Any, one: str) -> str:
    return plural(count, one) if isinstance(count, int) else f"an unknown number of {noun(0, one)}"
