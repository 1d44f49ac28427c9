"""The kinds of names that ``--model`` takes, for all that tell by them what a network may be shown."""

TRANSFORMERS = "hf:"
"""Beginning of the names of networks that a folder of transformers describes; they may read text."""
