"""What motion energy must do with drifting gratings, still images and flicker."""

import math

import numpy as np
import pytest
import torch

from striate.errors import DataError, RecipeError
from striate.nets.gabor import Pyramid
from striate.nets.motion_energy import MotionEnergy

SIZE, FPS, WINDOW = 48, 15, 10


def drifting(frequency, speed, direction, phase=0.0, frames=WINDOW, size=SIZE):
    """cos(k · x − ωt + phase): moves towards `direction` (degrees, to the right, then down)."""
    t, y, x = np.mgrid[:frames, :size, :size]
    angle = math.radians(direction)
    along = (math.cos(angle) * x + math.sin(angle) * y) * frequency / size
    wave = np.cos(2 * np.pi * (along - speed * t / FPS) + phase)
    return torch.tensor(wave, dtype=torch.float32)


def test_against_wavelets_written_out():
    """Every response is a sum over pixels and frames: here one by one."""
    energy = MotionEnergy(20, FPS, 4, (0, 2, 4), 6, 2.5, 0.5, 0.3, True, "magnitude")
    rng = torch.Generator().manual_seed(0)
    frames = torch.rand(7, 20, 20, generator=rng)
    found = energy(frames, 4)
    wavelength = 20 / 4
    sigma = 0.5 * wavelength
    places = (np.arange(3) + 0.5) * 20 / 3 - 0.5  # 4 / (2.5 * 0.5) = 3.2 positions
    assert found.shape == (2, len(energy.channels()), 3, 3) == (2, 2 + 4 + 4 + 3, 3, 3)
    reach = np.arange(-60, 61)
    whole = np.exp(-(reach**2) / (2 * sigma**2)).sum() ** 2 / 2
    y, x = np.mgrid[:20, :20].astype(float)
    t = np.arange(6) - 2.5
    h = np.exp(-(t**2) / (2 * (0.3 * 6) ** 2))
    h /= h.sum()
    for c, (speed, direction) in enumerate(energy.channels()):
        angle, turn = math.radians(direction or 0), 2 * np.pi * speed / FPS * t
        in_time = h * (np.exp(-1j * turn) - ((h * np.exp(-1j * turn)).sum() if speed else 0))
        in_time = in_time / abs((in_time * np.exp(1j * turn)).sum())
        k = 2 * np.pi / wavelength * np.array([math.cos(angle), math.sin(angle)])
        for r, cy in enumerate(places):
            for col, cx in enumerate(places):
                g = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
                wave = np.exp(1j * (k[0] * (x - cx) + k[1] * (y - cy)))
                in_space = g * (wave - (g * wave).sum() / g.sum()) / whole
                if direction is None:
                    in_space = g / g.sum() * (2 if speed else 1)
                filters = in_time[:, None, None] * in_space
                for start in (0, 1):
                    clip = frames[start : start + 6].numpy()
                    expected = abs((filters * clip).sum())
                    assert found[start, c, r, col] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("speed", [2, 4])
@pytest.mark.parametrize("direction", [0, 45, 90, 225, 315])
def test_a_drifting_grating_drives_its_own_channel_most(speed, direction):
    energy = MotionEnergy(SIZE, FPS, nonlinearity="magnitude")
    frames = drifting(8, speed, direction)
    values = {}
    for frequency in (4, 8, 16):
        found = energy(frames, frequency)
        middle = found.shape[2] // 2
        for channel, value in zip(energy.channels(), found[0, :, middle, middle], strict=True):
            values[(frequency, *channel)] = float(value)
    own = (8, float(speed), float(direction))
    assert max(values, key=values.get) == own
    assert values[own] == pytest.approx(1, abs=0.05)
    assert values[8, speed, (direction + 180) % 360] < 0.25
    assert values[8, speed, (direction + 90) % 360] < 0.05
    assert values[8, speed, None] < 0.2


def test_opposite_motion_is_told_apart_better_in_a_longer_window():
    for window, most in ((10, 0.2), (15, 0.06), (30, 0.002)):
        energy = MotionEnergy(SIZE, FPS, window=window, nonlinearity="magnitude")
        found = energy(drifting(8, 2, 0, frames=window), 8)[0, :, 1, 1]
        at = {c: float(v) for c, v in zip(energy.channels(), found, strict=True)}
        assert at[2.0, 180.0] < most * at[2.0, 0.0]


def test_energy_does_not_depend_on_phase_or_time():
    energy = MotionEnergy(SIZE, FPS, nonlinearity="magnitude")
    for phase in np.linspace(0, 2 * np.pi, 5):
        found = energy(drifting(8, 4, 90, phase, frames=20), 8)
        own = found[:, energy.channels().index((4.0, 90.0)), 1, 1]
        assert own.tolist() == pytest.approx([1.0] * 11, abs=0.02)


