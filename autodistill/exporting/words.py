"""What `export` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..answers import later, lines


def written(found: Mapping[str, Any]) -> list[str]:
    """Each file with its largest difference, what was left out and why, and how fast it is; or why nothing was written."""
    if found["to"] is None:
        return [*lines(found["smallest"]), "nothing was written"]
    messages = [
        f"network      {found['architecture']}, {found['params']:,} params, stage {found['stage'][:12]}",
        _accuracy(found),
    ]
    messages += [_file(name, one) for name, one in found["formats"].items()]
    messages += [f"{name:17}  left out: {why}" for name, why in found["left_out"].items()]
    messages += [
        f"latency      {one['runs']} on {one['device']}, {_threads(one['threads'])}: {one['one']['p50_ms']:.3f} ms for one "
        f"sample, {one['batched']['p50_ms']:.3f} ms for {one['batched']['batch']} (medians)"
        for one in found["latency"]
    ]
    forced = sum(one["forced"] for one in found["opened"])
    messages += [f"warning      the test split was opened {forced} more time{'s' * (forced > 1)} by force"] if forced else []
    messages += [f"warning      {later(found['later'])}"] if found["later"] else []
    return [*messages, f"written: {found['to']} (card.md describes it, example.py runs it)"]


def _accuracy(found: Mapping[str, Any]) -> str:
    parts = [(name, found[name]) for name in ("validation", "test") if found[name]]
    shares = ", ".join(f"{one['accuracy']:.1%} {name} ({one['low']:.1%} to {one['high']:.1%})" for name, one in parts)
    return f"accuracy     {shares}" + ("" if found["test"] else "; it was not tested on the test samples")


def _file(name: str, one: Mapping[str, Any]) -> str:
    same = "the same predictions" if not one["flipped"] else f"{one['flipped']:,} different predictions, where logits tie"
    seen = f"{same} on {one['n']:,} validation samples, largest difference {one['largest']:.2g}"
    return f"{name:17}  {one['bytes']:,} bytes; {seen}"


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"
