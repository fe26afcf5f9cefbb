"""Validation samples that only the teacher gets right, as a person can read them. The sealed test split is never shown."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ...data.encode import DATES
from ...data.encoding import CATEGORIES, TOKENS, TYPES, EncodedColumn, Encoding
from ...data.texts import Text
from ...distill import Data, load_network, open_data
from ...distill.predictions import logits_of
from ...spec import AutodistillError
from ...spec.arrays import Array, Ints
from .finalists import Finalist
from .study import Study

LOOKED_AT, WORK = 400, 1e11
"""Validation samples that both networks predict: so many at most, and multiply-adds for all of them together."""
MOST, SIDE, LETTERS, COLUMNS = 6, 96, 280, 12
"""Samples that are shown, pixels of the longest side of an image, characters of a text, and columns of a row."""
DARK = 64
"""Bytes below this are so dark that people hardly tell them apart."""


class Sample(NamedTuple):
    """A sample that the teacher takes for its class `label` and the student for the class `said`: its `text`, or its `image`
    (a PNG as base64).
    """

    label: str
    said: str
    text: str
    image: str


class OnlyTeacher(NamedTuple):
    """Of the first `looked_at` validation samples, only the teacher gets `missed` right; `samples` are some of these."""

    looked_at: int
    missed: int
    samples: Sequence[Sample]


def only_teacher(study: Study, teacher: Finalist, student: Finalist) -> OnlyTeacher | None:
    """What both networks predict, on the CPU; samples of different classes come first.

    None if there is no such sample, if the data or a network are not in the store, and unless the task has classes and its
    samples are images, texts, or rows of a table.
    """
    try:
        data = open_data(study.stages.store, study.stages.network(teacher.stage).task.data)
        n = min(LOOKED_AT, len(data.validation_y), int(WORK / (teacher.longest_macs + student.longest_macs + 1)))
        if not n or data.kind != "classification" or not _is_readable(data):
            return None
        labels = np.asarray(data.validation_y)[:n]
        right, said = (_predicted(study, data, one, n) for one in (teacher, student))
        places = np.flatnonzero((right == labels) & (said != labels))
        names, shown = _names(study, data), _varied(places, labels)
        found = [Sample(names[labels[one]], names[said[one]], *_input(data, one)) for one in shown]
    except AutodistillError:
        return None
    return OnlyTeacher(n, len(places), found) if found else None


def _predicted(study: Study, data: Data, one: Finalist, n: int) -> Ints:
    """(N,) the classes that a network predicts for the first n validation samples."""
    device = torch.device("cpu")
    network = load_network(study.stages.store, study.stages.network(one.chosen), device)
    found: Ints = logits_of(network, data, data.validation_x.take(np.arange(n)), device).argmax(1).numpy()
    return found


def _is_readable(data: Data) -> bool:
    shape = () if data.validation_x.pixels is None else data.validation_x.pixels.shape
    return data.text is not None or data.encoding is not None or (len(shape) == 4 and shape[1] in (1, 3))


def _varied(places: Ints, labels: Array) -> list[int]:
    """At most MOST of these places: the first of each class, then others."""
    _, firsts = np.unique(labels[places], return_index=True)
    others = np.setdiff1d(np.arange(len(places)), firsts)
    return [int(places[one]) for one in [*np.sort(firsts), *others][:MOST]]


def _names(study: Study, data: Data) -> Sequence[str]:
    """Of the classes; numbers if the names are not known before `confirm`."""
    known = None if study.confirmed is None else study.confirmed.test.class_names
    encoding = data.encoding if data.text is None else data.text.encoding
    return known or (encoding.classes if encoding is not None else [str(place) for place in range(data.classes)])


def _input(data: Data, place: int) -> tuple[str, str]:
    """The text and the image of a validation sample; one of them is empty."""
    batch = data.validation_x.batch(np.array([place]))
    if data.text is not None:
        return as_text(data.text, batch), ""
    if data.encoding is not None:
        return as_row(data.encoding, batch), ""
    [pixels] = batch.values()
    return "", as_png(pixels[0])


def as_text(text: Text, batch: Mapping[str, Array]) -> str:
    """The tokens of the only sample of a batch as text, cut to LETTERS characters; both texts of a pair."""
    from tokenizers import Tokenizer

    tokenizer, ids_L = Tokenizer.from_str(text.content.decode()), batch[TOKENS][0]
    kinds_L = batch.get(TYPES, np.zeros_like(ids_L)[None])[0]
    parts = [tokenizer.decode(ids_L[kinds_L == kind].tolist()).strip() for kind in np.unique(kinds_L)]
    found = " / ".join(parts)
    return found if len(found) <= LETTERS else f"{found[: LETTERS - 1].rstrip()}\u2026"


def as_row(encoding: Encoding, batch: Mapping[str, Array]) -> str:
    """The only row of a batch as it was in the table: `age 39, job clerk`; the first COLUMNS columns. The order of the numbers
    is that of `data.encode.encoded`.
    """
    measured = [one for one in encoding.columns if one.words is None]
    named = [one for one in encoding.columns if one.words is not None]
    numbers = next((part[0] for name, part in batch.items() if name != CATEGORIES), np.zeros(0))
    masks = dict(zip([one.name for one in measured if one.mask], numbers[len(measured) :], strict=False))
    known, codes = zip(measured, numbers, strict=False), batch[CATEGORIES][0] if named else ()
    cells = {one.name: _number(one, float(value), masks.get(one.name, 0)) for one, value in known}
    cells |= {one.name: _word(one, int(code)) for one, code in zip(named, codes, strict=True)}
    shown = [f"{one.name} {cells[one.name]}" for one in encoding.columns[:COLUMNS]]
    more = len(encoding.columns) - len(shown)
    return ", ".join([*shown, *([f"and {more} more"] if more else [])])


def _number(column: EncodedColumn, value: float, missing: float) -> str:
    assert column.mean is not None and column.scale is not None, "only categories are not standardized"
    found = value * column.scale + column.mean
    if missing:
        return "missing"
    if column.kind in DATES:
        return str(np.datetime64(round(found), "D"))
    return ("yes" if round(found) else "no") if column.kind == "boolean" else f"{found:.4g}"


def _word(column: EncodedColumn, code: int) -> str:
    words = column.words or ()
    return words[code - 1] if 0 < code <= len(words) else "missing" if code else "another word"


def as_png(image_CHW: Array) -> str:
    """An image (C, H, W) of 1 or 3 channels, at most SIDE pixels wide and high; numbers from the smallest to the largest become
    brightness, except for bytes, unless these are too dark to see anything: scans of digits often have values up to 16.
    """
    from PIL import Image

    pixels = image_CHW.astype(np.float64)
    if image_CHW.dtype != np.uint8 or image_CHW.max() < DARK:
        pixels = 255 * (pixels - pixels.min()) / max(float(np.ptp(pixels)), 1e-12)
    flat = pixels.round().astype(np.uint8)
    image, stream = Image.fromarray(flat[0] if len(flat) == 1 else flat.transpose(1, 2, 0)), io.BytesIO()
    image.thumbnail((SIDE, SIDE))
    image.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()
