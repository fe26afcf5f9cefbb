"""Reads what trackers wrote, with the readers of those trackers where there are any."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, HEAD = 32768, 7
"""Of the log format of LevelDB, in which W&B writes its .wandb files."""


@dataclass
class Offline:
    """A run that W&B wrote offline: its history by step, its config and its summary."""

    key: str
    name: str = ""
    group: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)


def offline_runs(directory: Path) -> list[Offline]:
    """The runs below a directory, by name."""
    found = [_offline(path) for path in directory.glob("wandb/offline-run-*/*.wandb")]
    return sorted(found, key=lambda one: one.name)


def _offline(path: Path) -> Offline:
    from wandb.proto import wandb_internal_pb2

    found = Offline(path.stem.removeprefix("run-"))
    for content in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        match record.WhichOneof("record_type"):
            case "run":
                found.name, found.group = record.run.display_name or found.name, record.run.run_group
                found.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            case "history":
                found.history.append(_items(record.history.item))
            case "summary":
                found.summary |= _items(record.summary.update)
            case "artifact":
                found.artifacts += [entry.path for entry in record.artifact.manifest.contents]
            case "request":
                pass
    return found


def _items(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(content: bytes) -> Iterator[bytes]:
    """The records of a log of LevelDB, which are split at blocks."""
    place, whole = HEAD, b""
    while place + HEAD <= len(content):
        if BLOCK - place % BLOCK < HEAD:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        whole += content[place + HEAD : place + HEAD + length]
        place += HEAD + length
        if kind in (1, 4):  # a full record, or the last part of one
            yield whole
            whole = b""
