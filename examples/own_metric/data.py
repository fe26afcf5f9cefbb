"""Writes customers.npz: 2,000 customers, each with 20 numbers, and whether they buy (one in five does)."""

from pathlib import Path

import numpy as np
from sklearn.datasets import make_classification

if __name__ == "__main__":
    x, y = make_classification(2000, n_informative=8, weights=[0.8], flip_y=0.02, random_state=0)
    np.savez(Path(__file__).parent / "customers.npz", x=x.astype(np.float32), y=np.array(["no", "yes"])[y])
