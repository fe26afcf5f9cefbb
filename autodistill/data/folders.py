"""Folders of images, with the classes of timm's ImageFolder reader: an image's folder is its class. Does not read any pixels.

A subfolder `train`, if there is one, is split into training and validation samples; `test` is then the test split, and
`val` (or `validation`) is added to the training samples. Without `test`, `val` is the test split. Without
`train`, every subfolder is a class.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..spec import DataError, TaskSpec
from ..spec.arrays import Array
from .arrays import NAMES
from .images import Images, size_of, spread

EXAMINED = 1024
"""How many files are examined if all would take too long: to compare sizes, and for the fingerprint."""
FOLDERS_MOST, FILES_MOST = 200_000, 20_000_000
"""The most folders and files to visit below one folder. ImageNet-21k has 21,841 folders and 14 million files."""
UNKNOWN = (0, 0)
TRAIN, TEST, VALIDATION = ("train", "training"), ("test",), ("val", "validation", "valid")
Identity = tuple[int, int]
"""Device and inode: they identify a folder, whatever its path."""
VERSION = 1
"""The version of decoding: part of the fingerprint, so that it changes when the pixels do."""


def read_folder(root: Path, task: TaskSpec) -> dict[str, Images | Array]:
    """x, y or x_train, y_train, x_test, y_test of a folder, as file names and labels, and the names of the classes.

    Raises DataError if the folder has another form.
    """
    train, test = (_labels(folders) for folders in _splits(root))
    classes = _classes_of(set(train.values()))
    names = np.array(list(classes))
    x, y = _labeled(root, train, classes, task)
    if not test:
        return {"x": x, "y": y, NAMES: names}
    x_test, y_test = _labeled(root, test, classes, task)
    return {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test, NAMES: names}


def read_unlabeled(root: Path, task: TaskSpec, others: list[Images]) -> Images:
    """All images below a folder. Raises DataError if some are among the `others`, which have labels."""
    files = [path for path, _ in _found(root, "task.unlabeled")]
    twice = {path for one in others for path in one.paths}.intersection(files)
    if twice:
        way = "use another folder, or move them; to use fewer labels, set task.labeled"
        raise DataError(f"task.unlabeled: {min(twice)} is also a labeled or a test sample of task.dataset; {way}")
    return _images(root, files, task.sides or UNKNOWN, task.channels or 3)


def images_below(path: Path, place: str, *, size: tuple[int, int], channels: int) -> Images:
    """All images below a folder, or one image. Raises DataError if there are none."""
    root = path if path.is_dir() else path.parent
    paths = [found for found, _ in _found(path, place)] if path.is_dir() else [str(path)]
    return _images(root, paths, size, channels)


def _splits(root: Path) -> tuple[list[Path], list[Path]]:
    """The folders of training and of test samples."""
    train, test, validation = (_first(root, names) for names in (TRAIN, TEST, VALIDATION))
    if train is None:
        for found in (test, validation):
            if found is not None and any(_is(entry.is_dir) for entry in _entries(str(found), "task.dataset")):
                raise DataError(
                    f"task.dataset: {root} has {found.name} but no train; rename the folder of the other images to train"
                )
        return [root], []
    if test is None:
        return [train], [validation] if validation else []
    return [train, validation] if validation else [train], [test]


def _first(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if os.path.isdir(root / name)), None)


def _labels(folders: list[Path]) -> dict[str, str]:
    """The class of each image, by its path."""
    return dict(pair for folder in folders for pair in _found(folder, "task.dataset"))


def _classes_of(names: set[str]) -> dict[str, int]:
    """Numbered in timm's order (2 before 10)."""
    from timm.utils.misc import natural_key

    return {name: number for number, name in enumerate(sorted(names, key=lambda name: (natural_key(name), name)))}


def _labeled(root: Path, found: dict[str, str], classes: dict[str, int], task: TaskSpec) -> tuple[Images, Array]:
    for path, name in found.items():
        if not name:
            raise DataError(f"task.dataset: {path} is not in a class folder; move it into one, or to the folder task.unlabeled")
        if name not in classes:
            way = f"add training samples of it, or remove it (known classes: {', '.join(list(classes)[:8])})"
            raise DataError(f"task.dataset: {path} has class {name!r}, which has no training sample; {way}")
    images = _images(root, sorted(found), task.sides or UNKNOWN, task.channels or 3)
    return images, np.array([classes[found[path]] for path in images.paths], np.int64)


def text_files(root: Path) -> dict[str, list[tuple[str, str]]]:
    """(path, class) of each .txt file, by part: train, and test if there is one. Raises DataError as `read_folder` does."""
    found = dict(zip(("train", "test"), _splits(root), strict=True))
    return {part: _in_classes(folders) for part, folders in found.items() if folders}


def _in_classes(folders: list[Path]) -> list[tuple[str, str]]:
    files = [pair for folder in folders for pair in _found(folder, "task.dataset", frozenset({".txt"}))]
    stray = next((path for path, name in files if not name), None)
    if stray is not None:
        raise DataError(f"task.dataset: {stray} is not in a class folder; move it into one, or into a file of task.unlabeled")
    return files


