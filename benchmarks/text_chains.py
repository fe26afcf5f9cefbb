"""Chains of transformers at several size ratios of teacher and student: the planner, published rules, direct, and labels.

    python benchmarks/text_chains.py --store SCRATCH --checkpoint FOLDER [--ratios 2 4 8 16] [--ladder 1.4 2 4 8]
        [--seeds 3] [--workers 2] [--gpu]

FOLDER holds all-MiniLM-L6-v2 (search_spaces/wordnet_text.yaml says how to get it), which is fine-tuned by that spec's recipe on
the nouns of WordNet. A student has about 1/2, 1/4, 1/8, or 1/16 of its parameters; its assistants are the larger networks of
the same list that --ladder names. All begin with weights of a teacher and learn by kd from labeled and unlabeled texts;
`labels` begins at random.

The planner is that of `autodistill chain` without dense chains, and its only rivals are `labels`, `direct`, and direct for as
many epochs as its best chain costs. Whatever it dropped is then trained with the other seeds, so that every candidate has all
of them. Prints a Markdown table for each ratio: the accuracy on the 2,000 validation texts, the regret in points below the best
candidate, and the cost with all seeds: the trainings below the teacher and their seconds, including those that only help to
choose. The planner and two rules choose by seeds that also score them, which flatters them; with `--fresh N`, N other seeds
score. What is stored in SCRATCH is not trained again.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from paired import train_all
from wordnet_nouns import LABELED, NOUNS, OTHERS, TEST, TRAINING, UNLABELED, VALIDATION, nouns, write

from autodistill.answers.chains.compare import Candidate, assistant, ranked, verdict
from autodistill.answers.chains.planner import Planner
from autodistill.answers.chains.rules import RULES, Facts
from autodistill.answers.chains.trainings import Measured, trainings_of
from autodistill.spec import describe, load
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data
from autodistill.study.record.rows import Stages

SPEC = Path(__file__).parent.parent / "search_spaces" / "wordnet_text.yaml"
LOSS = {"ce": {"weight": 0.1}, "kd": {"weight": 0.9, "temperature": 2.0}}
RECIPE = {"batch_size": 64, "learning_rate": 5e-4}
LABELS = Candidate(kind="labels")


class Network(NamedTuple):
    """A transformer that reads the mean of the tokens and has heads as wide as the teacher's, as MiniLM does."""

    layers: int
    heads: int
    vocabulary: int

    def fields(self) -> dict[str, object]:
        return {"family": "transformers", "head_width": 32, "pooling": "mean", **self._asdict()}


NETWORKS = {
    1.4: Network(6, 12, 16_000),
    2: Network(3, 12, 16_000),
    4: Network(2, 8, 16_000),
    8: Network(2, 6, 10_000),
    16: Network(1, 5, 7_000),
}
"""By about how many times smaller than the teacher they are, the largest first; each is cut out of those above it."""
STUDENTS = [ratio for ratio in NETWORKS if ratio >= 2]


class Way(NamedTuple):
    """A way to choose a chain, and the trainings, each with its seed, that it takes."""

    name: str
    chosen: Candidate
    needs: set[tuple[Candidate, int]]


class Comparison(NamedTuple):
    """The trainings of one student, the seeds by which ways choose, and those that score them."""

    ratio: int
    ladder: Sequence[float]
    known: Measured
    choosing: Sequence[int]
    scoring: Sequence[int]

    def mean(self, one: Candidate) -> float:
        return statistics.fmean(self.accuracies(one))

    def accuracies(self, one: Candidate) -> list[float]:
        """In percent, by the seeds that score."""
        heights = [self.known.height(one, seed) for seed in self.scoring]
        return [100 * height for height in heights if height is not None]

    def cost(self, needs: set[tuple[Candidate, int]]) -> list[float]:
        """The seconds of each training below the teacher."""
        found: dict[str, float] = {}
        for one, seed in needs:
            found |= self.known.seconds(one, seed)
        return list(found.values())


def main() -> None:
    given = options()
    if not NOUNS.is_file():
        sys.exit(f"there is no {NOUNS}; run: apt-get install wordnet-base")
    store = Store(Path(given.store)).open()
    for ratio in sorted(given.ratios):
        found = comparison(ratio, store, given)
        planner, its = planned(found, store, given)
        every = [(one, seed) for one in planner.candidates for seed in {*found.choosing, *found.scoring}]
        train(found.known, store, every, given)
        print("\n".join([*networks(found), *table(found, planner, [*its, *others(found, planner)])]), flush=True)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--ratios", type=int, nargs="+", choices=STUDENTS, default=STUDENTS)
    parser.add_argument("--ladder", type=float, nargs="+", choices=list(NETWORKS), default=list(NETWORKS), help="of assistants")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fresh", type=int, default=0, help="so many other seeds score what was chosen")
    parser.add_argument("--epochs", type=int, default=3, help="of every network below the teacher")
    parser.add_argument("--labels", type=int, default=TRAINING, help=f"how many labeled texts, at most {TRAINING}")
    parser.add_argument("--unlabeled", type=int, default=UNLABELED, help=f"how many texts without a label, at most {UNLABELED}")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpu", action="store_true", help="all workers share one GPU, in bfloat16")
    return parser.parse_args()


# Training


