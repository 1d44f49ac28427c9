"""Bounded, pickle-free reading of files from anywhere."""
