"""The parts of a repair: maps that lead back, training on, the search without pairs, what is written."""
