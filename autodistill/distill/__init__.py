"""Trains one stage. The only training loop."""

from ..spec.measurement import Rung
from .data import Data, open_data, save_data
from .jobs import Job, attempt, perform
from .loop import time_steps, train
from .networks import load_network
from .outputs import make_outputs, outputs_key
from .weights import adopt

__all__ = [
    "Data",
    "Job",
    "Rung",
    "adopt",
    "attempt",
    "load_network",
    "make_outputs",
    "open_data",
    "outputs_key",
    "perform",
    "save_data",
    "time_steps",
    "train",
]
