"""Kernels with their channels last in memory, which is how convolutions are fastest."""

from __future__ import annotations

from itertools import chain
from typing import TypeVar

import torch
from torch import nn

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}

M = TypeVar("M", bound=nn.Module)


def channels_last(module: M) -> M:
    """The module, its kernels of two and three dimensions laid out anew, in place."""
    for tensor in chain(module.parameters(), module.buffers()):
        form = FORMATS.get(tensor.ndim)
        if form is not None:
            tensor.data = tensor.data.contiguous(memory_format=form)
    return module
