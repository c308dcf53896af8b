"""Finer points of resizing: to the byte as torchvision has them, and stated fields on top."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import RecipeError
from striate.nets.libraries.fitting import Fitted, stated_over
from striate.nets.preprocessing import Preprocessing
from striate.nets.repair import repair

from .seen import images, noise

EDGES = st.integers(1, 60)


@settings(max_examples=40, deadline=None)
@given(EDGES, EDGES, EDGES, EDGES)
def test_plain_is_what_the_plain_preprocessing_does(height, width, edge, crop):
    fields = {"resize": edge, "crop": (crop, crop), "interpolation": "bicubic"}
    one, two = (kind(**fields).pixels(noise(height, width)) for kind in (Fitted, Preprocessing))
    np.testing.assert_array_equal(one, two)


@settings(max_examples=40, deadline=None)
@given(EDGES, EDGES, EDGES, EDGES)
def test_covering_and_containing_keep_the_aspect(height, width, high, wide):
    sizes = {
        fit: Fitted((high, wide), (high, wide), fit=fit).scaled(height, width)
        for fit in ("cover", "contain")
    }
    assert sizes["cover"][0] >= high and sizes["cover"][1] >= wide
    assert sizes["contain"][0] <= high and sizes["contain"][1] <= wide
    for size in sizes.values():
        ratios = size[0] / height, size[1] / width
        exact = max(high / height, wide / width), min(high / height, wide / width)
        assert min(abs(r - e) for r in ratios for e in exact) < 1e-9


@pytest.mark.parametrize("resize, crop", [((37, 53), (30, 31)), (41, (32, 33))])
def test_without_antialiasing_is_torchvision_on_tensors(resize, crop):
    repair()
    import torch
    from torchvision.transforms import InterpolationMode, functional

    plain = Fitted(resize, crop, antialias=False)
    edges = [resize] if isinstance(resize, int) else list(resize)
    for image in images():
        frame = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        expected = functional.resize(frame, edges, InterpolationMode.BILINEAR, antialias=False)
        expected = functional.center_crop(expected, list(crop)).permute(1, 2, 0)
        np.testing.assert_array_equal(plain.pixels(image), expected.numpy())


def test_what_is_stated_ends_the_librarys_way_to_keep_the_aspect():
    default = Fitted((32, 48), (32, 48), "bicubic", fit="contain", centre="down", fill=9)
    assert stated_over(default, {}) == default
    sized = stated_over(default, {"size": 64})
    assert (sized.resize, sized.crop, sized.fit, sized.centre) == ((64, 64), None, "plain", "down")
    dark = stated_over(default, {"mean": (0, 0, 0), "interpolation": "nearest"})
    assert (dark.fit, dark.mean, dark.interpolation) == ("contain", (0, 0, 0), "nearest")


def test_every_field_is_told():
    one = Fitted((32, 48), (32, 48))
    for change in ({"fit": "cover"}, {"centre": "down"}, {"antialias": False}, {"fill": 1}):
        assert Fitted((32, 48), (32, 48), **change).identity() != one.identity()


def test_what_does_not_exist():
    for change in ({"fit": "stretch"}, {"centre": "up"}):
        with pytest.raises(RecipeError, match=r"unknown (fit|centre)"):
            Fitted((4, 4), **change)
    with pytest.raises(RecipeError, match=r"unknown interpolation of clips 'lanczos'"):
        Fitted((4, 4), interpolation="lanczos", antialias=False)
