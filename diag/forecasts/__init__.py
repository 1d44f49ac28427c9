"""Forecasts: from early checkpoints, or from a base alone, how a transfer will end."""


class ForecastError(ValueError):
    """A forecast that cannot be made: no model for it, or nothing to fit one to."""
