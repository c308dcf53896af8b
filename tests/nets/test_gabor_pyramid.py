"""What a Gabor pyramid must do with gratings, phases, shifts and blank images."""

import numpy as np
import pytest
import torch

from striate.errors import DataError, RecipeError
from striate.nets.gabor import Pyramid, planes

SIZE, FREQUENCIES = 64, (4, 8, 16)


def grating(frequency, orientation, phase=0.0, orientations=8, size=SIZE):
    y, x = np.mgrid[:size, :size]
    angle = np.pi * orientation / orientations
    along = np.cos(angle) * x + np.sin(angle) * y
    wave = np.cos(2 * np.pi * frequency / size * along + phase)
    return torch.tensor(wave, dtype=torch.float32)[None]


@pytest.mark.parametrize("frequency", FREQUENCIES)
@pytest.mark.parametrize("orientation", [0, 3, 6])
def test_the_matching_channel_answers_most(frequency, orientation):
    pyramid = Pyramid(SIZE)
    image = grating(frequency, orientation)
    middle = {}
    for f in FREQUENCIES:
        c = len(pyramid.positions(f)) // 2
        for o, value in enumerate(pyramid(image, f)[0, :, c, c].tolist()):
            middle[f, o] = value
    assert max(middle, key=middle.get) == (frequency, orientation)
    assert middle[frequency, orientation] == pytest.approx(1, abs=0.01)
    others = [v for k, v in middle.items() if k != (frequency, orientation)]
    assert max(others) < 0.6


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_magnitude_does_not_depend_on_phase(frequency):
    phases = np.linspace(0, 2 * np.pi, 9)
    images = torch.cat([grating(frequency, 2, p) for p in phases])
    pyramid = Pyramid(SIZE)
    c = len(pyramid.positions(frequency)) // 2
    values = pyramid(images, frequency)[:, 2, c, c]
    assert float(values.max() - values.min()) < 0.01


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_uniform_image_gives_nothing_even_at_the_borders(level):
    image = torch.full((1, SIZE, SIZE), level)
    for frequency in (1, *FREQUENCIES):
        assert float(Pyramid(SIZE)(image, frequency).abs().max()) < 1e-6


def test_brightness_does_not_matter():
    image = torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    pyramid = Pyramid(SIZE)
    torch.testing.assert_close(pyramid(image + 0.5, 8), pyramid(image, 8), atol=1e-6, rtol=1e-4)


def test_a_shift_by_one_position_shifts_the_responses():
    rng = torch.Generator().manual_seed(0)
    image = torch.zeros(1, SIZE, SIZE)
    image[:, 24:40, 24:40] = torch.rand(16, 16, generator=rng)
    pyramid, step = Pyramid(SIZE), SIZE // 8
    moved = torch.roll(image, (step, -step), dims=(1, 2))
    here, there = pyramid(image, 8), pyramid(moved, 8)
    inner = here[:, :, 2:5, 3:6]
    torch.testing.assert_close(there[:, :, 3:6, 2:5], inner, atol=1e-3, rtol=1e-3)


def test_against_wavelets_written_out():
    """Every response is a sum over pixels: here one by one."""
    pyramid = Pyramid(32, orientations=3, sigma=0.4)
    image = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    found = pyramid(image, 4)[0].numpy()
    y, x = np.mgrid[:32, :32]
    wavelength, sigma = 8.0, 0.4 * 8
    centres = (np.arange(4) + 0.5) * 8 - 0.5
    reach = np.arange(-40, 41)
    whole = np.exp(-(reach**2) / (2 * sigma**2)).sum() ** 2
    for o in range(3):
        k = 2 * np.pi / wavelength * np.array([np.cos(np.pi * o / 3), np.sin(np.pi * o / 3)])
        for r, cy in enumerate(centres):
            for c, cx in enumerate(centres):
                g = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
                wave = np.exp(1j * (k[0] * (x - cx) + k[1] * (y - cy)))
                w = g * (wave - (g * wave).sum() / g.sum())
                expected = abs((w * image[0].numpy()).sum()) * 2 / whole
                assert found[o, r, c] == pytest.approx(expected, abs=1e-5)


