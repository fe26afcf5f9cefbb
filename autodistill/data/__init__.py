"""Data sets as splits; the test split is sealed."""

from .arrays import Raw
from .columns import Column, Columns, Ragged
from .encoding import EncodedColumn, Encoding
from .images import Images
from .inputs import InputField, InputSpec, inputs_of
from .mapped import Joined, Mapped, Pixels
from .parts import split
from .sources import memory_bytes, read
from .splits import Samples, Sealed, Splits

__all__ = [
    "Column",
    "Columns",
    "EncodedColumn",
    "Encoding",
    "Images",
    "InputField",
    "InputSpec",
    "Joined",
    "Mapped",
    "Pixels",
    "Ragged",
    "Raw",
    "Samples",
    "Sealed",
    "Splits",
    "inputs_of",
    "memory_bytes",
    "read",
    "split",
]
