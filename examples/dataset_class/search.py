"""Purpose: students for a Dataset class of your own and a network that you trained yourself, both given from Python.
Command: python search.py
Time:    1.2 minutes on 2 cores (AMD EPYC, no GPU).
Expect:  the teacher (20,810 params) reaches 98% validation accuracy, a student with 354 params 90%. That student is the
         answer: it has 92% on the sealed test split, is shown to have at least 80%, and is exported to reports/strokes-model.
"""

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset, random_split

import autodistill


class Strokes(Dataset):
    """Any map-style data set: it has a length, and items (x, y) that are the same each time."""

    digits = load_digits()

    def __len__(self):
        return len(self.digits.target)

    def __getitem__(self, index):
        return torch.tensor(self.digits.images[index] / 16, dtype=torch.float32)[None], int(self.digits.target[index])


def trained(train):
    layers = torch.nn.Conv2d(1, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32 * 64, 10)
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for x, y in (batch for _ in range(20) for batch in DataLoader(train, batch_size=64, shuffle=True)):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


spec = {
    "study": "strokes",
    "student": {
        "architecture": {"family": "convnet", "depth": {"int": [1, 2]}, "width": {"int": [2, 12]}},
        "loss": {"ce": {"weight": "rest"}, "kd": {"weight": {"uniform": [0, 1]}, "temperature": {"log": [1, 8]}}},
        "recipe": {"epochs": 12, "batch_size": 64, "learning_rate": 1e-2},
    },
    "search": {"trials": 10, "label_baselines": False},
    "resources": {"gpus": 0},
}
torch.manual_seed(0)
train, validation, test = random_split(Strokes(), [0.6, 0.2, 0.2])
study = autodistill.search(spec, data=(train, validation, test), teacher=trained(train), out="reports/strokes")
print(study.frontier[["params", "accuracy", "chain"]].to_string())
print(study.smallest(accuracy=0.8, seeds=1).sentence())
print(study.export("reports/strokes-model", accuracy=0.8).to)
