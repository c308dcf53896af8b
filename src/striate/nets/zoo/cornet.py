"""CORnet: four areas named after the ventral stream, feed-forward (Z) or recurrent (S)."""

from __future__ import annotations

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import RecipeError

TIMES = {"V2": 2, "V4": 4, "IT": 2}
"""How often each recurrent area of CORnet-S runs."""


class AreaZ(nn.Module):
    """One area of CORnet-Z: convolution, ReLU, max pool (Kubilius et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
        self.nonlin = nn.ReLU()
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.output = nn.Identity()

    def forward(
        self, inputs: Float[Tensor, "stimulus channel height width"]
    ) -> Float[Tensor, "stimulus ..."]:
        """Maps of half the size (a quarter with stride 2)."""
        return self.output(self.pool(self.nonlin(self.conv(inputs))))


class CORnetZ(nn.Sequential):
    """The feed-forward CORnet: areas of one convolution each (Kubilius et al. 2018).

    Images of 224 pixels, with ImageNet's mean and standard deviation. Nodes are ``V1``, ``V2``,
    ``V4``, ``IT``, ``decoder`` and their parts (``IT.output``, ``decoder.avgpool``); these are the
    authors' names, behind ``module.`` in their files.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__(
            OrderedDict(
                V1=AreaZ(3, 64, kernel=7, stride=2),
                V2=AreaZ(64, 128),
                V4=AreaZ(128, 256),
                IT=AreaZ(256, 512),
                decoder=_decoder(classes),
            )
        )
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.Linear) and part.bias is not None:
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)


class Strided(nn.Conv2d):
    """A convolution whose stride is told at each run."""

    def forward(
        self, inputs: Float[Tensor, "stimulus channel height width"], stride: int = 1
    ) -> Float[Tensor, "stimulus ..."]:
        """The convolution with this stride."""
        return functional.conv2d(inputs, self.weight, None, stride, self.padding)


class AreaS(nn.Module):
    r"""One recurrent area of CORnet-S (Kubilius et al. 2019).

    With the input :math:`x_0 = C_{in} * x`, time :math:`t = 0 \dots T-1` and batch norms
    :math:`n_{it}` of their own for each time,

    .. math:: x_{t+1} = r\big(n_{3t}(C_3 * r(n_{2t}(C_2 * r(n_{1t}(C_1 * x_t))))) + s_t\big), \quad
              s_0 = n_s(C_s * x_0),\; s_{t>0} = x_t

    where r is a ReLU, the bottleneck is `scale` times as wide, and C_2 and C_s halve height and
    width at time 0 only.
    """

    scale = 4

    def __init__(self, inputs: int, outputs: int, times: int = 1) -> None:
        super().__init__()
        if times < 1:
            raise RecipeError(f"an area of CORnet-S that runs {times} times: 1 or more")
        self.times = times
        wide = outputs * self.scale
        self.conv_input = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.skip = nn.Conv2d(outputs, outputs, 1, stride=2, bias=False)
        self.norm_skip = nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(outputs, wide, 1, bias=False)
        self.nonlin1 = nn.ReLU()
        self.conv2 = Strided(wide, wide, 3, padding=1, bias=False)
        self.nonlin2 = nn.ReLU()
        self.conv3 = nn.Conv2d(wide, outputs, 1, bias=False)
        self.nonlin3 = nn.ReLU()
        self.output = nn.Identity()
        for time in range(times):
            self.add_module(f"norm1_{time}", nn.BatchNorm2d(wide))
            self.add_module(f"norm2_{time}", nn.BatchNorm2d(wide))
            self.add_module(f"norm3_{time}", nn.BatchNorm2d(outputs))

    def forward(
        self, inputs: Float[Tensor, "stimulus channel height width"]
    ) -> Float[Tensor, "stimulus ..."]:
        """The state after the last time, of half the size."""
        state = self.conv_input(inputs)
        for time in range(self.times):
            norm1, norm2, norm3 = (self.get_submodule(f"norm{i}_{time}") for i in (1, 2, 3))
            passed = state if time else self.norm_skip(self.skip(state))
            x = self.nonlin1(norm1(self.conv1(state)))
            x = self.nonlin2(norm2(self.conv2(x, 1 if time else 2)))
            state = self.output(self.nonlin3(norm3(self.conv3(x)) + passed))
        return state


class CORnetS(nn.Sequential):
    """The recurrent CORnet, trained to be shallow and brain-like (Kubilius et al. 2019).

    Images of 224 pixels, with ImageNet's mean and standard deviation. Nodes are ``V1``, ``V2``,
    ``V4``, ``IT``, ``decoder`` and their parts, by the authors' names, which stand behind
    ``module.`` in their files. A part that runs at several times (``IT.conv1``) is read at its
    last; ``IT.norm1_0`` is that of the first.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__(
            OrderedDict(
                V1=_first_area(64),
                V2=AreaS(64, 128, TIMES["V2"]),
                V4=AreaS(128, 256, TIMES["V4"]),
                IT=AreaS(256, 512, TIMES["IT"]),
                decoder=_decoder(classes),
            )
        )
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


def _first_area(width: int) -> nn.Sequential:
    """V1 of CORnet-S, which does the work of the retina and the thalamus too: two convolutions."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
            norm1=nn.BatchNorm2d(width),
            nonlin1=nn.ReLU(),
            pool=nn.MaxPool2d(3, 2, padding=1),
            conv2=nn.Conv2d(width, width, 3, padding=1, bias=False),
            norm2=nn.BatchNorm2d(width),
            nonlin2=nn.ReLU(),
            output=nn.Identity(),
        )
    )


def _decoder(classes: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            linear=nn.Linear(512, classes),
            output=nn.Identity(),
        )
    )
