"""Flow of textures whose motion is known, and what is made of flow."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from striate.errors import DataError, RecipeError
from striate.nets.flow import LucasKanade, colours, resized, scaled, summary, warped

INNER = (..., slice(16, -16), slice(16, -16))


def texture(x, y, seed=0):
    """A sum of gratings of many wavelengths, at any place."""
    rng = np.random.default_rng(seed)
    total = torch.zeros(torch.broadcast_shapes(x.shape, y.shape), dtype=torch.float64)
    for wavelength in np.geomspace(6, 60, 40):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        along = math.cos(angle) * x + math.sin(angle) * y
        total += wavelength**0.5 * torch.cos(2 * np.pi / wavelength * along + phase)
    return (0.5 + total / 100).float()


def moved(flow, height=112, width=128, seed=0):
    """Two frames between which every pixel of the first moves by the flow."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64),
        torch.arange(width, dtype=torch.float64),
        indexing="ij",
    )
    dx, dy = flow(x, y)
    # The texture of the first frame is that of the second, seen where its pixels end up.
    second = texture(x, y, seed)
    first = texture(x + dx, y + dy, seed)
    return first[None], second[None], torch.stack([dx.expand_as(x), dy.expand_as(x)]).float()


def constant(dx, dy):
    return lambda x, y: (torch.full_like(x, dx), torch.full_like(x, dy))


@pytest.mark.parametrize(
    "shift", [(0.25, 0), (0, -0.5), (1.3, 0.7), (-2.5, 2.5), (4.2, -3.1), (6, 0), (-1, -6)]
)
def test_known_shifts(shift):
    first, second, truth = moved(constant(*shift))
    error = (LucasKanade()(first, second)[0] - truth)[INNER].norm(dim=0)
    assert float(error.mean()) < 0.05
    assert float(error.max()) < 0.15


@pytest.mark.parametrize(("turn", "zoom"), [(0.05, 0.0), (-0.04, 0.0), (0.0, 0.06), (0.0, -0.05)])
def test_rotation_and_zoom(turn, zoom):
    def about_the_middle(x, y):
        x, y = x - 63.5, y - 55.5
        return zoom * x - turn * y, zoom * y + turn * x

    first, second, truth = moved(about_the_middle)
    flow = LucasKanade()(first, second)
    assert float((flow[0] - truth)[INNER].norm(dim=0).mean()) < 0.1
    features = summary(flow[INNER], grid=1)[0, :, 0, 0]
    assert float(features[-2]) == pytest.approx(2 * zoom, abs=0.006)
    assert float(features[-1]) == pytest.approx(2 * turn, abs=0.006)


def test_light_and_contrast_are_no_motion():
    first, second, truth = moved(constant(1.5, -2))
    flow = LucasKanade()(first, 0.6 * second + 0.2)
    assert float((flow[0] - truth)[INNER].norm(dim=0).mean()) < 0.05


def test_what_stands_still_beside_what_moves():
    """A square moves far over faint ground, which the coarse levels carry along."""
    y, x = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) for n in (112, 144)), indexing="ij"
    )
    ground, square = 0.3 + 0.05 * (texture(x, y, 9) - 0.5), texture(x, y)[:48, :48]
    first, second = ground.clone(), ground.clone()
    first[32:80, 40:88], second[32:80, 52:100] = square, square
    flow = LucasKanade()(first[None], second[None])[0]
    assert flow[:, 52:60, 60:68].mean((1, 2)).tolist() == pytest.approx([12, 0], abs=0.1)
    assert float(flow[:, 96:].norm(dim=0).mean()) < 0.05
    assert float(flow[:, :16].norm(dim=0).mean()) < 0.05


def test_equal_frames_and_blank_frames_do_not_move():
    first, _, _ = moved(constant(0, 0))
    assert float(LucasKanade()(first, first).abs().max()) < 1e-5
    blank = torch.full((1, 40, 64), 0.3)
    assert float(LucasKanade()(blank, blank + 0.1).abs().max()) < 1e-5


def test_a_pair_does_not_see_its_batch():
    pairs = [moved(constant(*s), 40, 64, seed)[:2] for seed, s in enumerate([(1, 2), (-3, 0.5)])]
    both = LucasKanade()(*(torch.cat(f) for f in zip(*pairs, strict=True)))
    for k, (first, second) in enumerate(pairs):
        torch.testing.assert_close(both[k], LucasKanade()(first, second)[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(5, 7), (33, 64), (17, 130)])
