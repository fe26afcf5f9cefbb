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
    """Event files, one folder per run, in `directory`/<study>."""

    directory: FilePath | None = None
    """Folder of the event files; by default tensorboard in the study directory."""


class MLflowLog(Value):
    """Runs of an experiment of MLflow."""

    uri: Name | None = None
    """Tracking URI; by default MLFLOW_TRACKING_URI or, if it is not set, mlflow.db in the study directory."""
    experiment: Name | None = None
    """Name of the experiment; by default that of the study."""


class WandbLog(Value):
    """Runs of a project of Weights & Biases."""

    project: Name | None = None
    """Name of the project; by default that of the study."""
    entity: Name | None = None
    """User or team that owns the project; by default that of your login."""
    mode: Literal["online", "offline"] | None = None
    """Whether runs are uploaded at once, or written to files that `wandb sync` uploads; by default WANDB_MODE applies."""
    directory: FilePath | None = None
    """Folder of the files; by default the study directory."""


class Log(Value):
    """The trackers that get every trial, each with its options; a name or a list of names means their defaults."""

    tensorboard: TensorBoardLog | None = None
    """Options of TensorBoard."""
    mlflow: MLflowLog | None = None
    """Options of MLflow."""
    wandb: WandbLog | None = None
    """Options of Weights & Biases."""

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
