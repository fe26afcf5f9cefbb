"""Reference models on the test samples. They are shown beside the students, and nothing is claimed about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from threadpoolctl import threadpool_limits

from ...data.columns import Ragged
from ...data.encoding import TOKENS
from ...distill import Data, open_data
from ...distill.references import Fitted, fitted, reference_key
from ...metrics import latency
from ...metrics.latency import Timing
from ...spec import Spec
from ...spec.document import ReferenceName
from ...spec.imports import reason
from ...study.record.ledger import Opening
from ...study.record.rows import Stages
from .confirmation import Confirmation, FrozenReference, Latency
from .judge import BATCH, Judged, beside, predictions


def keys_of(spec: Spec, data: str, stages: Stages) -> dict[ReferenceName, str]:
    """The keys of the reference models of a study, by name."""
    return {name: reference_key(name, data, stages.own) for name in spec.references}


def allowed(keys: Mapping[ReferenceName, str], last: Opening | None) -> dict[ReferenceName, str]:
    """Those that may be tested without another opening: all at the first one, later those that it was for."""
    return {name: key for name, key in keys.items() if last is None or key in last.networks}


def lacking(before: Confirmation, names: Iterable[str]) -> list[str]:
    """Those of these names that were not tested."""
    return [name for name in names if name not in [one.name for one in before.references]]


def judge_references(known: Judged, names: Iterable[ReferenceName], console: Console) -> tuple[FrozenReference, ...]:
    """Fits them again and measures them on the test samples, as far as they can be fitted."""
    found = []
    for name in names:
        try:
            found.append(_judged(known, open_data(known.stages.store, known.teacher.task.data), name))
        except Exception as error:  # whatever the library raises, students are confirmed without it
            console.print(f"the reference model {name} cannot be tested: {reason(error)}", soft_wrap=True)
    return tuple(found)


def _judged(known: Judged, data: Data, name: ReferenceName) -> FrozenReference:
    model, measured = fitted(data, name, known.stages.own, threads=known.threads)
    found = predictions(torch.from_numpy(model.predict(model.prepared(known.test.x))), known.test.y)
    teacher = known.predictions[known.teacher.key()]
    return FrozenReference(
        **dict(measured),
        metric=known.metric.name,
        test=beside(found, teacher, known.test, known.classes, known.metric, known.stages.own),
        latency=_latency(model, data, known.threads),
    )


def _latency(model: Fitted, data: Data, threads: int) -> Latency:
    """Of one sample and of BATCH of them, as arrays that need no preprocessing, or texts of about the median length."""

    def timed(batch: int) -> Timing:
        rows = _usual(data)[np.arange(batch) % len(data.validation_y)]
        call = partial(model.predict, model.prepared(data.validation_x.take(rows)))
        with threadpool_limits(threads):
            return Timing.of(batch, latency.timed(call, seconds=latency.SECONDS))

    return Latency(one=timed(1), batched=timed(BATCH))


def _usual(data: Data) -> NDArray[np.intp]:
    """The validation samples, those of about the median length first if they are texts."""
    if data.text is None:
        return np.arange(len(data.validation_y))
    column = data.validation_x[TOKENS]
    assert isinstance(column, Ragged), "texts differ in length"
    return np.argsort(np.abs(column.lengths - data.text.encoding.typical), kind="stable")
