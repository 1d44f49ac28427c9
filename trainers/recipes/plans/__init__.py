"""The transfer plans that ship with the package."""
