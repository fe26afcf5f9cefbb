"""opened.json: all openings of the sealed test split, each noted before the split is opened.

Each opening holds the checksum of the one before it, and confirm.json names the opening that it was made under: so no
opening can be changed or taken out unseen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from ..spec import StudyError, digest
from ..study import folder as files
from ..study.folder import CONFIRMED, OPENINGS

Networks = Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Opening:
    """`trials` had been told by then; `seeds` fresh ones were asked for; `test` is a digest of the samples.

    `networks` has the sha256 of the weights by the key, None of a network that could not be trained. `before` is the checksum
    of the opening before this one, None of the first.
    """

    when: str
    trials: int
    seeds: int
    forced: bool
    networks: Networks
    test: str
    before: str | None

    @classmethod
    def read(cls, found: dict[str, Any]) -> Self:
        """Raises ValueError, TypeError, KeyError or AttributeError for what is none, or was changed."""
        checksum = found.pop("checksum")
        opening = cls(**found)
        if opening.checksum() != checksum:
            raise ValueError("a checksum differs")
        return opening

    def checksum(self) -> str:
        return digest(asdict(self))

    def facts(self) -> dict[str, Any]:
        """What confirm.json says of it."""
        return {"when": self.when, "trials": self.trials, "forced": self.forced, "networks": len(self.networks)}


def openings(folder: Path, looks: int = 0) -> list[Opening]:
    """All of them, the first one first; none where the test split was never opened.

    Raises StudyError for a file that was damaged or changed, for one that is gone though confirm.json is there, and where
    there are fewer than the record knows of, which are `looks`.
    """
    found = _read(folder)
    if len(found) < looks:
        raise lost(folder, f"lists {len(found)} of the {looks} openings that the record of the study knows of")
    return found


def _read(folder: Path) -> list[Opening]:
    path = folder / OPENINGS
    if not path.exists():
        if (folder / CONFIRMED[0]).exists():
            raise lost(folder, f"is gone, though {CONFIRMED[0]} is there")
        return []
    try:
        found = [Opening.read(one) for one in json.loads(path.read_bytes())]
        if [one.before for one in found] != [None, *(one.checksum() for one in found[:-1])]:
            raise ValueError("an opening is missing")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise lost(folder, f"is damaged or was changed ({error})") from error
    return found


def lost(folder: Path, why: str) -> StudyError:
    """The error for a ledger that cannot be believed."""
    return StudyError(
        f"{folder / OPENINGS} {why}, so it is not known how often the test split was opened. Put back a copy of the file; or "
        "confirm with --force, which begins it anew, and every report will say that the split was opened by force"
    )


def write(folder: Path, found: Sequence[Opening]) -> None:
    content = [{**asdict(one), "checksum": one.checksum()} for one in found]
    files.replace(folder / OPENINGS, json.dumps(content, indent=1).encode() + b"\n")


def is_another(found: Sequence[Opening], networks: Networks | None, test: str | None = None) -> bool:
    """Whether to open it for these networks and samples is not the same as the last opening; always so without `networks`.

    To open it again for what it was opened for last, after a kill, is the same opening. A network that was trained again,
    and not bit by bit the same, is another one.
    """
    if not found:
        return False
    known = found[-1].networks
    if networks is None or not set(networks) <= set(known) or test not in (None, found[-1].test):
        return True
    return any(None not in (weights, known[key]) and weights != known[key] for key, weights in networks.items())


def inherit(folder: Path, older: Path, looks: int) -> None:
    """What a study has seen of the test split is known to the one that begins with it, beside what that saw before.

    `looks` is how often the older one opened it, by its record. What is known already, after a kill, is not added again.
    """
    if folder == older or not (theirs := openings(older, looks)):
        return
    found = openings(folder)
    known = [replace(one, before=None) for one in found]
    for one in theirs:
        if replace(one, before=None) not in known:
            found.append(replace(one, before=found[-1].checksum() if found else None))
    write(folder, found)
