"""Results as ``--json`` saves them, read back: which class each kind is, and the codec of typed values."""
