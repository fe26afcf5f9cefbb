"""Small real things that many tests use."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from autodistill import spec
from autodistill.spec import Spec
from autodistill.store import Store
from autodistill.study.record.notes import TrialFacts
from autodistill.study.space import Space

# A slow machine is no error, and nothing here is timed.
settings.register_profile("untimed", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

RECIPE = {"epochs": 2, "batch_size": 32, "learning_rate": 0.01}
DOCUMENT: dict[str, Any] = {
    "study": "tiny",
    "task": {"dataset": "data.npz", "split": {"validation": 0.25, "test": 0.25, "seed": 0}},
    "teacher": {"architecture": {"family": "mlp", "depth": 1, "width": 64}, "recipe": RECIPE | {"epochs": 6}},
    "student": {
        "architecture": {"family": "mlp", "depth": {"int": [1, 2]}, "width": {"int": [1, 12]}},
        "loss": {"ce": {"weight": "rest"}, "kd": {"weight": {"uniform": [0, 1]}, "temperature": {"log": [1, 16]}}},
        "recipe": RECIPE,
    },
    "assistants": {
        "at_most": 1,
        "ladder": [{"family": "mlp", "depth": 1, "width": 16}, {"family": "mlp", "depth": 1, "width": 32}],
        "loss": {"ce": {"weight": 0.1}, "kd": {"weight": 0.9, "temperature": 4}},
        "recipe": RECIPE,
    },
    "search": {"trials": 6, "seed": 0, "label_baselines": False, "halving": False, "region": "all"},
    "resources": {"gpus": 0},
}


def blobs(samples: int = 320, classes: int = 4, features: int = 12, seed: int = 0) -> dict[str, Any]:
    """Gaussian blobs that a small net tells apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(samples) % classes
    centers = rng.normal(size=(classes, features)) * 1.5
    return {"x": (centers[y] + rng.normal(size=(samples, features))).astype(np.float32), "y": y}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with data.npz."""
    np.savez(tmp_path / "data.npz", **blobs())
    return tmp_path


@pytest.fixture
def tiny(folder: Path) -> Callable[..., Spec]:
    """Makes a small spec on data.npz; `changes` are key paths with dots, such as search__trials=3."""

    def make(**changes: Any) -> Spec:
        document = copy.deepcopy(DOCUMENT)
        document["task"]["dataset"] = str(folder / "data.npz")
        for path, value in changes.items():
            *above, last = path.split("__")
            place = document
            for part in above:
                place = place[part]
            place[last] = value
        return spec.parse(document)

    return make


@pytest.fixture
def space(tiny: Callable[..., Spec], tmp_path: Path) -> Callable[..., Space]:
    """Makes the space of such a spec, its data and teachers in a store."""
    from autodistill.study.preflight.prepare import load_data, space_of

    def make(**changes: Any) -> Space:
        spec, splits = load_data(tiny(**changes), cuda=False)
        return space_of(spec, splits, Store(tmp_path / "store"))

    return make


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One Ray for all tests that need one; the runner finds it running."""
    import ray

    from autodistill.runners.cluster import RayTune

    RayTune()._connect()
    yield
    ray.shutdown()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start a Ray run on one core after the other, so that they share one Ray."""
    for item in items:
        if item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group("ray"))


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study for pages that is not confirmed, made once: nobody changes what it holds but for its report."""
    from . import pages  # needs a browser's driver

    root, data = tmp_path_factory.mktemp("page"), blobs()
    np.savez(root / "data.npz", x=data["x"].reshape(-1, 1, 3, 4), y=data["y"])  # images, so that the page shows samples
    return pages.searched(root)


@pytest.fixture(scope="session")
def confirmed(raw: Path) -> Path:
    from . import pages

    return pages.confirmed(raw)


def timeless(facts: TrialFacts) -> TrialFacts:
    """What two runs of the same trial have in common."""
    return replace(facts, seconds=None)
