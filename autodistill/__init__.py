"""Search for the smallest distilled student that is accurate enough.

spec = autodistill.load("search_spaces/digits.yaml")
study = autodistill.search(spec, out="reports/digits")
study.frontier()                                               # a pandas DataFrame
autodistill.smallest("reports/digits").sentence()              # a claim on the sealed test split
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .answers import Wanted
    from .api import chain, check, compare, confirm, explain, export, load, predict, report, search, smallest, watch
    from .spec import Spec
    from .study.driver import Options
    from .study.schedule.scheduler import Study

__all__ = [
    "Options",
    "Spec",
    "Study",
    "Wanted",
    "__version__",
    "chain",
    "check",
    "compare",
    "confirm",
    "explain",
    "export",
    "load",
    "predict",
    "report",
    "search",
    "smallest",
    "watch",
]
_PLACES = {
    "Options": "study.driver",
    "Spec": "spec",
    "Study": "study.schedule.scheduler",
    "Wanted": "answers",
}
"""The modules of the types; the functions are in `api`."""


def __getattr__(name: str) -> object:
    """Imports a name when it is first used: torch, Ray, and Optuna take seconds."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_PLACES.get(name, 'api')}"), name)
