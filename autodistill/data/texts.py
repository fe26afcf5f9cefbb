"""Texts as samples: token ids of one tokenizer, which all networks of a study share.

Suffix of shapes: V token ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..spec.arrays import Array
from .encoding import TextEncoding


class Lengths(NamedTuple):
    """How long the training texts are, in tokens with the special ones: before they are cut, and the share that is cut.

    `unknown` is the share of unknown tokens among those that are not special otherwise.
    """

    median: float
    p95: float
    longest: int
    cut: float
    unknown: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Text:
    """How texts became token ids: the encoding, and the `content` of tokenizer.json.

    `ranking`, int64 (V,), has all ids: first those of special tokens (padding, then unknown if there is such a token, then the
    others), then all others by how often they occur in the training texts, the most frequent first, and by id where that is
    equal. A student with a smaller vocabulary keeps the first. `lengths` are known where the texts were read.
    """

    encoding: TextEncoding
    content: bytes
    ranking: Array
    lengths: Lengths | None = None
