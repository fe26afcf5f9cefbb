"""Every chain through a ladder of four sizes, measured once; and the planner of `autodistill chain`, scored on that table.

    python benchmarks/chains.py make digits --store SCRATCH         # trains, writes chains_digits.csv; may be killed
    python benchmarks/chains.py make fashion_mnist --store SCRATCH
    python benchmarks/chains.py score                               # trains nothing: replays the planner on the tables

A row is one training: the widths of its chain from the teacher down to itself, the seed, its params, its accuracy on the
validation samples, and its seconds: the least that any training of its architecture took, since others share the machine.
The planner is given three of the seeds, and 30% of the seconds that all chains take with
these; what it chooses is scored on the other three. Beside it are the published rules, which choose by the first of its seeds.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paired import train_all

from autodistill.answers.chains.asked import layers_of
from autodistill.answers.chains.compare import DIRECT, Candidate, ranked, verdict
from autodistill.answers.chains.planner import Ladder, Planner
from autodistill.answers.chains.rules import RULES, Line
from autodistill.data import read, split
from autodistill.distill import save_data
from autodistill.spec import MLP, CrossEntropy, LossSpec, Recipe, ResNet, SoftTargets, Split, Stage, Task, TaskSpec
from autodistill.store import Store
from autodistill.study.schedule.plan import with_seed

HERE = Path(__file__).parent
SEEDS = tuple(range(6))
COLUMNS = ("dataset", "chain", "seed", "params", "accuracy", "seconds")
LABELS = LossSpec(ce=CrossEntropy())
KD = LossSpec(ce=CrossEntropy(weight=0.5), kd=SoftTargets(weight=0.5, temperature=2.0))
SHARE = 0.3


@dataclass(frozen=True, kw_only=True)
class Case:
    """A teacher, a ladder and students by their widths, the largest first; all are trained by the same recipe."""

    task: TaskSpec
    family: Any
    teacher: int
    ladder: tuple[int, ...]
    students: tuple[int, ...]
    recipe: Recipe

    def architecture(self, width: int) -> Any:
        """Of depth 1; the teacher is twice as deep."""
        return self.family(depth=2 if width == self.teacher else 1, width=width)


CASES = {
    "digits": Case(
        task=TaskSpec(dataset="sklearn/digits", split=Split(validation=0.5, test=0.1)),
        family=ResNet,
        teacher=32,
        ladder=(28, 16, 9, 5),
        students=(3,),
        recipe=Recipe(epochs=25, batch_size=64, learning_rate=3e-3, precision="float32"),
    ),
    "fashion_mnist": Case(
        task=TaskSpec(dataset="fashion_mnist", samples=10_000, split=Split(validation=0.5)),
        family=MLP,
        teacher=256,
        ladder=(96, 40, 20, 10),
        students=(5,),
        recipe=Recipe(epochs=10, batch_size=64, learning_rate=3e-3, precision="float32"),
    ),
}


# Making a table


def paths(case: Case) -> list[tuple[int, ...]]:
    """The widths of every chain: below the teacher any of the rungs in order, and a student or nothing at its end."""
    ways = [way for length in range(len(case.ladder) + 1) for way in itertools.combinations(case.ladder, length)]
    chains = [(case.teacher, *way, *end) for way in ways for end in ((), *((student,) for student in case.students))]
    return [(case.teacher,), *(chain for chain in chains if len(chain) > 1)]


def stage_of(case: Case, path: Sequence[int], task: Task, seed: int) -> Stage:
    """The last network of a chain; the teacher's seed is always 0."""
    above: tuple[Stage, ...] = ()
    for width in path:
        loss = KD if above else LABELS
        architecture = case.architecture(width)
        stage = Stage(task=task, architecture=architecture, loss=loss, recipe=case.recipe, seed=0, teachers=above)
        above = (stage,)
    teacher = stage.ancestors()[0] if stage.ancestors() else stage
    return with_seed(stage, seed, {teacher.key()})  # type: ignore[no-any-return]


