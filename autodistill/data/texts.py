"""Texts as samples: token ids of one tokenizer, which all networks of a study share."""

from __future__ import annotations

from dataclasses import dataclass

from ..spec.arrays import Array
from .encoding import TextEncoding


@dataclass(frozen=True, kw_only=True, eq=False)
class Text:
    """How texts became token ids: the encoding, and the `content` of tokenizer.json.

    `ranking`, int64 (vocabulary,), has all ids: first those of special tokens, then the others by how often they occur in the
    training texts, the most frequent first, and by id where that is equal. A student with a smaller vocabulary keeps the first.
    """

    encoding: TextEncoding
    content: bytes
    ranking: Array
