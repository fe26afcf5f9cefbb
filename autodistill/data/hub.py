"""Data sets of images from Hugging Face (`hfds/NAME`) and WebDataset (`wds/PATH`), through timm's readers.

Both are decoded into memory or, if they do not fit, to disk. The training split is split further; `test`, or else `validation`,
is the test split.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..spec import DataError, TaskSpec
from ..spec.arrays import Array
from ..spec.imports import reason
from ..spec.value import Json
from .arrays import with_names
from .held import Room
from .images import alike, decode, fitted
from .saved import parts_in

TESTS = ("test", "validation", "val")
Pair = tuple[Array, int]


def read_hub(name: str, task: TaskSpec, cache: str | None, room: Room) -> dict[str, Array]:
    """Arrays of `hfds/name`; the columns of images and classes are found by their types."""
    _need("datasets", f"hfds/{name}")
    with _reading(f"hfds/{name}", "connect to the internet for the first download, or give the path of a local copy"):
        import datasets

        splits = datasets.get_dataset_split_names(name)
        features = datasets.load_dataset(name, split=splits[0], cache_dir=cache).features
        image, label = (_column(features, kind, f"hfds/{name}") for kind in ("Image", "ClassLabel"))
        columns = {"input_key": image, "target_key": label}
        found = _split_by_split(splits, f"hfds/{name}", lambda split: _hub_split(name, split, columns, task, cache, room))
        return with_names(found, features[label].names)


def load_hub(name: str, cache: str | None) -> Json:
    """The splits train, validation, and test of `hfds/name`, those that are there, with all columns."""
    _need("datasets", f"hfds/{name}")
    with _reading(f"hfds/{name}", "connect to the internet for the first download, or give the path of a local copy"):
        import datasets

        return parts_in(dict(datasets.load_dataset(name, cache_dir=cache)), f"hfds/{name}")


def _hub_split(
    name: str, split: str, columns: Mapping[str, str], task: TaskSpec, cache: str | None, room: Room
) -> tuple[Array, Array]:
    from timm.data import create_dataset

    reader = create_dataset(f"hfds/{name}", root=cache, split=split, **columns).reader
    pairs = (_opened(reader, row, split, task) for row in range(len(reader)))
    return _stacked(pairs, len(reader), room)


def _opened(reader: Any, row: int, split: str, task: TaskSpec) -> Pair:
    """timm's data set would return the next image instead of one that cannot be read."""
    file, label = reader[row]
    try:
        with file:
            return decode(file, task.sides, task.channels or 3), int(label)
    except Exception as error:  # damaged images fail in many ways
        raise DataError(
            f"task.dataset: image {row} of {split} cannot be read ({reason(error)}); filter it out and save the rest"
        ) from error


def _column(features: Json, kind: str, name: str) -> str:
    found = [key for key, feature in features.items() if type(feature).__name__ == kind]
    if not found:
        columns = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in features.items())
        raise DataError(
            f"task.dataset: {name} has no column of type {kind}, only {columns}; cast one to {kind} and save the result"
        )
    return found[0]


def read_wds(folder: Path, task: TaskSpec, room: Room) -> dict[str, Array]:
    """Arrays of a folder of WebDataset shards; `_info.json` lists the shards of each split."""
    _need("webdataset", f"wds/{folder}")
    info = _info(folder)
    with _reading(f"wds/{folder}", "it needs _info.json, and an image and a .cls for each sample in the shards"):
        return _split_by_split(list(info), f"wds/{folder}", lambda split: _wds_split(folder, split, info, task, room))


def _wds_split(folder: Path, split: str, info: Json, task: TaskSpec, room: Room) -> tuple[Array, Array]:
    from timm.data import create_dataset

    mode = "L" if task.channels == 1 else "RGB"
    dataset = create_dataset(f"wds/{folder.name}", root=str(folder), split=split, input_img_mode=mode)
    pairs = ((fitted(image, task.sides), int(label)) for image, label in dataset)
    with _loud():
        return _stacked(pairs, info[split]["num_samples"], room)


def _info(folder: Path) -> Json:
    """name -> num_samples, filenames, and shard_lengths of each split."""
    for name in ("_info.json", "info.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found: Json = json.loads((folder / name).read_bytes())["splits"]
            return found
    raise DataError(
        f"task.dataset: {folder} has no readable _info.json; put one next to the shards: "
        '{"splits": {"train": {"name": "train", "num_samples": N, "filenames": [...], "shard_lengths": [...]}}}'
    )


@contextlib.contextmanager
def _loud() -> Iterator[None]:
    """Turns the warning that timm's reader of shards logs when it skips an unreadable sample into an error."""
    logger = logging.getLogger("timm.data.readers.reader_wds")

    def stop(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            raise DataError(f"task.dataset: a sample cannot be read ({record.getMessage()[:200]}); write that shard again")
        return True

    logger.addFilter(stop)
    try:
        yield
    finally:
        logger.removeFilter(stop)


def _split_by_split(splits: list[str], name: str, read: Callable[[str], tuple[Array, Array]]) -> dict[str, Array]:
    if "train" not in splits:
        raise DataError(f"task.dataset: {name} has the splits {', '.join(splits) or 'none'}; it needs one called train")
    x, y = read("train")
    test = next((split for split in TESTS if split in splits), None)
    if test is None:
        return {"x": x, "y": y}
    x_test, y_test = read(test)
    return {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}


def _stacked(pairs: Iterable[Pair], count: int, room: Room) -> tuple[Array, Array]:
    """uint8 (N, C, H, W) and labels. Raises DataError if sizes differ, or if there are more or fewer than `count`."""
    labels: list[int] = []

    def images() -> Iterator[Array]:
        for image, label in pairs:
            if len(labels) == count:
                raise _miscounted(room.name, f"{count + 1:,} or more", count)
            labels.append(label)
            yield image

    found = room.stacked(alike(images(), room.name), count)
    if len(labels) < count:
        raise _miscounted(room.name, f"{len(labels):,}", count)
    return found, np.array(labels, np.int64)


def _miscounted(name: str, found: str, count: int) -> DataError:
    what = f"declares {count:,} samples, but has {found}"
    return DataError(f"task.dataset: {name} {what}; correct that number")


def _need(package: str, name: str) -> None:
    if importlib.util.find_spec(package) is None:
        extra = "hfds" if package == "datasets" else "wds"
        raise DataError(f"task.dataset: {name} needs the package {package}; run: pip install 'autodistill-search[{extra}]'")


@contextlib.contextmanager
def _reading(name: str, needs: str) -> Iterator[None]:
    """Turns exceptions of other libraries into a DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # a download, a table or a shard fails in many ways
        raise DataError(f"task.dataset: {name} cannot be read ({reason(error)}); {needs}") from error
