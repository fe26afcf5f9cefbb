"""What was confirmed, as plain facts: confirm.json, and confirm.npz with the right answers of each network.

opened       when the sealed test split was opened, after how many trials, for how many networks, whether that was forced
trials       told when this was confirmed, and `ended`: their stages, by the beginnings of their keys
teacher      the teacher's facts, as a member's
members      of the frontier and within noise of it, the smallest first, each with
    stage, role, on_frontier, architecture, chain, params, macs, bytes, bytes_float16
    chosen       the key of one frozen weight file: the best of its seeds on the validation samples
    networks     key, seed, kind (searched, fresh) and validation accuracy of all files
    validation   of the chosen file: accuracy, correct, n, low, high
    test         of the chosen file: the same, by_class (and its name), worst_drop, by_group, calibration_error, agreement
    seeds        over fresh seeds, test accuracy: n, mean, deviation, low, high
    twins        from_labels, direct, direct_long (None where there is none): the same of mean - twin, paired by seed
    latency      one and batched: batch, p50_ms, p95_ms
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..spec import StudyError, UsageError
from ..study.folder import CONFIRMED, OPENINGS, replace
from ..study.record import Record

FACTS, ANSWERS = CONFIRMED
Right = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """`right` (N,) says of each network, by its key, which test samples it is right on."""

    facts: Mapping[str, Any]
    right: Mapping[str, Right]

    def later(self, record: Record) -> int:
        """How many trials of the study have ended since, of students that had not been tried before."""
        return len(ended(record) - set(self.facts["ended"]))

    @property
    def members(self) -> list[dict[str, Any]]:
        return list(self.facts["members"])

    @property
    def teacher(self) -> dict[str, Any]:
        return dict(self.facts["teacher"])


def ended(record: Record) -> set[str]:
    """The stages of all trials that have ended, by the beginnings of their keys."""
    return {trial.facts["stage"][:16] for trial in record.trials if trial.state != "running"}


def read(folder: Path) -> Confirmed | None:
    """What was confirmed of the study in `folder`; None where nothing was. Raises StudyError for damaged files."""
    if not (folder / FACTS).exists():
        return None
    try:
        facts, answers = json.loads((folder / FACTS).read_bytes()), (folder / ANSWERS).read_bytes()
        if facts["answers"] != hashlib.sha256(answers).hexdigest():
            return None  # a kill came between the two files
        with np.load(io.BytesIO(answers), allow_pickle=False) as arrays:
            right = {str(key): row for key, row in zip(arrays["keys"], arrays["right"], strict=True)}
        known = {name: facts[name] for name in ("members", "teacher", "ended")}
        return Confirmed(facts=facts | known, right=right)
    except (OSError, ValueError, KeyError, TypeError) as error:
        way_out = f"remove {FACTS} and {ANSWERS} and confirm again"
        raise StudyError(f"{folder / FACTS} cannot be read ({error!r}); {way_out}") from error


def confirmed(folder: Path) -> Confirmed:
    """The same. Raises UsageError where nothing was confirmed."""
    found = read(folder)
    if found is None:
        raise UsageError(f"{folder} was not confirmed yet; run: autodistill confirm {folder}")
    return found


def save(folder: Path, found: Confirmed) -> Confirmed:
    """Writes it, and returns it as it will be read."""
    stream = io.BytesIO()
    keys = list(found.right)
    np.savez_compressed(stream, keys=np.array(keys), right=np.stack([found.right[key] for key in keys]))
    facts = {**found.facts, "answers": hashlib.sha256(stream.getvalue()).hexdigest()}
    replace(folder / ANSWERS, stream.getvalue())
    replace(folder / FACTS, json.dumps(facts, indent=1).encode() + b"\n")
    return Confirmed(facts=facts, right=found.right)


def refuse_opened(folder: Path, keys: Sequence[str] | None = None) -> None:
    """Raises StudyError where the test split was opened for other networks than these; for any, without `keys`."""
    if not _is_another(folder, keys):
        return
    last = openings(folder)[-1]
    raise StudyError(
        f"the test split of {folder} was opened on {last['when']} for {len(last['networks'])} networks, after {last['trials']} "
        "trials: what is searched or trained after that is another question. A test split that is looked at again and again "
        "becomes training data: --force opens it all the same, and every report will say so"
    )


def openings(folder: Path) -> list[dict[str, Any]]:
    """All openings of the test split, each with the keys of its networks: noted before it is opened, so after a kill too."""
    path = folder / OPENINGS
    return list(json.loads(path.read_bytes())) if path.exists() else []


def _is_another(folder: Path, keys: Sequence[str] | None) -> bool:
    """Opening it again for what it was opened for last, after a kill, is the same opening."""
    before = openings(folder)
    return bool(before) and (keys is None or not set(keys) <= set(before[-1]["networks"]))


def note_opening(folder: Path, keys: Sequence[str], *, trials: int) -> list[dict[str, Any]]:
    """Writes down that the test split is opened for these networks, before it is; returns all openings so far.

    What was refused first was forced.
    """
    before = openings(folder)
    if not before or _is_another(folder, keys):
        when = datetime.now(UTC).isoformat(timespec="seconds")
        before.append({"when": when, "trials": trials, "forced": bool(before), "networks": list(keys)})
        replace(folder / OPENINGS, json.dumps(before, indent=1).encode() + b"\n")
    return [{**one, "networks": len(one["networks"])} for one in before]
