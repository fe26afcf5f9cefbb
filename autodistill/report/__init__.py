"""Floor 7: summarise, then draw."""

from .write import redraw, summary, write

__all__ = ["redraw", "summary", "write"]
