"""The disk space of cached teacher logits, known before any are computed."""

from __future__ import annotations

from collections.abc import Iterable

from ...spec import Network, Spec, Stage, UsageError
from ...store import Store
from .jobs import chain_of, outputs_of


def bytes_a_sample(views: int | None, dtype: str, top: int | None, classes: int) -> int:
    """Bytes of one teacher's logits for one sample: all, or the `top` ones with their classes and the remainder."""
    digits, top = 2 if dtype == "float16" else 4, top or classes
    return (views or 1) * (top * (digits + 4) + digits if top < classes else classes * digits)


def wanted_bytes(stages: Iterable[Stage], store: Store, classes: int, rows: int) -> int:
    """Bytes of all logits that these stages, and the assistants above them, still need; shared ones count once."""
    chains = {network.key(): network for stage in stages if not _is_in(store, stage) for network in chain_of(stage)}
    networks = {key: network for key, network in chains.items() if not _is_in(store, network)}
    cache = {job.address(): job.cache for network in networks.values() for job in outputs_of(network)}
    return rows * sum(bytes_a_sample(one.views, one.dtype, one.top, classes) for one in cache.values() if one is not None)


def _is_in(store: Store, network: Network) -> bool:
    return store.has("stages", network.key())


def check_limit(spec: Spec, found: int, ways_out: str) -> None:
    """Raises UsageError if `found` bytes are above resources.cache_limit."""
    limit = spec.resources.cache_limit
    if found > limit:
        raise UsageError(
            f"resources.cache_limit: cached teacher logits can take {found:,} bytes, above the limit of {limit:,}; "
            f"raise it, or use {ways_out}"
        )
