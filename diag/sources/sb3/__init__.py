"""Stable-Baselines3 policies, rebuilt from their zip without unpickling."""
