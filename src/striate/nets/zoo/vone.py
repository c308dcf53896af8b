"""VOneNet: a fixed bank of V1-like simple and complex cells in front of a trained network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import FileError, RecipeError, some, unknown
from striate.nets.repair import repair

KERNEL = 25
STRIDE = 4
MEAN = STD = (0.5, 0.5, 0.5)
"""How images are normalised."""

TINY = 1e-12
"""Weights that count as nothing."""

TRUNKS = ("alexnet", "resnet50")

_BANK = "vone_block.{}.weight"
_PHASES = ("in_phase", "quadrature")


@dataclass(frozen=True)
class Gabors:
    r"""Receptive fields of V1 cells.

    .. math:: G(x, y) = \frac{1}{2\pi\sigma_x\sigma_y}
              \exp\!\Big(-\frac{x'^2}{2\sigma_x^2} - \frac{y'^2}{2\sigma_y^2}\Big)
              \cos(2\pi f x' + \phi), \quad \sigma_x = n_x / f,\; \sigma_y = n_y / f

    with :math:`x' = x\cos\theta + y\sin\theta,\; y' = -x\sin\theta + y\cos\theta` (Dapello,
    Marques et al. 2020).

    Parameters
    ----------
    orientation
        Direction θ in which the field varies, in radians; 0 varies along x, so bars are vertical.
    frequency
        Peak spatial frequency f, in cycles per degree.
    n_x, n_y
        Width across and length along the bars, in cycles.
    phase
        φ, in radians.
    colour
        The one channel of the image that the cell sees: 0 red, 1 green, 2 blue.

    """

    orientation: Float64[np.ndarray, " cell"]
    frequency: Float64[np.ndarray, " cell"]
    n_x: Float64[np.ndarray, " cell"]
    n_y: Float64[np.ndarray, " cell"]
    phase: Float64[np.ndarray, " cell"]
    colour: Int64[np.ndarray, " cell"]

    def __len__(self) -> int:
        return len(self.phase)

    @classmethod
    def sampled(cls, cells: int, seed: int = 0) -> Gabors:
        """Cells as they are found in macaque V1.

        Smooth curves stand in for the published histograms, with round numbers of our own.
        Orientations are most often cardinal (De Valois, Yund & Hepler 1982). Peak spatial
        frequencies are log-normal about 2.8 cycles per degree, 1.1 octaves wide, between 0.5 and 8,
        which the pixels can show (De Valois, Albrecht & Thorell 1982). n_x is log-normal about
        0.35, and n_y goes with it, a fifth larger (Ringach 2002). Phases (Schiller et al. 1976)
        and colours are uniform.
        """
        random = np.random.default_rng(seed)
        grid = np.linspace(0, np.pi, 4097)
        cumulative = grid + 0.2 * np.sin(4 * grid) / 4  # of a density 1 + 0.2 cos 4θ
        uniform = random.uniform(0, cumulative[-1], cells)
        width = _log_normal(random, cells, 0.35, 0.6, (0.1, 1.2))
        longer = _log_normal(random, cells, 1.2, 0.4, (0.5, 2.5))
        return cls(
            orientation=np.interp(uniform, cumulative, grid),
            frequency=_log_normal(random, cells, 2.8, 1.1, (0.5, 8.0)),
            n_x=width,
            n_y=np.clip(width * longer, 0.1, 1.2),
            phase=random.uniform(0, 2 * np.pi, cells),
            colour=random.integers(0, 3, cells),
        )

    def kernels(
        self, per_degree: float | int, shift: float | int = 0.0, size: int = KERNEL
    ) -> Float32[np.ndarray, "cell 3 height width"]:
        """The fields as weights of a convolution, with `shift` added to their phases.

        Lengths are in pixels, so an envelope that the kernel does not cut sums to 1: a grating of
        amplitude 1 and the cell's own frequency gives about one half.
        """
        place = np.arange(size) - size // 2
        y, x = place[:, None], place[None, :]
        theta, phase = self.orientation[:, None, None], self.phase[:, None, None]
        cycles = self.frequency[:, None, None] / per_degree
        across = (x * np.cos(theta) + y * np.sin(theta)) * cycles
        along = (y * np.cos(theta) - x * np.sin(theta)) * cycles
        n_x, n_y = self.n_x[:, None, None], self.n_y[:, None, None]
        envelope = np.exp(-0.5 * ((across / n_x) ** 2 + (along / n_y) ** 2))
        envelope *= cycles**2 / (2 * np.pi * n_x * n_y)
        made = np.zeros((len(self), 3, size, size), dtype=np.float32)
        wave = np.cos(2 * np.pi * across + phase + shift)
        field = envelope * wave
        # Tails too small for a normal float32 change nothing and make convolutions 5 times slower.
        field[np.abs(field) < TINY] = 0
        made[np.arange(len(self)), self.colour] = field
        return made


class Bank(nn.Module):
    """Filters that no training changes, but a file of weights may replace."""

    weight: Tensor

    def __init__(self, kernels: Float32[np.ndarray, "cell 3 height width"]) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(kernels))


class VOneBlock(nn.Module):
    r"""Simple cells, then complex cells, of the same bank (Dapello, Marques et al. 2020).

    With the responses a and b of a filter and of the same filter a quarter cycle later, a simple
    cell is :math:`\max(a, 0)` and a complex cell is :math:`\sqrt{a^2 + b^2} / \sqrt 2`.

    In training, noise of Poisson-like variance stood in for that of neurons. Features are to be
    the same twice, so there is none here, and no option for it.

    Parameters
    ----------
    cells
        Filters of the simple cells, followed by those of the complex cells.
    simple
        How many of them are simple.
    per_degree
        Pixels per degree of the visual field.
    gain
        What responses are multiplied by.

    """

    def __init__(
        self, cells: Gabors, simple: int, per_degree: float | int, gain: float | int = 1.0
    ) -> None:
        super().__init__()
        if not 0 <= simple <= len(cells):
            raise RecipeError(f"{simple} simple cells of {len(cells)} filters: between 0 and all")
        self.simple = simple
        self.gain = gain
        self.in_phase = Bank(cells.kernels(per_degree))
        self.quadrature = Bank(cells.kernels(per_degree, np.pi / 2))

    def forward(
        self, inputs: Float[Tensor, "stimulus 3 height width"]
    ) -> Float[Tensor, "stimulus cell row column"]:
        """Responses of all cells at every fourth pixel."""
        bank = torch.cat([self.in_phase.weight, self.quadrature.weight[self.simple :]])
        pad = bank.shape[-1] // 2
        responses = functional.conv2d(inputs, bank, None, STRIDE, pad)
        count = len(self.in_phase.weight)
        simple, a, b = responses.tensor_split((self.simple, count), dim=1)
        energy = torch.sqrt((a.square() + b.square()) / 2)
        return self.gain * torch.cat([simple.relu(), energy], dim=1)


class VOneNet(nn.Module):
    """A VOneBlock, a 1 × 1 bottleneck, and what follows the first stage of a network.

    The first stage of ResNet-50 (convolution, norm, ReLU, pool: a stride of 4) and the first
    convolution and ReLU of AlexNet (a stride of 4, too) give way; what follows keeps torchvision's
    names behind ``model.``. Images of 224 pixels span 8 degrees, with `MEAN` and `STD` of 0.5.

    Nodes are ``vone_block`` (512 × 56 × 56: 256 simple, then 256 complex cells), ``bottleneck``
    (64 × 56 × 56), and ``model.layer1`` … ``model.fc`` of ResNet-50 or ``model.features.2`` …
    ``model.classifier.6`` of AlexNet.

    Weights by a file: the authors trained behind a bank of their own draw, so a file has to bring
    its bank. See `renamed`.

    Parameters
    ----------
    trunk
        ``resnet50`` or ``alexnet``.
    classes
        Outputs of the head.
    seed
        Of the bank.
    simple, complex_cells
        How many cells there are of each kind.
    size, degrees
        Pixels along an edge of the images, and the visual angle that they span.
    gain
        See `VOneBlock`; weights of others may have been trained with another than 1.

    """

    def __init__(
        self,
        trunk: str = "resnet50",
        classes: int = 1000,
        seed: int = 0,
        simple: int = 256,
        complex_cells: int = 256,
        size: int = 224,
        degrees: float | int = 8.0,
        gain: float | int = 1.0,
    ) -> None:
        super().__init__()
        if trunk not in TRUNKS:
            raise RecipeError(unknown("trunk of VOneNet", trunk, TRUNKS))
        repair()
        import torchvision.models as zoo

        cells = Gabors.sampled(simple + complex_cells, seed)
        self.vone_block = VOneBlock(cells, simple, size / degrees, gain)
        self.bottleneck = nn.Conv2d(len(cells), 64, 1, bias=False)
        nn.init.kaiming_normal_(self.bottleneck.weight, mode="fan_out", nonlinearity="relu")
        self.model = zoo.get_model(trunk, weights=None, num_classes=classes)
        if trunk == "resnet50":
            for name in ("conv1", "bn1", "relu", "maxpool"):
                setattr(self.model, name, nn.Identity())
        else:
            for layer in (0, 1):
                self.model.features[layer] = nn.Identity()

    def forward(
        self, inputs: Float[Tensor, "stimulus 3 height width"]
    ) -> Float[Tensor, "stimulus target"]:
        """Scores of the classes."""
        return self.model(self.bottleneck(self.vone_block(inputs)))


def renamed(tensors: Mapping[str, Tensor], cells: int = 512) -> dict[str, Tensor]:
    """Tensors of another implementation's file by the names of `VOneNet`, told by their shapes.

    The bank is what has the shape (cells, 3, 25, 25): two tensors, in the order of the file, are
    the phases 0 and a quarter cycle. The bottleneck is what has (64, cells, 1, 1). All others
    belong to the trunk and keep their names behind ``model.``, whether or not that stood there.

    Raises
    ------
    FileError
        When there are not two banks and one bottleneck.

    """
    of = {
        name: [k for k, v in tensors.items() if tuple(v.shape) == shape]
        for name, shape in {
            "bank": (cells, 3, KERNEL, KERNEL),
            "bottleneck": (64, cells, 1, 1),
        }.items()
    }
    if len(of["bank"]) != 2 or len(of["bottleneck"]) != 1:
        raise FileError(
            f"weights of a VOneNet hold two Gabor banks of {cells} filters and one bottleneck, but"
            f" these hold {some(of['bank']) or 'no bank'} and"
            f" {some(of['bottleneck']) or 'no bottleneck'}: name the tensors as state_dict() of"
            " this network does"
        )
    names = dict(zip(of["bank"], (_BANK.format(p) for p in _PHASES), strict=True))
    names[of["bottleneck"][0]] = "bottleneck.weight"
    trunk = {
        k: k.removeprefix("module.").rpartition("model.")[2] for k in tensors if k not in names
    }
    rest = {k: f"model.{name}" for k, name in trunk.items()}
    return {(names | rest)[k]: v for k, v in tensors.items()}


def _log_normal(
    random: np.random.Generator,
    count: int,
    median: float,
    octaves: float,
    ends: tuple[float, float],
) -> Float64[np.ndarray, " cell"]:
    """Numbers with a normal logarithm, drawn again where they lie beyond the ends."""
    drawn = np.zeros(count)
    open_ = np.ones(count, dtype=bool)
    while open_.any():
        drawn[open_] = median * 2 ** random.normal(0, octaves, int(open_.sum()))
        open_ = (drawn < ends[0]) | (drawn > ends[1])
    return drawn
