"""One renderer per file, all from the same result; none of them computes."""
