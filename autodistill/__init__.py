"""Search for the smallest distilled student that is accurate enough.

spec = autodistill.load("search_spaces/digits.yaml")
study = autodistill.search(spec, out="reports/digits", runner="serial")
study.frontier()                                  # a pandas DataFrame
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .api import search
    from .spec import Spec, load
    from .study.schedule.scheduler import Study

__all__ = ["Spec", "Study", "__version__", "load", "search"]
_PLACES = {"Spec": "spec", "load": "spec", "search": "api", "Study": "study.schedule.scheduler"}


def __getattr__(name: str) -> Any:
    """Imports a name when it is first used: torch, Ray, and Optuna take seconds."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