def _found(folder: Path, place: str, kinds: frozenset[str] | None = None) -> list[tuple[str, str]]:
    """(path, class) of each image below a folder, or of each file with one of the endings `kinds`: the class is the name of its
    folder.
    """
    from timm.data.readers.img_extensions import get_img_extensions

    if not os.path.isdir(folder):
        raise DataError(
            f"{place}: {str(folder)!r} is not a folder; give a path relative to the spec's directory, or an absolute path"
        )
    what, ends = ("image", ".png, .jpg, or .jpeg") if kinds is None else ("text", ", ".join(kinds))
    known, found = kinds or get_img_extensions(as_set=True), list[tuple[str, str]]()
    for entry in _files(str(folder), place):
        if os.path.splitext(entry.name)[1].lower() in known:
            if not _is(entry.is_file):
                raise DataError(f"{place}: {entry.path} is not a regular file but is named like an {what}; remove it")
            above = os.path.dirname(entry.path)
            found.append((entry.path, "" if above == str(folder) else os.path.basename(above)))
    if not found:
        other = "; task.text reads .txt files" if what == "image" and any(Path(folder).glob("*/*.txt")) else ""
        raise DataError(f"{place}: {folder} contains no {what}s; give a folder of {ends} files{other}")
    return sorted(found)


def _files(root: str, place: str) -> Iterator[os.DirEntry[str]]:
    """All files below a folder. Follows links. Raises DataError for a cycle of links and for too many entries."""
    left: list[tuple[str, tuple[Identity, ...]]] = [(root, ())]
    folders = files = 0
    while left:
        path, above = left.pop()
        here = _identity(path, place)
        if here in above:
            raise DataError(f"{place}: {path} leads back to one of its parent folders; remove the link")
        for entry in _entries(path, place):
            if _is(entry.is_dir):
                left.append((entry.path, (*above, here)))
                folders += 1
            else:
                files += 1
                yield entry
            for count, most, what in ((folders, FOLDERS_MOST, "folders"), (files, FILES_MOST, "files")):
                if count > most:
                    way = "give the folder that contains only the images"
                    raise DataError(f"{place}: {root} has more than {most:,} {what}; {way}")


def _is(kind: Callable[[], bool]) -> bool:
    """The result of `kind`, or False if it raises, as for a link to itself."""
    try:
        return kind()
    except OSError:
        return False


def _identity(path: str, place: str) -> Identity:
    with _reading(path, place):
        found = os.stat(path)
        return found.st_dev, found.st_ino


def _entries(path: str, place: str) -> list[os.DirEntry[str]]:
    with _reading(path, place), os.scandir(path) as entries:
        return list(entries)


@contextlib.contextmanager
def _reading(path: str, place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        way = "restore it, make it readable, or remove it"
        raise DataError(f"{place}: {path} cannot be read ({error.strerror or error}); {way}") from None


def _images(root: Path, paths: list[str], size: tuple[int, int], channels: int) -> Images:
    """Sorted by relative path, so that the order does not depend on where the folder is."""
    named = sorted((Path(os.path.relpath(path, root)).as_posix(), path) for path in paths)
    return Images(
        paths=tuple(path for _, path in named),
        names=tuple(name for name, _ in named),
        size=size,
        channels=channels,
    )


def common_size(images: Images) -> tuple[int, int]:
    """Height and width of all images, judging by some of them. Raises DataError if they differ."""
    examined = [images.paths[row] for row in spread(len(images), EXAMINED)]
    sizes = {size_of(path): path for path in examined}
    if len(sizes) > 1:
        (one, first), (other, second) = list(sizes.items())[:2]
        raise DataError(
            f"task.image_size is missing and images differ in size: {first} is {one[0]} x {one[1]}, {second} is {other[0]} x "
            f"{other[1]} (height x width); set image_size: {min(*one, *other)}, or [height, width]"
        )
    return next(iter(sizes))


def fingerprint_of(parts: list[tuple[Images, Array | None]], exact: bool) -> str:
    """sha256 over how files are decoded, their names, labels, and lengths, and the contents of some files, or all."""
    found = hashlib.sha256(f"images {VERSION} {parts[0][0].size} {parts[0][0].channels}\n".encode())
    paths = [path for images, _ in parts for path in images.paths]
    for images, labels in parts:
        found.update(f"{len(images)} {'without labels' if labels is None else 'labeled'}\n".encode())
        numbers = [-1] * len(images) if labels is None else labels.tolist()
        for name, path, label in zip(images.names, images.paths, numbers, strict=True):
            found.update(f"{name}\0{label}\0{_length(path)}\n".encode("utf-8", "surrogateescape"))
    for row in range(len(paths)) if exact else spread(len(paths), EXAMINED):
        found.update(hashlib.sha256(_bytes(paths[row])).digest())
    return found.hexdigest()


def _length(path: str) -> int:
    with _reading(path, "task.dataset"):
        return os.stat(path).st_size


def _bytes(path: str) -> bytes:
    with _reading(path, "task.dataset"):
        return Path(path).read_bytes()
