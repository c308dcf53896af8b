"""Norms folded into convolutions give the network's own numbers."""

import pytest
import torch
from torch import nn

from striate.nets.fusing import fuse
from striate.nets.repair import repair


def network(name):
    repair()
    import torchvision.models as zoo

    torch.manual_seed(0)
    module = zoo.get_model(name, weights=None)
    for part in module.modules():  # statistics as after training, not those of a fresh network
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_()
    return module.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("name", "folded"), [("resnet18", 20), ("mobilenet_v2", 52), ("squeezenet1_1", 0)]
)
def test_every_norm_behind_a_convolution_is_folded(name, folded):
    module, x = network(name), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        before = module(x)
        assert fuse(module) == folded
        after = module(x)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5 * float(before.abs().max()))


def test_a_tapped_convolution_is_left_alone():
    module = network("resnet18")
    assert fuse(module, ["layer1.0.conv1"]) == 19
    assert isinstance(module.layer1[0].bn1, nn.BatchNorm2d)
    assert isinstance(module.layer1[0].bn2, nn.Identity)


def test_a_tapped_part_whose_norm_lies_outside_is_left_alone():
    inner = nn.Sequential(nn.Conv2d(3, 4, 1))
    module = nn.Sequential(inner, nn.BatchNorm2d(4)).eval()
    assert fuse(module, ["0"]) == 0
    assert (
        fuse(nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))).eval(), ["0"]) == 1
    )
    assert fuse(module, ["1"]) == 1


class Shared(nn.Module):
    """The convolution's output is used twice, and the norm runs twice."""

    def __init__(self, twice):
        super().__init__()
        self.conv, self.norm, self.twice = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), twice

    def forward(self, x):
        y = self.conv(x)
        return self.norm(self.norm(y)) if self.twice else self.norm(y) + y


class Untraceable(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.conv(x)) if float(x.sum()) > 0 else x


@pytest.mark.parametrize("module", [Shared(True), Shared(False), Untraceable()])
def test_what_is_not_known_to_be_safe_stays(module):
    assert fuse(module.eval()) == 0


def test_a_norm_in_training_stays():
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)).train()
    assert fuse(module) == 0
