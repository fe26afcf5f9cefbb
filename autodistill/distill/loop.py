"""The training loop: trains a stage, and keeps the state from which a stopped or killed training resumes."""

from __future__ import annotations

import contextlib
import io
import pickle
import platform
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import numpy as np
import torch

from ..metrics.metric import values
from ..spec import Stage
from ..spec.measurement import Measurement, Rung, StageFacts
from ..store import Store, parsed
from .data import Data, open_data
from .networks import save_network
from .predictions import measurement, on_validation, said_beyond_labels
from .run import Run, State, passed


def train(store: Store, stage: Stage, device: torch.device) -> Measurement:
    """Trains a stage whose teacher logits are stored, measures it on the validation data and stores it.

    Returns the measurement. Raises StageFailed if the loss is no longer finite.
    """
    for _ in training(store, stage, device, ()):
        raise AssertionError("there are no rungs")
    return parsed(store, "stages", stage.key(), StageFacts.of).measurement


def training(
    store: Store,
    stage: Stage,
    device: torch.device,
    rungs: Sequence[int],
    *,
    safe: bool = False,
    own: Sequence[str] = (),
) -> Generator[Rung]:
    """The same, but also measures metrics of your own, reports after the epochs in `rungs`, and may be closed there, or killed
    at any time.

    When called again, it reports the earlier rungs and resumes from the last one, with the same numbers. With `safe` (see
    `layout.SAFE`) it resumes only from a state that was trained with `safe`, too.
    """
    if store.has("stages", stage.key()):
        return
    state = load_state(store, stage.key(), device, safe=safe)
    if state is not None:
        yield from (rung for rung in passed(state) if rung.epochs in rungs)
    data = open_data(store, stage.task.data)
    run = _begun(store, stage, data, device, state, safe)
    del state  # as large as the training
    while run.epochs < (stage.until or stage.recipe.epochs):
        run.epoch()
        if run.epochs in rungs:
            with run.layout.kernels():
                found = values(on_validation(run.network, data, device), own)
            run.rungs.append(Rung(run.epochs, found, run.seconds))
            save_state(store, stage.key(), run.state(), device, safe=safe)
            yield run.rungs[-1]
    _store(store, stage, data, run, own)


def _begun(store: Store, stage: Stage, data: Data, device: torch.device, state: State | None, safe: bool) -> Run:
    """A stage in training, restored from its state, or from its beginning if that does not fit."""
    if state is not None:
        with contextlib.suppress(KeyError, RuntimeError, TypeError, ValueError):  # your own module has changed since
            return Run(store, stage, data, device, state, safe=safe)
    return Run(store, stage, data, device, safe=safe)


def _store(store: Store, stage: Stage, data: Data, run: Run, own: Sequence[str]) -> None:
    """Measures and stores a stage that is trained to its end; removes the state for resuming it."""

    def fill(folder: Path) -> dict[str, object]:
        network = run.network.to(memory_format=torch.contiguous_format)  # as it will be loaded
        save_network(folder, network)
        classifies = not stage.pretrains
        found = measurement(network, data, stage.architecture, run.device, seconds=run.seconds, own=own, classifies=classifies)
        return {
            "network": stage.model_dump(mode="json"),
            "measurement": found.model_dump(),
            "losses": run.losses,
            "rungs": [list(rung) for rung in run.rungs],
            **(said_beyond_labels(network, data, run.device) if classifies and not stage.teachers else {}),
            **({"scales": run.loss.scales} if stage.loss.balance else {}),
            **({"safe_mode": True} if run.safe else {}),
            "environment": _environment(run.device),
        }

    with run.layout.kernels():
        store.make("stages", stage.key(), fill)
    store.remove_partial(stage.key())


def _environment(device: torch.device) -> dict[str, object]:
    """Where a stage was trained: recorded, never part of its key."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": f"{device.type}: {name}",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def save_state(store: Store, key: str, state: State, device: torch.device, *, safe: bool = False) -> None:
    """Saves the state of a stage in training, in place of an earlier one."""
    buffer = io.BytesIO()
    torch.save({"state": state, "made_by": _made_by(device, safe)}, buffer)
    store.save_partial(key, buffer.getbuffer())


def load_state(store: Store, key: str, device: torch.device, *, safe: bool = False) -> State | None:
    """The last saved state, with its tensors on the CPU; None if there is none for this device type and `safe`.

    Tensors and plain numbers only: nothing is unpickled.
    """
    content = store.load_partial(key)
    if content is None:
        return None
    try:
        found: State = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError):  # written by a version that this torch cannot read
        return None
    return found["state"] if found.get("made_by") == _made_by(device, safe) else None


def _made_by(device: torch.device, safe: bool) -> list[str]:
    """What must be equal for a training to resume with the same numbers."""
    return [str(torch.__version__), device.type, *["safe mode"][:safe]]


def time_steps(store: Store, stage: Stage, device: torch.device, most: int = 6) -> float:
    """Seconds per step of a stage: the median of a few steps after one for warm-up, of fewer if they take long."""
    recipe = stage.recipe.model_copy(update={"epochs": stage.recipe.epochs + most + 1})  # the schedule would end otherwise
    run = Run(store, stage.model_copy(update={"recipe": recipe}), open_data(store, stage.task.data), device)
    run.network.train()
    rows_B = run.rows(run.order)[0]
    with run.layout.kernels():
        times = [_timed(lambda: run.step(rows_B), device)]
        while len(times) < 2 or len(times) <= most and sum(times) < 1.0:
            times.append(_timed(lambda: run.step(rows_B), device))
    return float(np.median(times[1:]))


def _timed(call: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
