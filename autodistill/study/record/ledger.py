"""opened.json: all openings of the sealed test split, each written before the split is opened.

Each opening contains the checksum of the previous one, and confirm.json contains the checksum of the opening that it belongs
to. So a changed or removed opening is detected.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from ...spec import StudyError, digest
from ...spec.value import Json
from . import directory as files
from .directory import CONFIRMED, OPENINGS

Networks = Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One opening: after how many `trials`, with how many fresh `seeds`; `test` is a digest of the test samples.

    `networks` maps keys to the sha256 of the weights, or to None if the network could not be trained. `before` is the checksum
    of the previous opening, or None for the first.
    """

    when: str
    trials: int
    seeds: int
    forced: bool
    networks: Networks
    test: str
    before: str | None

    @classmethod
    def read(cls, found: Json) -> Self:
        """Raises ValueError, TypeError, KeyError or AttributeError if `found` is not an opening, or was changed."""
        checksum = found.pop("checksum")
        opening = cls(**found)
        if opening.checksum() != checksum:
            raise ValueError("a checksum differs")
        return opening

    def checksum(self) -> str:
        return digest(asdict(self))

    def facts(self) -> Json:
        """What confirm.json records about it."""
        return {"when": self.when, "trials": self.trials, "forced": self.forced, "networks": len(self.networks)}


def openings(directory: Path, looks: int = 0) -> list[Opening]:
    """All openings, oldest first; empty if the test split was never opened.

    Raises StudyError if the file was damaged or edited, if it is missing although confirm.json exists, or if it lists fewer
    openings than the `looks` that the record counts.
    """
    found = _read(directory)
    if len(found) < looks:
        raise lost(directory, f"lists {len(found)} of the {looks} openings that study.db has recorded")
    return found


def _read(directory: Path) -> list[Opening]:
    path = directory / OPENINGS
    if not path.exists():
        if (directory / CONFIRMED[0]).exists():
            raise lost(directory, f"is missing, but {CONFIRMED[0]} exists")
        return []
    try:
        found = [Opening.read(one) for one in json.loads(path.read_bytes())]
        if [one.before for one in found] != [None, *(one.checksum() for one in found[:-1])]:
            raise ValueError("an opening is missing")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise lost(directory, f"is damaged or was edited ({error})") from error
    return found


def lost(directory: Path, why: str) -> StudyError:
    """The error for an opened.json that cannot be trusted."""
    return StudyError(
        f"{directory / OPENINGS} {why}, so the number of times that the test split was opened is unknown. Restore a copy of "
        "the file, or run confirm with --force: it starts a new file, and every report will say that the split was opened by "
        "force"
    )


def write(directory: Path, found: Sequence[Opening]) -> None:
    content = [{**asdict(one), "checksum": one.checksum()} for one in found]
    files.replace(directory / OPENINGS, json.dumps(content, indent=1).encode() + b"\n")


def is_another(found: Sequence[Opening], networks: Networks | None, test: str | None = None) -> bool:
    """Whether opening the split for these networks and samples would differ from the last opening; True without `networks`.

    Opening it again for the same networks, for example after a kill, is the same opening. A network that was retrained with
    a result that is not bit-identical is a different network.
    """
    if not found:
        return False
    known = found[-1].networks
    if networks is None or not set(networks) <= set(known) or test not in (None, found[-1].test):
        return True
    return any(None not in (weights, known[key]) and weights != known[key] for key, weights in networks.items())


def inherit(directory: Path, older: Path, looks: int) -> None:
    """Copies the openings of an older study into the ledger of the study that starts from it.

    `looks` is how many openings the older study has recorded. Openings that are already there, after a kill, are not added
    again.
    """
    if directory == older or not (theirs := openings(older, looks)):
        return
    found = openings(directory)
    known = [replace(one, before=None) for one in found]
    for one in theirs:
        if replace(one, before=None) not in known:
            found.append(replace(one, before=found[-1].checksum() if found else None))
    write(directory, found)
