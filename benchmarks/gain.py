"""What distillation gains at equal size: members of a study's frontier against their label-only baselines, paired seeds.

    python benchmarks/gain.py REPORTS/STUDY [--members 3] [--seeds 5] [--workers 2]

Retrains that many distilled members (spread over the sizes), and the same students from labels, with seeds of their own; split,
data and teachers stay. Prints a Markdown table. What is trained is kept in the study's store.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from paired import accuracies, difference, train_all

from autodistill.spec import Stage, describe, label_only
from autodistill.study.record.directory import StudyDirectory
from autodistill.study.record.opened import open_study
from autodistill.study.record.rows import frontier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with StudyDirectory(given.study) as folder:
        compare(folder, given)


def compare(folder: StudyDirectory, given: argparse.Namespace) -> None:
    with open_study(folder) as study:
        store, stages = study.store, study.stages
        networks = [stages.network(row.stage) for row in frontier(study.rows())]
    taught = [one for one in networks if isinstance(one, Stage) and one.teachers]
    chosen = taught[:: max(1, len(taught) // given.members)][: given.members]
    arms = [[one.model_copy(update={"seed": seed}) for seed in range(1, given.seeds + 1)] for one in chosen]
    baselines = [[label_only(one) for one in arm] for arm in arms]
    train_all(store, [one for arm in (*arms, *baselines) for one in arm], given.workers)
    print("| student | params | n | label-only | distilled | gain (95%) |\n|---|---|---|---|---|---|")
    for arm, others in zip(arms, baselines, strict=True):
        found, labels = accuracies(store, arm), accuracies(store, others)
        params = stages.measured(arm[0].key()).params
        means = f"{statistics.mean(labels):.2f} | {statistics.mean(found):.2f}"
        print(f"| {describe(arm[0].architecture)} | {params:,} | {len(found)} | {means} | {difference(found, labels)} |")


if __name__ == "__main__":
    main()
