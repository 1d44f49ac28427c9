"""layers: where in a network two checkpoints begin to differ."""
