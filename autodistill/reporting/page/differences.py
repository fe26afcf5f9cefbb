"""What tells students apart that look the same: their parameters that differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from .finalists import Finalist
from .study import Study


def differences(study: Study, found: Sequence[Finalist]) -> dict[str, str]:
    """By stage, for students of the same architecture and role: the parameters of their trials that differ or, if there are
    none, the beginning of the key. Empty for all others.
    """
    params = {row.stage: row.origin.params for row in study.rows if row.origin is not None}
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in found:
        alike[one.architecture, one.role].append(one.stage)
    told: dict[str, str] = {}
    for stages in (group for group in alike.values() if len(group) > 1):
        known = [params.get(stage, {}) for stage in stages]
        names = sorted({name for one in known for name in one})
        differing = [name for name in names if len({str(one.get(name)) for one in known}) > 1]
        for stage, own in zip(stages, known, strict=True):
            told[stage] = ", ".join(f"{name} {_text(own.get(name))}" for name in differing) or f"stage {stage[:8]}"
    return told


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "not set" if value is None else str(value)
