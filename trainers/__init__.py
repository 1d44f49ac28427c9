"""Worlds, agents, transfer plans, stacked training and checkpoints."""
