"""Which tokens of a text are masked, and by what (Devlin et al., NAACL 2019, section 3.1).

Suffixes of shapes: B batch, L length, V token ids, W ids of words, R masked tokens.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..spec import UsageError
from ..spec.arrays import Array
from .texts import Text
from .tokens import Tokens, known

AS_MASK, AS_WORD = 0.8, 0.1
"""The shares of masked tokens that become the mask, and another token; the rest stay."""
LONGEST = 1 << 24
"""More tokens than any text has."""


class Masked(NamedTuple):
    """ids_BL as a network reads them. `places_R`: where masked tokens are in the flattened ids; `hidden_R`: what they were."""

    ids_BL: Tensor
    places_R: Tensor
    hidden_R: Tensor


class Masking:
    """Masks each token that is not special with the probability `share`.

    What becomes of a token depends only on the seed, its text, its position, and the view: neither on its batch nor on the
    network. Other tokens are drawn from those of the training texts. Raises UsageError as `mask_of` does.
    """

    def __init__(self, text: Text, share: float, seed: int) -> None:
        tokens = known(text.content, "the stored tokenizer")
        self.share, self.seed, self.mask = share, seed, mask_of(tokens)
        self.special_V = torch.zeros(text.encoding.vocabulary, dtype=torch.bool)
        self.special_V[torch.tensor(tokens.special)] = True
        self.words_W = torch.tensor(text.ranking[len(tokens.special) : text.encoding.used])

    def masked(self, ids_BL: Tensor, rows_B: Tensor, view: int) -> Masked:
        """The texts with the numbers `rows_B` in one view; on any device."""
        device, rows, length = ids_BL.device, rows_B.cpu().numpy(), ids_BL.shape[1]
        chosen_BL, how_BL, which_BL = (
            torch.from_numpy(_uniform(f"{self.seed}/mlm/{view}/{purpose}", rows, length)).to(device)
            for purpose in ("chosen", "how", "which")
        )
        words_W = self.words_W.to(device, ids_BL.dtype)
        is_masked_BL = (chosen_BL < self.share) & ~self.special_V.to(device)[ids_BL.long()]
        becomes_mask_BL, becomes_word_BL = how_BL < AS_MASK, how_BL >= 1 - AS_WORD
        word_BL = words_W[(which_BL * len(words_W)).long()]
        read_BL = torch.where(becomes_mask_BL, self.mask, torch.where(becomes_word_BL, word_BL, ids_BL))
        places_R = is_masked_BL.flatten().nonzero().flatten()
        found_BL = torch.where(is_masked_BL, read_BL, ids_BL).to(ids_BL.dtype)
        return Masked(found_BL, places_R, ids_BL.flatten()[places_R].long())


def mask_of(tokens: Tokens) -> int:
    """The id of the token that stands for a masked one. Raises UsageError if there is none."""
    if tokens.mask is None:
        way = "use another one, such as task.tokenizer: {train: bpe, vocabulary: 4096}, or remove pretrain"
        raise UsageError(f"mlm needs a mask token ([MASK] or <mask>), and the tokenizer has none; {way}")
    return tokens.mask


def _uniform(purpose: str, rows_B: Array, length: int) -> Array:
    """Numbers (B, L) in [0, 1), one for each position of a text: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), counting from
    a hash of the purpose.
    """
    start = np.frombuffer(hashlib.sha256(purpose.encode()).digest()[:8], "<u8")
    counter_BL = rows_B.astype(np.uint64)[:, None] * np.uint64(LONGEST) + np.arange(length, dtype=np.uint64)
    x_BL: Array = start + counter_BL * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x_BL = (x_BL ^ (x_BL >> np.uint64(shift))) * np.uint64(factor)
    found: Array = ((x_BL ^ (x_BL >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return found
