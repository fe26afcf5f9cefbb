"""The token ids that a network keeps: all networks of a study read the ids of one tokenizer; a smaller one has fewer rows."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data import InputSpec
from ..data.encoding import TOKENS
from ..data.inputs import InputField
from ..spec import BuildError, Transformers, UsageError
from ..spec.arrays import Array

WAY = "a transformer reads the tokens of a text: name the column in task.text, or use a network of your own"


def tokens_of(inputs: InputSpec) -> InputField:
    """The field of the token ids. Raises UsageError if samples are not texts."""
    found = next((field for field in inputs.fields if field.name == TOKENS and field.vocabulary is not None), None)
    if found is None:
        raise UsageError(f"family transformers takes texts, not samples of {inputs.label}; {WAY}")
    return found


def kept_count(architecture: Transformers, field: InputField) -> int:
    """How many token ids of the data the network keeps. Raises BuildError if there are not so many."""
    assert field.vocabulary is not None
    if architecture.vocabulary == "full":
        return field.vocabulary
    if architecture.vocabulary == "used":
        return field.vocabulary if field.used is None else field.used
    if architecture.vocabulary > field.vocabulary:
        most = f"the tokenizer has {field.vocabulary:,} tokens"
        raise BuildError(f"vocabulary {architecture.vocabulary:,}: {most}; use full, or at most that number")
    return architecture.vocabulary


def fits_small(kept: int) -> bool:
    """Whether 16 bits hold each row."""
    return kept <= torch.iinfo(torch.int16).max


def table_of(kept: int, field: InputField, ranking: Array | None, unknown: int | None) -> Tensor | None:
    """The row of each token id (vocabulary,): 0, 1, ... for the first `kept` of the ranking, that of `unknown` for the others.

    None if all are kept, where each id is its row. Without a ranking, only the shape counts. Raises BuildError if the tokens
    for padding or unknown words are not kept, UsageError if there is none for the latter.
    """
    count = field.vocabulary
    assert count is not None
    if kept == count:
        return None
    dtype = torch.int16 if fits_small(kept) else torch.int32
    if ranking is None:
        return torch.zeros(count, dtype=dtype)
    if unknown is None:
        raise UsageError("the tokenizer has no token for unknown words, which a smaller vocabulary needs; use vocabulary: full")
    first = ranking[:kept]
    needed = {int(field.padding), unknown}
    if not needed <= set(first.tolist()):
        least = 1 + max(int((ranking == one).argmax()) for one in needed)
        raise BuildError(f"vocabulary {kept:,} leaves out the token for padding or unknown words; use at least {least:,}")
    table = torch.zeros(count, dtype=torch.int64)
    table[torch.tensor(first)] = torch.arange(kept)
    left_out = torch.tensor(ranking[kept:])
    table[left_out] = table[unknown].clone()
    return table.to(dtype)
