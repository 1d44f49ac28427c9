"""Repairs: maps that lead back, further training, the search without pairs, and the mended file."""
