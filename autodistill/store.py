"""Floor 1: content-addressed folders, made once.

    <root>/<kind>/<key>/<attempt>/...      the files of one attempt
    <root>/<kind>/<key>/record.json        written last: which attempt won, the sha256 of each file, and what was measured

    <root>/partial/<key>                   what a stage in training goes on from

A folder counts only when its record is there, so anything may be killed at any time. No folder is renamed. Of two that
race for one key the first record stands and the other attempt is removed. Kinds are `stages` (whose record is called
stage.json), `outputs` and `data`. A partial is only a saving: what is damaged counts as not there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from .spec import StoreError, digest

Kind = Literal["stages", "outputs", "data"]
DIGEST = hashlib.sha256().digest_size
RECORDS: dict[Kind, str] = {"stages": "stage.json", "outputs": "outputs.json", "data": "data.json"}


class Store:
    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()
        self._verified: set[tuple[str, int, int]] = set()

    def folder(self, kind: Kind, key: str) -> Path:
        return self.root / kind / key

    def has(self, kind: Kind, key: str) -> bool:
        return (self.folder(kind, key) / RECORDS[kind]).exists()

    def keys(self, kind: Kind) -> list[str]:
        return sorted(path.parent.name for path in (self.root / kind).glob(f"*/{RECORDS[kind]}"))

    def record(self, kind: Kind, key: str) -> dict[str, Any]:
        """What was written when the folder was complete. Raises StoreError when it is not there or damaged."""
        path = self.folder(kind, key) / RECORDS[kind]
        try:
            record: dict[str, Any] = json.loads(path.read_bytes())
            checksum = record.pop("checksum")
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise StoreError(f"{path} cannot be read ({error!r}); {self._way_out(kind, key)}") from None
        if checksum != digest(record):
            raise StoreError(f"{path} is damaged (its checksum differs); {self._way_out(kind, key)}")
        return record

    def file(self, kind: Kind, key: str, name: str) -> Path:
        """The path of one file, its sha256 checked once a process. Raises StoreError when it is damaged or gone."""
        record = self.record(kind, key)
        path = self.folder(kind, key) / str(record["attempt"]) / name
        try:
            status = path.stat()
            seen = (str(path), status.st_size, status.st_mtime_ns)
            if seen not in self._verified and sha256(path) != record["files"][name]:
                raise StoreError(f"{path} is damaged (its sha256 differs); {self._way_out(kind, key)}")
        except (OSError, KeyError) as error:
            raise StoreError(f"{path} cannot be read ({error!r}); {self._way_out(kind, key)}") from None
        self._verified.add(seen)
        return path

    def verify(self, kind: Kind, key: str) -> None:
        """Raises StoreError unless every file of the folder is as it was written."""
        for name in self.record(kind, key)["files"]:
            self.file(kind, key, name)

    def make(self, kind: Kind, key: str, fill: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """The record of a folder, made by `fill(attempt folder) -> facts` unless it is there already."""
        if not self.has(kind, key):
            with self._attempt(kind, key) as attempt:
                facts = fill(attempt)
                files = {path.name: sha256(path) for path in sorted(attempt.iterdir())}
                record = {"key": key, "attempt": attempt.name, "files": files, **facts}
                won = _create(self.folder(kind, key) / RECORDS[kind], record | {"checksum": digest(record)})
                if not won:
                    raise _Late
        return self.record(kind, key)

    def take(self, other: Store, kind: Kind, key: str) -> None:
        """Makes a folder from that of another store, unless it is there already. Raises StoreError for a damaged file."""

        def fill(attempt: Path) -> dict[str, Any]:
            record = other.record(kind, key)
            for name in record["files"]:
                shutil.copyfile(other.file(kind, key, name), attempt / name)
            return {name: value for name, value in record.items() if name not in ("key", "attempt", "files")}

        self.make(kind, key, fill)

    @contextlib.contextmanager
    def _attempt(self, kind: Kind, key: str) -> Iterator[Path]:
        attempt = self.folder(kind, key) / uuid.uuid4().hex
        attempt.mkdir(parents=True)
        try:
            yield attempt
        except _Late:
            shutil.rmtree(attempt)
        except BaseException:
            shutil.rmtree(attempt, ignore_errors=True)
            raise

    def save_partial(self, key: str, content: bytes | memoryview) -> None:
        """Keeps what a stage in training goes on from, instead of what was kept before: whole or not at all."""
        path = self._partial(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{uuid.uuid4().hex}")
        try:
            with draft.open("wb") as file:
                file.write(hashlib.sha256(content).digest())
                file.write(content)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)

    def load_partial(self, key: str) -> bytes | None:
        """What was kept last, or None where there is none that is as it was written."""
        try:
            with self._partial(key).open("rb") as file:
                checksum, content = file.read(DIGEST), file.read()
        except OSError:
            return None
        return content if hashlib.sha256(content).digest() == checksum else None

    def remove_partial(self, key: str) -> None:
        self._partial(key).unlink(missing_ok=True)

    def _partial(self, key: str) -> Path:
        return self.root / "partial" / key

    def sweep(self) -> None:
        """Removes what was cut off, and the partials of stages that are stored. Only where nobody else writes into it."""
        for path in (self.root / "partial").glob("*"):
            if path.name.startswith(".") or self.has("stages", path.name):
                path.unlink()
        for kind, name in RECORDS.items():
            for folder in (self.root / kind).glob("*"):
                kept = {self.record(kind, folder.name)["attempt"]} if (folder / name).exists() else set()
                for path in folder.iterdir():
                    if path.is_dir() and path.name not in kept:
                        shutil.rmtree(path)

    def _way_out(self, kind: Kind, key: str) -> str:
        return f"remove the folder {self.folder(kind, key)} and it is made again"


class _Late(Exception):
    """Another process completed the same folder first."""


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _create(path: Path, record: dict[str, Any]) -> bool:
    """Writes `record` to `path` whole or not at all; False if another was first."""
    draft = path.with_name(f".{uuid.uuid4().hex}")
    try:
        with draft.open("w") as file:
            json.dump(record, file, indent=1, sort_keys=True, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        _link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def _link(draft: Path, path: Path) -> None:
    """Gives `draft` the name `path`; unlike a rename it fails where the name is taken."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        _write_new(path, draft.read_bytes())


def _write_new(path: Path, content: bytes) -> None:
    """For a file system without hard links. Raises FileExistsError; what cannot be written whole is taken away."""
    with path.open("xb") as file:
        try:
            file.write(content)
            file.flush()
        except OSError:
            path.unlink()
            raise
