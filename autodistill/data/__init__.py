"""Floor 1: data sets as splits; the test split is sealed."""

from .sources import Raw, read
from .splits import Samples, Sealed, Splits, split

__all__ = ["Raw", "Samples", "Sealed", "Splits", "read", "split"]
