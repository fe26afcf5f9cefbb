"""Texts before they are encoded: what is wrong with them, and how all of them become token ids of one tokenizer.

Suffixes of shapes: N samples with labels and U without, V token ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..spec import DataError, TaskSpec
from ..spec.arrays import Array
from ..spec.task import MAX_LENGTH, TEACHERS, TrainedTokenizer
from .columns import ROWS, Column, Columns, Ragged
from .encode import numbers
from .encoding import TOKENS, TYPES, TextEncoding
from .fitting import Encoded
from .kinds import Place
from .texts import Lengths, Text
from .tokens import TokenIds, Tokens, read_tokenizer, trained

CUT, UNKNOWN = 0.25, 0.05
"""Larger shares of texts that are cut, and of unknown tokens, are likely mistakes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Texts:
    """Texts that are not encoded yet: `columns` are those of one text or of a pair, each with a list of all N + U texts, those
    without labels last.

    `tokenizer` is a file, or how one is trained. `label`, `classes`, and `separator` are those of the encoding.
    """

    place: Place
    columns: dict[str, Sequence[str]]
    labeled: int
    tokenizer: TrainedTokenizer | Path
    max_length: int | None
    label: str
    classes: tuple[str, ...]
    separator: str

    @property
    def unlabeled(self) -> Columns | None:
        """The numbers of the rows without labels."""
        rows = np.arange(self.labeled, len(next(iter(self.columns.values()))))
        return Columns({ROWS: rows[:, None]}) if len(rows) else None

    def encoded(self, train: Array) -> Encoded:
        """All texts; the tokenizer is trained, and ids are counted, on the rows `train` and those without labels alone."""
        texts = list(self.columns.values())
        seen = np.concatenate([train, np.arange(self.labeled, len(texts[0]))])
        tokens = self._tokens(seen)
        most = self.max_length or min(MAX_LENGTH, tokens.positions or MAX_LENGTH)
        if tokens.positions is not None and most > tokens.positions:
            what = f"{most} is more than the {tokens.positions} positions of the network of {self.tokenizer}"
            raise DataError(f"task.max_length: {what}; use at most {tokens.positions}")
        found = tokens.encoded(texts, most)
        x = samples_of(found, tokens.padding, self.place)
        column = x[TOKENS]
        assert isinstance(column, Ragged)
        count_V = np.bincount(column.take(seen).values, minlength=tokens.vocabulary)
        text = Text(
            encoding=self._encoding(tokens, count_V, np.diff(found.offsets)[seen], most),
            content=tokens.content,
            ranking=ranked(count_V, tokens.special),
            lengths=_lengths(found.whole[seen], most, count_V, tokens),
        )
        return Encoded(x, tuple(_cautions(text)), text=text)

    def _tokens(self, seen: Array) -> Tokens:
        if isinstance(self.tokenizer, Path):
            return read_tokenizer(self.tokenizer)
        return trained((texts[row] for row in seen.tolist() for texts in self.columns.values()), self.tokenizer.vocabulary)

    def _encoding(self, tokens: Tokens, count_V: Array, lengths: Array, most: int) -> TextEncoding:
        kept_V = count_V > 0
        kept_V[list(tokens.special)] = True
        return TextEncoding(
            label=self.label,
            classes=self.classes,
            columns=tuple(self.columns),
            separator=self.separator,
            tokenizer=tokens.sha256,
            vocabulary=tokens.vocabulary,
            used=int(kept_V.sum()),
            padding=tokens.padding,
            unknown=tokens.unknown,
            max_length=most,
            typical=int(np.median(lengths)),
        )


def samples_of(found: TokenIds, padding: int, place: Place) -> Columns:
    """Token ids as networks get them. Raises DataError for a text without any."""
    empty = np.flatnonzero(np.diff(found.offsets) == 0)
    if len(empty):
        what = f"{place.row(int(empty[0]))} has no token"
        raise DataError(f"{place.name}: the text of {what}; drop such rows, or use a tokenizer with special tokens")
    fields: dict[str, Column] = {TOKENS: Ragged(values=found.ids, offsets=found.offsets, padding=float(padding))}
    if found.types is not None:
        fields[TYPES] = Ragged(values=found.types, offsets=found.offsets)
    return Columns(fields)


