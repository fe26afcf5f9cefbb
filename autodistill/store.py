"""Content-addressed folders, created once.

    <root>/<kind>/<key>/<attempt>/...      the files of one attempt
    <root>/<kind>/<key>/<manifest>         written last: which attempt won, the sha256 of each file, and what was measured

    <root>/partial/<key>                   the state from which a stage in training resumes

A folder counts only if its manifest exists, so anything may be killed at any time. No folder is renamed. If two attempts
race for one key, the first manifest wins and the other attempt is removed (on a file system without hard links, the second
manifest may win; both describe a complete attempt). Kinds are `stages`, `outputs`, `data`, and `references`; their manifests
are called stage.json, outputs.json, data.json, and reference.json. A partial only saves time: a damaged one is ignored, and so
is a damaged reference. Keys are sha256 in hexadecimal: anything with another name, and anything that is not a folder, is not
part of the store and is left alone.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Self, TypeVar

from .spec import StoreError, UsageError, digest, is_full
from .spec.imports import reason
from .spec.value import Json, local

Kind = Literal["stages", "outputs", "data", "references"]
Manifest = Json
"""As the JSON file holds it: `key`, `attempt`, `files`, and what was measured."""
DIGEST = hashlib.sha256().digest_size
MANIFESTS: dict[Kind, str] = {
    "stages": "stage.json",
    "outputs": "outputs.json",
    "data": "data.json",
    "references": "reference.json",
}
PARTIAL = "partial"
KEY = re.compile(r"[0-9a-f]{64}")


class Store:
    def __init__(self, root: Path | str) -> None:
        self.root = local(root, "--store")
        self._verified: set[tuple[str, int, int]] = set()

    def open(self) -> Self:
        """Creates the folders of all kinds. Raises UsageError if that fails."""
        try:
            for name in (*MANIFESTS, PARTIAL):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if is_full(error):
                raise
            where = f"the store {self.root} cannot be written to: {error.strerror}: {error.filename}"
            raise UsageError(f"{where}; give another --store, or remove what is in the way") from error
        return self

    def folder(self, kind: Kind, key: str) -> Path:
        return self.root / kind / key

    def has(self, kind: Kind, key: str) -> bool:
        return os.path.exists(self.folder(kind, key) / MANIFESTS[kind])

    def keys(self, kind: Kind) -> list[str]:
        return sorted(folder.name for folder in self._folders(kind) if self.has(kind, folder.name))

    def _folders(self, kind: Kind) -> list[Path]:
        """The folders of all keys, with or without a manifest."""
        return [path for path in (self.root / kind).glob("*") if KEY.fullmatch(path.name) and path.is_dir()]

    def manifest(self, kind: Kind, key: str) -> Manifest:
        """What was written when the folder was complete. Raises StoreError if it is missing or damaged."""
        path = self.folder(kind, key) / MANIFESTS[kind]
        try:
            manifest: Manifest = json.loads(path.read_bytes())
            checksum = manifest.pop("checksum")
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            why = f"{type(error).__name__}: {error}"
            raise self._damaged(kind, key, f"{path} cannot be read ({why})") from None
        if checksum != digest(manifest):
            raise self._damaged(kind, key, f"{path} is damaged (its checksum differs)")
        if manifest["key"] != key:
            raise self._damaged(kind, key, f"{path} has the key {manifest['key']!r}, so it is in the wrong folder")
        return manifest

    def file(self, kind: Kind, key: str, name: str) -> Path:
        """The path of one file, its sha256 checked once per process. Raises StoreError if it is damaged or missing."""
        manifest = self.manifest(kind, key)
        path = self.folder(kind, key) / str(manifest["attempt"]) / name
        try:
            status = path.stat()
            seen = (str(path), status.st_size, status.st_mtime_ns)
            if seen not in self._verified and sha256(path) != manifest["files"][name]:
                raise self._damaged(kind, key, f"{path} is damaged (its sha256 differs)")
        except (OSError, KeyError) as error:
            raise self._damaged(kind, key, f"{path} cannot be read ({error!r})") from None
        self._verified.add(seen)
        return path

    def verify(self, kind: Kind, key: str) -> None:
        """Raises StoreError unless every file of the folder is as it was written."""
        for name in self.manifest(kind, key)["files"]:
            self.file(kind, key, name)

    def discard_damaged(self, kind: Kind, key: str) -> None:
        """Removes a complete folder with a damaged file, so that it can be made again."""
        try:
            if self.has(kind, key):
                self.verify(kind, key)
        except StoreError:
            shutil.rmtree(self.folder(kind, key), ignore_errors=True)

    def make(self, kind: Kind, key: str, fill: Callable[[Path], Json]) -> Manifest:
        """The manifest of a folder, made by `fill(attempt folder) -> facts` unless it exists already."""
        if not self.has(kind, key):
            with contextlib.suppress(_Late), self._attempt(kind, key) as attempt:
                facts = fill(attempt)
                files = {path.name: sha256(path) for path in sorted(attempt.iterdir())}
                manifest = {"key": key, "attempt": attempt.name, "files": files, **facts}
                _create(self.folder(kind, key) / MANIFESTS[kind], manifest | {"checksum": digest(manifest)})
        return self.manifest(kind, key)

    def take(self, other: Store, kind: Kind, key: str) -> None:
        """Copies a folder from another store, unless it exists already. Raises StoreError for a damaged file."""

        def fill(attempt: Path) -> Json:
            manifest = other.manifest(kind, key)
            for name in manifest["files"]:
                shutil.copyfile(other.file(kind, key, name), attempt / name)
            return {name: value for name, value in manifest.items() if name not in ("key", "attempt", "files")}

        self.make(kind, key, fill)

    @contextlib.contextmanager
    def _attempt(self, kind: Kind, key: str) -> Iterator[Path]:
        """A folder to fill. On an error, it is removed unless the stored manifest refers to it.

        The manifest may be stored although writing it raised: after Ctrl-C, or if a network file system lost the reply and
        reported on the retry that the name was taken.
        """
        attempt = self.folder(kind, key) / uuid.uuid4().hex
        try:
            with self._blamed():
                attempt.mkdir(parents=True)
                yield attempt
        except BaseException:
            if not _is_of(self.folder(kind, key) / MANIFESTS[kind], attempt.name):
                shutil.rmtree(attempt, ignore_errors=True)
            raise

    @contextlib.contextmanager
    def _blamed(self) -> Iterator[None]:
        """Turns an OSError about a path of the store into a StoreError: no stage caused it.

        A full disk remains an OSError.
        """
        try:
            yield
        except OSError as error:
            if is_full(error) or not _concerns(self.root, error.filename):
                raise
            where = f"the store {self.root} cannot be written to: {error.filename}: {error.strerror}"
            raise StoreError(f"{where}; fix that, then run the same command again") from error

    def save_partial(self, key: str, content: bytes | memoryview) -> None:
        """Saves the state from which a stage in training resumes, in place of an earlier one: completely or not at all."""
        path = self._partial(key)
        draft = path.with_name(f".{uuid.uuid4().hex}")
        with self._blamed():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with draft.open("wb") as file:
                    file.write(hashlib.sha256(content).digest())
                    file.write(content)
                os.replace(draft, path)
            finally:
                draft.unlink(missing_ok=True)

    def load_partial(self, key: str) -> bytes | None:
        """What was saved last, or None if there is nothing, or if it is damaged."""
        try:
            with self._partial(key).open("rb") as file:
                checksum, content = file.read(DIGEST), file.read()
        except OSError:
            return None
        return content if hashlib.sha256(content).digest() == checksum else None

    def remove_partial(self, key: str) -> None:
        with self._blamed():
            self._partial(key).unlink(missing_ok=True)

    def _partial(self, key: str) -> Path:
        return self.root / PARTIAL / key

    def sweep(self) -> None:
        """Removes unfinished attempts, and the partials of stored stages. Only call it if nobody else writes to the store.

        Files that cannot be removed now, because another process has them open, are left for the next sweep.
        """
        for path in (self.root / PARTIAL).glob("*"):
            if path.name.startswith(".") or self.has("stages", path.name):
                with contextlib.suppress(OSError):
                    path.unlink()
        for kind in MANIFESTS:
            for folder in self._folders(kind):
                if kind == "references":
                    self.discard_damaged(kind, folder.name)
                kept = self.manifest(kind, folder.name)["attempt"] if self.has(kind, folder.name) else None
                for path in folder.glob("*"):
                    if path.is_dir() and path.name != kept:
                        shutil.rmtree(path, ignore_errors=True)

    def _damaged(self, kind: Kind, key: str, message: str) -> StoreError:
        return StoreError(f"{message}; remove the folder {self.folder(kind, key)}, and it will be created again")


Parsed = TypeVar("Parsed")


def parsed(store: Store, kind: Kind, key: str, parse: Callable[[Manifest], Parsed]) -> Parsed:
    """What `parse` makes of a manifest. Raises StoreError if that fails: then another version of autodistill wrote it."""
    manifest = store.manifest(kind, key)
    try:
        return parse(manifest)
    except (KeyError, TypeError, ValueError) as error:  # pydantic's errors are ValueErrors
        path = store.folder(kind, key) / MANIFESTS[kind]
        what = f"{path} was written by another version of autodistill, which this one cannot read ({reason(error)})"
        way = f"use that version, or remove the store {store.root}, and everything in it will be created again"
        raise StoreError(f"{what}; {way}") from None


class _Late(Exception):
    """A manifest is already stored, most likely by another process."""


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _create(path: Path, manifest: Manifest) -> None:
    """Writes `manifest` to `path` completely or not at all. Raises _Late if the name is taken."""
    draft = path.with_name(f".{uuid.uuid4().hex}")
    try:
        with draft.open("w") as file:
            json.dump(manifest, file, indent=1, sort_keys=True, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        _link(draft, path)
    except FileExistsError:
        raise _Late from None
    finally:
        draft.unlink(missing_ok=True)


def _is_of(path: Path, attempt: str) -> bool:
    """Whether a manifest is stored and refers to this attempt."""
    try:
        return bool(json.loads(path.read_bytes())["attempt"] == attempt)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _link(draft: Path, path: Path) -> None:
    """Gives `draft` the name `path`; unlike a rename, it fails if the name is taken."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        if path.exists():  # without hard links, of two at the same moment the later one wins
            raise FileExistsError(errno.EEXIST, "a manifest exists already", str(path)) from None
        os.replace(draft, path)


def _concerns(root: Path, name: object) -> bool:
    """Whether the file name of an OSError is inside the root of a store, or a parent of it."""
    path = Path(os.fsdecode(name)) if isinstance(name, str | bytes | Path) else None
    return path is not None and (path.is_relative_to(root) or root.is_relative_to(path))
