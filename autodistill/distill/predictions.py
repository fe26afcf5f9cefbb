"""What a trained network predicts, and its measurements.

Shape suffixes: B batch, N samples, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ..data import Columns
from ..metrics.metric import Outcome, named, outcome, scores
from ..models import Inputs, Network
from ..models.sizes import sizes
from ..spec import Network as NetworkSpec
from ..spec import StageFailed, UsageError
from ..spec.architectures import Architecture
from ..spec.arrays import Array
from ..spec.measurement import Measurement, Score, SoftTargetEntropy
from ..store import Store
from .data import Data, open_data, tensors_of
from .lengths import by_length
from .networks import load_network

TEMPERATURES = (1, 4, 8)
MOST_SAMPLES = 2000


def measurement(
    network: Network,
    data: Data,
    architecture: Architecture,
    device: torch.device,
    *,
    seconds: float,
    own: Sequence[str] = (),
    classifies: bool = True,
) -> Measurement:
    """Validation scores, also of metrics of your own, and exact sizes of a trained network.

    A network that has learned from texts alone has no scores, because it does not classify (`classifies`).
    Raises StageFailed if its outputs are not logits or values.
    """
    found = scores(on_validation(network, data, device), data.classes, own) if classifies else {}
    return Measurement(scores=found, **sizes(architecture, data.inputs, data.classes).facts(), seconds=seconds)


def scored(store: Store, network: NetworkSpec, names: Sequence[str]) -> dict[str, Score]:
    """Scores of a stored network on the validation samples by metrics that were not known when it was trained; runs on the CPU.

    Raises UsageError for metrics that fail.
    """
    device, data = torch.device("cpu"), open_data(store, network.task.data)
    found = on_validation(load_network(store, network, device), data, device)
    return {name: named(name).score(found, data.classes) for name in names}


def on_validation(network: Network, data: Data, device: torch.device) -> Outcome:
    """The predictions on the validation samples. Raises StageFailed if the network's outputs are not logits."""
    return outcome(logits_of(network, data, data.validation_x, device), data.validation_y)


def count_correct(logits_NK: Tensor, y: Tensor | Array) -> int:
    """How many of the labels `y` (N,) have the largest logit (of several, the first)."""
    return int((logits_NK.argmax(dim=-1) == _tensor(y).to(logits_NK.device)).sum())


def soft_targets(network: Network, data: Data, device: torch.device) -> SoftTargetEntropy | None:
    """How much a teacher's outputs say beyond the label (Hinton, Vinyals and Dean 2015).

    On at most MOST_SAMPLES training samples: the mean entropy in nats of softmax(logits / T) at several T (log K if all
    classes are equally likely), and its accuracy. None unless its outputs are logits of classes.
    """
    if data.kind != "classification":
        return None
    rows = np.linspace(0, len(data.train_y) - 1, min(MOST_SAMPLES, len(data.train_y))).astype(int)
    logits_NK = logits_of(network, data, data.train_x.take(rows), device)
    return SoftTargetEntropy(
        entropy={str(temperature): float(entropy(logits_NK, temperature).mean()) for temperature in TEMPERATURES},
        classes=data.classes,
        train_accuracy=count_correct(logits_NK, data.train_y[rows]) / len(rows),
    )


def said_beyond_labels(network: Network, data: Data, device: torch.device) -> dict[str, object]:
    """What the manifest of a teacher says of its soft targets."""
    found = soft_targets(network, data, device)
    return {} if found is None else {"soft_targets": found.model_dump()}


def entropy(logits_NK: Tensor, temperature: float) -> Tensor:
    """(N,) entropies of softmax(logits / T) in nats."""
    log_NK = torch.log_softmax(logits_NK.float() / temperature, -1)
    return -(log_NK.exp() * log_NK).sum(-1)


def logits_of(network: Network, data: Data, x: Columns, device: torch.device) -> Tensor:
    """Finite logits_NK of N samples `x`, float32 on the CPU. Raises StageFailed if they are not."""
    return checked_logits(evaluate(network, x, batch_size=batch_for(data), device=device), data.classes)


def checked_logits(logits: Tensor, classes: int) -> Tensor:
    """Logits (N, classes), float32 on the CPU. Raises StageFailed if they have other classes or are not finite."""
    if logits.shape[-1] != classes or not bool(torch.isfinite(logits).all()):
        what = f"the network gives {logits.shape[-1]} outputs per sample, not {classes}"
        raise StageFailed("the outputs are not finite" if logits.shape[-1] == classes else what)
    return logits.float().cpu()


def batch_for(data: Data) -> int:
    """The batch size for inference: at most 4 million numbers and 1,024 samples."""
    return max(1, min(1024, 4_000_000 // data.inputs.numbers))


def evaluate(network: nn.Module, x: Columns, *, batch_size: int, device: torch.device | str) -> Tensor:
    """logits_NK of N samples `x`, float32 on the CPU.

    Runs in eval mode and restores each module's mode; moves the network to `device`. Needs at least one sample. Texts are
    evaluated by length.
    """
    assert len(x) > 0, "nothing to evaluate"
    network.to(device)
    texts = None if x.tokens is None else by_length(x.tokens, batch_size)
    rows: Sequence[slice | Array] = texts or [slice(start, start + batch_size) for start in range(0, len(x), batch_size)]
    found_NK: Tensor | None = None
    for one in rows:
        inputs = tensors_of(x.batch(one), device)
        with _eval_mode(network), torch.inference_mode():
            logits_BK = predict(network, inputs)
        if found_NK is None:  # outside of inference mode, so that autograd may use the result
            found_NK = torch.empty(len(x), logits_BK.shape[1])
        found_NK[one] = logits_BK  # kept logits of each batch would split the memory between batches
    assert found_NK is not None
    return found_NK


def predict(network: nn.Module, inputs: Inputs) -> Tensor:
    """logits_BK of one batch, float32 on the CPU. Raises UsageError if the network returns anything else."""
    logits_BK, count = network(inputs).logits, len(next(iter(inputs.values())))
    if not isinstance(logits_BK, Tensor) or logits_BK.ndim != 2 or len(logits_BK) != count:
        got = tuple(logits_BK.shape) if isinstance(logits_BK, Tensor) else type(logits_BK).__name__
        raise UsageError(f"a batch of {count:,} gives {got}, not logits of shape ({count}, classes); return these")
    return logits_BK.float().cpu()


def _tensor(x: Tensor | Array) -> Tensor:
    """A copy of an array, because torch warns about sharing a read-only one."""
    return x if isinstance(x, Tensor) else torch.from_numpy(np.array(x))


@contextmanager
def _eval_mode(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
