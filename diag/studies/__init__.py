"""Studies: bases × plans × transfer seeds × settings, with one table at the end."""


class StudyError(ValueError):
    """A study that cannot run or be read: its file, its folder or its cells are not as they should be."""
