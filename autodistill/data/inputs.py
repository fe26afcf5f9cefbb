"""What the samples of a data set are: named fields, from which sizes, latency, exports, and checks make their inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, get_args

from ..spec import UsageError, Value
from ..spec.value import AsTuple
from .columns import Column, Columns, JoinedRagged, Ragged, X, mask_of
from .encoding import CATEGORIES, TOKENS, TYPES, Encoding
from .texts import Text

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Dtype = Literal["float32", "uint8", "int64"]
BATCH = "batch"


class TensorForm(NamedTuple):
    """A tensor that a network takes: its dtype by torch's name, and its axes; an open one has a name instead of a size."""

    dtype: Literal["float32", "int64", "bool"]
    axes: tuple[int | str, ...]


class InputField(Value):
    """One field: the shape of a sample, in which None is the open axis (at most one), and the dtype of the data.

    `padding` fills the positions after the end of a shorter sample of a batch; `longest` is the length of the longest training
    or validation sample. Both are only for a field with an open axis. `values`: of a table's categories (C,), how many values
    each has; they are numbered from 0. Of token ids, `vocabulary` says how many there are, `used` how many of them occur in the
    training texts, and `typical` is the median length of the training texts.
    """

    name: str
    shape: Annotated[tuple[int | None, ...], AsTuple]
    dtype: Dtype = "float32"
    padding: float = 0.0
    longest: int | None = None
    values: Annotated[tuple[int, ...], AsTuple] | None = None
    vocabulary: int | None = None
    used: int | None = None
    typical: int | None = None

    @property
    def open(self) -> bool:
        return None in self.shape

    @property
    def largest(self) -> tuple[int, ...]:
        """The shape of the longest sample."""
        return tuple(self._longest() if side is None else side for side in self.shape)

    def _longest(self) -> int:
        assert self.longest is not None, f"{self.name} has an open axis, so its longest sample is known"
        return self.longest

    def tensors(self) -> dict[str, TensorForm]:
        """The tensor of this field, as a network takes it; for a field with an open axis, also its mask."""
        length = f"{self.name}_length"
        axes = (BATCH, *(length if side is None else side for side in self.shape))
        found = {self.name: TensorForm("int64" if self.dtype == "int64" else "float32", axes)}
        return found | ({mask_of(self.name): TensorForm("bool", (BATCH, length))} if self.open else {})

    def sides(self) -> str:
        """Such as `1x8x8`, or `2xlength`."""
        return "x".join("length" if side is None else str(side) for side in self.shape)

    @property
    def label(self) -> str:
        """Such as `image (3, 8, 8)` or `signal (2, length)`."""
        sides = ["length" if side is None else str(side) for side in self.shape]
        return f"{self.name} ({', '.join(sides)}{',' * (len(sides) == 1)})"


class InputSpec(Value):
    """The fields of a sample, by which a network is called: `forward(x)`, or by name where there are several or an open one."""

    fields: Annotated[tuple[InputField, ...], AsTuple]

    @classmethod
    def x(cls, shape: tuple[int, ...], dtype: Dtype = "float32") -> InputSpec:
        """The usual one: the single field `x`, samples of one shape."""
        return cls(fields=(InputField(name=X, shape=shape, dtype=dtype),))

    @property
    def only(self) -> tuple[int, ...] | None:
        """The shape of a sample, if its only field is `x` without an open axis."""
        first, *others = self.fields
        return None if others or first.open or first.name != X else first.largest

    @property
    def shape(self) -> tuple[int, ...]:
        """That of a sample, channels first, as networks of your own ask for it. Raises UsageError if there are several."""
        if self.only is None:
            raise UsageError(f"samples of {self.label} have no single shape; use inputs.fields, each with its shape")
        return self.only

    @property
    def label(self) -> str:
        """Such as `shape (1, 8, 8)`, or `image (3, 8, 8) and vector (5,)`, after "samples of"."""
        return f"shape {self.only}" if self.only is not None else " and ".join(field.label for field in self.fields)

    @property
    def typical(self) -> InputSpec:
        """The same with the length of a typical sample, instead of the longest one, where it is known: the median of texts."""
        length = next((field.typical for field in self.fields if field.typical is not None), None)
        if length is None:
            return self
        shorter = {"longest": length}
        return InputSpec(
            fields=tuple(field.model_copy(update=shorter) if field.name in (TOKENS, TYPES) else field for field in self.fields)
        )

    @property
    def numbers(self) -> int:
        """How many numbers the longest sample has."""
        return sum(math.prod(field.largest) for field in self.fields)

    @property
    def of_a_table(self) -> bool:
        """Whether samples are rows with categories: whole numbers that need an embedding, beside `numbers` or alone."""
        return any(field.values is not None for field in self.fields)

    def numbers_of_x(self, what: str, way: str) -> tuple[int, ...]:
        """The shape of samples whose only field is `x`, in numbers. Raises UsageError that `what` takes no other samples."""
        if self.only is None:
            raise UsageError(f"{what} takes a single input x of one shape, not samples of {self.label}; {way}")
        if self.fields[0].dtype == "int64":
            raise UsageError(f"{what} takes numbers, but task.inputs.x.dtype makes them int64; remove that dtype, or {way}")
        return self.only

    def tensors(self) -> dict[str, TensorForm]:
        """The tensors of a batch by name."""
        return {name: form for field in self.fields for name, form in field.tensors().items()}

    def dummy(self, batch: int, device: torch.device | str | None = None) -> dict[str, Tensor]:
        """A batch of zeros as a network gets it, each sample as long as the longest, all positions real."""
        import torch

        sizes = {BATCH: batch} | {f"{field.name}_length": field.longest for field in self.fields if field.longest is not None}
        return {
            name: torch.full(
                [sizes.get(axis, 0) if isinstance(axis, str) else axis for axis in form.axes],
                form.dtype == "bool",
                dtype=getattr(torch, form.dtype),
                device=device,
            )
            for name, form in self.tensors().items()
        }

    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        """The names of the axes of each tensor that have no fixed size: the batch, and the open ones."""
        return {
            name: {place: axis for place, axis in enumerate(form.axes) if isinstance(axis, str)}
            for name, form in self.tensors().items()
        }


def inputs_of(parts: Sequence[Columns], encoding: Encoding | None = None, text: Text | None = None) -> InputSpec:
    """What the samples of all parts are; they have the same fields, shapes, and dtypes. `encoding` is that of a table, `text`
    that of texts.
    """
    fields = [_field(name, [part[name] for part in parts]) for name in parts[0]]
    if encoding is not None:
        values = {"values": encoding.values}
        fields = [field.model_copy(update=values) if field.name == CATEGORIES else field for field in fields]
    if text is not None:
        known = text.encoding.model_dump(include={"vocabulary", "used", "typical"})
        fields = [field.model_copy(update=known) if field.name == TOKENS else field for field in fields]
    return InputSpec(fields=tuple(fields))


def _field(name: str, columns: Sequence[Column]) -> InputField:
    first = columns[0]
    if not isinstance(first, Ragged | JoinedRagged):
        return InputField(name=name, shape=first.shape[1:], dtype=_dtype(first))
    longest = max(int(column.lengths.max(initial=0)) for column in columns if isinstance(column, Ragged | JoinedRagged))
    return InputField(name=name, shape=(*first.rest, None), dtype=_dtype(first), padding=first.padding, longest=longest)


def _dtype(column: Column) -> Dtype:
    return next(dtype for dtype in get_args(Dtype) if column.dtype == dtype)