def ranked(count_V: Array, special: Sequence[int]) -> Array:
    """All ids: the `special` ones in their order, then the most frequent first, and by id where that is equal."""
    others = np.setdiff1d(np.arange(len(count_V)), special)
    order = np.argsort(-count_V[others], kind="stable")
    return np.concatenate([np.array(special, np.int64), others[order]])


def _lengths(whole: Array, most: int, count_V: Array, tokens: Tokens) -> Lengths:
    unknown = 0 if tokens.unknown is None else int(count_V[tokens.unknown])
    plain = int(count_V.sum() - count_V[list(tokens.special)].sum()) + unknown
    return Lengths(
        median=float(np.median(whole)),
        p95=float(np.percentile(whole, 95)),
        longest=int(whole.max()),
        cut=float((whole > most).mean()),
        unknown=unknown / max(1, plain),
    )


def _cautions(text: Text) -> list[str]:
    """Likely mistakes, as sentences."""
    found, most = text.lengths, text.encoding.max_length
    assert found is not None
    cautions = []
    if found.cut > CUT:
        what = f"{found.cut:.0%} of the training texts have more than {most:,} tokens, and the rest of their tokens is cut"
        cautions.append(f"{what}: set a larger task.max_length, such as {round(found.p95)} (training then takes longer)")
    if found.unknown > UNKNOWN:
        what = f"{found.unknown:.0%} of the tokens of the training texts are unknown to the tokenizer"
        cautions.append(f"{what}: use a tokenizer of their language, or task.tokenizer: {{train: bpe, vocabulary: 4096}}")
    return cautions


# Reading


def texts_in(
    place: Place,
    frame: pd.DataFrame,
    task: TaskSpec,
    *,
    label: str,
    classes: tuple[str, ...],
    separator: str,
    unlabeled: Mapping[str, Sequence[str]] | None = None,
) -> Texts:
    """The columns of `frame`, which hold one text or a pair, with the texts without labels, which are checked already.

    Raises DataError for a value that is not a text, naming its row.
    """
    if task.tokenizer == TEACHERS:
        way = "give the teacher a checkpoint, {family: transformers, checkpoint: FOLDER}, or name a tokenizer.json"
        raise DataError(f"task.tokenizer: teacher has no tokenizer here; {way}")
    tokenizer = TrainedTokenizer(train="bpe") if task.tokenizer is None else task.tokenizer
    columns = checked(place, frame)
    return Texts(
        place=place,
        columns={name: [*texts, *(unlabeled or {}).get(name, ())] for name, texts in columns.items()},
        labeled=len(frame),
        tokenizer=Path(tokenizer) if isinstance(tokenizer, str) else tokenizer,
        max_length=task.max_length,
        label=label,
        classes=classes,
        separator=separator,
    )


def checked(place: Place, frame: pd.DataFrame) -> dict[str, list[str]]:
    """The texts by column. Raises DataError for a value that is not a text, or is empty."""
    return {str(name): _checked(place, str(name), frame[name]) for name in frame.columns}


def _checked(place: Place, name: str, values: pd.Series) -> list[str]:
    where, found = f"{place.name}: column {name!r}", values.astype(object).tolist()
    for row, text in enumerate(found):
        if not isinstance(text, str) and not _is_missing(text):
            what = f"{place.row(row)} has {type(text).__name__} {str(text)!r:.40}"
            raise DataError(f"{where} {what}, not a text; name the column of the texts in task.text")
    empty = [row for row, text in enumerate(found) if not isinstance(text, str) or not text.strip()]
    if empty:
        what = f"{place.row(empty[0])} has no text ({len(empty):,} of {len(found):,} rows have none)"
        raise DataError(f"{where} {what}; drop such rows, or fill them in")
    _check_characters(place, where, found)
    if not np.isnan(numbers(pd.Series(found[:AT_FIRST], dtype=object))).any():
        raise DataError(f"{where} holds numbers, not texts; name the column of the texts in task.text")
    return found


AT_FIRST = 1000
"""How many texts are looked at to see whether they are all numbers."""


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def _check_characters(place: Place, where: str, texts: Sequence[str]) -> None:
    """Raises DataError for a lone surrogate, which is half of a character: no text file can hold it."""
    for row, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            what = f"{place.row(row)} has the lone surrogate U+{ord(text[error.start]):04X} at character {error.start}"
            raise DataError(f"{where} {what}; replace it, such as text.encode('utf-8', 'replace').decode()") from None