def test_frames_of_any_shape(shape):
    rng = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 3, *shape, generator=rng)
    flow = LucasKanade()(first, second)
    assert flow.shape == (3, 2, *shape)
    assert bool(flow.isfinite().all())


def test_warping_undoes_the_motion():
    first, second, truth = moved(constant(2, -3))
    back = warped(second[:, None], truth[None])[:, 0]
    torch.testing.assert_close(back[INNER], first[INNER], atol=1e-5, rtol=1e-4)


def test_vectors_grow_with_the_frames():
    rng = torch.Generator().manual_seed(0)
    flow = torch.randn(2, 2, 6, 8, generator=rng)
    assert resized(flow, (6, 8)) is flow
    larger = resized(flow, (12, 24))
    expected = functional.interpolate(flow, (12, 24), mode="bilinear")
    torch.testing.assert_close(larger[:, 0], 3 * expected[:, 0])
    torch.testing.assert_close(larger[:, 1], 2 * expected[:, 1])
    uniform = torch.tensor([4.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 20, 30)
    smaller = resized(uniform, (5, 10))
    assert smaller[0, :, 2, 4].tolist() == pytest.approx([4 / 3, -0.5])


def test_scaled_flow():
    rng = torch.Generator().manual_seed(0)
    flow = 15 * torch.randn(2, 2, 9, 12, generator=rng)
    found = scaled(flow, crop=4)
    torch.testing.assert_close(found, flow[:, :, 2:6, 4:8].clamp(-20, 20) / 20)
    assert scaled(flow).shape == flow.shape
    stored = scaled(flow, 4, quantised=True).double()
    grey = (stored + 1) * 255 / 2
    torch.testing.assert_close(grey, grey.round(), atol=1e-4, rtol=0)
    assert float((stored - found).abs().max()) <= 1 / 255 + 1e-6
    ends = torch.tensor([-99.0, 0, 99]).view(1, 1, 1, 3).expand(1, 2, 3, 3)
    assert scaled(ends, quantised=True)[0, 0, 0].tolist() == pytest.approx(
        [-1, 1 / 255, 1], abs=1e-6
    )
    with pytest.raises(DataError, match="crop 10 of flow of 9 × 12 pixels"):
        scaled(flow, 10)


def test_summary_of_a_uniform_flow():
    angle = math.radians(90 + 15)  # between the third of eight directions and the fourth
    flow = 3 * torch.tensor([math.cos(angle), math.sin(angle)]).view(1, 2, 1, 1)
    found = summary(flow.expand(1, 2, 20, 24), grid=2)
    assert found.shape == (1, 1 + 8 + 2, 2, 2)
    expected = [3, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]
    for row in (0, 1):
        assert found[0, :, row, 1].tolist() == pytest.approx(expected, abs=1e-5)


def test_directions_sum_to_the_speed():
    flow = torch.randn(3, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    for directions in (2, 5, 8):
        found = summary(flow, 4, directions)
        torch.testing.assert_close(found[:, 1 : directions + 1].sum(1), found[:, 0])
    with pytest.raises(DataError, match="grid of 17 × 17 cells"):
        summary(flow, 17)


def test_colours_of_directions():
    six = torch.arange(6) * (math.pi / 3)
    flow = torch.stack([six.cos(), six.sin()]).view(1, 2, 1, 6)
    pictures = colours(torch.cat([flow, 0 * flow, 0.5 * flow], 2), limit=1)
    red, yellow, green = [255, 0, 0], [255, 255, 0], [0, 255, 0]
    assert pictures[0, 0].tolist()[:3] == [red, yellow, green]
    assert pictures[0, 0].tolist()[3:] == [[255 - v for v in c] for c in (red, yellow, green)]
    assert pictures[0, 1].tolist() == [[255, 255, 255]] * 6
    assert pictures[0, 2, 0].tolist() == [255, 128, 128]
    rng = torch.randn(2, 2, 30, 40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(colours(rng), colours(7 * rng))


def test_impossible_flows_are_refused():
    with pytest.raises(RecipeError, match="window 0 of optical flow"):
        LucasKanade(window=0)
