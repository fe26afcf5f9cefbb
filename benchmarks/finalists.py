"""How often students that are on the true frontier only by the model of the search change the answer.

    python benchmarks/finalists.py benchmarks/digits_students.csv --chance 0.1 --seeds 50 --trials 24

Each search sees one training of each configuration of the table. Its finalists are the measured frontier in the region of
interest and, with it, what `confirm` adds: students with a probability of more than 10% of being on the frontier of expected
accuracies. The truth is the mean accuracy over all seeds of the table. The answer is the smallest finalist with a share of the
teacher's true accuracy; the teacher is the table's best configuration.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from replay import Asked, Table, compare

from autodistill.answers.confirm.candidates import LIKELY
from autodistill.study import pareto
from autodistill.study.sampling.ehvi_sampler import informed
from autodistill.study.schedule.scheduler import Study

SHARES = (0.9, 0.95, 0.97, 0.99)


def searched(table: Table, strategy: str, seeds: int, asked: Asked) -> list[Study]:
    """A replayed search for each seed."""
    studies: list[Study] = []

    class Kept(Study):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            studies.append(self)

    compare.Study = Kept  # type: ignore[attr-defined, misc]
    for seed in range(seeds):
        compare.run(table.draw(seed), strategy, seed, asked)
    return studies


def finalists(study: Study) -> tuple[list[Any], list[Any]]:
    """The trials on the measured frontier in the region, and those that the model adds."""
    trials = [one for one in study.record.trials if one.values and not one.facts.repeats]
    costs = np.array([[-one.value, one.facts.params] for one in trials])
    members = [
        trials[place] for place in pareto.frontier(costs) if study.region.holds(trials[place].value, trials[place].sizes)
    ]
    found = informed(study.spec.search, study.space, study.record.trials, study.region).posterior()
    keys = {one.facts.stage for one in members}
    likely = [one for one in trials if one.facts.stage not in keys and study.region.holds(one.value, one.sizes)]
    likely = [one for one in likely if found[one.facts.stage].on_frontier > LIKELY]
    return members, sorted(likely, key=lambda one: -found[one.facts.stage].on_frontier)[: len(members)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--chance", type=float, default=0.0)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--trials", type=int, default=24)
    given = parser.parse_args()
    table = Table.read(given.table)
    true = {place: float(np.mean([one.accuracies[-1] for one in each])) for place, each in table.students.items()}
    teacher = max(true.values())
    asked = Asked(strategies=("ehvi",), trials=given.trials, chance=given.chance)
    changed, added, sizes = dict.fromkeys(SHARES, 0), list[int](), list[int]()
    for study in searched(table, "ehvi", given.seeds, asked):
        members, more = finalists(study)
        sizes.append(len(members))
        added.append(len(more))
        for share in SHARES:
            answers = []
            for group in (members, members + more):
                able = [
                    one.facts.params
                    for one in group
                    if true[tuple(one.params[f"architecture.arguments.{name}"] for name in table.values)] >= share * teacher
                ]
                answers.append(min(able, default=10**12))
            changed[share] += answers[1] < answers[0]
    print(f"members {np.mean(sizes):.1f}, added {np.mean(added):.1f}, of {given.seeds} searches the answer became smaller:")
    print("\n".join(f"| {share:.0%} of the teacher | {count} |" for share, count in changed.items()))


if __name__ == "__main__":
    main()
