"""Reads and writes confirm.json and confirm.npz, and refuses what has changed since it was written."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ...metrics.metric import Outcome
from ...metrics.ranking import MOST_OUTPUTS
from ...spec import StudyError, digest
from ...spec.metric import is_own
from ...spec.problems import dotted
from ...spec.value import Json
from ...store import Store
from ...study.record.directory import CONFIRMED, replace
from ...study.record.ledger import Networks, Opening, is_another, lost, openings, write
from ...study.record.opened import OpenStudy
from .confirmation import Confirmation

FACTS, ANSWERS = CONFIRMED
PREDICTIONS = ("predicted", "rank", "surprise", "outputs")
"""The arrays (M, N) of confirm.npz, for M networks and N test samples."""
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""Exceptions from reading a file that was damaged or changed."""


def read(study: OpenStudy) -> Confirmation | None:
    """The confirmation of a study; None if there is none.

    Raises Damaged for confirm.json or confirm.npz, StudyError for opened.json, StoreError for the weights of a claimed
    network, if one of them has changed since it was written.
    """
    found = unverified(study.directory.path, study.notes.looks)
    if found is not None:
        verify(found, study.store)
    return found


def unverified(directory: Path, looks: int) -> Confirmation | None:
    """The same, without checking the weights."""
    openings = opened_for(directory, looks)
    if not (directory / FACTS).exists():
        return None
    way_out = f"restore a copy, or create it again: {_again(directory, openings)}"
    try:
        found = _validated(_facts(directory))
    except UNREADABLE as error:
        raise Damaged(f"{directory / FACTS} is damaged ({error})", way_out) from error
    if found.opening != openings[-1].checksum():
        what = f"{directory / FACTS} belongs to an earlier opening: the last one, on {openings[-1].when}, has no result"
        raise Damaged(what, f"create it again: {_again(directory, openings)}")
    try:
        outcomes = _outcomes(directory, found.answers)
    except UNREADABLE as error:
        raise Damaged(f"{directory / ANSWERS} is damaged or missing ({error})", way_out) from error
    return found.model_copy(update={"outcomes": outcomes})


class Damaged(StudyError):
    """A damaged confirmation; `what` says which file. Confirming the same networks again is not another opening."""

    def __init__(self, what: str, way_out: str) -> None:
        self.what = what
        super().__init__(f"{what}; {way_out}")


def _again(directory: Path, openings: Sequence[Opening]) -> str:
    return shlex.join(["autodistill", "confirm", str(directory), "--seeds", str(openings[-1].seeds)])


def _facts(directory: Path) -> Json:
    """The content of confirm.json. Raises one of UNREADABLE if it was damaged or changed."""
    facts: Json = json.loads((directory / FACTS).read_bytes())
    if facts.pop("checksum") != digest(facts):
        raise ValueError("its checksum differs")
    return facts


def _validated(facts: Json) -> Confirmation:
    """Raises ValueError, with the first field that is wrong."""
    try:
        return Confirmation.model_validate_json(json.dumps(facts))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{dotted(first['loc'])}: {first['msg']}") from error


def _outcomes(directory: Path, checksum: str) -> dict[str, Outcome]:
    content = (directory / ANSWERS).read_bytes()
    if hashlib.sha256(content).hexdigest() != checksum:  # or a kill came between the two files
        raise ValueError(f"its sha256 is not the one in {FACTS}")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        keys, labels = arrays["keys"], arrays["labels"]
        kept = {name: arrays[name] for name in PREDICTIONS if name in arrays.files}
        return {str(key): Outcome(labels, **{name: one[row] for name, one in kept.items()}) for row, key in enumerate(keys)}


def weights_of(store: Store, key: str) -> str:
    """The sha256 of the weights of a stored network."""
    return str(store.manifest("stages", key)["files"]["model.safetensors"])


