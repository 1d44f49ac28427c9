"""Probes of an embedding: which known variables can be read from it."""
