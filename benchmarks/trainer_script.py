"""How an engineer searches for students of a text classifier without autodistill: a distilling Trainer in Ray Tune's Optuna.

    python benchmarks/trainer_script.py TEACHER TEXTS FOLDER TRIALS EPOCHS SEED

The other side of peer_trainer.py, which runs it. TEACHER is a folder of transformers, a classifier of tokens of which a text
takes the mean; TEXTS has train.csv and validation.csv with the columns text and label (-100: none). Writes the weights of all
students to FOLDER, and points.json with their accuracies, params and configurations.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import ray
import torch
import torch.nn.functional as F
from ray import tune
from ray.tune.search.optuna import OptunaSearch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
)

MAX_LENGTH, HEAD_WIDTH = 32, 32
SPACE = {
    "layers": tune.randint(1, 4),
    "heads": tune.choice([3, 4, 6, 8]),
    "intermediate": tune.choice([256, 512, 1024]),
    "vocabulary": tune.choice(["used", 4000, 8000]),
    "init": tune.choice(["from_teacher", "random"]),
    "weight": tune.uniform(0.5, 1),
    "temperature": tune.loguniform(1, 4),
}


class Texts(Dataset):
    def __init__(self, texts: list[str], labels: list[int], tokenizer: Any) -> None:
        encoded = tokenizer(texts, padding="max_length", truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        self.ids, self.mask, self.labels = encoded["input_ids"], encoded["attention_mask"], torch.tensor(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return {"input_ids": self.ids[row], "attention_mask": self.mask[row], "labels": self.labels[row]}


def kept_tokens(data: Texts, tokenizer: Any, vocabulary: int | str) -> Tensor:
    """The special tokens, then the most frequent ones of the training texts."""
    first = [tokenizer.pad_token_id, tokenizer.unk_token_id]
    special = first + sorted(set(tokenizer.all_special_ids) - set(first))
    count = np.bincount(data.ids.flatten().numpy(), minlength=len(tokenizer))
    count[special] = 0
    others = [one for one in np.argsort(-count, kind="stable") if one not in special]
    size = len(special) + int((count > 0).sum()) if vocabulary == "used" else int(vocabulary)
    return torch.tensor([*special, *others][:size])


def rows_of(kept: Tensor, tokenizer: Any) -> Tensor:
    """The row of each token; those that are not kept have that of the unknown token."""
    rows = torch.full((len(tokenizer),), int((kept == tokenizer.unk_token_id).nonzero()))
    rows[kept] = torch.arange(len(kept))
    return rows


def make_student(config: dict[str, Any], teacher: Any, kept: Tensor) -> Any:
    sizes = AutoConfig.for_model(
        "bert",
        vocab_size=len(kept),
        hidden_size=HEAD_WIDTH * config["heads"],
        num_hidden_layers=config["layers"],
        num_attention_heads=config["heads"],
        intermediate_size=config["intermediate"],
        max_position_embeddings=MAX_LENGTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=teacher.config.num_labels,
    )
    student = AutoModelForSequenceClassification.from_config(sizes)
    if config["init"] == "from_teacher":
        begin(student, teacher, kept)
    return student


@torch.no_grad()
def begin(student: Any, teacher: Any, kept: Tensor) -> None:
    """As DistilBERT: evenly spaced layers of the teacher, here also their leading rows and columns."""
    taught, last = teacher.state_dict(), teacher.config.num_hidden_layers - 1
    layers = [int(one + 0.5) for one in np.linspace(0, last, student.config.num_hidden_layers)]
    for name, own in student.state_dict().items():
        name = re.sub(r"layer\.(\d+)\.", lambda found: f"layer.{layers[int(found[1])]}.", name)
        if name in taught:
            source = taught[name][kept] if "word_embeddings" in name else taught[name]
            own.copy_(source[tuple(slice(size) for size in own.shape)])


class DistillationTrainer(Trainer):
    """`rows` has the student's row of each token."""

    def __init__(self, teacher: Any, rows: Tensor, weight: float, temperature: float, **others: Any) -> None:
        super().__init__(**others)
        self.teacher, self.rows, self.weight, self.temperature = teacher.eval(), rows, weight, temperature

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        ids, mask, labels = inputs["input_ids"], inputs["attention_mask"], inputs["labels"]
        outputs = model(input_ids=self.rows[ids], attention_mask=mask)
        loss = F.cross_entropy(outputs.logits, labels, reduction="sum") / (labels >= 0).sum().clamp(min=1)
        if model.training:
            with torch.no_grad():
                taught = F.softmax(mean_logits(self.teacher, ids, mask) / self.temperature, dim=1)
            student = F.log_softmax(outputs.logits / self.temperature, dim=1)
            kd = self.temperature**2 * F.kl_div(student, taught, reduction="batchmean")
            loss = (1 - self.weight) * loss + self.weight * kd
        return (loss, outputs) if return_outputs else loss


