"""Several sources of one target: which of them it resembles, and which of them seem to suit a task."""
