"""Models defined elsewhere: timm's, and your own modules.

Shape suffixes: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import difflib
import warnings

from torch import nn

from ..spec import Imported, Timm, UsageError
from ..spec.imports import import_function, running, shown
from .sides import check_image


def build_timm(architecture: Timm, shape: tuple[int, ...], classes: int) -> nn.Module:
    """x_BCHW -> logits_BK, with timm's own initialization.

    Raises UsageError for samples that are not images, a name that timm does not know and arguments that it rejects.
    """
    check_image(shape, f"timm's {architecture.name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _created(architecture, shape[0], classes)


def _created(architecture: Timm, channels: int, classes: int) -> nn.Module:
    import timm

    if not timm.is_model(architecture.name):
        raise UsageError(f"timm {timm.__version__} has no model {architecture.name!r}{_nearest(architecture.name)}")
    ours = {"pretrained": False, "checkpoint_path": None, "num_classes": classes, "in_chans": channels}
    taken = sorted(ours.keys() & architecture.arguments.keys())
    if taken:
        raise UsageError(
            f"timm {architecture.name}: arguments contain {', '.join(taken)}, which autodistill sets itself; remove it"
        )
    try:
        return timm.create_model(architecture.name, **ours, **architecture.arguments)  # type: ignore[no-any-return]
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise UsageError(f"timm {architecture.name} rejected {_call(architecture.arguments)}: {cause}") from error


def build_imported(architecture: Imported, shape: tuple[int, ...], classes: int) -> nn.Module:
    """The module that the factory returns, unchanged: x (B, *shape), the data's raw numbers -> logits_BK.

    Raises UsageError if the factory cannot be imported, raises, or returns something other than a torch.nn.Module.
    """
    call = f"{architecture.factory} called with {_call(architecture.arguments)}"
    factory = import_function(architecture.factory)
    with running(call):
        module = factory(**architecture.arguments)
    if not isinstance(module, nn.Module):
        raise UsageError(f"{call} returned {shown(module)}; return a torch.nn.Module")
    return module


def _nearest(name: str) -> str:
    import timm

    near = difflib.get_close_matches(name.partition(".")[0], timm.list_models(), n=3, cutoff=0.4)
    return f"; the nearest are {', '.join(near)}" if near else "; timm.list_models() lists all"


def _call(arguments: object) -> str:
    return f"arguments {arguments}" if arguments else "no arguments"
