"""One-dimensional signals of ten classes, made here: a data set that nothing in the search was tuned on.

`task.dataset: {import: signals:signals}`. Each class is a template of three bumps, drawn once from a fixed seed. A sample
shifts, stretches and scales its template, and adds a random slope, a random wave and white noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES, LENGTH, CLASSES, BUMPS = 9000, 64, 10, 3

Floats = NDArray[np.float64]


def signals(samples: int = SAMPLES, seed: int = 0) -> dict[str, Any]:
    """`x` (samples, 1, LENGTH) float32, `y` (samples,) whole numbers from 0 to CLASSES - 1."""
    rng = np.random.default_rng(seed)
    centers, widths = rng.uniform(0.1, 0.9, (CLASSES, BUMPS)), rng.uniform(0.02, 0.12, (CLASSES, BUMPS))
    heights = rng.choice([-1.0, 1.0], (CLASSES, BUMPS)) * rng.uniform(0.6, 1.4, (CLASSES, BUMPS))
    y = rng.integers(CLASSES, size=samples)
    time = np.linspace(0, 1, LENGTH)
    stretched = (time - 0.5) * rng.uniform(0.8, 1.25, (samples, 1)) + 0.5 + rng.uniform(-0.12, 0.12, (samples, 1))
    bumps = np.exp(-0.5 * ((stretched[:, None] - centers[y][:, :, None]) / widths[y][:, :, None]) ** 2)
    clean = (heights[y][:, :, None] * bumps).sum(axis=1) * rng.uniform(0.6, 1.4, (samples, 1))
    wave = np.sin(2 * np.pi * (rng.uniform(0.5, 4, (samples, 1)) * time + rng.random((samples, 1))))
    x = clean + rng.normal(0, 0.5, (samples, 1)) * (time - 0.5) + rng.normal(0, 0.2, (samples, 1)) * wave
    x = x + rng.normal(0, 0.2, x.shape)
    return {"x": x[:, None].astype(np.float32), "y": y}
