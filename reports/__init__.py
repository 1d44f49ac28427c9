"""Charts and the HTML page: DataFrames and words in, the page's text out."""

from reports.document import render
from reports.drawings import warmed
from reports.page import Drawing, Figure, Key, Page, Section

__all__ = ["Drawing", "Figure", "Key", "Page", "Section", "render", "warmed"]
