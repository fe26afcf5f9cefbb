"""Trains one stage. The only training loop."""

from ..spec.measurement import Rung
from .artifacts import adopt, load_network
from .data import Data, open_data, save_data
from .jobs import Job, perform
from .loop import time_steps, train
from .outputs import make_outputs, outputs_key

__all__ = [
    "Data",
    "Job",
    "Rung",
    "adopt",
    "load_network",
    "make_outputs",
    "open_data",
    "outputs_key",
    "perform",
    "save_data",
    "time_steps",
    "train",
]
