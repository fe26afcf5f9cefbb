"""Purpose: the input of incumbent.yaml: digits as PNG files, with one folder per class, and the weights of the network in use
         today.
Command: python make.py
Time:    see incumbent.yaml.
Expect:  see incumbent.yaml.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from autodistill.data import InputSpec
from autodistill.models import build
from autodistill.spec import ConvNet

HERE = Path(__file__).parent
digits = load_digits()
for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
    folder = HERE / "images" / str(label)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray((image * 15.9375).astype(np.uint8)).save(folder / f"{number:04}.png")

torch.manual_seed(0)
today = build(ConvNet(depth=2, width=16), inputs=InputSpec.x((1, 8, 8), "uint8"), classes=10, mean=[78.0], std=[96.0])
x, y = torch.tensor(digits.images * 15.9375)[:, None].byte(), torch.tensor(digits.target)
optimizer = torch.optim.Adam(today.parameters(), 1e-2)
for batch in torch.randint(len(x) // 2, (250, 64)):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(today({"x": x[batch]}).logits, y[batch]).backward()
    optimizer.step()
save_file(today.state_dict(), HERE / "today.safetensors")
