"""The demo: a first page from shipped checkpoints, then transfers trained and diagnosed on this machine."""
