"""Claims with a known confidence, based on confirmed results."""

from .claim import Claim, later
from .smallest import smallest
from .verdict import Kind, Verdict
from .wanted import Wanted, percent

__all__ = ["Claim", "Kind", "Verdict", "Wanted", "later", "percent", "smallest"]
