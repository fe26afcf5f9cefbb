"""A convolutional student whose width, depth, and activation are searched."""

from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU}


class Small(nn.Module):
    """`inputs` and `outputs` describe the data; the other arguments are those in the spec."""

    def __init__(self, inputs, outputs, width, layers, activation):
        super().__init__()
        channels = [inputs.shape[0], *[width * 2**i for i in range(layers)]]
        self.blocks = nn.Sequential(*[block(a, b, activation) for a, b in zip(channels, channels[1:], strict=False)])
        self.head = nn.Linear(channels[-1], outputs)

    def forward(self, x):
        x = x / 16 - 0.5  # the data are raw numbers: pixels from 0 to 16
        return self.head(self.blocks(x).mean((2, 3)))


def block(a, b, activation):
    return nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), ACTIVATIONS[activation]())
