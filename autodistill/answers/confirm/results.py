"""What was confirmed, as plain facts: confirm.json, and confirm.npz with the correct predictions of each network.

opened       when the sealed test split was opened, after how many trials, for how many networks, whether that was forced
opening      the checksum of the last of these in opened.json; `answers` is the sha256 of confirm.npz, `checksum` of the rest
trials       how many had ended when this was confirmed; `ended`: their stages, by the beginnings of their keys
teacher      the teacher's facts, as a member's
members      of the frontier and close to it, smallest first, each with
    stage, role, on_frontier, architecture, chain, params, macs, bytes, bytes_float16
    chosen       the key of one frozen weight file: the best of its seeds on the validation samples; `weights` is its sha256
    networks     key, seed, kind (searched, fresh) and validation accuracy of all files
    validation   of the chosen file: accuracy, correct, n, low, high
    test         of the chosen file: the same, by_class (and its name), worst_drop, by_group, calibration_error, agreement
    seeds        over fresh seeds, test accuracy: n, mean, deviation, low, high
    baselines        label_only, direct, direct_long (None if there is none): the same of mean - baseline, paired by seed
    latency      one and batched: batch, p50_ms, p95_ms
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...spec import StudyError, digest
from ...store import Store
from ...study.record.folder import CONFIRMED, replace
from ...study.record.ledger import Networks, Opening, is_another, lost, openings, write
from ...study.record.opened import OpenStudy
from ...study.record.record import Record

FACTS, ANSWERS = CONFIRMED
WEIGHTS = "model.safetensors"
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""Exceptions from reading a file that was damaged or changed."""
Right = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """`right` gives, for the key of each network, a mask (N,) of the test samples that it predicts correctly."""

    facts: Mapping[str, Any]
    right: Mapping[str, Right]

    def later(self, record: Record) -> int:
        """How many trials of students that had not been tried before have ended since."""
        return len(ended(record) - set(self.facts["ended"]))

    @property
    def members(self) -> list[dict[str, Any]]:
        return list(self.facts["members"])

    @property
    def teacher(self) -> dict[str, Any]:
        return dict(self.facts["teacher"])


def ended(record: Record) -> set[str]:
    """The stages of all trials that have ended, by the beginnings of their keys."""
    return {trial.facts.stage[:16] for trial in record.trials if trial.state != "running"}


def read(study: OpenStudy) -> Confirmed | None:
    """The confirmation of a study; None if there is none.

    Raises Damaged for confirm.json or confirm.npz, StudyError for opened.json, StoreError for the weights of a claimed
    network, if one of them has changed since it was written.
    """
    found = unverified(study.folder.path, study.notes.looks)
    if found is not None:
        verify(found, study.store)
    return found


def unverified(folder: Path, looks: int) -> Confirmed | None:
    """The same, without checking the weights."""
    openings = opened_for(folder, looks)
    if not (folder / FACTS).exists():
        return None
    way_out = f"restore a copy, or create it again: {_again(folder, openings)}"
    try:
        facts = _facts(folder)
    except UNREADABLE as error:
        raise Damaged(f"{folder / FACTS} is damaged ({error})", way_out) from error
    if facts["opening"] != openings[-1].checksum():
        what = f"{folder / FACTS} belongs to an earlier opening: the last one, on {openings[-1].when}, has no result"
        raise Damaged(what, f"create it again: {_again(folder, openings)}")
    try:
        right = _right(folder, facts["answers"])
    except UNREADABLE as error:
        raise Damaged(f"{folder / ANSWERS} is damaged or missing ({error})", way_out) from error
    return Confirmed(facts=facts, right=right)


class Damaged(StudyError):
    """A damaged confirmation; `what` says which file. Confirming the same networks again is not another opening."""

    def __init__(self, what: str, way_out: str) -> None:
        self.what = what
        super().__init__(f"{what}; {way_out}")


def _again(folder: Path, openings: Sequence[Opening]) -> str:
    return shlex.join(["autodistill", "confirm", str(folder), "--seeds", str(openings[-1].seeds)])


def _facts(folder: Path) -> dict[str, Any]:
    """The content of confirm.json. Raises one of UNREADABLE if it was damaged or changed."""
    facts: dict[str, Any] = json.loads((folder / FACTS).read_bytes())
    if facts.pop("checksum") != digest(facts):
        raise ValueError("its checksum differs")
    return facts


