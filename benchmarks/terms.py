"""Every term against plain kd: one teacher, one student, paired seeds, on a part of Fashion-MNIST.

    python benchmarks/terms.py --store SCRATCH [--seeds 5] [--workers 2]

Prints a Markdown table. What is stored in SCRATCH is not trained again.
"""

from __future__ import annotations

from typing import Any

from paired import fashion, options, table, train_all

from autodistill.spec import ConvNet, LossSpec, Recipe, ResNet, Stage
from autodistill.store import Store

RECIPE = Recipe(epochs=10, batch_size=64, learning_rate=3e-3, precision="float32")
TEACHER, ASSISTANT, STUDENT = ResNet(depth=1, width=16), ResNet(depth=1, width=8), ConvNet(depth=4, width=4)
KD: dict[str, Any] = {"ce": {"weight": 0.1}, "kd": {"weight": 0.9, "temperature": 4.0}}
ONE = {"ce": {"weight": 1.0}}
ARMS: dict[str, dict[str, Any]] = {
    "label-only": ONE,
    "kd (T 4, 0.9)": KD,
    "kd (T 1, 0.5)": {"ce": {"weight": 0.5}, "kd": {"weight": 0.5, "temperature": 1.0}},
    "kd (T 2, 0.5)": {"ce": {"weight": 0.5}, "kd": {"weight": 0.5, "temperature": 2.0}},
    "kd standardized (T 2, 9)": {"ce": {"weight": 0.1}, "kd": {"weight": 9.0, "temperature": 2.0, "standardized": True}},
    "dkd (T 4, 1, 8)": ONE | {"dkd": {"weight": 1.0, "warm_up": 0.08}},
    "dist (T 1, 2)": ONE | {"dist": {"weight": 2.0}},
    "hint (100)": ONE | {"hint": {"weight": 100.0}},
    "attention (1000)": ONE | {"attention": {"weight": 1000.0}},
    "relational (1)": ONE | {"relational": {"weight": 1.0}},
    "similarity (3000)": ONE | {"similarity": {"weight": 3000.0}},
    "cosine (1)": ONE | {"cosine": {"weight": 1.0}},
    "dist and similarity, balanced": {
        "ce": {"weight": 1.0}, "dist": {"weight": 1.0}, "similarity": {"weight": 0.3}, "balance": "initial"
    },
}  # fmt: skip


def main() -> None:
    given = options(__doc__, 5)
    store = Store(given.store)
    task = fashion(store, 12_000)

    def stage(architecture: Any, loss: dict[str, Any], seed: int, *teachers: Stage) -> Stage:
        kept = LossSpec.model_validate(loss)
        return Stage(task=task, architecture=architecture, loss=kept, recipe=RECIPE, seed=seed, teachers=teachers)

    teacher, seeds = stage(TEACHER, ONE, 0), range(given.seeds)
    arms = {
        name: [stage(STUDENT, one, seed, *([teacher] if one != ONE else [])) for seed in seeds] for name, one in ARMS.items()
    }
    assistant = stage(ASSISTANT, KD, 0, teacher)
    arms["kd through an assistant, serial"] = [stage(STUDENT, KD, seed, assistant) for seed in seeds]
    arms["kd through an assistant, dense"] = [stage(STUDENT, KD, seed, teacher, assistant) for seed in seeds]
    dropped = KD | {"drop_teachers": 0.5}
    arms["the same, teachers dropped at 0.5"] = [stage(STUDENT, dropped, seed, teacher, assistant) for seed in seeds]
    train_all(store, [one for stages in arms.values() for one in stages], given.workers)
    for name, one in (("teacher", teacher), ("assistant", assistant)):
        found = store.manifest("stages", one.key())["measurement"]
        print(f"{name}: {found['params']:,} params, {100 * found['scores']['accuracy']['value']:.2f}%")
    print(table(store, arms, "kd (T 4, 0.9)"))


if __name__ == "__main__":
    main()
