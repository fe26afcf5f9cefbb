"""How often a claim is false, and how often what is true is seen: simulated studies of known truth.

    python benchmarks/claims.py            # of `smallest`
    python benchmarks/claims.py --metrics  # of the tests of each metric (--losses: of log loss alone)
    python benchmarks/claims.py --kinds [METRIC ...]  # of metrics of several labels, of values, and of ranks (--studies N)

The first prints a table: the true accuracies of five students (the largest last), test samples, and of 2,000 studies the share
with a false claim at 95% confidence, and the share in which the smallest student that does meet the target was found. The
simulation is that of tests/test_answers.py: answers of all networks go together on hard samples. The second gives, for
networks whose true value is exactly the target, how often they are claimed to have more at 5%.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np  # noqa: E402

from autodistill.answers import Wanted  # noqa: E402
from autodistill.metrics import base, moments, ranking  # noqa: E402
from autodistill.metrics.metric import METRICS, TEST_DRAWS, Confusion  # noqa: E402
from autodistill.metrics.resampling import means  # noqa: E402
from tests import test_metrics  # noqa: E402
from tests.simulated import cases_of, false_claims  # noqa: E402
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
                ("accuracy 0.95", Wanted(target=0.95), 0.95),
                ("retain 0.98", Wanted(retain=0.98), 0.98 * TEACHER),
            ):
                shown(name, truth, n, claims(truth, TEACHER, n, wanted, seed=n), target)


COMPOSED = {
    "2 classes, 4% in one": (np.array([0.96, 0.04]), np.array([0.95, 0.85])),
    "2 alike": (np.array([0.5, 0.5]), np.array([0.9, 0.9])),
    "10 alike": (np.full(10, 0.1), np.linspace(0.75, 0.97, 10)),
    "10, the rarest 2%": (np.arange(1, 11) / 55, np.linspace(0.97, 0.75, 10)),
}
"""Shares of the classes, and the share of each that is predicted correctly."""


def of_losses(studies: int = 1000) -> None:
    print("| large losses | test samples | false claims | without the sample of 10 nats |\n|---|---|---|---|")
    for case in test_metrics.LOSSES:
        for n in (300, 1000, 5000):
            count = studies if n < 5000 else studies // 4
            found = test_metrics.loss_claims(case, n, count, seed=n)
            print(f"| {case} | {n:,} | {found:.1%} | {plain_claims(case, n, count):.1%} |", flush=True)


def plain_claims(case: str, n: int, studies: int) -> float:
    """The same by the Bayesian bootstrap alone."""
    losses, mean = test_metrics.drawn_losses(case, n, studies, seed=n)
    return float(np.mean([np.mean(means(one[None], TEST_DRAWS)[0] > mean) <= 0.05 for one in losses]))


def of_metrics(studies: int = 1000) -> None:
    print("| metric | classes | test samples | false claims |\n|---|---|---|---|")
    for name, metric in METRICS.items():
        for what, (shares, truth) in COMPOSED.items() if isinstance(metric, Confusion) else ():
            wrong = shares * (1 - truth)
            given = shares * truth + (wrong.sum() - wrong) / (len(shares) - 1)
            target = float(metric.of(shares * truth, given, shares))
            for n in (300, 1000, 5000):
                found = test_metrics.claims(metric, truth, shares, n, target, studies, seed=n)
                print(f"| {name} | {what} | {n:,} | {found:.1%} |", flush=True)


KIND_DRAWS = 1000
KINDS = ("f1_micro", "f1_macro", "average_precision", "auroc", "rmse", "mae", "r2")


def of_kinds(names: Sequence[str], studies: int = 600) -> None:
    """With KIND_DRAWS draws for each p-value instead of 4,000: enough to say whether it is at most 5%."""
    moments.TEST_DRAWS = ranking.TEST_DRAWS = base.TEST_DRAWS = KIND_DRAWS
    print("| metric | simulated | test samples | studies | false claims of a target | of being as good as the teacher |")
    print("|---|---|---|---|---|---|")
    for name in names:
        for case in cases_of(name):
            for n in (50, 300, 1000):
                count = studies if n < 1000 else studies // 2
                target, paired = false_claims(METRICS[name], case, n, count, seed=n)
                print(f"| {name} | {case.name} | {n:,} | {count} | {target:.1%} | {paired:.1%} |", flush=True)


def shown(name: str, truth: list[float], n: int, found: list[str | None], target: float) -> None:
    able = [f"student{index}" for index, accuracy in enumerate(truth) if accuracy >= target]
    false = sum(one is not None and one not in able for one in found) / len(found)
    right = sum(one == able[0] for one in found) / len(found) if able else None
    said = "none meets it" if right is None else f"{right:.1%}"
    print(f"| {name} | {', '.join(f'{one:.3f}' for one in truth)} | {n:,} | {false:.1%} | {said} |", flush=True)


def chosen() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metrics", action="store_true")
    parser.add_argument("--losses", action="store_true")
    parser.add_argument("--kinds", nargs="*", metavar="METRIC")
    parser.add_argument("--studies", type=int, help="of each case (default: 1,000; of kinds 600)")
    given = parser.parse_args()
    if given.metrics:
        of_metrics(given.studies or 1000)
    if given.metrics or given.losses:
        of_losses(given.studies or 1000)
    if given.kinds is not None:
        of_kinds(given.kinds or KINDS, given.studies or 600)
    if not (given.metrics or given.losses or given.kinds is not None):
        main()


if __name__ == "__main__":
    chosen()
