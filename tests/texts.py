"""Small data of texts, made by hand: token ids of a byte-level tokenizer that is trained on the texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from autodistill.data import Columns, InputSpec
from autodistill.data.columns import Ragged
from autodistill.data.encoding import TOKENS, TYPES, TextEncoding
from autodistill.data.inputs import InputField
from autodistill.data.texts import Text
from autodistill.distill.data import Data
from autodistill.spec import TaskKind

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
Pair = tuple[str, str]


def tokenizer_of(texts: Sequence[str], vocabulary: int = 400) -> Tokenizer:
    made = Tokenizer(models.BPE(unk_token="[UNK]"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def columns_of(texts: Sequence[str] | Sequence[Pair], tokenizer: Tokenizer) -> Columns:
    found = tokenizer.encode_batch(list(texts))
    columns = {TOKENS: Ragged.of([np.array(one.ids) for one in found])}
    if not isinstance(texts[0], str):
        columns[TYPES] = Ragged.of([np.array(one.type_ids) for one in found])
    return Columns(columns)


def data_of(
    train: Sequence[Any],
    train_y: Any,
    validation: Sequence[Any],
    validation_y: Any,
    *,
    classes: int,
    kind: TaskKind = "classification",
    tokenizer: Tokenizer | None = None,
) -> Data:
    """Texts, or pairs of texts, as a store gives them."""
    flat = [part for one in train for part in ([one] if isinstance(one, str) else one)]
    tokenizer = tokenizer or tokenizer_of(flat)
    parts = [columns_of(texts, tokenizer) for texts in (train, validation)]
    lengths = np.concatenate([part[TOKENS].lengths for part in parts])  # type: ignore[union-attr]
    size, typical, longest = tokenizer.get_vocab_size(), int(np.median(lengths)), int(lengths.max())
    encoding = TextEncoding(
        label="label",
        classes=tuple(map(str, range(classes))),
        columns=("text",),
        tokenizer="0" * 64,
        vocabulary=size,
        used=size,
        padding=0,
        max_length=longest,
        typical=typical,
    )
    known = {"vocabulary": size, "used": size, "typical": typical, "longest": longest, "dtype": "int64", "shape": (None,)}
    return Data(
        train_x=parts[0],
        train_y=np.asarray(train_y),
        validation_x=parts[1],
        validation_y=np.asarray(validation_y),
        inputs=InputSpec(fields=tuple(InputField(name=name, **known) for name in parts[0])),
        classes=classes,
        mean=None,
        std=None,
        kind=kind,
        text=Text(encoding=encoding, content=tokenizer.to_str().encode(), ranking=np.arange(size)),
    )
