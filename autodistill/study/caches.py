"""What teachers' outputs take on the disk: known before any is made."""

from __future__ import annotations

from collections.abc import Iterable

from ..spec import Spec, Stage, UsageError
from .jobs import chain_of, outputs_of


def bytes_a_sample(views: int | None, dtype: str, top: int | None, classes: int) -> int:
    """Of one teacher's outputs, on one sample: all logits, or the `top` ones with their classes and what is left over."""
    digits, top = 2 if dtype == "float16" else 4, top or classes
    return (views or 1) * (top * (digits + 4) + digits if top < classes else classes * digits)


def wanted_bytes(stages: Iterable[Stage], classes: int, rows: int) -> int:
    """Of all outputs that these stages, and the assistants above them, learn from; what two of them share counts once."""
    networks = {network.key(): network for stage in stages for network in chain_of(stage)}
    asked = {job.address(): job.asked for network in networks.values() for job in outputs_of(network)}
    return rows * sum(bytes_a_sample(one.views, one.dtype, one.top, classes) for one in asked.values() if one is not None)


def check_limit(spec: Spec, found: int, ways_out: str) -> None:
    """Raises UsageError where `found` bytes are above resources.cache_limit."""
    limit = spec.resources.cache_limit
    if found > limit:
        raise UsageError(
            f"resources.cache_limit: teachers' outputs can take {found:,} bytes, above the limit of {limit:,}; "
            f"raise it, or use {ways_out}"
        )
