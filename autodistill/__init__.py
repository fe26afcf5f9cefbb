"""Search for the smallest distilled student that is accurate enough.

study = autodistill.search("search_spaces/digits.yaml")        # or plain dicts, with data=..., teacher=...
study.frontier                                                 # a pandas DataFrame
claim = study.smallest(accuracy=0.95)                          # a claim on the sealed test split
claim.module()                                                 # the network
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .answers import Wanted
    from .api import Study, chain, check, compare, init, load, open, predict, schema, search, watch
    from .spec import Spec

__all__ = [
    "Spec",
    "Study",
    "Wanted",
    "__version__",
    "chain",
    "check",
    "compare",
    "init",
    "load",
    "open",
    "predict",
    "schema",
    "search",
    "watch",
]
_PLACES = {"Spec": "spec", "Wanted": "answers"}
"""The modules of the types; everything else is in `api`."""


def __getattr__(name: str) -> object:
    """Imports a name when it is first used: torch, Ray, and Optuna take seconds."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_PLACES.get(name, 'api')}"), name)
