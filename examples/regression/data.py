"""Writes friedman.npz: 1,500 samples of ten numbers, each with a value that depends on five of them (Friedman 1991)."""

from pathlib import Path

import numpy as np
from sklearn.datasets import make_friedman1

if __name__ == "__main__":
    x, y = make_friedman1(1500, noise=1.0, random_state=0)
    np.savez(Path(__file__).parent / "friedman.npz", x=x.astype(np.float32), y=y)
