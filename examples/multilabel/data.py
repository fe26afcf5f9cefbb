"""Writes tags.npz: 4,000 documents, each with the counts of 20 words, and which of six topics each document has."""

from pathlib import Path

import numpy as np
from sklearn.datasets import make_multilabel_classification

if __name__ == "__main__":
    x, y = make_multilabel_classification(4000, n_features=20, n_classes=6, n_labels=2, random_state=0)
    names = ["art", "food", "law", "music", "sport", "work"]
    np.savez(Path(__file__).parent / "tags.npz", x=x.astype(np.float32), y=y, class_names=names)
