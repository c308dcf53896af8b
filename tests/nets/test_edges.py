"""Edges are where the steps are, with their orientation, and nowhere else."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from striate.errors import DataError, RecipeError
from striate.nets.edges import OrientedEnergy, canny, luminance, sobel


def step(angle, size=49, height=0.8, soft=0.0):
    """A step through the middle that gets lighter towards `angle` (degrees)."""
    y, x = np.mgrid[:size, :size] - size // 2
    across = math.cos(math.radians(angle)) * x + math.sin(math.radians(angle)) * y
    image = (across > 1e-9) + 0.5 * (abs(across) <= 1e-9)
    image = ndimage.gaussian_filter(image.astype(float), soft) if soft else image
    return torch.tensor(0.1 + height * image, dtype=torch.float32)[None]


def textures(count=2, size=40):
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.random((count, size, size + 9)), (0, 2, 2))
    low, high = noise.min(), noise.max()
    return torch.tensor((noise - low) / (high - low), dtype=torch.float32)


def test_sobel_of_ramps():
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(9.0), indexing="ij")
    for dx, dy in ((0.1, 0), (0, 0.2), (-0.3, 0.4)):
        magnitude, direction = sobel((dx * x + dy * y)[None])[0, :, 1:-1, 1:-1]
        torch.testing.assert_close(magnitude, torch.full_like(magnitude, math.hypot(dx, dy)))
        torch.testing.assert_close(direction, torch.full_like(direction, math.atan2(dy, dx)))


def test_sobel_against_scipy():
    images = textures()
    magnitude, direction = sobel(images).unbind(1)
    for k, image in enumerate(images.double().numpy()):
        x, y = (ndimage.sobel(image, axis, mode="nearest") / 8 for axis in (1, 0))
        np.testing.assert_allclose(magnitude[k], np.hypot(x, y), atol=1e-6)
        found = magnitude[k] * torch.exp(1j * direction[k])
        np.testing.assert_allclose(found, x + 1j * y, atol=1e-6)


def slow_canny(image, sigma, low, high):
    """Pixel by pixel, as the paper tells it."""
    truncate = math.ceil(4 * sigma) / sigma
    same = {"mode": "nearest", "truncate": truncate}
    x = ndimage.gaussian_filter(image, sigma, (0, 1), **same)
    y = ndimage.gaussian_filter(image, sigma, (1, 0), **same)
    strength = np.hypot(x, y) * sigma * math.sqrt(2 * math.pi)
    wide = np.pad(strength, 1)
    thin = np.zeros(image.shape, dtype=bool)
    for r, c in np.ndindex(image.shape):
        dx, dy = x[r, c], y[r, c]
        long = math.hypot(dx, dy)
        if long == 0:
            continue
        ends = []
        for sense in (1, -1):
            row, column = 1 + r + sense * dy / long, 1 + c + sense * dx / long
            ends.append(ndimage.map_coordinates(wide, [[row], [column]], order=1)[0])
        thin[r, c] = strength[r, c] > max(ends)
    kept = thin & (strength > high)
    while True:
        grown = ndimage.binary_dilation(kept, np.ones((3, 3))) & thin & (strength > low)
        if (grown == kept).all():
            return kept
        kept = grown


@pytest.mark.parametrize(
    ("sigma", "low", "high"), [(1, 0.1, 0.3), (1.4, 0.05, 0.15), (2, 0.2, 0.2)]
)
def test_canny_against_a_slow_one(sigma, low, high):
    images = textures()
    found = canny(images, sigma, low, high)
    assert found.shape == (2, 1, *images.shape[1:])
    for k, image in enumerate(images.double().numpy()):
        expected = slow_canny(image, sigma, low, high)
        assert 20 < expected.sum() < expected.size / 4
        assert (found[k, 0].numpy() != expected).mean() < 0.002


@pytest.mark.parametrize("angle", [0, 90, 180, 45, 30, 285])
def test_canny_finds_a_step_once(angle):
    lines = canny(step(angle))[0, 0]
    y, x = np.nonzero(lines.numpy())
    across = math.cos(math.radians(angle)) * (x - 24) + math.sin(math.radians(angle)) * (y - 24)
    assert abs(across).max() <= 0.75
    steep = max(abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle))))
    assert 45 <= len(x) <= 49 / steep + 4


def test_canny_of_a_step_between_two_pixels_is_one_pixel_wide():
    image = torch.zeros(1, 20, 20)
    image[:, :, 10:] = 1
    for turned in (image, image.transpose(1, 2), 1 - image):
        lines = canny(turned)[0, 0]
        assert sorted({int(lines.sum(0).max()), int(lines.sum(1).max())}) == [1, 20]
        assert float(lines.sum()) == 20


def test_thresholds_are_heights_of_steps():
    assert float(canny(step(0, height=0.14), low=0.05, high=0.15).sum()) == 0
    assert float(canny(step(0, height=0.17), low=0.05, high=0.15).sum()) > 40
    heights = torch.linspace(0.02, 0.14, 49).view(1, -1, 1)
    weak = step(0, height=1) - 0.1
    assert float(canny(weak * heights).sum()) == 0
    found = canny(weak * 4 * heights)[0, 0].sum(1)  # what is weak hangs on what is strong
    assert found[4:-4].tolist() == [1] * 41
    assert float(canny(weak * 4 * heights, low=0.15)[0, 0, :6].sum()) == 0


@pytest.mark.parametrize("orientation", range(8))
def test_a_step_has_the_energy_of_its_orientation(orientation):
    bank = OrientedEnergy()
    energy = bank(step(180 * orientation / 8, size=65))[0].unflatten(0, (3, 8))
    for scale, sigma in zip(energy, bank.sigmas, strict=True):
        at = scale[:, 32, 32]
        assert int(at.argmax()) == orientation
        assert float(at[(orientation + 4) % 8]) < 0.3 * float(at.max())
        if orientation == 0:
            assert float(at.max()) == pytest.approx(0.8, rel=0.2 if sigma == 1 else 0.05)
            profile = scale[0, 32, 16:48]
            assert int(profile.argmax()) == 16
    assert float(bank(step(0))[:, :8, :, :12].max()) < 0.05  # far away


def test_lines_and_steps_have_energy_at_their_place_only():
    bank = OrientedEnergy((2.0,), 4)
    line = torch.zeros(1, 41, 41)
    line[:, :, 20] = 1
    for image in (line, step(0, 41), 1 - line):
        profile = bank(image)[0, 0, 20, 6:-6]
        assert int(profile.argmax()) == 14


@pytest.mark.parametrize("orientations", [4, 8])
def test_a_quarter_turn_permutes_orientations(orientations):
    images = textures(2, 47)[:, :, :47]
    bank = OrientedEnergy((1.5, 3.0), orientations)
    here = bank(images).unflatten(1, (2, orientations))
    turned = bank(images.rot90(-1, (1, 2))).unflatten(1, (2, orientations))
    # x becomes y: what varied along x now varies along y, half of the orientations on.
    expected = here.roll(orientations // 2, 2).rot90(-1, (3, 4))
    torch.testing.assert_close(turned, expected, atol=2e-5, rtol=1e-3)


def test_filters_against_derivatives_of_gaussians():
    """The even part of isotropic filters is a second derivative, by scipy."""
    image = textures(1, 64)[:, :, :64]
    found = OrientedEnergy((2.5,), 2, 1.0)(image)[0]
    even = ndimage.gaussian_filter(
        image[0].double().numpy(), 2.5, (0, 2), mode="mirror", truncate=8
    )
    spectrum = np.fft.fft(even - even.mean(1, keepdims=True), axis=1)
    spectrum[:, 33:] = 0
    analytic = np.fft.ifft(2 * spectrum, axis=1)  # along x, by another way
    expected = np.pi * 2.5**2 * np.abs(analytic)
    inner = np.s_[20:44, 20:44]
    assert np.corrcoef(found[0][inner].flatten(), expected[inner].flatten())[0, 1] > 0.97


@pytest.mark.parametrize("shape", [(1, 1), (3, 20), (31, 8)])
def test_images_of_any_shape(shape):
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    for edges, channels in ((sobel, 2), (canny, 1), (OrientedEnergy((1.0, 4.0), 3), 6)):
        found = edges(images)
        assert found.shape == (2, channels, *shape)
        assert bool(found.isfinite().all())


def test_uniform_images_have_no_edges():
    images = torch.full((2, 3, 24, 31), 0.6)
    assert float(sobel(images)[:, 0].max()) < 1e-6
    assert float(canny(images).sum()) == 0
    energy = OrientedEnergy()(images)
    assert energy.shape == (2, 24, 24, 31)
    assert float(energy.max()) < 1e-5


def test_edges_of_colours_are_those_of_luminance():
    images = torch.rand(2, 3, 21, 17, generator=torch.Generator().manual_seed(0))
    plane = luminance(images)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    torch.testing.assert_close(plane, (images * weights).sum(1))
    for edges in (sobel, canny, OrientedEnergy((1.0,), 4)):
        torch.testing.assert_close(edges(images), edges(plane))
        torch.testing.assert_close(edges(images)[1:], edges(images[1:]), atol=1e-5, rtol=1e-4)


def test_impossible_edges_are_refused():
    with pytest.raises(DataError, match=r"shape \(1, 2, 5, 5\)"):
        sobel(torch.zeros(1, 2, 5, 5))
    with pytest.raises(RecipeError, match=r"low 0\.3 and high 0\.2"):
        canny(torch.zeros(1, 5, 5), 1, 0.3, 0.2)
    with pytest.raises(RecipeError, match="name some above 0"):
        OrientedEnergy((1.0, 0.0))
    with pytest.raises(RecipeError, match="orientations 0"):
        OrientedEnergy(orientations=0)
