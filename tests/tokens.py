"""Samples of token ids for tests, without any tokenizer."""

from __future__ import annotations

import json

import numpy as np
import torch
from torch import Tensor

from autodistill.data import InputSpec
from autodistill.data.encoding import TOKENS, TYPES
from autodistill.data.inputs import InputField
from autodistill.spec import Transformers
from autodistill.spec.arrays import Array

VOCABULARY, USED, TYPICAL, LONGEST, PADDING, UNKNOWN = 60, 40, 5, 9, 0, 1


def field(name: str = TOKENS, *, vocabulary: int | None = VOCABULARY, longest: int = LONGEST) -> InputField:
    counted = {} if vocabulary is None else {"vocabulary": vocabulary, "used": min(USED, vocabulary), "typical": TYPICAL}
    return InputField(name=name, shape=(None,), dtype="int64", padding=PADDING, longest=longest, **counted)


def texts(*, vocabulary: int = VOCABULARY, longest: int = LONGEST, pairs: bool = False) -> InputSpec:
    types = [field(TYPES, vocabulary=None, longest=longest)] if pairs else []
    return InputSpec(fields=(field(vocabulary=vocabulary, longest=longest), *types))


def ranking(vocabulary: int = VOCABULARY) -> Array:
    """The first five ids, then the others from the last one down."""
    return np.array([*range(5), *range(vocabulary - 1, 4, -1)])


def batch(lengths: tuple[int, ...] = (9, 4, 7), *, vocabulary: int = VOCABULARY, pairs: bool = False) -> dict[str, Tensor]:
    """Random texts of these lengths, as a network gets them."""
    most = max(lengths)
    mask_BL = torch.arange(most) < torch.tensor(lengths)[:, None]
    ids_BL = torch.randint(2, vocabulary, (len(lengths), most)).where(mask_BL, PADDING)
    found = {TOKENS: ids_BL, f"{TOKENS}_mask": mask_BL}
    if pairs:
        found |= {TYPES: (torch.arange(most) >= 3).long().expand(len(lengths), -1) * mask_BL, f"{TYPES}_mask": mask_BL}
    return found


def content(vocabulary: int = VOCABULARY) -> bytes:
    """A tokenizer.json, as far as networks read it."""
    words = {"[PAD]": PADDING, "[UNK]": UNKNOWN} | {f"w{index}": index for index in range(2, vocabulary)}
    return json.dumps({"model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": words}}).encode()


def encoder(**changes: object) -> Transformers:
    return Transformers.model_validate({"layers": 2, "hidden": 16, "heads": 4, "intermediate": 24} | changes)
