"""Claims with a known confidence, based on confirmed results."""

from .claim import Claim, Wanted, later, percent
from .smallest import smallest

__all__ = ["Claim", "Wanted", "later", "percent", "smallest"]
