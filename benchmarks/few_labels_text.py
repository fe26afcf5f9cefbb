"""What do texts without labels add to few labels? Students of three sizes, from labels alone and distilled, paired seeds.

    python benchmarks/few_labels_text.py --store SCRATCH --checkpoint FOLDER [--labels 2000] [--unlabeled 20000] [--epochs 3]
        [--seeds 5] [--workers 2]

WordNet's nouns, and all-MiniLM-L6-v2 from FOLDER, fine-tuned on the labels by the recipe of search_spaces/wordnet_text.yaml,
which says how to get both. All students begin with the teacher's layers and leading slices. Arms: from labels, for as many
steps as the distilled ones have; the same for a third of them, since many passes over few labels may be too many; kd on the
texts with and without labels. The difference is that to the better of the two arms from labels, chosen by its mean validation
accuracy; accuracies are of the 8,000 test texts, which nothing was chosen on. Prints a Markdown table. What is stored in
SCRATCH is not trained again.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from paired import CPU, accuracies, accuracy, difference, train_all
from wordnet_nouns import TRAINING, UNLABELED, settings

from autodistill.data import Splits
from autodistill.distill import load_network
from autodistill.models.sizes import sizes
from autodistill.spec import LossSpec, Recipe, Stage, Transformers, load
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data, space_of

SPEC = Path(__file__).parent.parent / "search_spaces" / "wordnet_text.yaml"
LABELS: dict[str, Any] = {"ce": {"weight": 1.0}}
KD: dict[str, Any] = {"ce": {"weight": 0.1}, "kd": {"weight": 0.9, "temperature": 2.0}}


class Size(NamedTuple):
    layers: int
    heads: int
    intermediate: int
    vocabulary: int | str


SIZES = {"small": Size(1, 3, 256, 4000), "medium": Size(2, 6, 512, 8000), "large": Size(3, 12, 1536, "used")}


def main() -> None:
    given = options()
    store = Store(given.store)
    changes = settings(
        given.store / f"texts-{given.labels}-{given.unlabeled}", given.checkpoint, 0, given.labels, given.unlabeled
    )
    spec, splits = load_data(load(SPEC, changes), cuda=False)
    (teacher,) = space_of(spec, splits, store).teachers
    assert isinstance(teacher, Stage)
    positions = splits.inputs.fields[0].longest
    assert positions is not None
    recipe, seeds = teacher.recipe.model_copy(update={"batch_size": 64, "learning_rate": 1e-3}), range(given.seeds)
    few, many = (recipe.model_copy(update={"epochs": epochs}) for epochs in (max(1, given.epochs // 3), given.epochs))
    ways = {"labels": (LABELS, many), "labels, fewer steps": (LABELS, few), "kd": (KD, many)}
    arms = {
        name: {way: [student(teacher, size, positions, *of, seed) for seed in seeds] for way, of in ways.items()}
        for name, size in SIZES.items()
    }
    every = [one for by_way in arms.values() for stages in by_way.values() for one in stages]
    train_all(store, [teacher, *every], given.workers)
    print("| student | params | | n | accuracy | deviation | kd - labels (95%) |\n|---|---|---|---|---|---|---|")
    for name, by_way in arms.items():
        print("\n".join(rows(store, splits, name, by_way)))
    print(f"teacher of {given.labels:,} labels: {on_test(store, splits, [teacher])[0]:.2f}%")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--labels", type=int, default=TRAINING)
    parser.add_argument("--unlabeled", type=int, default=UNLABELED)
    parser.add_argument("--epochs", type=int, default=3, help="over the texts with and without labels")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def student(teacher: Stage, size: Size, positions: int, loss: dict[str, Any], recipe: Recipe, seed: int) -> Stage:
    architecture = Transformers(**size._asdict(), head_width=32, positions=positions)
    return Stage(
        task=teacher.task,
        architecture=architecture,
        loss=LossSpec.model_validate(loss),
        recipe=recipe,
        seed=seed,
        teachers=(teacher,) if loss is KD else (),
        init=teacher,
    )


def rows(store: Store, splits: Splits, name: str, arms: dict[str, list[Stage]]) -> list[str]:
    """Of the table, those of one size."""
    *labels, _ = arms
    better = max(labels, key=lambda way: statistics.mean(accuracies(store, arms[way])))
    found = {way: on_test(store, splits, stages) for way, stages in arms.items()}
    params = sizes(arms["kd"][0].architecture, splits.inputs, splits.classes).params
    lines = []
    for way, each in found.items():
        gain = difference(each, found[better]) if way == "kd" else "compared" if way == better else ""
        cells = [name, f"{params:,}", way, str(len(each)), f"{statistics.mean(each):.2f}", f"{statistics.stdev(each):.2f}"]
        lines.append(f"| {' | '.join(cells)} | {gain} |")
    return lines


def on_test(store: Store, splits: Splits, stages: Sequence[Stage]) -> list[float]:
    """Test accuracies in percent."""
    test = splits.test.unseal()
    return [100 * accuracy(load_network(store, stage, CPU), test) for stage in stages]


if __name__ == "__main__":
    main()
