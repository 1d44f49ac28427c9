"""The gate: checks with limits over pairs of checkpoints, and one outcome for a CI."""

from trainers.safe_text import plain

LONGEST = 4000
"""Most characters of an error: room for ten mistakes of a configuration, each with its line."""


class CheckError(ValueError):
    """A gate that cannot be run as it was asked for; the message names the place and what was expected.

    Its message is one line of bounded length, whatever the file says.
    """

    def __init__(self, words: str) -> None:
        text = plain(words)
        super().__init__(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


class SettingError(ValueError):
    """A setting that no transfer of this base could meet; ``name`` is its dotted name.

    What is wrong shows only beside the base, so that the configuration was read without a word. The gate
    tells it as the configuration's mistake, with the file and line that set it.
    """

    def __init__(self, name: str, words: str) -> None:
        super().__init__(words)
        self.name = name