def make(name: str, store: Store, workers: int, seeds: Sequence[int]) -> None:
    case = CASES[name]
    splits = split(read(case.task), case.task)
    save_data(store, splits)
    task = splits.task(case.task)
    found = [(path, seed, stage_of(case, path, task, seed)) for seed in seeds for path in paths(case)]
    for seed in seeds:
        train_all(store, [stage for _, own, stage in found if own == seed], workers)
    with (HERE / f"chains_{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        measured = {stage.key(): store.manifest("stages", stage.key())["measurement"] for _, _, stage in found}
        for path, seed, stage in found:
            own = measured[stage.key()]
            like = [measured[other.key()]["seconds"] for _, _, other in found if other.architecture == stage.architecture]
            numbers = (own["params"], f"{own['scores']['accuracy']['value']:.6f}", f"{min(like):.3f}")
            if len(path) > 1 or seed == seeds[0]:
                writer.writerow([name, ">".join(map(str, path)), seed, *numbers])


# Scoring the planner on it


class Table:
    """The trainings of one student; what the planner asks for is taken from it, on a clock that counts its seconds."""

    def __init__(self, path: Path, case: Case, student: int) -> None:
        with path.open() as file:
            rows = list(csv.DictReader(file))
        self.case, self.student = case, student
        self.params = {int(row["chain"].split(">")[-1]): int(row["params"]) for row in rows}
        self.accuracies = {(row["chain"], int(row["seed"])): float(row["accuracy"]) for row in rows}
        self.seconds = {(row["chain"], int(row["seed"])): float(row["seconds"]) for row in rows}
        self.seeds = tuple(sorted({seed for _, seed in self.seconds}))
        self.chains = [self.candidate(way) for way in self.ways()]

    def ways(self) -> list[tuple[int, ...]]:
        """Positions in the ladder of every chain's assistants, the empty chain first."""
        rungs = range(len(self.case.ladder))
        return [way for length in range(len(rungs) + 1) for way in itertools.combinations(rungs, length)]

    def candidate(self, way: tuple[int, ...]) -> Candidate:
        return Candidate(kind="chain", path=way) if way else DIRECT

    def trainings(self, one: Candidate) -> list[str]:
        """The chains of all networks below the teacher that a candidate needs, its own last."""
        widths = [self.case.ladder[rung] for rung in one.path] + ([] if one.kind == "assistant" else [self.student])
        names = [str(self.case.teacher), *map(str, widths)]
        return [">".join(names[: length + 1]) for length in range(1, len(names))]

    def mean(self, one: Candidate, seeds: Sequence[int]) -> float:
        return statistics.fmean(self.accuracies[self.trainings(one)[-1], seed] for seed in seeds)

    def exhaustive(self, seeds: Sequence[int]) -> float:
        """The seconds of every chain."""
        needed = {name for one in self.chains for name in self.trainings(one)}
        return sum(self.seconds[name, seed] for name in needed for seed in seeds)


class Replay:
    """What is known after some trainings of a table; `budget` are the seconds that they may take."""

    def __init__(self, table: Table, seeds: Sequence[int], budget: float) -> None:
        self.table, self.first, self.budget = table, seeds[0], budget
        self.done: set[tuple[str, int]] = set()

    def height(self, one: Candidate, seed: int) -> float | None:
        """The accuracy."""
        place = (self.table.trainings(one)[-1], seed)
        return self.table.accuracies[place] if place in self.done else None

    def cost(self, ones: Sequence[Candidate], seed: int) -> float:
        """By what the first seed took."""
        needed = {name for one in ones for name in self.table.trainings(one) if (name, seed) not in self.done}
        return sum(self.table.seconds[name, self.first] for name in needed)

    def left(self) -> float:
        return self.budget - self.spent()

    def spent(self) -> float:
        return sum(self.table.seconds[place] for place in self.done)

    def train(self, one: Candidate, seed: int) -> None:
        self.done |= {(name, seed) for name in self.table.trainings(one)}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the planner found: the best by its mean, what it advises, what each rule names, and the share of the exhaustive
    seconds.
    """

    best: Candidate
    answer: Candidate
    rules: dict[str, Candidate]
    share: float


def plan(table: Table, seeds: Sequence[int]) -> Plan:
    whole = table.exhaustive(seeds)
    replay = Replay(table, seeds, SHARE * whole)
    teacher = table.accuracies[str(table.case.teacher), table.seeds[0]]
    widths = (table.case.teacher, *table.case.ladder, table.student)
    layers = layers_of([table.case.architecture(width) for width in widths])
    assert layers is not None, "all networks of a case are of one family"
    ladder = Ladder(Line.of([table.params[width] for width in widths]), lambda: teacher, Line.of(layers))
    planner = Planner(ladder, seeds, replay, dense=False)
    for batch in planner.rounds():
        for one, seed in batch.wanted:
            replay.train(one, seed)
    rules = {name: one for one, names in planner.rules.items() for name in names if name in RULES}
    best, answer = ranked(planner.found())[0], verdict(planner.every()).answer
    return Plan(best=best, answer=answer, rules=rules, share=replay.spent() / whole)


def halves(seeds: Sequence[int]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every way to choose by three of the seeds and to score by the others, the first three first."""
    for chosen in itertools.combinations(seeds, len(seeds) // 2):
        yield chosen, tuple(seed for seed in seeds if seed not in chosen)


def regrets(table: Table, chosen: Sequence[int], scored: Sequence[int]) -> dict[str, float]:
    """In points of accuracy below the chain that is the best of all on the seeds `chosen`, by the seeds `scored`."""
    found, middle = plan(table, chosen), Candidate(kind="chain", path=(len(table.case.ladder) // 2,))
    best = max(table.chains, key=lambda one: table.mean(one, chosen))
    hindsight = max(table.mean(one, scored) for one in table.chains)
    target = table.mean(best, scored)
    named = {"planner": found.best, "planner's advice": found.answer, "always direct": DIRECT, "middle assistant": middle}
    means = {name: table.mean(one, scored) for name, one in (named | found.rules).items()}
    means |= {"random chain": statistics.fmean(table.mean(one, scored) for one in table.chains), "hindsight": hindsight}
    return {name: 100 * (target - mean) for name, mean in means.items()} | {"share": found.share}


def score() -> None:
    """Prints a Markdown table: the regret of each way to choose, in points; below it the same over all splits of the seeds."""
    names = ("planner", "planner's advice", "always direct", "middle assistant", *RULES, "random chain", "hindsight")
    print(f"| table | student | splits | {' | '.join(names)} | seconds |\n|{'---|' * (len(names) + 4)}")
    every: dict[str, list[dict[str, float]]] = {"seeds 1 to 3": [], "all 20 splits": []}
    for name, case in CASES.items():
        if not (HERE / f"chains_{name}.csv").exists():
            continue
        for student in case.students:
            table = Table(HERE / f"chains_{name}.csv", case, student)
            found = [regrets(table, *seeds) for seeds in halves(table.seeds)]
            for splits, rows in (("seeds 1 to 3", found[:1]), ("all 20 splits", found)):
                every[splits] += rows
                print(f"| {name} | width {student} | {splits} | {row(rows, names)} |")
    for splits, rows in every.items():
        print(f"| all | all | {splits} | {row(rows, names)} |")


def row(found: Sequence[dict[str, float]], names: Sequence[str]) -> str:
    means = [f"{statistics.fmean(one[name] for one in found):+.2f}" for name in names]
    return " | ".join([*means, f"{statistics.fmean(one['share'] for one in found):.0%}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("make")
    one.add_argument("case", choices=CASES)
    one.add_argument("--store", type=Path, required=True)
    one.add_argument("--workers", type=int, default=1)
    one.add_argument("--seeds", type=json.loads, default=SEEDS)
    commands.add_parser("score")
    given = parser.parse_args()
    if given.command == "score":
        return score()
    make(given.case, Store(given.store), given.workers, given.seeds)


if __name__ == "__main__":
    main()
