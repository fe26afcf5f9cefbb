"""What is fitted on the training rows of a table, and then applied to all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..spec import DataError
from ..spec.arrays import Array
from . import encode
from .columns import Columns
from .encoding import EncodedColumn, Encoding, Kind
from .kinds import Held, Place, quoted
from .texts import Text

LIKE_IDS = 0.9
"""A column in which at least this share of the rows has a word of its own names the rows."""
ENOUGH = 20
"""The fewest rows that can tell whether a column names them."""


class Encoded(NamedTuple):
    """All rows as networks get them, what the user should know about the columns, and how they were encoded: as those of a
    table, or as texts. `useless` are columns of a table that tell nothing about new rows, and what each has.
    """

    x: Columns
    cautions: tuple[str, ...]
    encoding: Encoding | None = None
    text: Text | None = None
    useless: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """The columns that networks get: `frame` has them in the order of their names, `held` says what each holds.

    `label`, `classes`, and `separator` are those of the encoding.
    """

    place: Place
    frame: pd.DataFrame
    held: Mapping[str, Held]
    label: str
    classes: tuple[str, ...]
    separator: str

    @property
    def names(self) -> list[str]:
        return [str(name) for name in self.frame.columns]

    def encoded(self, train: Array) -> Encoded:
        """All rows, with what is fitted on the rows `train` alone. Raises DataError for a column without values there."""
        known = {name: self._known(name) for name in self.names}
        columns = tuple(self._fitted(name, values[train]) for name, values in known.items())
        encoding = Encoding(label=self.label, classes=self.classes, columns=columns, separator=self.separator)
        found = encode.encoded(self.frame, encoding.plain()["columns"])
        useless = self._useless(known, train)
        return Encoded(Columns(found), _cautions(useless), encoding=encoding, useless=useless)

    def _known(self, name: str) -> Array:
        """(N,) words, or numbers; NaN where they are missing."""
        kind, form = self.held[name]
        if kind == "category":
            return encode.words(self.frame[name]).to_numpy()
        return encode.numbers_of(self.frame[name], {"name": name, "kind": kind, "format": form})

    def _fitted(self, name: str, values: Array) -> EncodedColumn:
        kind, form = self.held[name]
        there = values[~pd.isna(values)]
        if not len(there):
            what = f"column {name!r} has no value in the {len(values):,} training rows"
            raise DataError(f"{self.place.name}: {what}; set task.features: {{except: [{quoted(name)}]}}")
        missing = 1 - len(there) / len(values)
        column = EncodedColumn(name=name, kind=kind, missing=missing, mask=missing > 0, format=form)
        return column.model_copy(update={"words": frequent(there)} if kind == "category" else fitted_numbers(values))

    def _useless(self, known: Mapping[str, Array], train: Array) -> dict[str, str]:
        same = [name for name, values in known.items() if pd.Series(values[train]).nunique(dropna=False) == 1]
        own = [name for name, values in known.items() if name not in same and names_rows(values, self.held[name].kind)]
        found = dict.fromkeys(same, "the same value in all training rows, so it carries no information")
        return found | dict.fromkeys(own, "a different value in almost every row, like an ID")


def _cautions(useless: Mapping[str, str]) -> tuple[str, ...]:
    """Likely mistakes in the columns, as sentences."""
    way = f"set task.features: {{except: [{', '.join(map(quoted, useless))}]}}"
    return tuple(f"column {name!r} has {what}: {way}" for name, what in useless.items())


def names_rows(values: Array, kind: Kind) -> bool:
    """Whether a column only says which row it is: words of their own, or consecutive whole numbers."""
    if len(values) < ENOUGH or kind not in ("category", "number"):
        return False
    if kind == "category":
        return bool(pd.Series(values).nunique() >= LIKE_IDS * len(values))
    return bool((np.diff(np.sort(values)) == 1).all())


def fitted_numbers(found_N: Array) -> dict[str, float]:
    """The median, and mean and standard deviation once missing values are replaced by it, of N training values with NaN for
    missing ones; at least one is there.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler

    imputer = SimpleImputer(strategy="median").fit(found_N[:, None])
    scaler = StandardScaler().fit(imputer.transform(found_N[:, None]))
    return {"fill": float(imputer.statistics_[0]), "mean": float(scaler.mean_[0]), "scale": float(scaler.scale_[0])}


def frequent(words_N: Array) -> tuple[str, ...]:
    """The words that occur more than once, sorted. A word that occurs once says nothing about the next row with it, so it
    counts as unknown; such rows teach networks what to make of unknown words.
    """
    found, counts = np.unique(words_N.astype(str), return_counts=True)
    return tuple(found[counts > 1].tolist())
