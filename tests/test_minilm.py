"""A pretrained transformer from its folder to a distilled student: fine-tuned, distilled from, and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from autodistill import spec

from .minilm import MINILM, needs_minilm
from .searching import search
from .textual import reviews, written

pytest.importorskip("transformers")
torch.set_num_threads(1)


def document(texts: Path, checkpoint: str) -> dict[str, Any]:
    """60 texts, a step of fine-tuning, and one student with a layer, the leading heads, and the tokens that occur."""
    teacher = {"family": "transformers", "checkpoint": checkpoint}
    recipe = {"epochs": 1, "batch_size": 30, "learning_rate": 1e-3}
    architecture = {"family": "transformers", "layers": 1, "heads": {"int": [2, 3]}, "head_width": 32, "vocabulary": "used"}
    return {
        "study": "minilm",
        "task": {"dataset": str(texts), "label": "topic", "text": "review", "split": {"validation": 0.25, "test": 0.25}},
        "teacher": {"architecture": teacher, "recipe": recipe},
        "student": {
            "architecture": architecture,
            "init": "from_teacher",
            "loss": {"ce": {"weight": "rest"}, "kd": {"weight": 0.5}, "cosine": {"weight": 1.0}},
            "recipe": recipe | {"epochs": 2},
        },
        "search": {"trials": 1, "seed": 0, "label_baselines": False, "halving": False, "region": "all"},
        "baselines": [],
        "resources": {"gpus": 0},
    }


@needs_minilm
def test_a_student_is_distilled_from_all_minilm_after_a_step_of_fine_tuning(tmp_path: Path) -> None:
    study = search(spec.parse(document(written(tmp_path, reviews(60)), str(MINILM))), out=tmp_path / "out", runner="serial")
    teacher, student = (next(row for row in study.rows() if row.role == role) for role in ("teacher", "student"))
    assert teacher.params == 22_713_216 - 384 * 385 + 3 * 385  # a mean of tokens needs no pooler
    assert student.chain.count(">") == 1 and student.params < 300_000

    def weights(key: str) -> dict[str, torch.Tensor]:
        return load_file(study.store.file("stages", key, "model.safetensors"))

    tuned, before = weights(teacher.stage), load_file(Path(str(MINILM)) / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    moved_VD = (tuned[f"body.model.bert.{name}"] - before[name]).abs()
    assert 0 < float(moved_VD.max()) < 0.02
