"""A stored network as a torch module."""

from __future__ import annotations

import torch
from torch import nn

from ..distill import load_network, open_data
from ..models.plain import plain
from ..spec import UsageError
from ..study.record.directory import StudyDirectory
from ..study.record.opened import open_study


def module_of(directory: StudyDirectory, prefix: str) -> nn.Module:
    """The network whose key begins with `prefix`, on the CPU, in eval mode: raw numbers of the data in, logits out.

    Raises UsageError if the prefix matches none or several, StoreError if its files are damaged.
    """
    with open_study(directory) as study:
        keys = [key for key in study.store.keys("stages") if key.startswith(prefix)]
        if len(keys) != 1:
            what = "no network" if not keys else f"{len(keys)} networks"
            way = "give a longer beginning of one key" if keys else "give the beginning of a key"
            raise UsageError(f"{prefix!r} matches {what} of {directory.path}; {way} from the stage column of study.trials")
        network = study.stages.network(keys[0])
        built = load_network(study.store, network, torch.device("cpu"))
        return plain(built, open_data(study.store, network.task.data).inputs).eval()
