"""A store without files, for answers that no training gave."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autodistill.spec import StoreError
from autodistill.store import Kind, Store


class Memory(Store):
    """What a study and its tables ask of a store, kept in this process; there are manifests, but no files."""

    def __init__(self) -> None:
        super().__init__(os.devnull)
        self._manifests: dict[tuple[Kind, str], bytes] = {}

    def has(self, kind: Kind, key: str) -> bool:
        return (kind, key) in self._manifests

    def keys(self, kind: Kind) -> list[str]:
        return sorted(key for other, key in self._manifests if other == kind)

    def manifest(self, kind: Kind, key: str) -> dict[str, Any]:
        """Raises StoreError when it is not there."""
        if not self.has(kind, key):
            raise StoreError(f"{kind}/{key} is not in this store, which lives as long as its process")
        found: dict[str, Any] = json.loads(self._manifests[kind, key])
        return found

    def make(self, kind: Kind, key: str, fill: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """The manifest of `key`, made by `fill` unless it is there already; what `fill` writes as files is lost."""
        if not self.has(kind, key):
            self._manifests[kind, key] = json.dumps({"key": key, "files": {}, **fill(self.root)}).encode()
        return self.manifest(kind, key)
