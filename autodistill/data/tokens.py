"""Tokenizers: a tokenizer.json, read or trained, and texts as its token ids.

The package tokenizers is imported only where it is used. Suffixes of shapes: N texts, T the total length of all, V ids.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..spec import DataError
from ..spec.arrays import Array
from ..spec.imports import reason
from ..spec.value import Json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"
SPECIAL = PADDING, UNKNOWN, FIRST, LAST, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
"""The special tokens of a trained tokenizer, in the order of their ids."""
PADDINGS, UNKNOWNS, MASKS = (PADDING, "<pad>", "<|pad|>"), (UNKNOWN, "<unk>"), (MASK, "<mask>")
AT_ONCE = 4096, 1 << 22
"""How many texts, and about how many characters, are encoded at a time."""
PLACE = "task.tokenizer"
WORD = 256


class TokenIds(NamedTuple):
    """N texts as ids (T,): text i has ids[offsets[i]:offsets[i + 1]]. types (T,): for pairs, to which of the two texts each id
    belongs.

    whole (N,): how many tokens each text has before it is cut.
    """

    ids: Array
    types: Array | None
    offsets: Array
    whole: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """The `content` of a tokenizer.json: `vocabulary` ids, of which `special` (padding and unknown first) stand for no text.

    `unknown` is None if every text has tokens of its own, `mask` if no token stands for a masked one. `positions`: the longest
    text that the network takes whose tokenizer this is, if that is known.
    """

    content: bytes
    vocabulary: int
    padding: int
    unknown: int | None
    special: tuple[int, ...]
    mask: int | None = None
    positions: int | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def dtype(self) -> type[np.uint16] | type[np.int32]:
        """The smallest of the compact ones that holds all ids."""
        return np.uint16 if self.vocabulary <= 1 << 16 else np.int32

    def encoded(self, texts: Sequence[Sequence[str]], most: int) -> TokenIds:
        """Texts, or pairs of texts, by column; each is cut to `most` tokens, special ones included (of a pair, the longer text
        first). Raises DataError if special tokens alone are that many.
        """
        tokenizer, pairs = _opened(self.content), len(texts) > 1
        added = tokenizer.num_special_tokens_to_add(pairs)
        if added + len(texts) > most:
            what = f"{most} leaves no room for text beside {added} special tokens"
            raise DataError(f"task.max_length: {what}; use at least {added + 8}")
        tokenizer.enable_truncation(most)
        whole_tokenizer = _opened(self.content)
        ids, types = list[Array](), list[Array]()
        lengths, whole = list[int](), list[int]()
        for part in _portions(texts):
            columns = [whole_tokenizer.encode_batch_fast(column, add_special_tokens=False) for column in part]
            whole += [added + sum(map(len, row)) for row in zip(*columns, strict=True)]
            rows = [tokenizer.post_process(*row) for row in zip(*columns, strict=True)]
            lengths += map(len, rows)
            ids.append(_joined((row.ids for row in rows), self.dtype))
            types += [_joined((row.type_ids for row in rows), np.uint16)] if pairs else []
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return TokenIds(np.concatenate(ids), np.concatenate(types) if pairs else None, offsets, np.array(whole))


def _joined(rows: Iterable[Sequence[int]], dtype: type[np.uint16] | type[np.int32]) -> Array:
    return np.fromiter(itertools.chain.from_iterable(rows), dtype)


def _portions(texts: Sequence[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    """Rows that follow each other, by column: few enough that their tokens fit in memory."""
    most, characters = AT_ONCE
    sizes = np.cumsum([sum(map(len, row)) for row in zip(*texts, strict=True)])
    start = 0
    while start < len(sizes):
        before = sizes[start - 1] if start else 0
        end = min(start + most, max(start + 1, int(np.searchsorted(sizes, before + characters))))
        yield [column[start:end] for column in texts]
        start = end


def trained(texts: Iterable[str], vocabulary: int) -> Tokens:
    """Byte-level BPE of at most `vocabulary` tokens (Sennrich et al., ACL 2016), the same bytes for the same texts.

    A text stands between [CLS] and [SEP], a pair as [CLS] one [SEP] other [SEP]. Raises DataError without the package.
    """
    _need("training a tokenizer")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(map(_in_short_words, texts), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{FIRST} $A {LAST}",
        pair=f"{FIRST} $A {LAST} $B:1 {LAST}:1",
        special_tokens=[(word, SPECIAL.index(word)) for word in (FIRST, LAST)],
    )
    return known(tokenizer.to_str().encode(), "the trained tokenizer")


def _in_short_words(text: str) -> str:
    """With breaks in words of more than WORD characters, and no longer spaces: the time of training grows with their square."""
    if len(text) <= WORD:
        return text
    return re.sub(rf"(\s{{{WORD}}})\s+", r"\1", re.sub(rf"(\S{{{WORD}}})(?=\S)", r"\1 ", text))


def read_tokenizer(path: Path) -> Tokens:
    """A tokenizer.json, or that in a folder; beside it may be the config.json of its network. Raises DataError."""
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        what = f"{path} has no {FILE}" if path.is_dir() else f"{str(path)!r} is not a file"
        way = f"give the path of a {FILE} or of its folder, teacher, or {{train: bpe, vocabulary: 4096}}"
        raise DataError(f"{PLACE}: {what}; {way}")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{PLACE}: {file} cannot be read ({error.strerror}); make it readable") from None
    found = known(content, str(file), positions_of(file.parent))
    _check_embeddings(found, file)
    return found


def _check_embeddings(tokens: Tokens, file: Path) -> None:
    """Raises DataError if the network beside a tokenizer knows fewer tokens."""
    config = file.parent / "config.json"
    embeddings = _config(config.parent).get("vocab_size")
    if isinstance(embeddings, int) and embeddings < tokens.vocabulary:
        what = f"has {tokens.vocabulary:,} tokens, but the network of {config} has embeddings of {embeddings:,}"
        raise DataError(f"{PLACE}: {file} {what}; it is the tokenizer of another model: use the one of that network")


def known(content: bytes, name: str, positions: int | None = None) -> Tokens:
    """What a tokenizer.json says of itself. Raises DataError if it is damaged, or has no padding token."""
    _need(name)
    try:
        tokenizer, plain = _opened(content), json.loads(content)
        ids: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
        model, added = plain["model"], plain["added_tokens"]
    except Exception as error:  # tokenizers raises plain Exceptions
        way = "save it again with tokenizer.save, or with save_pretrained of a fast tokenizer"
        raise DataError(f"{PLACE}: {name} is not a {FILE} ({reason(error)}); {way}") from None
    unknown = next((ids[word] for word in (_unknown(model), *UNKNOWNS) if word in ids), None)
    padding = next((ids[word] for word in (_padding(plain), *PADDINGS) if word in ids), None)
    if padding is None:
        way = "add one: tokenizer.add_special_tokens(['[PAD]']), then tokenizer.save"
        raise DataError(f"{PLACE}: {name} has no padding token ({' or '.join(PADDINGS)}); {way}")
    first = [padding] if unknown is None or unknown == padding else [padding, unknown]
    special = sorted({int(one["id"]) for one in added if one["special"]}.difference(first))
    return Tokens(
        content=content,
        vocabulary=max(ids.values()) + 1,
        padding=padding,
        unknown=unknown,
        special=(*first, *special),
        mask=next((ids[word] for word in MASKS if word in ids), None),
        positions=positions,
    )


def _padding(plain: Json) -> str:
    return str((plain.get("padding") or {}).get("pad_token", ""))


def _unknown(model: Json) -> str:
    """The token of unknown text: WordPiece and BPE name it, Unigram gives its position."""
    position = model.get("unk_id")
    return str(model["vocab"][position][0] if isinstance(position, int) else model.get("unk_token") or "")


def positions_of(folder: Path) -> int | None:
    """How many tokens the network takes whose config.json is in the folder; None if that is not known."""
    config = _config(folder)
    found, padding = config.get("max_position_embeddings"), config.get("pad_token_id", 1)
    if not isinstance(found, int) or not isinstance(padding, int):
        return None
    of_roberta = "roberta" in str(config.get("model_type"))  # it counts positions from the padding id on
    return found - padding - 1 if of_roberta else found


def _config(folder: Path) -> Json:
    """The settings of a network in a folder, if it has any."""
    try:
        found = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _opened(content: bytes) -> Tokenizer:
    """Without the padding and the truncation that a file may ask for."""
    from tokenizers import Tokenizer

    found = Tokenizer.from_buffer(content)
    found.no_padding()
    found.no_truncation()
    return found


def _need(what: str) -> None:
    if importlib.util.find_spec("tokenizers") is None:
        raise DataError(f"{PLACE}: {what} needs the package tokenizers; run: pip install 'autodistill-search[text]'")