def mean_logits(teacher: Any, ids: Tensor, mask: Tensor) -> Tensor:
    real = mask.unsqueeze(2)
    return (teacher(input_ids=ids, attention_mask=mask).logits * real).sum(1) / real.sum(1)


def trainable(config: dict[str, Any], teacher: str, data: dict[str, Texts], epochs: int, seed: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    above = AutoModelForTokenClassification.from_pretrained(teacher)
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    kept = kept_tokens(data["train"], tokenizer, config["vocabulary"])
    student, name = make_student(config, above, kept), tune.get_context().get_trial_id()
    arguments = TrainingArguments(
        output_dir=f"{folder}/{name}",
        num_train_epochs=epochs,
        per_device_train_batch_size=64,
        per_device_eval_batch_size=256,
        learning_rate=1e-3,
        weight_decay=0.01,
        lr_scheduler_type="cosine",
        warmup_steps=0.3,
        seed=seed,
        use_cpu=True,
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = DistillationTrainer(
        teacher=above,
        rows=rows_of(kept, tokenizer),
        weight=config["weight"],
        temperature=config["temperature"],
        model=student,
        args=arguments,
        train_dataset=data["train"],
        compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(1) == found.label_ids).mean())},
    )
    trainer.train()
    found = trainer.evaluate(data["validation"])
    trainer.save_model(f"{folder}/{name}")
    tune.report({"accuracy": found["eval_accuracy"], "params": student.num_parameters()})


def main(teacher: str, texts: str, folder: str, trials: int, epochs: int, seed: int) -> None:
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    tables = {name: pd.read_csv(f"{texts}/{name}.csv", keep_default_na=False) for name in ("train", "validation")}
    data = {name: Texts(one["text"].tolist(), one["label"].tolist(), tokenizer) for name, one in tables.items()}
    search = OptunaSearch(metric=["accuracy", "params"], mode=["max", "min"], seed=seed)
    function = tune.with_parameters(trainable, teacher=teacher, data=data, epochs=epochs, seed=seed, folder=folder)
    tuner = tune.Tuner(
        tune.with_resources(function, {"cpu": 1}),
        param_space=SPACE,
        tune_config=tune.TuneConfig(search_alg=search, num_samples=trials, max_concurrent_trials=os.cpu_count()),
        run_config=tune.RunConfig(storage_path=f"{folder}/ray", verbose=0),
    )
    points = []
    for result in tuner.fit():
        found = {name: result.metrics[name] for name in ("accuracy", "params", "time_total_s")}
        points.append(found | {"file": f"{result.metrics['trial_id']}/model.safetensors", "config": result.config})
    Path(folder, "points.json").write_text(json.dumps(points))
    ray.shutdown()


if __name__ == "__main__":
    teacher, texts, folder, *numbers = sys.argv[1:]
    main(teacher, texts, folder, *map(int, numbers))
