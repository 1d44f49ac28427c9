"""The gate: checks with limits over pairs of checkpoints, and one outcome for a CI."""


class CheckError(ValueError):
    """A gate that cannot be run as it was asked for; the message names the place and what was expected."""
