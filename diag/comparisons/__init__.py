"""Comparisons of two embeddings: how the transfer's relates to the base's."""