def verify(found: Confirmation, store: Store) -> None:
    """Raises unless each network still has the confirmed weights: a claim is about one weight file."""
    for one in (*found.members, found.teacher):
        store.verify("stages", one.chosen)
        if weights_of(store, one.chosen) != one.weights:
            raise StudyError(
                f"the weights in {store.folder('stages', one.chosen)} are not the confirmed ones: the stage was retrained "
                "later, with a different result. Restore a copy of the directory, or run confirm with --force"
            )


def opened_for(directory: Path, looks: int) -> list[Opening]:
    """All openings of the test split, at least `looks` of them.

    Raises StudyError if the ledger is damaged or lacks openings, such as that of confirm.json.
    """
    found = openings(directory, looks)
    with contextlib.suppress(*UNREADABLE):  # reading confirm.json itself reports these
        if _facts(directory)["opening"] not in [one.checksum() for one in found]:
            raise lost(directory, f"does not list the opening that {FACTS} refers to")
    return found


def save(directory: Path, found: Confirmation) -> Confirmation:
    """Writes it, and returns it with the sha256 of confirm.npz."""
    stream = io.BytesIO()
    rows = list(found.outcomes.values())
    names = PREDICTIONS if keeps_outputs(found, rows) else PREDICTIONS[:-1]
    tables: dict[str, Any] = {name: np.stack([getattr(row, name) for row in rows]) for name in names}
    np.savez_compressed(stream, keys=np.array(list(found.outcomes)), labels=rows[0].labels, **tables)
    found = found.model_copy(update={"answers": hashlib.sha256(stream.getvalue()).hexdigest()})
    facts = found.as_json()
    replace(directory / ANSWERS, stream.getvalue())
    replace(directory / FACTS, json.dumps(facts | {"checksum": digest(facts)}, indent=1).encode() + b"\n")
    return found


def keeps_outputs(found: Confirmation, rows: Sequence[Outcome]) -> bool:
    """Whether all outputs are kept: of few classes, or if the metric needs them."""
    few = found.test.classes <= MOST_OUTPUTS or is_own(found.metric)
    return few and all(row.outputs is not None for row in rows)


def refuse_opened(
    directory: Path, looks: int, networks: Networks | None = None, *, test: str | None = None, damage: Damaged | None = None
) -> None:
    """Raises StudyError if the test split was opened for other networks or samples, or, without `networks`, at all.

    `damage` is the error for a damaged confirmation: the message then suggests restoring a copy.
    """
    before = opened_for(directory, looks)
    if not is_another(before, networks, test):
        return
    last = before[-1]
    first = f"{damage.what}; restore a copy of it. Confirming now needs a new opening: " if damage else ""
    raise StudyError(
        f"{first}the test split of {directory} was opened on {last.when} for {len(last.networks)} networks, after "
        f"{last.trials:,} trial{'s' * (last.trials != 1)}. Students that were searched or trained later, or another test "
        "split, need a new opening. A test split that is used repeatedly becomes training data. Add --force to open it anyway; "
        "every report will say so"
    )


def note_opening(
    directory: Path, looks: int, networks: Networks, *, test: str, trials: int, seeds: int, force: bool
) -> list[Opening]:
    """Records an opening of the test split for these networks, before it is opened; returns all openings so far.

    Raises StudyError if this needs `force` and it is not given. With `force`, replaces an opened.json that cannot be trusted.
    """
    before = known_openings(directory, looks, force)
    if not force:
        refuse_opened(directory, looks, networks, test=test)
    if before and not is_another(before, networks, test):
        return before
    now = Opening(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        trials=trials,
        seeds=seeds,
        forced=before != [],  # it may not be the first, if the others are unknown
        networks=dict(networks),
        test=test,
        before=before[-1].checksum() if before else None,
    )
    found = [*(before or []), now]
    write(directory, found)
    return found


def known_openings(directory: Path, looks: int, force: bool) -> list[Opening] | None:
    """All openings; None if opened.json cannot be trusted and `force` is given."""
    try:
        return opened_for(directory, looks)
    except StudyError:
        if not force:
            raise
        return None