def test_what_stands_still_has_spatial_energy_only():
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(1, SIZE, SIZE, generator=rng)
    energy = MotionEnergy(SIZE, FPS, nonlinearity="energy")
    for frequency in (2, 8, 16):
        found = energy(image.expand(12, -1, -1), frequency)
        at = np.array([speed for speed, _ in energy.channels()])
        assert float(found[:, at > 0].abs().max()) < 1e-10
        pyramid = energy.pyramid(frequency)
        alone = Pyramid(SIZE, 4, pyramid.spacing, pyramid.sigma, "energy")(image, frequency)
        torch.testing.assert_close(found[:, :4], alone.expand(3, -1, -1, -1))


def test_flicker_has_no_direction():
    energy = MotionEnergy(SIZE, 30, speeds=(0, 2, 5), window=60, nonlinearity="magnitude")
    t = torch.arange(60).view(-1, 1, 1) / 30
    frames = (0.5 + 0.3 * torch.cos(2 * math.pi * 5 * t)).expand(-1, SIZE, SIZE)
    found = energy(frames, 4)[0, :, 0, 0]
    assert found[-3:].tolist() == pytest.approx([0.5, 0, 0.3], abs=0.01)
    assert float(found[:-3].max()) < 1e-6


@pytest.mark.parametrize("directions", [2, 4, 8])
@pytest.mark.parametrize("speeds", [(0,), (0, 2, 4), (3, 5)])
@pytest.mark.parametrize("flicker", [True, False])
def test_number_of_channels(directions, speeds, flicker):
    energy = MotionEnergy(32, FPS, directions, speeds, flicker=flicker)
    moving = sum(s > 0 for s in speeds)
    expected = directions * moving + directions // 2 * (len(speeds) - moving)
    expected += len(speeds) * flicker
    frames = torch.zeros(WINDOW, 32, 32)
    assert energy(frames, 4).shape[1] == len(energy.channels()) == expected


def test_number_of_channels_of_the_paper():
    energy = MotionEnergy()
    frames = torch.zeros(WINDOW, 96, 96)
    assert sum(energy(frames, f)[0].numel() for f in (2, 4, 8, 16, 32)) == 6555


def test_positions_are_so_many_deviations_apart():
    energy = MotionEnergy(96)
    for frequency in (8, 16, 32):
        places = energy.pyramid(frequency).positions(frequency)
        step = float(places[1] - places[0]) / (0.6 * 96 / frequency)
        assert 3.5 <= step < 4.5
    assert energy.pyramid(1).sigma == 0.3  # of a wavelength, which is the image


def test_blocks_of_a_long_film_do_not_show(monkeypatch):
    rng = torch.Generator().manual_seed(0)
    frames = torch.rand(25, 32, 32, generator=rng)
    energy = MotionEnergy(32)
    whole = energy(frames, 4)
    assert whole.shape[0] == len(energy.times(25)) == 16
    assert energy.times(25)[0] == pytest.approx(4.5 / 15)
    monkeypatch.setattr("striate.nets.motion_energy.BLOCK", 5)
    torch.testing.assert_close(energy(frames, 4), whole)
    torch.testing.assert_close(energy(frames[3:13], 4)[0], whole[3])


def test_nonlinearities():
    frames = drifting(4, 2, 0)
    magnitude = MotionEnergy(SIZE, nonlinearity="magnitude")(frames, 4)
    torch.testing.assert_close(MotionEnergy(SIZE, nonlinearity="energy")(frames, 4), magnitude**2)
    torch.testing.assert_close(MotionEnergy(SIZE)(frames, 4), torch.log1p(100 * magnitude))


def test_impossible_energies_are_refused():
    with pytest.raises(RecipeError, match=r"speed 8 Hz must lie between 0 and fps / 2 = 7.5"):
        MotionEnergy(speeds=(0, 8))
    with pytest.raises(RecipeError, match=r"7 directions .*an even number"):
        MotionEnergy(directions=7)
    with pytest.raises(RecipeError, match="name each one once"):
        MotionEnergy(speeds=(2, 2))
    with pytest.raises(RecipeError, match="unknown nonlinearity"):
        MotionEnergy(nonlinearity="root")
    with pytest.raises(RecipeError, match=r"window 0 .*must be > 0"):
        MotionEnergy(window=0)
    with pytest.raises(RecipeError, match="frequency 48"):
        MotionEnergy(96).check(48)
    with pytest.raises(DataError, match="9 frames are fewer than the 10"):
        MotionEnergy(SIZE)(torch.zeros(9, SIZE, SIZE), 4)
    with pytest.raises(RecipeError, match=r"frequency 0 .*must be > 0"):
        MotionEnergy().check(0)
    with pytest.raises(DataError, match=r"32 × 48 pixels .*resize them to 48 × 48"):
        MotionEnergy(SIZE)(torch.zeros(10, 32, 48), 4)
