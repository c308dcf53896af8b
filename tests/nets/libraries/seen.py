"""Noise to look at, and what a network's nodes answer to it."""

import numpy as np
import torch
from PIL import Image

from striate.data import Shown
from striate.nets.repair import repair
from striate.nets.taps import Taps

repair()  # before anything imports torchvision

SHAPES = [(40, 61), (333, 200), (97, 97), (64, 32), (225, 300), (31, 30), (7, 50)]


def noise(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def images():
    return [noise(*shape, seed=k) for k, shape in enumerate(SHAPES)]


def shown(folder, count=2):
    """Images in files, as stimuli."""
    found = []
    for k in range(count):
        noise(40 + k, 61, k).save(folder / f"{k}.png")
        found.append(Shown(str(k), str(folder / f"{k}.png")))
    return found


def given(shows, stimuli):
    """What the network is given of some stimuli."""
    return shows(torch.from_numpy(np.concatenate([shows.read(s) for s in stimuli])))


def tapped(network, nodes, inputs):
    with torch.inference_mode():
        return Taps(network.build(), nodes, lambda output, _: output)(inputs)


def close(found, expected, tolerance=1e-5):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
