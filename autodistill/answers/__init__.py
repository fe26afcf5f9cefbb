"""Claims that hold, made from what was confirmed."""

from .smallest import Wanted, smallest
from .words import later, lines, percent, sentence

__all__ = ["Wanted", "later", "lines", "percent", "sentence", "smallest"]
