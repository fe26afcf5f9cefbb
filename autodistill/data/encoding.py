"""The preprocessing of a table as plain numbers and words: what `fitting` found in the training rows.

`encode.encoded` applies it, here and in exports.
"""

from __future__ import annotations

from typing import Annotated, Literal

from ..spec import Value
from ..spec.value import AsTuple, Json

Kind = Literal["number", "boolean", "date", "calendar", "category"]
CATEGORIES = "categories"
"""The field with the numbers of the words of each category column."""
TOKENS = "input_ids"
TYPES = "token_type_ids"
"""The field with the token ids of a text, and the one that says to which text of a pair each token belongs."""


class EncodedColumn(Value):
    """A column by its name. `missing` is the share of training rows without a value; with `mask`, networks get an input that
    says so.

    Numbers, booleans, and dates (also those of kind calendar; `format`: of strptime) have `fill`, `mean`, and `scale`;
    categories have `words`, those that occur in the training rows more than once.
    """

    name: str
    kind: Kind
    missing: float
    mask: bool
    format: str | None = None
    fill: float | None = None
    mean: float | None = None
    scale: float | None = None
    words: Annotated[tuple[str, ...], AsTuple] | None = None

    @property
    def values(self) -> int | None:
        """How many numbers a category has: one for each word, one for all other words, and one for a missing word."""
        return None if self.words is None else len(self.words) + 1 + self.mask


class Encoding(Value):
    """`columns` in the order of their names. `label` is the column of the labels, and `classes` are its words by class (of a
    regression, its name).

    `separator` is the character between the values of a text file.
    """

    label: str
    classes: Annotated[tuple[str, ...], AsTuple]
    columns: Annotated[tuple[EncodedColumn, ...], AsTuple]
    separator: str = ","

    @property
    def values(self) -> tuple[int, ...]:
        """How many values each category has, in the order of the field `categories`."""
        return tuple(column.values for column in self.columns if column.values is not None)

    def plain(self) -> Json:
        """The contents of columns.json."""
        return self.model_dump(mode="json", exclude_none=True)


class TextEncoding(Value):
    """How texts became token ids. `columns`: that of the text, or those of a pair. `label`, `classes`, and `separator` are as
    in an `Encoding`.

    `tokenizer` is the sha256 of tokenizer.json, `vocabulary` how many ids it has, `used` how many of them are special or occur
    in the training texts, `padding` the id of the padding token and `unknown` that of unknown words (None if there is no
    such token). Texts are cut to `max_length` tokens; `typical` is the median length of the training texts.
    """

    label: str
    classes: Annotated[tuple[str, ...], AsTuple]
    columns: Annotated[tuple[str, ...], AsTuple]
    separator: str = ","
    tokenizer: str
    vocabulary: int
    used: int
    padding: int
    unknown: int | None = None
    max_length: int
    typical: int
