"""Comparisons of two embeddings: how the transfer's lies to the base's."""
