"""A small table of customers, as a CSV file has it and as a typed frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autodistill.data import Raw, Splits, read, split
from autodistill.spec import Split, TaskSpec


def customers(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """Numbers, a boolean, dates and two categories, with missing values; `churned` is a word that depends on most of them."""
    random = np.random.default_rng(seed)
    plan = random.choice(["basic", "plus", "family"], rows, p=[0.5, 0.3, 0.2])
    tenure, paperless = random.gamma(2, 15, rows).round(1), random.random(rows) < 0.5
    price = random.normal(40, 12, rows).round(2)
    odds = 1.5 * (plan == "basic") - 0.05 * tenure + 0.8 * paperless + 0.03 * (price - 40)
    region = random.choice(["north", "south", "west"], rows).astype(object)
    region[random.random(rows) < 0.1] = None
    return pd.DataFrame(
        {
            "plan": plan,
            "region": region,
            "tenure": tenure,
            "price": np.where(random.random(rows) < 0.15, np.nan, price),
            "signed": pd.Timestamp("2024-01-01") + pd.to_timedelta(random.permutation(rows), unit="D"),
            "paperless": paperless,
            "store": random.integers(100, 130, rows),
            "churned": np.where(odds + random.logistic(0, 0.5, rows) > 0, "yes", "no"),
        }
    )


def written(folder: Path, frame: pd.DataFrame | None = None, name: str = "churn.csv", **how: Any) -> Path:
    """The frame as a file; by default, the customers."""
    frame, path = customers() if frame is None else frame, folder / name
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, **how)
    return path


def task_of(path: Path, **changes: Any) -> TaskSpec:
    known = {"dataset": str(path), "label": "churned", "split": Split(validation=0.25, test=0.25)}
    return TaskSpec.model_validate(known | changes, by_name=True, by_alias=True)


def raw_of(path: Path, **changes: Any) -> Raw:
    return read(task_of(path, **changes))


def splits_of(path: Path, **changes: Any) -> Splits:
    task = task_of(path, **changes)
    return split(read(task), task)
