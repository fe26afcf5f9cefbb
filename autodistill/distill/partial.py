"""The state from which a stopped or killed training resumes. Tensors and plain numbers only: nothing is unpickled."""

from __future__ import annotations

import io
import pickle
from typing import Any

import torch

from ..store import Store


def save(store: Store, key: str, state: dict[str, Any], device: torch.device, *, safe: bool = False) -> None:
    """Saves the state of a stage in training, in place of an earlier one."""
    buffer = io.BytesIO()
    torch.save({"state": state, "made_by": _made_by(device, safe)}, buffer)
    store.save_partial(key, buffer.getbuffer())


def load(store: Store, key: str, device: torch.device, *, safe: bool = False) -> dict[str, Any] | None:
    """The last saved state, with its tensors on the CPU; None if there is none for this device type and `safe`."""
    content = store.load_partial(key)
    if content is None:
        return None
    try:
        found: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError):  # written by a version that this torch cannot read
        return None
    return found["state"] if found.get("made_by") == _made_by(device, safe) else None


def _made_by(device: torch.device, safe: bool) -> list[str]:
    """What must be equal for a training to resume with the same numbers."""
    return [str(torch.__version__), device.type, *["safe mode"][:safe]]
