"""Small networks whose every output can be worked out by hand."""

import torch
from torch import nn


class Doubler(nn.Module):
    """Counts how often it runs, so that a test can see where a pass stopped."""

    def __init__(self):
        super().__init__()
        self.runs = 0

    def forward(self, x):
        self.runs += 1
        return 2 * x


class Toy(nn.Module):
    """Operations in place behind every tap, a part that runs twice, and odd kinds of output."""

    def __init__(self, channels: int = 4):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3)
        self.relu = nn.ReLU(inplace=True)
        self.twice = nn.Identity()
        self.several = Several()
        self.last = Doubler()
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = self.relu(self.conv(x))
        x = self.twice(x)
        x = self.twice(x + 1)
        x += 5
        self.several(x)
        return self.last(x)


class Several(nn.Module):
    def forward(self, x):
        return {"maps": x.mean((2, 3)), "list": [x], "sum": x.sum((1, 2, 3))}


def hook_free(module: nn.Module) -> bool:
    return not any(m._forward_hooks for m in module.modules())


def seeded(channels: int = 4) -> Toy:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Toy(channels).eval().requires_grad_(False)
