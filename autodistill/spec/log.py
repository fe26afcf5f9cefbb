"""Schema of the trackers that a search logs to: TensorBoard, MLflow, Weights & Biases. They change nothing about a study."""

from __future__ import annotations

import difflib
from typing import Annotated, Literal

from pydantic import Field

from .errors import wrong
from .value import FilePath, Value

Tracker = Literal["tensorboard", "mlflow", "wandb"]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class TensorBoardLog(Value):
    """Event files, one folder per run, in `directory`/<study> (default: tensorboard in the study directory)."""

    directory: FilePath | None = None


class MLflowLog(Value):
    """Runs of the `experiment` (default: the name of the study) at a tracking `uri`.

    Without a uri, MLFLOW_TRACKING_URI applies or, if it is not set, mlflow.db in the study directory.
    """

    uri: Name | None = None
    experiment: Name | None = None


class WandbLog(Value):
    """Runs of a `project` (default: the name of the study) of an `entity`.

    `mode: offline` writes files that `wandb sync` uploads; without a mode, WANDB_MODE applies. Files are in `directory`
    (default: the study directory).
    """

    project: Name | None = None
    entity: Name | None = None
    mode: Literal["online", "offline"] | None = None
    directory: FilePath | None = None


class Log(Value):
    """The trackers that get every trial, each with its options; a name or a list of names means their defaults."""

    tensorboard: TensorBoardLog | None = None
    mlflow: MLflowLog | None = None
    wandb: WandbLog | None = None

    def adding(self, names: tuple[str, ...]) -> Log:
        """The log with these trackers added. Raises ValidationError for an unknown name."""
        added = Log.model_validate(spelled_out(list(names)))
        given = {name: getattr(self, name) or getattr(added, name) for name in TRACKERS}
        return Log(**given)


TRACKERS = tuple(Log.model_fields)


def spelled_out(raw: object) -> object:
    """A name or a list of names as a mapping of names to options. Raises ValidationError for an unknown name."""
    names = [raw] if isinstance(raw, str) else raw
    if not isinstance(names, list | tuple):
        return raw
    for position, name in enumerate(names):
        if name not in TRACKERS:
            place = () if isinstance(raw, str) else (position,)
            near = difflib.get_close_matches(str(name), TRACKERS, n=1)
            meant = f"did you mean {near[0]!r}?" if near else f"use {', '.join(TRACKERS)}"
            raise wrong(name, f"{str(name)[:60]!r} is not a tracker; {meant}", place)
    return {str(name): {} for name in names}
