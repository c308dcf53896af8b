"""Kernels laid out with their channels last."""

import torch
from torch import nn

from striate.nets.layout import channels_last


def test_kernels_of_two_and_three_dimensions_are_laid_out():
    module = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv3d(3, 4, 3), nn.Linear(2, 2)])
    before = {n: p.clone() for n, p in module.named_parameters()}
    assert channels_last(module) is module
    assert module[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert module[1].weight.is_contiguous(memory_format=torch.channels_last_3d)
    for name, value in module.named_parameters():
        assert torch.equal(value, before[name])
