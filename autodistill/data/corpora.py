"""Texts in folders by class, and in data sets of Hugging Face, as one table: the data set's own parts, one after the other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..spec import DataError, TaskSpec
from .arrays import Raw
from .folders import text_files
from .hub import load_hub
from .kinds import Place
from .lines import not_utf8
from .saved import label_of, load_saved
from .tables import read_table

PARTS = ("train", "validation", "test")


def read_text_folder(root: Path, task: TaskSpec) -> Raw:
    """Files CLASS/*.txt, or train/CLASS/*.txt and test/CLASS/*.txt: each is a text of that class. Raises DataError."""
    found, (name,) = text_files(root), _one_name(task, root)
    files = [path for part in found.values() for path, _ in part]
    label = "class" if name != "class" else "folder"
    classes = [own for part in found.values() for _, own in part]
    place = Place(f"task.dataset: {root}", False, files=[os.path.relpath(path, root) for path in files])
    frame = pd.DataFrame({name: [_read(path) for path in files], label: classes}, dtype=object)
    raw = read_table(frame, task.model_copy(update={"label": label}), place=place)
    return divided(raw, {part: len(found[part]) for part in PARTS if part in found})


def _one_name(task: TaskSpec, root: Path) -> tuple[str]:
    assert task.text is not None
    if len(task.text) > 1:
        raise DataError(f"task.text: a file in {root} has one text, not a pair; give one name, or a table of pairs")
    return (task.text[0],)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(f"task.dataset: {path}", error) from None
    except OSError as error:
        raise DataError(f"task.dataset: {path} cannot be read ({error.strerror}); make it readable, or remove it") from None


def read_saved_texts(folder: Path, task: TaskSpec) -> Raw:
    """A folder that `save_to_disk` of the package datasets wrote. Raises DataError naming the column."""
    return _of_columns(load_saved(folder), task, str(folder))


def read_hub_texts(name: str, task: TaskSpec, cache: str | None) -> Raw:
    """`hfds/NAME` of Hugging Face's hub. Raises DataError, also if there is no network."""
    return _of_columns(load_hub(name, cache), task, f"hfds/{name}")


def _of_columns(parts: Mapping[str, Any], task: TaskSpec, where: str) -> Raw:
    """Parts in the order of PARTS, each with the columns of texts and labels; numbers of classes become their names."""
    assert task.text is not None
    first = parts["train"]
    label = task.label or label_of(first, where)
    asked = list(dict.fromkeys((*task.text, label)))
    there = asked if set(asked) <= set(first.features) else list(first.features)  # what is missing is said with all names
    frames = [pd.DataFrame({name: list(part[name]) for name in there}, dtype=object) for part in parts.values()]
    frame = pd.concat(frames, ignore_index=True)
    names = getattr(first.features.get(label), "names", None)
    if names is not None:
        frame[label] = [names[number] if number is not None and number >= 0 else None for number in frame[label]]
    raw = read_table(frame, task.model_copy(update={"label": label}), place=Place(f"task.dataset: {where}", False))
    return divided(raw, {name: len(part) for name, part in parts.items()})


def divided(raw: Raw, counts: Mapping[str, int]) -> Raw:
    """The rows of train, followed by those of validation and test, if there are any. Raises DataError for a class that no
    training sample has.
    """
    ends = np.cumsum([0, *counts.values()])
    rows = {name: slice(*pair) for name, pair in zip(counts, zip(ends[:-1], ends[1:], strict=True), strict=True)}
    y = {name: raw.y[own] for name, own in rows.items()}
    for name in y if raw.kind == "classification" else ():
        unseen = np.setdiff1d(y[name], y["train"])
        if len(unseen) and raw.names is not None:
            way = "add training samples of that class, or drop these"
            raise DataError(f"{raw.name}: {name} has class {raw.names[unseen[0]]!r}, which no training sample has; {way}")
    x = {name: raw.x.take(np.arange(own.start, own.stop)) for name, own in rows.items()}
    return replace(
        raw,
        x=x["train"],
        y=y["train"],
        x_validation=x.get("validation"),
        y_validation=y.get("validation"),
        x_test=x.get("test"),
        y_test=y.get("test"),
    )
