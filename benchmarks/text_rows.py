"""Students of WordNet's nouns that a person would choose, beside their teacher and a bag of words; paired seeds.

    python benchmarks/wordnet_nouns.py --out search_spaces
    python benchmarks/text_rows.py --store SCRATCH --checkpoint FOLDER [--seeds 5] [--workers 2] [--row NAME ...]

FOLDER holds all-MiniLM-L6-v2 (search_spaces/wordnet_text.yaml says how to get it), which is fine-tuned by that spec's recipe.
Rows: DistilBERT's hand rule (every second layer of the teacher, all tokens, kd with the cosine of the last hidden states; Sanh
et al. 2019); the same with the tokens that occur; the same student from labels alone. Each has the students' recipe. Prints a
Markdown table of accuracies on the 2,000 validation texts. What is stored in SCRATCH is not trained again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from paired import accuracies, table, train_all

from autodistill.distill.references import make_reference
from autodistill.models.sizes import sizes
from autodistill.spec import LossSpec, Recipe, Stage, Transformers, load
from autodistill.spec.measurement import Reference
from autodistill.store import Store
from autodistill.study.preflight.prepare import load_data, space_of
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
    spec, splits = load_data(load(SPEC, [f"teacher.architecture.checkpoint={Path(given.checkpoint).absolute()}"]), cuda=False)
    space = space_of(spec, splits, store)
    (teacher,) = space.teachers
    assert isinstance(teacher, Stage) and isinstance(teacher.architecture, Transformers)
    recipe = teacher.recipe.model_copy(update={"epochs": given.epochs, "batch_size": 64})
    arms = {name: [student(space, teacher, ROWS[name], recipe, seed) for seed in range(given.seeds)] for name in given.row}
    train_all(store, [teacher, *(one for stages in arms.values() for one in stages)], given.workers)
    print(table(store, arms, given.row[0]))
    for name, stages in (("teacher", [teacher]), *arms.items()):
        print(f"{name}: {sizes(stages[0].architecture, splits.inputs, splits.classes).params:,} parameters")
    print(f"teacher: {accuracies(store, [teacher])[0]:.2f} %")
    print(bag_of_words(store, teacher))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3, help="of a student, over labeled and unlabeled texts")
    parser.add_argument("--row", nargs="+", choices=ROWS, default=list(ROWS))
    return parser.parse_args()


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
    key = make_reference(store, REFERENCE, teacher.task.data)
    found = Reference.model_validate(store.manifest("references", key)["reference"])
    return f"{REFERENCE}: {100 * found.scores['accuracy'].value:.2f} %, {found.bytes:,} bytes"


if __name__ == "__main__":
    main()
