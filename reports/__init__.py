"""Charts and the HTML page: DataFrames and words in, the page's text out."""

from reports.page import Figure, Page, Section, render

__all__ = ["Figure", "Page", "Section", "render"]
