"""Data sets as splits; the test split is sealed."""

from .arrays import Raw
from .images import Array, Images, Joined, Pixels
from .parts import split
from .sources import memory_bytes, read
from .splits import Samples, Sealed, Splits

__all__ = ["Array", "Images", "Joined", "Pixels", "Raw", "Samples", "Sealed", "Splits", "memory_bytes", "read", "split"]
