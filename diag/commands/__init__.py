"""The command line: one file a verb; options in, one engine called, an answer out."""
