"""What lies between checkpoints: slices, heights, planes, symmetries, curves and curvature of losses."""