def test_nonlinearities_and_spacing():
    image = grating(8, 1)
    magnitude = Pyramid(SIZE)(image, 8)
    torch.testing.assert_close(Pyramid(SIZE, nonlinearity="energy")(image, 8), magnitude**2)
    log = Pyramid(SIZE, nonlinearity="log")(image, 8)
    torch.testing.assert_close(log, torch.log1p(100 * magnitude))
    assert Pyramid(SIZE, spacing=2)(image, 8).shape == (1, 8, 4, 4)


def test_opponent_channels():
    grey = torch.rand(2, SIZE, SIZE, 1, generator=torch.Generator().manual_seed(0))
    shown = planes(grey.expand(-1, -1, -1, 3), "opponent")
    torch.testing.assert_close(shown[:, 0], 3**0.5 * grey[..., 0])
    assert float(shown[:, 1:].abs().max()) < 1e-6
    for k, colour in enumerate(([1.0, 1, 1], [1.0, 0, 0], [0.0, 0, 1])):
        found = planes(torch.tensor(colour).expand(1, 1, 1, 3), "opponent").flatten()
        assert int(found.argmax()) == k
    yellow = planes(torch.tensor([1.0, 1, 0]).expand(1, 1, 1, 3), "opponent").flatten()
    assert yellow.tolist() == pytest.approx([2 / 3**0.5, 0, -2 / 6**0.5], abs=1e-6)


def test_opponent_energies_sum_to_those_of_rgb():
    image = torch.rand(1, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))
    pyramid = Pyramid(SIZE, nonlinearity="energy")
    sums = [pyramid(planes(image, c)[0], 8).sum(0) for c in ("rgb", "opponent")]
    torch.testing.assert_close(*sums)
    bt601 = image @ torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(planes(image, "luminance")[:, 0], bt601)
    with pytest.raises(RecipeError, match="unknown colour 'lab'"):
        planes(image, "lab")


@pytest.mark.parametrize("surround", [0, 0.7, 2])
def test_contrast_is_normalised_by_the_formula(surround):
    image = torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    energy = Pyramid(SIZE, nonlinearity="energy")(image, 8)[0].double().numpy()
    places = np.arange(8)
    weights = np.equal.outer(places, places).astype(float)
    if surround:
        weights = np.exp(-(np.subtract.outer(places, places) ** 2) / (2 * surround**2))
    weights /= weights.sum(1, keepdims=True)
    pool = np.einsum("rs,ct,ost->rc", weights, weights, energy)
    pyramid = Pyramid(SIZE, nonlinearity="normalised", semisaturation=0.05, surround=surround)
    for contrast in (0.1, 1, 4):
        found = pyramid(contrast * image, 8)[0]
        expected = contrast**2 * energy / (0.05**2 + contrast**2 * pool)
        np.testing.assert_allclose(found, expected, rtol=2e-4)
    assert float(pyramid(1e4 * image, 8).mean()) == pytest.approx(1 / 8, rel=0.05)
    assert float(pyramid(torch.full((1, SIZE, SIZE), 0.7), 8).max()) < 1e-6


def test_semisaturation_is_the_contrast_of_half_the_response():
    """Of a grating that drives one of two orientations alone."""
    pyramid = Pyramid(SIZE, 2, nonlinearity="normalised", semisaturation=0.2, surround=0)
    found = pyramid(0.2 * grating(8, 0, orientations=2), 8)
    assert float(found[0, 0, 4, 4]) == pytest.approx(0.5, abs=0.01)


def test_impossible_pyramids_are_refused():
    with pytest.raises(RecipeError, match=r"frequency 32 .*size / 2 = 32: lower it"):
        Pyramid(SIZE)(grating(8, 0), 32)
    with pytest.raises(RecipeError, match="unknown nonlinearity"):
        Pyramid(nonlinearity="root")
    with pytest.raises(RecipeError, match=r"sigma 0 .*must be > 0"):
        Pyramid(sigma=0)
    with pytest.raises(RecipeError, match=r"surround -1 .*must be ≥ 0"):
        Pyramid(surround=-1)
    with pytest.raises(DataError, match=r"64 × 32 pixels .*resize them to 64 × 64"):
        Pyramid(SIZE)(torch.zeros(1, 64, 32), 8)
