"""Milliseconds to augment a batch on the CPU: autodistill's views against torchvision's transforms, image by image.

    python benchmarks/augment_time.py

One thread, 64 random images of uint8; the variants take turns, the median of five. Drawing the table of a view, once an
epoch, is not in it: its time, for 50,000 samples, stands in the last column.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torchvision.transforms import v2

from autodistill.data.augment import Views
from autodistill.spec import Augmentation

BATCH, SAMPLES = 64, 50_000
SHAPES = [(1, 28, 28), (3, 32, 32)]
CROP, RANDOM = {"flip": True, "crop": 2}, {"randaugment": {"operations": 2, "magnitude": 9}}
OPTIONS: dict[str, tuple[dict[str, Any], Callable[[int], list[Any]]]] = {
    "flip": ({"flip": True}, lambda side: [v2.RandomHorizontalFlip()]),
    "flip, crop": (CROP, lambda side: [v2.RandomCrop(side, padding=2), v2.RandomHorizontalFlip()]),
    "cutout": ({"cutout": 8}, lambda side: [v2.RandomErasing(p=1, scale=(0.08, 0.08), ratio=(1, 1))]),
    "randaugment": (RANDOM, lambda side: [v2.RandAugment(2, 28)]),
    "mixup": ({"mixup": 0.2}, lambda side: []),
    "all": (
        CROP | RANDOM | {"cutout": 8, "mixup": 0.2},
        lambda side: [
            v2.RandomCrop(side, padding=2),
            v2.RandomHorizontalFlip(),
            v2.RandAugment(2, 28),
            v2.RandomErasing(p=1, scale=(0.08, 0.08), ratio=(1, 1)),
        ],
    ),
}


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'ms per batch of ' + str(BATCH):28}{'views':>8}{'torchvision':>13}{'table, ms a view':>18}")
    for shape in SHAPES:
        for name, (augmentation, transforms) in OPTIONS.items():
            x_N = torch.randint(0, 256, (SAMPLES, *shape), dtype=torch.uint8)
            ours, table = of_views(augmentation, x_N), of_table(augmentation, x_N)
            theirs = of_torchvision(transforms(shape[1]), x_N, mixup="mixup" in augmentation)
            one, two, three = medians(ours, theirs, table)
            print(f"{'x'.join(map(str, shape)) + ' ' + name:28}{one:8.2f}{two:13.2f}{three:18.1f}")


def of_views(augmentation: dict[str, Any], x_N: torch.Tensor) -> Callable[[], None]:
    views = views_of(augmentation, x_N)
    rows_B = torch.randint(0, SAMPLES, (BATCH,))
    views.table(0)

    def run() -> None:
        for _ in range(10):
            views.batch(x_N.__getitem__, rows_B, 0)

    return run


def of_table(augmentation: dict[str, Any], x_N: torch.Tensor) -> Callable[[], None]:
    """Drawn ten times, as the others augment ten batches."""
    views = views_of(augmentation, x_N)

    def run() -> None:
        for view in range(10):
            views.table(view)

    return run


def views_of(augmentation: dict[str, Any], x_N: torch.Tensor) -> Views:
    shape = tuple(x_N.shape[1:])
    schema = Augmentation.model_validate(augmentation)
    return Views(schema, seed=0, samples=SAMPLES, shape=shape, fill=[127.0] * shape[0], device="cpu")


def of_torchvision(transforms: list[Any], x_N: torch.Tensor, *, mixup: bool) -> Callable[[], None]:
    change = v2.Compose(transforms) if transforms else v2.Identity()
    mix = v2.MixUp(alpha=0.2, num_classes=10)
    rows_B, y_B = torch.randint(0, SAMPLES, (BATCH,)), torch.randint(0, 10, (BATCH,))

    def run() -> None:
        for _ in range(10):
            x_B = torch.stack([change(x) for x in x_N[rows_B]])
            if mixup:
                mix(x_B.float(), y_B)

    return run


def medians(*calls: Callable[[], None]) -> list[float]:
    """Of five rounds after one to warm up, in which the calls take turns; milliseconds of one tenth of a call."""
    times = [[seconds(call) for call in calls] for _ in range(6)][1:]
    return [statistics.median(column) / 10 * 1e3 for column in zip(*times, strict=True)]


def seconds(call: Callable[[], None]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
