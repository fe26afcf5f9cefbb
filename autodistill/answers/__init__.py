"""Claims with a known confidence, based on confirmed results."""

from .smallest import Wanted, smallest
from .words import later, lines, percent, sentence

__all__ = ["Wanted", "later", "lines", "percent", "sentence", "smallest"]
