"""Makes data.npz (the digits as color images of 16 x 16) and teacher.pt, the state_dict of a torchvision network."""

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F
from torchvision.models import shufflenet_v2_x1_0

HERE = Path(__file__).parent
torch.manual_seed(0)
torch.set_num_threads(1)

digits, order = load_digits(), torch.randperm(1797)
x, y = torch.tensor(digits.images, dtype=torch.float32)[order, None] / 8 - 1, torch.tensor(digits.target)[order]
x = F.interpolate(x, size=(16, 16), mode="bilinear").expand(-1, 3, -1, -1).contiguous()
np.savez(HERE / "data.npz", x_train=x[:1347], y_train=y[:1347], x_test=x[1347:], y_test=y[1347:])

model = shufflenet_v2_x1_0(num_classes=10)
optimizer = torch.optim.AdamW(model.parameters())
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=12 * 19)
for epoch in range(12):
    for batch in torch.randperm(1200).split(64):
        loss = F.cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    print(f"epoch {epoch + 1}: loss {loss.item():.3f}")
torch.save(model.state_dict(), HERE / "teacher.pt")
