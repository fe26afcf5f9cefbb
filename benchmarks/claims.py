"""How often `smallest` claims what is not so, and how often it sees what is: simulated studies of known truth.

    python benchmarks/claims.py

Prints a table: the true accuracies of five students (the largest last), test samples, and of 2,000 studies the share with a
false claim at 95 % confidence, and the share in which the smallest student that does meet the target was found. The
simulation is that of tests/test_answers.py: answers of all networks go together on hard samples.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from autodistill.answers import Wanted  # noqa: E402
from tests.test_answers import STUDIES, claims  # noqa: E402

TEACHER = 0.97
BELOW, ACROSS, ABOVE = [0.949] * 5, [0.93, 0.94, 0.949, 0.96, 0.97], [0.97, 0.972, 0.974, 0.976, 0.978]


def main() -> None:
    print(
        f"| question | true accuracies | test samples | false claims of {STUDIES:,} | smallest found |\n|---|---|---|---|---|"
    )
    for truth in (BELOW, ACROSS, ABOVE):
        for n in (270, 2000, 10_000):
            for name, wanted, target in (
                ("accuracy 0.95", Wanted(accuracy=0.95), 0.95),
                ("retain 0.98", Wanted(retain=0.98), 0.98 * TEACHER),
            ):
                shown(name, truth, n, claims(truth, TEACHER, n, wanted, seed=n), target)


def shown(name: str, truth: list[float], n: int, found: list[str | None], target: float) -> None:
    able = [f"student{index}" for index, accuracy in enumerate(truth) if accuracy >= target]
    false = sum(one is not None and one not in able for one in found) / len(found)
    right = sum(one == able[0] for one in found) / len(found) if able else None
    said = "none meets it" if right is None else f"{right:.1%}"
    print(f"| {name} | {', '.join(f'{one:.3f}' for one in truth)} | {n:,} | {false:.1%} | {said} |", flush=True)


if __name__ == "__main__":
    main()
