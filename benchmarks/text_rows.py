"""Students of WordNet's nouns that people choose by hand, a searched one, their teacher, and a bag of words; paired seeds.

    python benchmarks/wordnet_nouns.py --out search_spaces
    python benchmarks/text_rows.py --store SCRATCH --checkpoint FOLDER [--searched STAGE.json] [--row NAME ...]
        [--seeds 5] [--workers 2]

FOLDER holds all-MiniLM-L6-v2 (search_spaces/wordnet_text.yaml says how to get it), which is fine-tuned by that spec's recipe.
Rows: DistilBERT's hand rule (every second layer of the teacher, all tokens, kd with the cosine of the last hidden states; Sanh
et al. 2019); the same with the tokens that occur; the same student from labels alone. These have DistilBERT's learning rate.
With --searched, also a student of a search with that spec: STAGE.json is its file stage.json in the store of the study
(`autodistill explain STUDY KEY` names the folder). Prints a Markdown table of accuracies on the 8,000 test texts, on which
nothing was chosen, and of times for one text of median length on one thread. What is stored in SCRATCH is not trained again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from paired import CPU, accuracy, difference, train_all

from autodistill.data import Splits
from autodistill.distill import load_network
from autodistill.distill.references import make_reference
from autodistill.metrics.latency import latency
from autodistill.models.sizes import sizes
from autodistill.spec import LossSpec, Recipe, Stage, Transformers, load
from autodistill.spec.measurement import Reference
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data, space_of
from autodistill.study.schedule.plan import FRESH
from autodistill.study.space import Space

SPEC = Path(__file__).parent.parent / "search_spaces" / "wordnet_text.yaml"
LABELS: dict[str, Any] = {"ce": {"weight": 1.0}}
DISTILBERT: dict[str, Any] = {
    "ce": {"weight": 0.5},
    "kd": {"weight": 0.5, "temperature": 2.0},
    "cosine": {"layers": [1.0], "weight": 1.0},
}
"""Its temperature and its terms; the masked tokens of its first phase are left out."""
REFERENCE = "tf_idf_linear"
SEARCHED = "searched"


class Row(NamedTuple):
    vocabulary: str
    loss: dict[str, Any]


ROWS = {
    "labels only": Row("used", LABELS),
    "every second layer": Row("full", DISTILBERT),
    "every second layer, used tokens": Row("used", DISTILBERT),
}


def main() -> None:
    given = options()
    store = Store(given.store)
    spec, splits = load_data(load(SPEC, [f"teacher.architecture.checkpoint={given.checkpoint.absolute()}"]), cuda=False)
    space = space_of(spec, splits, store)
    (teacher,) = space.teachers
    assert isinstance(teacher, Stage) and isinstance(teacher.architecture, Transformers)
    recipe = teacher.recipe.model_copy(update={"epochs": given.epochs, "learning_rate": 5e-4})
    arms = {name: [student(space, teacher, ROWS[name], recipe, seed) for seed in range(given.seeds)] for name in given.row}
    if given.searched is not None:
        searched = Stage.model_validate(json.loads(given.searched.read_bytes())["network"])
        assert searched.teachers == (teacher,), "search with the spec and the checkpoint that are given here"
        arms[SEARCHED] = [searched.model_copy(update={"seed": FRESH + seed}) for seed in range(given.seeds)]
    train_all(store, [teacher, *(one for stages in arms.values() for one in stages)], given.workers)
    print(table(store, splits, {"teacher": [teacher], **arms}, [*arms][-1]))
    print(bag_of_words(store, teacher))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--searched", type=Path, help="stage.json of a student of the search")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2, help="of the other students, over labeled and unlabeled texts")
    parser.add_argument("--row", nargs="*", choices=ROWS, default=list(ROWS), help="none: only the searched one")
    return parser.parse_args()


def table(store: Store, splits: Splits, arms: Mapping[str, Sequence[Stage]], against: str) -> str:
    """Parameters, test accuracies in percent with their paired difference to one arm, and the time of the first network."""
    lines = [f"| | params | n | accuracy | deviation | difference to {against} (95%) | ms |", "|---|---|---|---|---|---|---|"]
    test = splits.test.unseal()
    networks = {name: [load_network(store, stage, CPU) for stage in stages] for name, stages in arms.items()}
    found = {name: [100 * accuracy(one, test) for one in each] for name, each in networks.items()}
    for name, values in found.items():
        params = sizes(arms[name][0].architecture, splits.inputs, splits.classes).params
        deviation = f"{statistics.stdev(values):.2f}" if len(values) > 1 else ""
        gain = difference(values, found[against]) if name != against and len(values) == len(found[against]) > 1 else ""
        took = latency(networks[name][0], splits.inputs.typical.dummy(1), device=CPU).p50_ms
        mean = f"{statistics.mean(values):.2f}"
        lines.append(f"| {name} | {params:,} | {len(values)} | {mean} | {deviation} | {gain} | {took:.2f} |")
    return "\n".join(lines)


def student(space: Space, teacher: Stage, row: Row, recipe: Recipe, seed: int) -> Stage:
    """Half of the teacher's layers, begun as every second one of them."""
    assert isinstance(teacher.architecture, Transformers)
    positions = space.inputs.fields[0].longest
    layers = teacher.architecture.layers // 2
    changes = {"layers": layers, "vocabulary": row.vocabulary, "positions": positions, "settings": {}, "pooling": "first"}
    return Stage(
        task=teacher.task,
        architecture=teacher.architecture.model_copy(update=changes),
        loss=LossSpec.model_validate(row.loss),
        recipe=recipe,
        seed=seed,
        teachers=() if row.loss is LABELS else (teacher,),
        init=teacher,
    )


def bag_of_words(store: Store, teacher: Stage) -> str:
    """On validation texts, as the store has it; `confirm` prints its test accuracy."""
    key = make_reference(store, REFERENCE, teacher.task.data)
    found = Reference.model_validate(store.manifest("references", key)["reference"])
    return f"{REFERENCE}: {100 * found.scores['accuracy'].value:.2f}% on validation texts, {found.bytes:,} bytes"


if __name__ == "__main__":
    main()
