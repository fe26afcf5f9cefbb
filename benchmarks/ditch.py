"""When does distillation hurt a small student? Temperature, weight, learning rate, length and capacity, paired seeds.

    python benchmarks/ditch.py --store SCRATCH [--seeds 3] [--workers 2]

Fashion-MNIST, 6,000 images; each line is a student with its recipe, each column a loss: the paired difference to
the same student trained from labels, in points. Prints a Markdown table.
"""

from __future__ import annotations

from typing import Any

from paired import accuracies, difference, fashion, options, train_all

from autodistill.spec import ConvNet, LossSpec, Recipe, ResNet, Stage
from autodistill.store import Store

SHORT = Recipe(epochs=8, batch_size=64, learning_rate=3e-3, precision="float32")
LONG = SHORT.model_copy(update={"epochs": 24})
TEACHER = ResNet(depth=1, width=16)
LABELS: dict[str, Any] = {"ce": {"weight": 1.0}}
STUDENTS = {
    "convnet 4x1": ConvNet(depth=4, width=1),
    "convnet 4x6": ConvNet(depth=4, width=6),
}
RECIPES = {
    "8 epochs": SHORT,
    "8 epochs, learning rate 3 times": SHORT.model_copy(update={"learning_rate": 9e-3}),
    "24 epochs": LONG,
}
LOSSES: dict[str, dict[str, Any]] = {
    f"T {temperature:g}, weight {weight}": {
        "ce": {"weight": round(1 - weight, 2)},
        "kd": {"weight": weight, "temperature": temperature},
    }
    for temperature, weight in ((1.0, 0.5), (1.0, 0.9), (4.0, 0.1), (4.0, 0.5), (4.0, 0.9))
}


def main() -> None:
    given = options(__doc__, 3)
    store, seeds = Store(given.store), range(given.seeds)
    task = fashion(store, 6_000)

    def stage(architecture: Any, recipe: Recipe, loss: dict[str, Any], seed: int, *teachers: Stage) -> Stage:
        kept = LossSpec.model_validate(loss)
        return Stage(task=task, architecture=architecture, loss=kept, recipe=recipe, seed=seed, teachers=teachers)

    teacher = stage(TEACHER, SHORT, LABELS, 0)
    labels = {
        (student, recipe): [stage(STUDENTS[student], RECIPES[recipe], LABELS, seed) for seed in seeds]
        for student in STUDENTS
        for recipe in RECIPES
    }
    taught = {
        (*place, name): [stage(STUDENTS[place[0]], RECIPES[place[1]], one, seed, teacher) for seed in seeds]
        for place in labels
        for name, one in LOSSES.items()
    }
    train_all(store, [one for stages in (*labels.values(), *taught.values()) for one in stages], given.workers)
    print(f"teacher: {accuracies(store, [teacher])[0]:.2f}%")
    print(f"| student | params | recipe | from labels | {' | '.join(LOSSES)} |")
    print("|" + "---|" * (4 + len(LOSSES)))
    for (student, recipe), stages in labels.items():
        found = accuracies(store, stages)
        params = store.manifest("stages", stages[0].key())["measurement"]["params"]
        cells = [difference(accuracies(store, taught[student, recipe, name]), found) for name in LOSSES]
        print(f"| {student} | {params} | {recipe} | {sum(found) / len(found):.2f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
