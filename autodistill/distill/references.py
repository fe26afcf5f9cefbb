"""Reference models of other libraries, fitted on the samples that students learn from.

Only what is measured is stored, not the model: reading a pickle can run any code. The same samples and the same version of
scikit-learn give the same model again, which `confirm` needs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from threadpoolctl import threadpool_limits

from ..data import Columns, InputSpec
from ..metrics.metric import outcome, scores
from ..spec import digest
from ..spec.arrays import Floats
from ..spec.document import ReferenceName
from ..spec.measurement import Reference
from ..store import Store
from .boosting import Trees
from .data import Data, open_data
from .tf_idf import TfIdf


class Fitted(Protocol):
    """A fitted reference model; `bytes` are those of a file of it."""

    @classmethod
    def fit(cls, data: Data) -> Self: ...

    @staticmethod
    def refuse(inputs: InputSpec) -> None:
        """Raises UsageError unless it takes such samples."""

    @property
    def bytes(self) -> int: ...

    def prepared(self, x: Columns) -> Any:
        """Samples as `predict` takes them."""

    def predict(self, prepared: Any) -> Floats:
        """(N, K): logits of classes or labels, or values."""


KINDS: dict[ReferenceName, type[Fitted]] = {"hist_gradient_boosting": Trees, "tf_idf_linear": TfIdf}


def refuse_unsuited(name: ReferenceName, inputs: InputSpec) -> None:
    """Raises UsageError unless the reference model takes such samples."""
    KINDS[name].refuse(inputs)


def reference_key(name: ReferenceName, data: str, own: Sequence[str] = ()) -> str:
    """The key of what is measured of a reference model, by the fingerprint of the data and metrics of your own."""
    return digest({"reference": name, "library": library(), "data": data, "metrics": list(own)})


def library() -> str:
    import sklearn

    return f"scikit-learn {sklearn.__version__}"


def make_reference(store: Store, name: ReferenceName, data: str, own: Sequence[str] = (), *, threads: int = 1) -> str:
    """Fits a reference model on the stored data, unless its result is stored already; returns its key.

    Raises StoreError for damaged data, and anything that the library raises.
    """

    def fill(_: Path) -> dict[str, object]:
        return {"reference": fitted(open_data(store, data), name, own, threads=threads)[1].model_dump()}

    key = reference_key(name, data, own)
    store.make("references", key, fill)
    return key


def fitted(data: Data, name: ReferenceName, own: Sequence[str] = (), *, threads: int = 1) -> tuple[Fitted, Reference]:
    """A reference model with what is measured of it on the validation samples."""
    started = time.perf_counter()
    with threadpool_limits(threads):  # more than there are idle cores make it many times slower
        model = KINDS[name].fit(data)
    seconds = time.perf_counter() - started
    found = outcome(model.predict(model.prepared(data.validation_x)), data.validation_y)
    return model, Reference(
        name=name,
        library=library(),
        scores=scores(found, data.classes, own),
        bytes=model.bytes,
        seconds=seconds,
    )
