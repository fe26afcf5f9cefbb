"""What is known of the reference models of a study: their scores, and which students are as good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...metrics.metric import Metric
from ...spec import Spec, StoreError
from ...spec.measurement import Reference, Score
from ...store import Manifest, Store, parsed
from .notes import Notes
from .rows import TrialRow, frontier


class Beside(NamedTuple):
    """A reference model beside the frontier of a study: `row` is its smallest member that is at least as good, if there is one.

    It is never a member of the frontier itself, and never an answer.
    """

    reference: Reference
    metric: Metric
    row: TrialRow | None

    @property
    def score(self) -> Score:
        """On the validation samples."""
        return self.reference.scores[self.metric.name]


def references(spec: Spec, notes: Notes, store: Store) -> list[Reference]:
    """Those that the spec names and that are stored. A damaged one counts as not stored: the same search fits it again."""
    found = []
    for name in spec.references:
        try:
            if name in notes.references:
                found.append(parsed(store, "references", notes.references[name], _fitted))
        except StoreError:
            continue
    return found


def _fitted(manifest: Manifest) -> Reference:
    return Reference(**manifest["reference"])


def beside(found: Sequence[Reference], rows: Sequence[TrialRow], metric: Metric) -> list[Beside]:
    """Each reference model beside the frontier among these rows."""
    members = [row for row in frontier(rows) if not row.ignorant]

    def as_good(one: Reference) -> TrialRow | None:
        return next((row for row in members if metric.reaches(row.value, one.scores[metric.name].value)), None)

    return [Beside(one, metric, as_good(one)) for one in found]