def _right(folder: Path, checksum: str) -> dict[str, Right]:
    content = (folder / ANSWERS).read_bytes()
    if hashlib.sha256(content).hexdigest() != checksum:  # or a kill came between the two files
        raise ValueError(f"its sha256 is not the one in {FACTS}")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {str(key): row for key, row in zip(arrays["keys"], arrays["right"], strict=True)}


def verify(found: Confirmed, store: Store) -> None:
    """Raises unless each network still has the confirmed weights: a claim is about one weight file."""
    for one in (*found.members, found.teacher):
        store.verify("stages", one["chosen"])
        if store.manifest("stages", one["chosen"])["files"][WEIGHTS] != one["weights"]:
            raise StudyError(
                f"the weights in {store.folder('stages', one['chosen'])} are not the confirmed ones: the stage was retrained "
                "later, and the result differs bit for bit. Restore a copy of the folder, or run confirm with --force"
            )


def opened_for(folder: Path, looks: int) -> list[Opening]:
    """All openings of the test split, at least `looks` of them.

    Raises StudyError if the ledger is damaged or lacks openings, such as that of confirm.json.
    """
    found = openings(folder, looks)
    with contextlib.suppress(*UNREADABLE):  # reading confirm.json itself reports these
        if _facts(folder)["opening"] not in [one.checksum() for one in found]:
            raise lost(folder, f"does not list the opening that {FACTS} refers to")
    return found


def save(folder: Path, found: Confirmed) -> Confirmed:
    """Writes it, and returns it as it will be read."""
    stream = io.BytesIO()
    keys = list(found.right)
    np.savez_compressed(stream, keys=np.array(keys), right=np.stack([found.right[key] for key in keys]))
    facts = json.loads(json.dumps({**found.facts, "answers": hashlib.sha256(stream.getvalue()).hexdigest()}))
    replace(folder / ANSWERS, stream.getvalue())
    replace(folder / FACTS, json.dumps(facts | {"checksum": digest(facts)}, indent=1).encode() + b"\n")
    return Confirmed(facts=facts, right=found.right)


def refuse_opened(
    folder: Path, looks: int, networks: Networks | None = None, *, test: str | None = None, damage: Damaged | None = None
) -> None:
    """Raises StudyError if the test split was opened for other networks or samples, or, without `networks`, at all.

    `damage` is the error for a damaged confirmation: the message then suggests to restore a copy.
    """
    before = opened_for(folder, looks)
    if not is_another(before, networks, test):
        return
    last = before[-1]
    first = f"{damage.what}; restore a copy of it. Confirming now needs a new opening: " if damage else ""
    raise StudyError(
        f"{first}the test split of {folder} was opened on {last.when} for {len(last.networks)} networks, after {last.trials} "
        "trials. Students that were searched or trained later, or another test split, need a new opening. A test split that "
        "is used repeatedly becomes training data. Add --force to open it anyway; every report will say so"
    )


def note_opening(
    folder: Path, looks: int, networks: Networks, *, test: str, trials: int, seeds: int, force: bool
) -> list[Opening]:
    """Records an opening of the test split for these networks, before it is opened; returns all openings so far.

    Raises StudyError if this needs `force` and it is not given. With `force`, replaces an opened.json that cannot be trusted.
    """
    before = known_openings(folder, looks, force)
    if before is not None and not force:
        refuse_opened(folder, looks, networks, test=test)
    if not before or is_another(before, networks, test):
        before = [*(before or []), _opening(before, networks, test=test, trials=trials, seeds=seeds)]
        write(folder, before)
    return before


def known_openings(folder: Path, looks: int, force: bool) -> list[Opening] | None:
    """All openings; None if opened.json cannot be trusted and `force` is given."""
    try:
        return opened_for(folder, looks)
    except StudyError:
        if not force:
            raise
        return None


def _opening(before: Sequence[Opening] | None, networks: Networks, **known: Any) -> Opening:
    """A new opening; it counts as forced if there was one before, or if that is unknown."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    head = before[-1].checksum() if before else None
    return Opening(when=when, forced=before != [], networks=dict(networks), before=head, **known)
