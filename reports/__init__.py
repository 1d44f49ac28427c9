"""Charts and the HTML page: DataFrames and words in, the page's text out."""

from reports.page import Drawing, Figure, Page, Section, render

__all__ = ["Drawing", "Figure", "Page", "Section", "render"]