def comparison(ratio: int, store: Store, given: argparse.Namespace) -> Comparison:
    larger = [one for one in NETWORKS if one < ratio and one in given.ladder]
    with tempfile.TemporaryDirectory() as folder:
        write(nouns(NOUNS), Path(folder), 0, given.labels, given.unlabeled)
        spec, splits = load_data(load(SPEC, changes(ratio, larger, Path(folder), given)), cuda=given.gpu)
    trainings = trainings_of(spec, splits, store)
    seeds = trainings.seeds(given.seeds + given.fresh)
    known = Measured(trainings, Stages(store), seeds[0], lambda: math.inf)
    choosing = seeds[: given.seeds]
    return Comparison(ratio, larger, known, choosing, seeds[given.seeds :] or choosing)


def changes(ratio: int, larger: Sequence[float], folder: Path, given: argparse.Namespace) -> list[str]:
    """What differs from the spec of the study, as `--set` takes it."""
    rows = given.labels + VALIDATION + TEST
    values = {
        "task.dataset": str(folder / LABELED),
        "task.unlabeled": str(folder / OTHERS),
        "task.split": {"by": "part", "validation": VALIDATION / rows, "test": TEST / rows},
        "teacher.architecture.checkpoint": str(Path(given.checkpoint).absolute()),
        "student.architecture": NETWORKS[ratio].fields(),
        "resources.gpus": int(given.gpu),
        "student.init": "from_teacher",
        "student.loss": LOSS,
        "student.recipe": RECIPE | {"epochs": given.epochs},
        "assistants": {"at_most": 0, "init": "from_teacher", "ladder": [NETWORKS[one].fields() for one in larger]},
    }
    return [f"{path}={json.dumps(value)}" for path, value in values.items()]


def planned(found: Comparison, store: Store, given: argparse.Namespace) -> tuple[Planner, list[Way]]:
    """The planner when it has ended, and what it chose by the trainings that it asked for."""
    planner = Planner(found.known.ladder(), found.choosing, found.known, rivals=[LABELS], dense=False, long=found.known.long)
    asked: set[tuple[Candidate, int]] = set()
    for batch in planner.rounds():
        print(f"1/{found.ratio}: {batch.what}", file=sys.stderr, flush=True)
        train(found.known, store, batch.wanted, given)
        asked |= set(batch.wanted)
    best, answer = ranked(planner.found())[0], verdict(planner.every()).answer
    return planner, [Way("planner", best, asked), Way("planner's answer", answer, asked)]


def train(known: Measured, store: Store, wanted: Sequence[tuple[Candidate, int]], given: argparse.Namespace) -> None:
    train_all(store, [known.trainings.stage(one, seed) for one, seed in wanted], given.workers, cuda=given.gpu)


# What it shows


def others(found: Comparison, planner: Planner) -> Iterator[Way]:
    """Labels, direct (also at the cost of the best chain), and each rule.

    A rule that needs accuracies takes those of all assistants and of the label-only student.
    """
    seeds, first = found.choosing, found.choosing[0]
    for one in planner.candidates:
        if one.kind in ("labels", "direct", "long"):
            yield Way(chain(found, one), one, {(one, seed) for seed in seeds})
    measured = {(LABELS, first), *((assistant((index,)), first) for index in range(len(found.ladder)))}
    blind = Facts(planner.ladder.params, planner.ladder.layers)
    named = {name: one for one, names in planner.rules.items() for name in names}
    for name, rule in RULES.items():
        if name in named:
            own = {(named[name], seed) for seed in seeds}
            yield Way(name, named[name], own | measured if rule(blind) is None else own)


def networks(found: Comparison) -> Iterator[str]:
    known, space = found.known, found.known.trainings.space
    params, student = known.ladder().params, known.trainings.direct.architecture
    yield f"\nteacher: {params.teacher:,} parameters, {100 * known.teacher():.2f}%"
    for ratio, one, size in zip(found.ladder, space.ladder, params.ladder, strict=True):
        yield f"1/{ratio:g}: {describe(one)}, {size:,} parameters"
    yield f"student, 1/{found.ratio}: {describe(student)}, {params.student:,} parameters"


def table(found: Comparison, planner: Planner, ways: Sequence[Way]) -> Iterator[str]:
    """Lines of Markdown; the regret is that of the chosen chain, by the seeds that score."""
    best = max(planner.candidates, key=found.mean)
    yield f"best of {len(planner.candidates)} candidates: {chain(found, best)}, {found.mean(best):.2f}%\n"
    yield f"| 1/{found.ratio} | chain | n | accuracy | deviation | regret | trainings | seconds |\n|{'---|' * 8}"
    for way in ways:
        scored, costs = found.accuracies(way.chosen), found.cost(way.needs)
        mean, deviation = statistics.fmean(scored), f"{statistics.stdev(scored):.2f}" if len(scored) > 1 else ""
        accuracy = f"{len(scored)} | {mean:.2f} | {deviation} | {found.mean(best) - mean:.2f}"
        yield f"| {way.name} | {chain(found, way.chosen)} | {accuracy} | {len(costs)} | {sum(costs):.0f} |"


def chain(found: Comparison, one: Candidate) -> str:
    """Its assistants by their ratios."""
    names = [f"1/{found.ladder[index]:g}" for index in one.path]
    return " > ".join(names) or (one.kind if one.epochs is None else f"direct, {one.epochs} epochs")


if __name__ == "__main__":
    main()
